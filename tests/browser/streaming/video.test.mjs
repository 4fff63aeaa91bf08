import assert from "node:assert/strict";
import { browser, open, signaling, site, videoTitle } from "../support/harness.mjs";
import { test } from "../support/tests.mjs";

/** A page that plays a video on demand from a native seeder with this upload limit. */
async function playing(video, uploadLimit) {
  const [url, tracker] = [await site(), await signaling()];
  const title = await videoTitle(tracker, video);
  await title.seed(uploadLimit);
  const { context } = await browser();
  const page = await open(context, url);
  await page.run("start({})");
  await page.run(`add("${title.torrent}", { onDemand: true })`);
  await page.run("play()");
  return { context, page };
}

for (const [name, variable] of [
  ["whose index comes first", "PIECEWORK_VIDEO"],
  ["whose index is at the end", "PIECEWORK_VIDEO_INDEX_AT_END"],
]) {
  test(`a video ${name} plays and seeks into a part not yet fetched`, async () => {
    const video = process.env[variable];
    assert.ok(video, `${variable} names no video`);
    const { page } = await playing(video, "2M");
    await page.run("playedPast(1)");
    const duration = await page.run("video.duration");
    const before = await page.run("stats()");
    assert.ok(before.verified < before.length * 0.7, `${before.verified} of ${before.length} bytes are here already`);
    await page.run(`seek(${duration * 0.8})`);
    await page.run(`playedPast(${duration * 0.8 + 1})`);
    const after = await page.run("stats()");
    assert.ok(after.verified < after.length, "the part in between was fetched too");
    assert.equal(await page.run("video.error === null"), true);
  });
}

test("a pause of 70 seconds and a killed service worker are survived", async () => {
  const { context, page } = await playing(process.env.PIECEWORK_VIDEO, "4M");
  await page.run("playedPast(1)");
  await page.run("video.pause()");
  await new Promise((resolve) => setTimeout(resolve, 70_000)); // this pause is tested
  const session = await context.newCDPSession(page);
  await session.send("ServiceWorker.enable");
  await session.send("ServiceWorker.stopAllWorkers");
  const at = await page.run("video.currentTime");
  await page.run("video.play().then(() => true)");
  await page.run(`playedPast(${at + 2})`);
  const duration = await page.run("video.duration");
  await page.run(`seek(${duration * 0.9})`);
  await page.run(`playedPast(${duration * 0.9 + 1})`);
  assert.equal(await page.run("video.error === null"), true);
});
