// Web seeds (BEP 19): a page without a tracker and without a peer.
import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { copyFileSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { FirefoxTab } from "../support/browsers/firefox_tab.mjs";
import { browser, ending, folder, open, run, site } from "../support/harness.mjs";
import { test } from "../support/tests.mjs";
import { webSeed } from "../support/web_seed.mjs";

const film = () => readFileSync(process.env.PIECEWORK_VIDEO);

/** The path of the film's .torrent, with these web seeds and no tracker. */
async function torrentFile(urls) {
  const data = folder("film");
  copyFileSync(process.env.PIECEWORK_VIDEO, join(data, "film.mp4"));
  const named = urls.flatMap((url) => ["--web-seed", url]);
  const file = join(data, "film.torrent");
  await run(["create", join(data, "film.mp4"), "-o", file, "--piece-length", "64K", ...named]);
  return file;
}

/** The same in base64. */
async function torrent(urls) {
  return readFileSync(await torrentFile(urls)).toString("base64");
}

async function chromium(url) {
  const { context } = await browser();
  return open(context, url);
}

async function firefox(url) {
  const tab = await FirefoxTab.start({}, {});
  ending(() => tab.close());
  await tab.open(url);
  tab.run = (expression) => tab.evaluate(`async () => (${expression})`);
  await tab.run("window.loaded");
  return tab;
}

for (const [name, visit] of [
  ["Chromium", chromium],
  ["Firefox", firefox],
]) {
  test(`a film plays from its middle out of a web seed alone, in ${name}`, async () => {
    const bytes = film();
    const seed = await webSeed(bytes);
    const page = await visit(await site());
    await page.run("start({})");
    await page.run(`add("${await torrent([seed.url])}", { onDemand: true })`);
    await page.run("play()");
    const duration = await page.run("video.duration");
    await page.run(`seek(${duration * 0.6})`);
    await page.run(`playedPast(${duration * 0.6 + 1})`);
    const stats = await page.run("stats()");
    assert.equal(stats.peers, 0);
    assert.ok(stats.verified < stats.length, "all of it was fetched");
    assert.equal(stats.webSeeds.length, 1);
    assert.equal(stats.webSeeds[0].url, seed.url);
    assert.ok(stats.webSeeds[0].downloaded > 0);
    assert.equal(await page.run("video.error === null"), true);
    for (const headers of seed.asked) {
      assert.match(headers.range, /^bytes=\d+-\d+$/);
      for (const header of ["cookie", "referer", "authorization"]) assert.equal(headers[header], undefined, header);
    }
    assert.equal(seed.preflights, 0, `${name} asks before it asks for a range`);
    assert.deepEqual(await page.run("violations"), []);
  });
}

test("a web seed that lies is found out, and another one brings the film", async () => {
  const bytes = film();
  const liar = await webSeed(bytes, {
    spoil: (_, part) => {
      for (let i = 0; i < part.length; i += 1000) part[i] ^= 1;
      return part;
    },
  });
  const page = await chromium(await site());
  await page.run("start({})");
  await page.run(`add("${await torrent([])}", { webSeeds: ["${liar.url}"] })`);
  await page.run(
    "new Promise((resolve) => torrent.on('warning', ({ text }) => /web seed/.test(text) && resolve(true)))",
  );
  const before = await page.run("stats()");
  assert.equal(before.verified, 0);
  assert.equal(before.webSeeds[0].state, "banned");
  assert.match(before.webSeeds[0].note, new RegExp(`${liar.origin} sent bytes that are not the torrent's`));
  assert.ok(liar.sent < 3 << 20, `${liar.sent} bytes of it`);

  const honest = await webSeed(bytes);
  await page.run(`torrent.addWebSeed("${honest.url}").then(() => true)`);
  await page.run("done()");
  assert.equal(await page.run("digest()"), createHash("sha256").update(bytes).digest("hex"));
  const after = await page.run("stats()");
  assert.deepEqual(
    after.webSeeds.map(({ state }) => state),
    ["banned", "idle"],
  );
});

test("the element plays from the web servers that its attribute names", async () => {
  const [seed, other] = [await webSeed(film()), await webSeed(film())];
  const url = await site({ mounts: { "/film.torrent": await torrentFile([]) } });
  const page = await chromium(url);
  await page.run(`import("/dist/player.js").then(() => {
    window.player = document.createElement("piecework-player");
    player.setAttribute("torrent", "film.torrent");
    player.setAttribute("web-seeds", " ${other.url}\\n${seed.url} ");
    player.video.muted = true;
    const made = new Promise((resolve) => player.addEventListener("torrent", () => resolve(true)));
    document.body.append(player);
    return made;
  })`);
  const shown =
    "new Promise((resolve) => player.video.readyState >= 2 ? resolve(true) : " +
    "player.video.addEventListener('loadeddata', () => resolve(true)))";
  await page.run(shown);
  const stats = await page.run("player.torrent.stats().then(({ webSeeds }) => webSeeds)");
  assert.deepEqual(
    stats.map(({ url }) => url),
    [other.url, seed.url],
  );
  assert.ok(seed.sent + other.sent > 0);
});

test("a server that lets no other site read, and one without ranges, are named with what they lack", async () => {
  const bytes = film();
  const closed = await webSeed(bytes, { cors: false });
  const whole = await webSeed(bytes, { ranges: false });
  const url = await site();
  const page = await chromium(url);
  await page.run("start({})");
  await page.run(`add("${await torrent([closed.url, whole.url])}")`);
  const told = (what) =>
    `new Promise((resolve) => {
      const look = () => said.filter((text) => ${what}.test(text)).forEach(resolve);
      client.on("warning", look);
      look();
    })`;
  const why = await page.run(told(`/${closed.origin.replaceAll("/", "\\/")} could not be read/`));
  assert.ok(why.includes(`"Access-Control-Allow-Origin: ${new URL(url).origin}"`), why);
  const ranges = await page.run(told("/must serve ranges/"));
  assert.ok(ranges.includes(whole.origin), ranges);
  // It was stopped at once, and the film is not downloaded for a piece.
  assert.ok(whole.sent < bytes.length, `${whole.sent} of ${bytes.length} bytes`);
  assert.equal(await page.run("stats().then(({ verified }) => verified)"), 0);
});

test("the web seeds that a torrent names are left alone if the page says so", async () => {
  const seed = await webSeed(film());
  const page = await chromium(await site());
  await page.run("start({ useTorrentWebSeeds: false })");
  await page.run(`add("${await torrent([seed.url])}")`);
  await page.run("new Promise((resolve) => setTimeout(resolve, 6_000))"); // the time after which it would be asked
  assert.equal(seed.asked.length, 0);
  assert.deepEqual(await page.run("stats().then(({ webSeeds }) => webSeeds)"), []);
});
