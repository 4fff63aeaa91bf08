// HLS out of a torrent, by hls.js and `piecework/hls`: three levels, sold by a native seeder.
import assert from "node:assert/strict";
import { browser, folder, native, open, signaling } from "../support/harness.mjs";
import { playerSite, streamTitle, take } from "../support/paid/stream.mjs";
import { elsewhere, endsWell, playHls, watchesAgain, watchesPaidStream } from "../support/paid/stream_scenes.mjs";
import { test } from "../support/tests.mjs";

test("hls.js plays a paid stream, changes levels, seeks; the viewer pays for the segments that it loads", async () => {
  const scene = await watchesPaidStream("hls.js");
  await watchesAgain(scene);
  await endsWell(scene, "hls.js");
});

for (const [rate, name, last] of [
  [60_000, "narrow", 0],
  [20_000_000, "broad", 2],
])
  test(`hls.js measures a ${name} connection by the loader's times, and chooses the level by itself`, async () => {
    const [url, tracker, data] = [await playerSite("hls.js", "hls"), await signaling(), folder("stream")];
    const title = await streamTitle(tracker, data);
    const where = ["--data", data, "--state", folder("seeder")];
    await native(["seed", title.path, ...where, "--upload-limit", String(rate)], /^seeding /);
    const page = await open((await browser()).context, url);
    await page.run(`start(${JSON.stringify({ trackers: [tracker] })})`);
    await take(page, title);
    // With "progressive" hls.js takes each segment chunk by chunk.
    await playHls(page, null, last > 0 ? "progressive: true" : "");
    await page.run("playedPast(9)");
    const [level, measured] = await page.run("[hls.loadLevel, hls.bandwidthEstimate]");
    assert.equal(level, last, `${measured} bits per second were measured`);
    if (process.env.PIECEWORK_TEST_VERBOSE) console.log(`  ${name}: ${measured} bits per second`);
    // The sound takes its part of the connection, and the measurement is of the pictures alone.
    const [least, most] = last > 0 ? [2_000_000, Number.POSITIVE_INFINITY] : [rate * 8 * 0.3, rate * 8 * 1.5];
    assert.ok(measured > least && measured < most, `${measured} bits per second were measured`);
    // A narrow connection stops the picture, which hls.js calls an error that is not fatal.
    const fatal = await page.run("errors.filter(({ fatal }) => fatal)");
    assert.deepEqual([fatal, page.errors], [[], []]);
  });

test("a playlist that leads out of its torrent is refused, and nothing is asked there", async () => {
  const { host, asked } = await elsewhere("#EXTM3U");
  const page = await open((await browser()).context, await playerSite("hls.js", "hls"));
  await page.run("start({})");
  for (const uri of [`http://${host}/low.m3u8`, `//${host}/low.m3u8`, "%2e%2e/%2e%2e/low.m3u8"]) {
    const failed = await page.run(`(async () => {
      const text = "#EXTM3U\\n#EXT-X-STREAM-INF:BANDWIDTH=100000\\n${uri}\\n";
      window.torrent = await client.seed(new File([text], "master.m3u8"));
      const { Player, settings, urlOf } = await import("/player.js");
      const hls = new Player({ ...settings(torrent), enableWorker: false });
      const failed = new Promise((resolve) =>
        hls.on(Player.Events.ERROR, (_, { response }) => resolve(response.text)),
      );
      hls.loadSource(urlOf(torrent, "master.m3u8"));
      hls.attachMedia(video);
      return failed.finally(() => hls.destroy());
    })()`);
    assert.match(failed, /is no address in this torrent|names no file of a torrent/);
  }
  assert.deepEqual(asked, []);
});
