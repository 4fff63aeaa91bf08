// HLS out of a torrent, by hls.js and `piecework/hls`: three levels, sold by a native seeder.
import assert from "node:assert/strict";
import { createServer } from "node:http";
import { browser, ending, folder, native, open, signaling } from "../support/harness.mjs";
import { Scene } from "../support/paid/scene.mjs";
import { boughtWhatWasAsked, fills, playerSite, SEGMENT, streamTitle, take } from "../support/paid/stream.mjs";
import { deposit, viewer } from "../support/paid/viewer.mjs";
import { RemoteWallet } from "../support/paid/wallet.mjs";
import { test } from "../support/tests.mjs";

/** Seconds that hls.js is told to have ahead of the picture. */
const AHEAD = 4;
/** The widths of the levels' pictures. */
const WIDTHS = [256, 426, 640];

/** Begins to play. hls.js makes its worker from a `blob:`, which the site's policy forbids. */
const play = (page, level = null, more = "") =>
  page.run(`(async () => {
    window.errors = [];
    window.hls = new Player({ ...settings(torrent, { ahead: ${AHEAD} }), enableWorker: false, ${more} });
    if (${level} !== null) hls.once(Player.Events.MANIFEST_PARSED, () => (hls.loadLevel = ${level}));
    hls.on(Player.Events.ERROR, (_, { details, error, fatal }) =>
      errors.push({ fatal, text: details + ": " + error?.message }),
    );
    hls.loadSource(urlOf(torrent, "master.m3u8"));
    hls.attachMedia(video);
    await video.play();
  })()`);

test("hls.js plays a paid stream, changes levels, seeks; the viewer pays for the segments that it loads", async () => {
  const [url, scene] = [await playerSite("hls.js", "hls"), await Scene.open()];
  const wallet = await RemoteWallet.start(scene.chain, scene.payer);
  const title = await streamTitle(scene.tracker, scene.folder);
  const seeder = await scene.seeder([title], 20_000_000);
  const page = await viewer(url, wallet, scene.options());
  await deposit(page, "2");
  await take(page, title);

  await play(page, 0);
  await page.run("playedPast(1)");
  assert.equal(await page.run("video.videoWidth"), WIDTHS[0]);
  await fills(page, AHEAD);
  const low = await boughtWhatWasAsked(page, seeder);
  // What was shown, what is ahead of it, and the segment in which that ends.
  const shown = (seconds) => Math.ceil((seconds + AHEAD) / SEGMENT) + 1;
  const most = shown(await page.run("video.currentTime"));
  assert.deepEqual([low.segments[1], low.segments[2]], [[], []]);
  // hls.js loads sound before its turn while the first pictures are being taken in.
  for (const [had, bound] of [
    [low.segments[0], most],
    [low.segments[3], most + 2],
  ])
    assert.ok(had.length > 0 && had.length <= bound && had.at(-1) === had.length, `${had}: at most ${bound}`);

  // Another level at once: the picture changes, and what is bought of it begins where the picture is.
  await page.run("void (hls.currentLevel = 2)");
  await page.run("video.play().then(() => until(() => video.videoWidth === 640))");
  await fills(page, AHEAD);
  const high = await boughtWhatWasAsked(page, seeder);
  assert.ok(high.segments[2].length > 0 && high.segments[2].length <= most + 1, `${high.segments[2]}`);
  assert.deepEqual([high.segments[0], high.segments[1]], [low.segments[0], []]);

  // Beyond all that was fetched.
  await page.run("seek(19)");
  await page.run("video.play().then(() => playedPast(19.5))");
  assert.equal(await page.run("video.videoWidth"), WIDTHS[2]);
  await fills(page, AHEAD);
  const end = await boughtWhatWasAsked(page, seeder);
  const reached = Math.floor(19 / SEGMENT);
  const late = end.segments[2].filter((number) => !high.segments[2].includes(number));
  assert.ok(late.length > 0 && late.every((number) => number >= reached), `${late}`);
  assert.deepEqual([end.segments[0], end.segments[1]], [low.segments[0], []]);
  assert.ok(end.blocks < end.all, `${end.blocks} of ${end.all}`);

  // What was bought costs nothing again.
  await page.run(`seek(${(high.segments[2][0] - 1) * SEGMENT + 0.1})`);
  await page.run("video.play().then(() => until(() => !video.seeking && video.currentTime < 10))");
  await page.run("video.pause()");
  assert.equal((await boughtWhatWasAsked(page, seeder)).blocks, end.blocks);
  assert.deepEqual(await page.run("errors"), []);
  await page.run("hls.destroy()");
  assert.deepEqual(page.errors, []);
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
    await play(page, null, last > 0 ? "progressive: true" : "");
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
  const asked = [];
  const elsewhere = createServer((request, response) => {
    asked.push(request.url);
    response.writeHead(200, { "Access-Control-Allow-Origin": "*" }).end("#EXTM3U");
  });
  await new Promise((resolve) => elsewhere.listen(0, "127.0.0.1", resolve));
  ending(() => new Promise((resolve) => elsewhere.close(resolve)));
  const there = `http://127.0.0.1:${elsewhere.address().port}`;
  const page = await open((await browser()).context, await playerSite("hls.js", "hls"));
  await page.run("start({})");
  for (const uri of [
    `${there}/low.m3u8`,
    `//127.0.0.1:${elsewhere.address().port}/low.m3u8`,
    "%2e%2e/%2e%2e/low.m3u8",
  ]) {
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
