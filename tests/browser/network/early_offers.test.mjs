// The page makes the offers of a first announce while the engine loads, and no connection stays open for nothing.
import assert from "node:assert/strict";
import { browser, open, signaling, site } from "../support/harness.mjs";
import { test } from "../support/tests.mjs";

const MIB = 1 << 20;
/** Keeps each peer connection of the page, and notes the steps and requests in their order. */
const WATCH = `(() => {
  window.connections = [];
  window.order = [];
  window.RTCPeerConnection = class extends RTCPeerConnection {
    constructor(...given) {
      super(...given);
      connections.push(this);
      order.push("made");
    }
  };
  window.Worker = class extends Worker {
    constructor(...given) {
      super(...given);
      this.addEventListener("message", ({ data }) => order.push(data.t));
    }
  };
  return true;
})()`;
const STATES = `connections.map((connection) => connection.signalingState)`;

async function seeded(url, tracker) {
  const { context } = await browser();
  const seeder = await open(context, url);
  await seeder.run(`start(${JSON.stringify({ trackers: [tracker] })})`);
  return { seeder, torrent: await seeder.run(`seed(${4 * MIB}, 3)`) };
}

async function complete(page) {
  await page.run("done()");
  assert.equal(await page.run("digest()"), await page.run(`patternDigest(${4 * MIB}, 3)`));
}

for (const query of ["/", "/?bridge=1"]) {
  test(`the engine's first offers are those that the page made while it loaded (${query})`, async () => {
    const [url, tracker] = [await site(), await signaling()];
    const { torrent } = await seeded(url, tracker);
    const { context } = await browser();
    const page = await open(context, url + query);
    await page.run(WATCH);
    await page.run(`(start(${JSON.stringify({ trackers: [tracker] })}), add("${torrent}"))`);
    await complete(page);
    const order = await page.run("order");
    const made = order.slice(0, order.indexOf("started")).filter((what) => what === "made").length;
    assert.equal(made, 5, order.join());
    const asked = order.filter((what) => what === "createOffer").length;
    assert.ok(asked > 0, order.join());
    const taken = order.filter((what) => what === "acceptOffer").length;
    assert.equal((await page.run("connections.length")) - taken, Math.max(5, asked), order.join());
  });
}

test("a page that only looks makes no offers", async () => {
  const { context } = await browser();
  const page = await open(context, await site());
  await page.run(WATCH);
  await page.run("(start({}), client.stats().then(() => true))");
  assert.equal(await page.run("connections.length"), 0);
});

test("a page that joins another's engine closes the offers that it made meanwhile", async () => {
  const [url, tracker] = [await site(), await signaling()];
  const { torrent } = await seeded(url, tracker);
  const options = JSON.stringify({ trackers: [tracker] });
  const { context } = await browser();
  const first = await open(context, url);
  await first.run(`(start(${options}), add("${torrent}"))`);
  const second = await open(context, url);
  await second.run(WATCH);
  await second.run(`(start(${options}), add("${torrent}"))`);
  assert.equal(await second.run("client.stats().then((s) => s.isHost)"), false);
  assert.deepEqual(await second.run(STATES), Array(5).fill("closed"));
});

test("offers that nobody asks for are closed before they are stale, and the next are new ones", async () => {
  const [url, tracker] = [await site(), await signaling()];
  const { torrent } = await seeded(url, tracker);
  const { context } = await browser();
  const page = await open(context, url);
  await page.run(WATCH);
  // The test owns the clock: a timer of half a minute fires when the test says so.
  await page.run(`(() => {
    const original = window.setTimeout;
    window.due = [];
    window.setTimeout = (call, after, ...rest) => (after === 30_000 ? due.push(call) : original(call, after, ...rest));
    return true;
  })()`);
  await page.run(`(start({ useTorrentTrackers: false }), add("${torrent}"))`);
  assert.deepEqual(await page.run(STATES), Array(5).fill("have-local-offer"));
  await page.run("(due.forEach((call) => call()), true)");
  assert.deepEqual(await page.run(STATES), Array(5).fill("closed"));
  await page.run(`add("${torrent}", { trackers: ["${tracker}"] })`);
  await complete(page);
  assert.ok((await page.run("connections.length")) > 5);
});
