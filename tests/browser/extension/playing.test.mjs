import assert from "node:assert/strict";
import { asking, extended, FOR_USERS, setUp, until } from "../support/extension.mjs";
import { open, signaling, site, videoTitle } from "../support/harness.mjs";
import { film } from "../support/swarm.mjs";
import { test } from "../support/tests.mjs";

test("a film plays and seeks through the extension, and the service worker's ranges are right", async () => {
  const [url, tracker] = [await site(), await signaling()];
  const title = await videoTitle(tracker);
  await title.seed("4M");
  const extension = await extended();
  await setUp(extension);
  const page = await asking(extension, url);
  await page.run(`add("${title.torrent}", { onDemand: true })`);
  await page.run("play()");
  assert.equal(await page.run("playedPast(1)"), true);
  await page.run("seek(60)");
  assert.equal(await page.run("playedPast(61)"), true);
  const range = await page.run(`range("bytes=100-199")`);
  assert.deepEqual([range.status, range.length], [206, 100]);
  assert.equal(await page.run("workers.length"), 0);
  // Held to the player's place, as by an engine of the page's own.
  const { verified, length } = await page.run("stats()");
  assert.ok(verified < length, `${verified} of ${length}`);
  assert.deepEqual(await page.run("said"), []);
  assert.deepEqual(page.errors, []);
});

test("the trackers of a site's client find a title whose link names none, also by its hash alone", async () => {
  const [url, tracker, extension] = [await site(), await signaling(), await extended()];
  const [first, second] = [await film(tracker, 256 << 10), await film(tracker, 320 << 10)];
  await first.seed();
  await second.seed();
  await setUp(extension);
  const page = await asking(extension, url, { trackers: [tracker] });
  for (const [source, { digest }] of [
    [`magnet:?xt=urn:btih:${first.infoHash}`, first],
    [second.infoHash, second],
  ]) {
    await page.run(`add("${source}", { onDemand: false })`);
    await page.run("done()");
    assert.equal(await page.run("digest()"), digest);
  }
  // One that the site gave up before anything of it came.
  await page.run(`client.add("${"ab".repeat(20)}").then((torrent) => torrent.remove())`);
  assert.equal(await page.run(`client.add("${"ab".repeat(20)}").then(({ infoHash }) => infoHash)`), "ab".repeat(20));
});

test("by itself a client takes the extension where its site is allowed, and else an engine of its own", async () => {
  const [first, second, tracker] = [await site(), await site(), await signaling()];
  const title = await film(tracker, 1 << 20);
  await title.seed();
  const extension = await extended();
  await setUp(extension);
  await asking(extension, first);
  const fetches = async (url, options) => {
    const page = await open(extension.context, url);
    await page.run(`start(${JSON.stringify(options)})`);
    await page.run(`add("${title.torrent}")`);
    await page.run("done()");
    assert.equal(await page.run("digest()"), title.digest);
    assert.deepEqual(await page.run("said"), []);
    return page.run("workers.length");
  };
  assert.equal(await fetches(first, {}), 0, "the extension's");
  assert.equal(await fetches(first, { engine: "own" }), 1, "its own, as it says");
  assert.equal(await fetches(second, {}), 1, "nobody allowed the site");
  const payments = {
    vault: `0x${"44".repeat(20)}`,
    chainId: 31337,
    token: { address: `0x${"55".repeat(20)}`, decimals: 6, symbol: "DUSD" },
    maxPricePerGB: "20",
  };
  assert.equal(await fetches(first, { payments }), 1, "the extension pays by no vault");
});

test("a page of this machine is told that the build for users does not speak to its tracker", async () => {
  const [url, tracker, extension] = [await site(), await signaling(), await extended(undefined, { path: FOR_USERS })];
  const title = await film(tracker, 1 << 20);
  await title.seed();
  await setUp(extension);
  const page = await asking(extension, url);
  await page.run(`add("${title.torrent}")`);
  const [found] = await until(
    () => page.run("client.stats().then(({ trackers }) => trackers)"),
    ({ length }) => length > 0,
  );
  assert.equal(new URL(found.url).href, tracker);
  assert.match(found.error, /uses secure servers alone: load target\/extension-loopback/);
  assert.equal((await page.run("stats()")).verified, 0);
});
