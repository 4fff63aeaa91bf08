// What a viewer does with a paid stream, by hls.js or Shaka Player, in either browser: each test of one of them plays
// these scenes.
import assert from "node:assert/strict";
import { createServer } from "node:http";
import { ending } from "../harness.mjs";
import { Scene } from "./scene.mjs";
import { boughtWhatWasAsked, fills, playerSite, SEGMENT, streamTitle, take } from "./stream.mjs";
import { deposit, viewer } from "./viewer.mjs";
import { RemoteWallet } from "./wallet.mjs";

/** Seconds that a player is told to have ahead of the picture. */
const AHEAD = 4;
/** The widths of the lowest and the highest level's pictures. */
const [LOW, HIGH] = [256, 640];

/** Begins to play by hls.js. It makes its worker from a `blob:`, which the site's policy forbids. */
export const playHls = (page, level = null, more = "") =>
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

/** Begins to play by Shaka. It takes the lowest level, and another when it is told to. */
const playShaka = (page, manifest) =>
  page.run(`(async () => {
    window.shaka = Player;
    window.errors = [];
    window.player = new shaka.Player();
    player.addEventListener("error", ({ detail }) => errors.push(detail.code + ": " + detail.message));
    await player.attach(video);
    player.configure(settings({ ahead: ${AHEAD} }));
    // By name: in Firefox an object of the test's is none of the page's, and Shaka takes no such one.
    for (const [name, value] of [["enabled", false], ["useNetworkInformation", false], ["defaultBandwidthEstimate", 1]])
      player.configure("abr." + name, value);
    window.release = piecework(shaka, player, torrent);
    await player.load(urlOf(torrent, "${manifest}"));
    await video.play();
  })()`);

/** Both players: how each begins at the lowest level, takes the highest at once, and ends. */
const PLAYERS = {
  "hls.js": {
    adapter: "hls",
    // hls.js loads sound before its turn while the first pictures are being taken in.
    moreSound: 2,
    play: (page) => playHls(page, 0),
    highest: "void (hls.currentLevel = 2)",
    end: "hls.destroy()",
  },
  "shaka-player": {
    adapter: "shaka",
    moreSound: 0,
    play: playShaka,
    highest: "player.selectVariantTrack(player.getVariantTracks().find((track) => track.height === 360), true)",
    end: "player.destroy().then(release)",
  },
};

/**
 * A viewer plays a stream that a native seeder sells, changes the level, seeks, and has and pays the segments that the
 * player loads. `opened` gives a page as {@link viewer} does. Answers what was bought after the change and in the end.
 */
export async function watchesPaidStream(name, { opened = viewer, manifest = "master.m3u8" } = {}) {
  const { adapter, moreSound, play, highest } = PLAYERS[name];
  const [url, scene] = [await playerSite(name, adapter), await Scene.open()];
  const wallet = await RemoteWallet.start(scene.chain, scene.payer);
  const title = await streamTitle(scene.tracker, scene.folder);
  const seeder = await scene.seeder([title], 20_000_000);
  const page = await opened(url, wallet, scene.options());
  await deposit(page, "2");
  await take(page, title);

  await play(page, manifest);
  await page.run("playedPast(1)");
  assert.equal(await page.run("video.videoWidth"), LOW);
  await fills(page, AHEAD);
  const low = await boughtWhatWasAsked(page, seeder);
  // What was shown, what is ahead of it, and the segment in which that ends.
  const most = Math.ceil(((await page.run("video.currentTime")) + AHEAD) / SEGMENT) + 1;
  assert.deepEqual([low.segments[1], low.segments[2]], [[], []]);
  for (const [had, bound] of [
    [low.segments[0], most],
    [low.segments[3], most + moreSound],
  ])
    assert.ok(had.length > 0 && had.length <= bound && had.at(-1) === had.length, `${had}: at most ${bound}`);

  // Another level at once: the picture changes, and what is bought of it begins where the picture is.
  await page.run(highest);
  await page.run(`video.play().then(() => until(() => video.videoWidth === ${HIGH}))`);
  await fills(page, AHEAD);
  const high = await boughtWhatWasAsked(page, seeder);
  assert.ok(high.segments[2].length > 0 && high.segments[2].length <= most + 1, `${high.segments[2]}`);
  assert.deepEqual([high.segments[0], high.segments[1]], [low.segments[0], []]);

  // Beyond all that was fetched.
  await page.run("seek(19)");
  await page.run("video.play().then(() => playedPast(19.5))");
  assert.equal(await page.run("video.videoWidth"), HIGH);
  await fills(page, AHEAD);
  const end = await boughtWhatWasAsked(page, seeder);
  const late = end.segments[2].filter((number) => !high.segments[2].includes(number));
  assert.ok(late.length > 0 && late.every((number) => number >= Math.floor(19 / SEGMENT)), `${late}`);
  assert.deepEqual([end.segments[0], end.segments[1]], [low.segments[0], []]);
  assert.ok(end.blocks < end.all, `${end.blocks} of ${end.all}`);

  return { page, seeder, high, bought: end };
}

/** Goes back to what {@link watchesPaidStream} bought at the highest level: it costs nothing again. */
export async function watchesAgain({ page, seeder, high, bought }) {
  await page.run(`seek(${(high.segments[2][0] - 1) * SEGMENT + 0.1})`);
  await page.run("video.play().then(() => until(() => !video.seeking && video.currentTime < 10))");
  await page.run("video.pause()");
  assert.equal((await boughtWhatWasAsked(page, seeder)).blocks, bought.blocks);
}

/** Ends the player, after what went without an error. */
export async function endsWell({ page }, name) {
  assert.deepEqual(await page.run("errors"), []);
  await page.run(PLAYERS[name].end);
  assert.deepEqual(page.errors, []);
}

/** Somebody else's server, and the paths that it was asked for. */
export async function elsewhere(text) {
  const asked = [];
  const server = createServer((request, response) => {
    asked.push(request.url);
    response.writeHead(200, { "Access-Control-Allow-Origin": "*" }).end(text);
  });
  await new Promise((resolve) => server.listen(0, "127.0.0.1", resolve));
  ending(() => new Promise((resolve) => server.close(resolve)));
  return { host: `127.0.0.1:${server.address().port}`, asked };
}
