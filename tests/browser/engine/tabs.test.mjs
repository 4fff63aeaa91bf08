import assert from "node:assert/strict";
import { browser, open, signaling, site } from "../support/harness.mjs";
import { test } from "../support/tests.mjs";

const MIB = 1 << 20;

test("a second tab uses the first one's engine and takes over when that tab closes", async () => {
  const [url, tracker] = [await site(), await signaling()];
  const options = JSON.stringify({ trackers: [tracker] });
  const a = await browser();
  const seeder = await open(a.context, url);
  await seeder.run(`start(${options})`);
  await seeder.run("client.setUploadLimit(3e6)");
  const torrent = await seeder.run(`seed(${16 * MIB}, 5)`);

  const { context } = await browser();
  const first = await open(context, url);
  await first.run(`start(${options})`);
  await first.run(`add("${torrent}")`);
  await first.run("pieces(3)");
  const second = await open(context, url);
  await second.run(`start(${options})`);
  await second.run(`add("${torrent}")`);
  await second.run("pieces(3)");
  assert.equal(await first.run("client.stats().then((s) => s.isHost)"), true);
  assert.equal(await second.run("client.stats().then((s) => s.isHost)"), false);
  await first.close();
  await second.run("done()");
  assert.equal(await second.run("client.stats().then((s) => s.isHost)"), true);
  assert.equal(await second.run("digest()"), await second.run(`patternDigest(${16 * MIB}, 5)`));
});

test("a page that the browser keeps while it is left, and brings back, goes on with its torrents", async () => {
  const url = await site();
  const { context } = await browser();
  const host = await open(context, url);
  await host.run("start({})");
  const torrent = await host.run(`seed(${MIB}, 6)`);
  await host.run("done()");
  const guest = await open(context, url);
  await guest.run("start({})");
  await guest.run(`add("${torrent}")`);
  await guest.run("done()");
  for (const page of [guest, host]) {
    // The browser reports this. Whether it keeps a page is its own decision.
    await page.run(`(dispatchEvent(new PageTransitionEvent("pagehide", { persisted: true })), true)`);
    await page.run(`(dispatchEvent(new PageTransitionEvent("pageshow", { persisted: true })), true)`);
    await page.run("client.stats().then(() => true)");
    await page.run("done()");
    assert.equal(await page.run("stats().then(({ state }) => state)"), "seeding");
    assert.equal(await page.run("digest()"), await page.run(`patternDigest(${MIB}, 6)`));
  }
  assert.equal(await host.run("client.stats().then((s) => s.isHost)"), true);
});

test("what a page used that the browser threw away is fetched, and paid, no longer", async () => {
  const [url, other, tracker] = [await site(), await site(), await signaling()];
  const options = JSON.stringify({ trackers: [tracker] });
  const seeder = await open((await browser()).context, other);
  await seeder.run(`start(${options})`);
  await seeder.run("client.setUploadLimit(1e5)");
  const torrent = await seeder.run(`seed(${16 * MIB}, 7)`);
  const { context } = await browser();
  const host = await open(context, url);
  await host.run(`start(${options})`);
  await host.run("client.stats().then(() => true)");
  const guest = await open(context, url);
  await guest.run(`start(${options})`);
  await guest.run(`add("${torrent}")`);
  await guest.run("pieces(1)");
  const session = await context.newCDPSession(guest);
  session.send("Page.crash").catch(() => undefined); // it never answers
  await seeder.run(`new Promise((resolve) => {
    const look = async () => ((await torrent.stats()).peers.length === 0 ? resolve(true) : setTimeout(look, 20));
    look();
  })`);
  assert.equal(await host.run("client.stats().then((s) => s.isHost)"), true);
});
