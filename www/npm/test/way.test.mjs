// A client whose engine is not the site's: that of a provider at the other end of a port.
import assert from "node:assert/strict";
import { test } from "node:test";
import { HASH, MAGNET, engines, payments } from "./page.mjs";
import { Client } from "./build/client.js";
import { PROVIDER_VERSION } from "./build/provider.js";

const define = (name, value) => Object.defineProperty(globalThis, name, { value, configurable: true, writable: true });
const HELLO = { stored: [], vault: null, chainId: null, sessionKey: null, payee: null, generation: null };

/** A provider: what it heard, and the next message of a kind. */
function provider(t) {
  const { port1, port2 } = new MessageChannel();
  const heard = [];
  const waiting = [];
  port1.onmessage = ({ data }) => {
    heard.push(data);
    for (const look of [...waiting]) look();
  };
  t.after(() => port1.close());
  return {
    port: port2,
    say: (message) => port1.postMessage(message),
    heard,
    /** The `nth` message of this kind. */
    next: (kind, nth = 0) =>
      new Promise((resolve) => {
        const look = () => {
          const found = heard.filter(({ t }) => t === kind)[nth];
          if (!found) return;
          waiting.splice(waiting.indexOf(look), 1);
          resolve(found);
        };
        waiting.push(look);
        look();
      }),
  };
}

/** Lets the page in, as the first engine or a later one. */
async function letIn(end, nth = 0) {
  end.say({ t: "opened" });
  const { id } = await end.next("hello", nth);
  end.say({ t: "ok", id, v: HELLO });
}

/** Its name and files are not known yet. */
async function knowsNothing(end, nth = 0) {
  for (const t of ["torrent", "source"]) end.say({ t: "ok", id: (await end.next(t, nth)).id, v: null });
}

test("requests wait until the provider lets the page in, and are repeated to its next engine", async (t) => {
  const end = provider(t);
  const client = new Client({ engine: end.port, payments: payments() });
  t.after(() => client.destroy());
  const adding = client.add(MAGNET);
  const { payment, version, ask } = await end.next("open");
  assert.deepEqual(
    [payment, version, ask],
    [{ vault: `0x${"44".repeat(20)}`, chainId: 31337 }, PROVIDER_VERSION, true],
  );
  assert.deepEqual(
    end.heard.map(({ t }) => t),
    ["open"],
  );
  await letIn(end);
  end.say({ t: "ok", id: (await end.next("add")).id, v: HASH });
  await knowsNothing(end);
  assert.equal((await adding).infoHash, HASH);

  // One request is open as the engine ends.
  const asking = client.stats();
  const { id } = await end.next("snapshot");
  await letIn(end, 1);
  const again = await end.next("add", 1);
  assert.deepEqual([again.magnet, again.check], [MAGNET, "resume"]);
  end.say({ t: "ok", id: again.id, v: HASH });
  await knowsNothing(end, 1);
  assert.equal((await end.next("snapshot", 1)).id, id);
  end.say({ t: "ok", id, v: { downloadRate: 5, uploadRate: 0, trackers: [], money: { spentFine: 0n } } });
  assert.equal((await asking).downloadRate, 5);
  assert.equal(client.torrents.length, 1);
});

test("a client's own trackers go with what it adds, except to a private torrent", async (t) => {
  const end = provider(t);
  const [mine, more] = ["wss://mine.example", "wss://more.example"];
  const client = new Client({ engine: end.port, trackers: [mine] });
  t.after(() => client.destroy());
  await letIn(end);
  const made = (flag) => new TextEncoder().encode(`d4:infod6:lengthi1e4:name1:a${flag}ee`);
  for (const [nth, [source, options, besides]] of [
    [MAGNET, {}, [mine]],
    [MAGNET, { trackers: [more] }, [mine]],
    [made(""), {}, [mine]],
    [made("7:privatei0e"), {}, [mine]],
    [made("7:privatei1e"), {}, []],
    [made("7:privatei1e"), { trackers: [more] }, []],
  ].entries()) {
    const adding = client.add(source, options);
    const { id, ...asked } = await end.next("add", nth);
    assert.deepEqual([asked.trackers, asked.besides], [options.trackers ?? [], besides], String(nth));
    end.say({ t: "err", id, message: "not now" });
    await assert.rejects(adding, { message: "not now" });
  }
});

test("a page that the browser brings back opens again, and asks its new place what is open", async (t) => {
  const before = globalThis.addEventListener;
  const listeners = {};
  define("addEventListener", (name, listener) => Object.assign(listeners, { [name]: listener }));
  t.after(() => define("addEventListener", before));
  const end = provider(t);
  const client = new Client({ engine: end.port });
  t.after(() => client.destroy());
  await letIn(end);
  const asking = client.stats();
  await end.next("snapshot");
  listeners.pagehide();
  await end.next("bye");
  listeners.pageshow({ persisted: true });
  await end.next("open", 1);
  await letIn(end, 1);
  const { id } = await end.next("snapshot", 1);
  end.say({ t: "ok", id, v: { downloadRate: 5, uploadRate: 0, trackers: [], money: { spentFine: 0n } } });
  assert.equal((await asking).downloadRate, 5);
});

test("a page that is not let in hears why, in its event and in every request", async (t) => {
  const end = provider(t);
  const client = new Client({ engine: end.port });
  t.after(() => client.destroy());
  const failed = new Promise((resolve) => client.on("error", resolve));
  const asking = client.stats();
  end.say({ t: "refused", message: "Not here." });
  assert.equal((await failed).error.message, "Not here.");
  await assert.rejects(asking, { name: "PieceworkError", message: "Not here." });
  await assert.rejects(client.stats(), { message: "Not here." });
});

test("the page's wallet is asked by the provider, and its refusal comes back with its code", async (t) => {
  const asked = [];
  define("ethereum", {
    request: async ({ method }) => {
      asked.push(method);
      if (method === "eth_sendTransaction") throw Object.assign(new Error("no"), { code: 4001 });
      return ["0x1"];
    },
  });
  t.after(() => define("ethereum", undefined));
  const end = provider(t);
  const client = new Client({ engine: end.port });
  t.after(() => client.destroy());
  await letIn(end);
  end.say({ t: "wallet", id: 7, method: "eth_accounts", params: [] });
  assert.deepEqual(await end.next("walletAnswer"), { t: "walletAnswer", id: 7, v: ["0x1"] });
  end.say({ t: "wallet", id: 8, method: "eth_sendTransaction", params: [{}] });
  const { id, v, code } = await end.next("walletAnswer", 1);
  assert.deepEqual([id, v, code], [8, undefined, 4001]);
  assert.deepEqual(asked, ["eth_accounts", "eth_sendTransaction"]);
});

/** An extension that answers the page's event. */
function extension(t, end) {
  const before = { add: globalThis.addEventListener, dispatch: globalThis.dispatchEvent };
  const listeners = new Set();
  define("window", globalThis);
  define("addEventListener", (name, listener) => name === "message" && listeners.add(listener));
  define("dispatchEvent", ({ type, cancelable }) => {
    if (type !== "piecework:requestProvider" || !cancelable) return true;
    const data = { piecework: "provider", version: PROVIDER_VERSION };
    for (const listener of listeners) setImmediate(() => listener({ source: globalThis, data, ports: [end.port] }));
    return false;
  });
  t.after(() => {
    define("addEventListener", before.add);
    define("dispatchEvent", before.dispatch);
  });
}

test("by itself a client goes to the extension, and has an engine of its own where it is not let in", async (t) => {
  const end = provider(t);
  extension(t, end);
  const count = engines.length;
  const client = new Client({});
  t.after(() => client.destroy());
  const asking = client.stats();
  assert.equal((await end.next("open")).ask, false);
  assert.equal(engines.length, count);
  end.say({ t: "refused", message: "Not here." });
  assert.equal((await asking).isHost, true);
  assert.equal(engines.length, count + 1);
});

test("an extension that does not answer in time is not waited for, and what comes later is left", async (t) => {
  const end = provider(t);
  extension(t, end);
  const client = new Client({});
  t.after(() => client.destroy());
  await end.next("open");
  assert.equal((await client.stats()).isHost, true);
  end.say({ t: "opened" });
  await end.next("bye");
});

test("a client that is told to uses its own engine alone; one that needs the extension says so", async (t) => {
  const end = provider(t);
  extension(t, end);
  const client = new Client({ engine: "own" });
  t.after(() => client.destroy());
  assert.equal((await client.stats()).isHost, true);
  assert.deepEqual(end.heard, []);
  define("dispatchEvent", () => true);
  assert.throws(() => new Client({ engine: "extension" }), /install it, then reload/);
});

test("a client that needs the extension is told where its question is, and that none answers", async (t) => {
  const end = provider(t);
  extension(t, end);
  t.mock.timers.enable({ apis: ["setTimeout"] });
  const client = new Client({ engine: "extension" });
  const warned = new Promise((resolve) => client.on("warning", ({ text }) => resolve(text)));
  await end.next("open");
  t.mock.timers.tick(10_000);
  assert.match(await warned, /its question is in a window of its own, or behind its button/);
  // It does not wait for the word, and the question goes.
  const asked = assert.rejects(client.stats(), /destroyed/);
  await client.destroy();
  await asked;
  await end.next("bye");

  // It prevents the event's default, and posts no port.
  define("dispatchEvent", () => false);
  const other = new Client({ engine: "extension" });
  const failed = new Promise((resolve) => other.on("error", ({ error }) => resolve(error.message)));
  t.mock.timers.tick(3_000);
  assert.match(await failed, /did not answer in time: reload the page/);
  await assert.rejects(other.stored(), /did not answer in time/);
});
