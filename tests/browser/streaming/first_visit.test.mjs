// The pieces that a first visit fetches while it waits for the service worker.
import assert from "node:assert/strict";
import { browser, open, signaling, site } from "../support/harness.mjs";
import { test } from "../support/tests.mjs";

const MIB = 1 << 20;

/**
 * Takes a torrent up and asks for its URL while the service worker is held up, and then lets a peer come. Answers the
 * pieces that came first.
 */
async function fetched(options, count) {
  const [url, tracker] = [await site(), await signaling()];
  const a = await browser();
  const seeder = await open(a.context, url);
  await seeder.run(`start(${JSON.stringify({ trackers: [tracker] })})`);
  const torrent = await seeder.run(`seed(${32 * MIB}, 9)`);
  const { context } = await browser();
  const page = await open(context, url);
  await page.run(`(() => {
    const { register } = ServiceWorkerContainer.prototype;
    const held = new Promise((resolve) => (window.letIn = resolve));
    ServiceWorkerContainer.prototype.register = async function (...given) {
      await held;
      return register.apply(this, given);
    };
    start({ useTorrentTrackers: false });
    return true;
  })()`);
  await page.run(`add("${torrent}", ${JSON.stringify(options)})`);
  await page.run(
    "(window.came = [], torrent.on('piece', ({ piece }) => came.push(piece)), " +
      "window.address = torrent.files[0].url(), true)",
  );
  await page.run(`add("${torrent}", ${JSON.stringify({ ...options, trackers: [tracker] })})`);
  const pieces =
    count &&
    (await page.run(`new Promise((resolve) => {
      const look = () => came.length >= ${count} && resolve(came);
      torrent.on("piece", look);
      look();
    })`));
  return { page, pieces };
}

test("the beginning of a file whose URL is asked for comes first, before the service worker is there", async () => {
  const { page, pieces } = await fetched({}, 4);
  assert.deepEqual(
    pieces.slice(0, 4).toSorted((a, b) => a - b),
    [0, 1, 2, 3],
    pieces.join(),
  );
  await page.run("(letIn(), true)");
  assert.equal(
    await page.run(
      "address.then((url) => fetch(url, { headers: { Range: 'bytes=0-99' } })).then((answer) => answer.status)",
    ),
    206,
  );
});

test("a URL alone fetches nothing of a torrent that is fetched on demand", async () => {
  const { page } = await fetched({ onDemand: true }, 0);
  await page.run(`new Promise((resolve) => {
    const look = async () => {
      const { peers } = await torrent.stats();
      peers.some((peer) => peer.haveCount > 0) ? resolve(true) : requestAnimationFrame(look);
    };
    void look();
  })`);
  await page.run("(letIn(), address)");
  assert.equal((await page.run("stats()")).downloaded, 0);
});
