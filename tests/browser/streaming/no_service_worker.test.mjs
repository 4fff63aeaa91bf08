// A site whose service worker is missing: what plays, what does not, and what the page says about it.
import assert from "node:assert/strict";
import { join } from "node:path";
import { FirefoxTab } from "../support/browsers/firefox_tab.mjs";
import { browser, CSP, ending, folder, open, signaling, site, videoTitle } from "../support/harness.mjs";
import { test } from "../support/tests.mjs";

const MIB = 1 << 20;
const REMEDY = /`npx piecework copy`.*`piecework\/vite`/;

/** A site under the policy that lets such pages play, without a service worker. */
function bare() {
  const mounts = { "/piecework-sw.js": join(folder("nothing"), "sw.js") };
  return site({ mounts, policy: CSP.replace("media-src 'self'", "media-src 'self' blob:") });
}

/** The first warning of the page's client. */
const warning = `new Promise((resolve) => {
  if (said.length > 0) resolve(said[0]);
  else client.on("warning", ({ text }) => resolve(text));
})`;

test("without a service worker a small film is fetched whole and plays, and the page says what it lacks", async () => {
  const title = await videoTitle(await signaling());
  await title.seed("20M");
  const page = await open((await browser()).context, await bare());
  await page.run("start({})");
  assert.match(await page.run(warning), REMEDY);
  await page.run(`add("${title.torrent}", { onDemand: true })`);
  await page.run("play()");
  await page.run("playedPast(1)");
  await page.run("seek(100)");
  await page.run("playedPast(101)");
  assert.match(await page.run("video.src"), /^blob:/);
  assert.equal(await page.run("torrent.files[0].url()"), await page.run("video.src"));
  assert.equal((await page.run("stats()")).verified, title.bytes.length);
});

test("without a service worker a long file plays once it is all here, and a torrent is seeded", async () => {
  const [url, tracker] = [await bare(), await signaling()];
  const length = 33 * MIB;
  const seeder = await open((await browser()).context, url);
  await seeder.run(`start({ trackers: ["${tracker}"] })`);
  const torrent = await seeder.run(`seed(${length}, 7)`);
  const page = await open((await browser()).context, url);
  await page.run(`start({ trackers: ["${tracker}"] })`);
  await page.run(`add("${torrent}", { onDemand: true })`);
  const refused = await page.run("torrent.files[0].url().catch((error) => error.message)");
  assert.match(refused, /^pattern\.bin is longer than 32 MiB, the most that plays before it is all here without a/);
  assert.match(refused, REMEDY);
  await page.run("torrent.keep()");
  await page.run("done()");
  assert.match(await page.run("torrent.files[0].url()"), /^blob:/);
  assert.equal(await page.run("digest()"), await page.run(`patternDigest(${length}, 7)`));
});

test("a stranger's file that plays as a Blob is no document of the site", async () => {
  const mounts = { "/piecework-sw.js": join(folder("nothing"), "sw.js") };
  const page = await open((await browser()).context, await site({ mounts, policy: null }));
  await page.run("start({})");
  // A type that is known by the name: an image elsewhere, and a document with scripts in a tab or a frame.
  const svg = '<svg xmlns="http://www.w3.org/2000/svg"><script>parent.stranger = true</script></svg>';
  await page.run(`client.seed(new File([${JSON.stringify(svg)}], "page.svg"), { trackers: [] })
    .then(({ files }) => void Object.assign(window, { file: files[0] }))`);
  assert.equal(await page.run("file.type"), "image/svg+xml");
  const urls = {
    "file.url()": "file.url()",
    "file.blob()": "file.blob().then((blob) => URL.createObjectURL(blob))",
    "torrent.fetch()":
      "client.torrents[0].fetch(0).then((answer) => answer.blob()).then((blob) => URL.createObjectURL(blob))",
  };
  for (const [name, url] of Object.entries(urls)) {
    const type = await page.run(`${url}.then(async (url) => (await fetch(url)).headers.get("content-type"))`);
    assert.equal(type, "application/octet-stream", name);
  }
  // The same bytes by the type that the name tells do run.
  const runs = (blob) =>
    page.run(`new Promise((resolve) => {
      window.stranger = false;
      const frame = document.createElement("iframe");
      const done = () => resolve(window.stranger);
      frame.onload = done;
      frame.src = URL.createObjectURL(${blob});
      document.body.append(frame);
      setTimeout(done, 2_000); // what is downloaded instead is not told
    })`);
  assert.equal(await runs(`new Blob([${JSON.stringify(svg)}], { type: file.type })`), true);
});

test("without a service worker a subtitle file is fetched when its viewer chooses it, and no other", async () => {
  const [url, tracker] = [await bare(), await signaling()];
  const seeder = await open((await browser()).context, url);
  await seeder.run(`start({ trackers: ["${tracker}"] })`);
  const PIECE = 16_384;
  const words = "WEBVTT\n\n00:00.000 --> 00:20.000\nGood evening\n\nNOTE ".padEnd(PIECE, "x");
  const hash = await seeder.run(`client.seed([
    new File([new Uint8Array(2 * ${PIECE})], "film.mp4"),
    new File([${JSON.stringify(words)}], "film.de.vtt"),
    new File([${JSON.stringify(words)}], "film.en.vtt"),
  ], { name: "with words", pieceLength: ${PIECE} }).then(({ infoHash }) => infoHash)`);
  const page = await open((await browser()).context, url);
  await page.run(`import("/dist/player.js").then(() => {
    window.player = document.createElement("piecework-player");
    player.setAttribute("ice-servers", "none");
    player.setAttribute("trackers", "${tracker}");
    player.setAttribute("src", "magnet:?xt=urn:btih:${hash}");
    document.body.append(player);
  })`);
  const until = (expression) =>
    page.run(`new Promise((resolve) => {
      const look = () => (${expression} ? resolve(true) : setTimeout(look, 50));
      look();
    })`);
  await until("player.video.textTracks.length === 2");
  const here = () =>
    page.run("player.torrent.refresh().then(() => player.torrent.files.map((file) => file.downloaded))");
  assert.deepEqual((await here()).slice(1), [0, 0]);
  await page.run(`void (player.video.textTracks[1].mode = "showing")`);
  await until("player.video.textTracks[1].cues?.length > 0");
  assert.equal(await page.run("player.video.textTracks[1].cues[0].text"), "Good evening");
  assert.deepEqual((await here()).slice(1), [0, PIECE]);
});

test("a second tab without a service worker is told of the first, and takes over when that is closed", async () => {
  const url = await bare();
  const { context } = await browser();
  const first = await open(context, url);
  await first.run("start({})");
  await first.run("client.stats().then(() => true)");
  const second = await open(context, url);
  await second.run("start({})");
  await second.run(`new Promise((resolve) => {
    const look = () => said.some((text) => text.startsWith("Another tab of this site")) && resolve(true);
    client.on("warning", look);
    look();
  })`);
  await first.close();
  assert.equal(await second.run("client.stats().then(({ isHost }) => isHost)"), true);
});

test("a Firefox without service workers plays a small film, and the page says what is missing", async () => {
  const title = await videoTitle(await signaling());
  await title.seed("20M");
  const page = await FirefoxTab.start({}, { preferences: { "dom.serviceWorkers.enabled": false } });
  ending(() => page.close());
  await page.open(await bare());
  const run = (expression) => page.evaluate(`async () => (${expression})`);
  await run("window.loaded");
  assert.equal(await run(`"serviceWorker" in navigator`), false);
  await run("start({})");
  assert.match(await run(warning), /This window has no service workers/);
  await run(`add("${title.torrent}", { onDemand: true })`);
  await run("play()");
  await run("playedPast(1)");
  assert.deepEqual(page.problems, []);
});
