import assert from "node:assert/strict";
import { test } from "node:test";
import { MAX_READERS_OF_SITE, Readers } from "./build/readers.js";

/** A reader's port, and what was said to it. */
function port(origin) {
  const heard = { message: null, end: null };
  return {
    origin,
    said: [],
    ended: false,
    postMessage(message) {
      this.said.push(message);
    },
    disconnect() {
      this.ended = true;
    },
    onMessage: { addListener: (hear) => (heard.message = hear) },
    onDisconnect: { addListener: (hear) => (heard.end = hear) },
    heard,
  };
}

function host() {
  const state = { allowed: true, engine: [], ended: [] };
  const session = { engine: { postMessage: (message) => state.engine.push(message) } };
  const readers = new Readers({
    of: (one) => ({ isOwn: false, origin: one.origin }),
    session: () => (state.allowed ? session : undefined),
    settled: async () => undefined,
    ended: (site, hash) => state.ended.push([site, hash]),
  });
  return { state, readers };
}

const settled = () => new Promise((resolve) => setTimeout(resolve));

test("a reader ends with the right to read", async () => {
  const { state, readers } = host();
  const one = port("https://a.example");
  readers.arrived(one);
  one.heard.message({ hash: "h", file: 0, strange: "x" });
  await settled();
  const [{ port: engine, ...asked }] = state.engine;
  assert.deepEqual(asked, { t: "stream", hash: "h", file: 0 });
  assert.equal(readers.reads("https://a.example", "h"), true);
  const heard = new Promise((resolve) => (engine.onmessage = ({ data }) => resolve(data)));
  readers.look();
  assert.equal(one.ended, false);
  state.allowed = false;
  readers.look();
  assert.deepEqual([one.ended, one.said.at(-1).status], [true, 503]);
  assert.equal(readers.reads("https://a.example", "h"), false);
  assert.equal(await heard, "cancel");
  assert.deepEqual(state.ended, [["https://a.example", "h"]]);
  engine.close();
});

test("a site has so many readers, in all of its pages", () => {
  const { readers } = host();
  const ports = Array.from({ length: MAX_READERS_OF_SITE + 1 }, () => port("https://a.example"));
  for (const one of ports) readers.arrived(one);
  assert.deepEqual(
    ports.map(({ ended }) => ended),
    ports.map((_, at) => at === MAX_READERS_OF_SITE),
  );
  const other = port("https://b.example");
  readers.arrived(other);
  assert.equal(other.ended, false);
  ports[0].heard.end();
  const next = port("https://a.example");
  readers.arrived(next);
  assert.equal(next.ended, false);
});
