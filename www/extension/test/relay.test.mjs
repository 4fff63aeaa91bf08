import assert from "node:assert/strict";
import { mock, test } from "node:test";

mock.timers.enable({ apis: ["setInterval"] });
/** Ports that the relay opened, as the host has them. */
const opened = [];
globalThis.chrome = {
  runtime: {
    id: "x",
    sendMessage: async () => true,
    connect() {
      const port = { said: [], gone: false };
      opened.push(port);
      return {
        postMessage: (message) => port.said.push(message),
        disconnect: () => (port.gone = true),
        onMessage: { addListener: (hear) => (port.tell = hear) },
        onDisconnect: { addListener: (hear) => (port.end = hear) },
      };
    },
  },
};
const { relay } = await import("./build/relay.js");
const press = { isActive: false };
Object.defineProperty(globalThis, "navigator", { value: { userActivation: press }, configurable: true });
/** What is under way between ports arrives. */
async function settled() {
  for (let turns = 0; turns < 50; turns++) await new Promise((resolve) => setImmediate(resolve));
}
const OPEN = { t: "open", version: 1, payment: null, ask: true };

/** A page's port with a relay at its other end. */
function page() {
  opened.length = 0;
  const heard = [];
  const { port1, port2 } = new MessageChannel();
  const made = { heard, port: port1, left: 0, close: () => port1.close() };
  port1.onmessage = ({ data }) => heard.push(data.t);
  relay(port2, () => made.left++);
  return made;
}

test("a page opens once for a port, until it takes its leave", async () => {
  const one = page();
  for (let i = 0; i < 5; i++) one.port.postMessage(OPEN);
  await settled();
  assert.equal(opened.length, 1);
  one.port.postMessage({ t: "bye" });
  one.port.postMessage(OPEN);
  await settled();
  assert.deepEqual([opened.length, opened[0].gone, one.left], [2, true, 1]);
  one.close();
});

test("a page that is refused, or taken back from, is not opened again", async () => {
  for (const t of ["refused", "gone"]) {
    const one = page();
    one.port.postMessage(OPEN);
    await settled();
    const { now } = Date;
    Date.now = () => now() + 60_000; // the host lived for long
    opened[0].tell({ t, message: "no" });
    opened[0].end();
    await settled();
    Date.now = now;
    assert.deepEqual([opened.length, one.left, one.heard], [1, 1, [t]]);
    one.close();
  }
});

test("a page that another host is told of has pressed nothing", async () => {
  const one = page();
  press.isActive = true;
  one.port.postMessage(OPEN);
  await settled();
  const { now } = Date;
  Date.now = () => now() + 60_000;
  opened[0].end();
  await settled();
  Date.now = now;
  press.isActive = false;
  const [first, second] = opened.map(({ said: [open] }) => [open.gesture, open.again]);
  assert.deepEqual(
    [first, second],
    [
      [true, false],
      [false, true],
    ],
  );
  one.close();
});

test("a page is told that the extension went away, once, whatever the relay waits for", async () => {
  const { runtime } = globalThis.chrome;
  const { sendMessage, id } = runtime;
  const { now } = Date;
  for (const asks of ["at the page's first message", "when its host ended"]) {
    const one = page();
    // As of an extension that goes away in that moment: no answer, and no refusal.
    const never = () => new Promise(() => undefined);
    if (asks === "at the page's first message") runtime.sendMessage = never;
    one.port.postMessage(OPEN);
    await settled();
    if (asks === "when its host ended") {
      runtime.sendMessage = never;
      Date.now = () => now() + 60_000; // the host lived for long
      opened[0].end();
    }
    const reader = new MessageChannel();
    const told = new Promise((resolve) => (reader.port1.onmessage = ({ data }) => resolve(data)));
    one.port.postMessage({ t: "stream", port: reader.port2 }, [reader.port2]);
    await settled();
    mock.timers.tick(1_000);
    await settled();
    assert.deepEqual([one.heard, one.left], [[], 0], asks);
    runtime.id = undefined;
    mock.timers.tick(1_000);
    mock.timers.tick(5_000);
    await settled();
    assert.deepEqual([one.heard, one.left], [["gone"], 1], asks);
    assert.match((await told).error, /updated, switched off or removed/);
    reader.port1.close();
    one.close();
    Object.assign(runtime, { sendMessage, id });
    Date.now = now;
  }
});

test("a document opens so often in a row", async () => {
  const pages = [];
  let count = 0;
  for (let i = 0; i < 100; i++) {
    const one = page();
    one.port.postMessage(OPEN);
    await settled();
    count += opened.length;
    pages.push(one);
  }
  assert.ok(count > 0 && count <= 32, `${count} opened`);
  assert.deepEqual(pages.at(-1).heard, ["refused"]);
  for (const one of pages) one.close();
});
