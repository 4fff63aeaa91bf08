// The engine and its page in Firefox, where it differs from Chromium: the way of a channel into the worker, a service
// worker that is stopped in a pause, a hard reload, and the storage of a killed browser. (The demo is played in it
// too.)
import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { copyFileSync, existsSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { FirefoxTab } from "../support/browsers/firefox_tab.mjs";
import { ending, folder, native, run, signaling, site } from "../support/harness.mjs";
import { test } from "../support/tests.mjs";

const MIB = 1 << 20;

/** A Firefox of its own with the test page. */
async function firefox(url, options = {}) {
  const tab = await FirefoxTab.start({}, options);
  ending(() => tab.close());
  return open(tab, url);
}

/** Opens the test page; `run` evaluates an expression there. */
async function open(tab, url) {
  await tab.open(url);
  tab.run = (expression) => tab.evaluate(`async () => (${expression})`);
  await tab.run("window.loaded");
  return tab;
}

/** A native seeder of this file. Answers the .torrent in base64. */
async function seeded(file, tracker, limit = []) {
  const data = join(file, "..");
  await run(["create", file, "--tracker", tracker, "-o", join(data, "it.torrent"), "--piece-length", "64K"]);
  await native(
    ["seed", join(data, "it.torrent"), "--data", data, "--state", join(data, "state"), ...limit],
    /^seeding /,
  );
  return readFileSync(join(data, "it.torrent")).toString("base64");
}

/** A page that plays the demo's video on demand. */
async function playing(path, { client = "{}", ...options } = {}) {
  const [url, tracker, data] = [await site(), await signaling(), folder("native")];
  copyFileSync(process.env.PIECEWORK_VIDEO, join(data, "film.mp4"));
  const torrent = await seeded(join(data, "film.mp4"), tracker, ["--upload-limit", "2M"]);
  const page = await firefox(url + path, options);
  const begin = async () => {
    await page.run(`start(${client})`);
    await page.run(`add("${torrent}", { onDemand: true })`);
    await page.run("play()");
  };
  return { page, begin };
}

for (const [path, carrier] of [
  ["/", "RTCDataChannel"],
  ["/?bridge=1", "MessagePort"],
]) {
  test(`Firefox fetches and serves, bit-exact, by way of a ${carrier}, under the strict policy`, async () => {
    const [url, tracker, data, back] = [await site(), await signaling(), folder("native"), folder("back")];
    const bytes = Buffer.alloc(16 * MIB);
    for (let i = 0; i < bytes.length; i += 4) bytes.writeUInt32LE((i * 2654435761) >>> 0, i);
    writeFileSync(join(data, "film.bin"), bytes);
    const torrent = await seeded(join(data, "film.bin"), tracker);

    const page = await firefox(url + path);
    await page.run(`start({ trackers: ["${tracker}"] })`);
    await page.run(`add("${torrent}")`);
    await page.run("done()");
    assert.equal(await page.run("digest()"), createHash("sha256").update(bytes).digest("hex"));
    assert.equal((await page.run("stats()")).wasted, 0);

    const own = await page.run(`seed(${16 * MIB}, 11)`);
    writeFileSync(join(back, "own.torrent"), Buffer.from(own, "base64"));
    await run(["get", join(back, "own.torrent"), "--output", back, "--tracker", tracker]);
    const came = createHash("sha256")
      .update(readFileSync(join(back, "pattern.bin")))
      .digest("hex");
    assert.equal(came, await page.run(`patternDigest(${16 * MIB}, 11)`));

    const carriers = await page.run("transferred");
    assert.ok(carriers.length >= 2 && carriers.every((name) => name === carrier), carriers.join());
    const asked = page.requests.map((one) => new URL(one)).filter(({ protocol }) => protocol !== "data:");
    assert.deepEqual(
      [...new Set(asked.map(({ host }) => host))].sort(),
      [new URL(url).host, new URL(tracker).host].sort(),
    );
    assert.deepEqual(await page.run("violations"), []);
    assert.deepEqual(await page.run("missing()"), []);
    assert.deepEqual(await page.run("said"), []);
    assert.deepEqual(page.problems, []);
  });
}

test("Firefox plays on after a pause in which it stopped the service worker", async () => {
  // By default Firefox waits half a minute, and five minutes while an answer is under way.
  const preferences = { "dom.serviceWorkers.idle_timeout": 500, "dom.serviceWorkers.idle_extended_timeout": 1_000 };
  const { page, begin } = await playing("/", { preferences, client: `{ serviceWorkerUrl: "own_sw.js" }` });
  await begin();
  await page.run("playedPast(1)");
  const since = `new Promise((resolve) => {
    const { port1, port2 } = new MessageChannel();
    port1.onmessage = ({ data }) => resolve(data);
    navigator.serviceWorker.controller.postMessage("since", [port2]);
  })`;
  const before = await page.run(since);
  await page.run("video.pause()");
  // A question wakes the service worker, so the test asks only when Firefox had the time to stop it.
  await page.until(
    `async () => (await new Promise((resolve) => setTimeout(resolve, 5_000)), (await ${since}) > ${before})`,
  );
  const at = await page.run("video.currentTime");
  await page.run("video.play().then(() => true)");
  await page.run(`playedPast(${at + 2})`);
  const duration = await page.run("video.duration");
  await page.run(`seek(${duration * 0.9})`);
  await page.run(`playedPast(${duration * 0.9 + 1})`);
  assert.equal(await page.run("video.error === null"), true);
});

test("Firefox plays in a page that was loaded past the service worker", async () => {
  const { page, begin } = await playing("/", { wholeBrowser: true });
  await begin();
  await page.run("playedPast(1)");
  await page.run("(window.before = true)");
  await page.hardReload();
  assert.equal(await page.run("window.before === undefined"), true);
  await page.run("window.loaded");
  assert.equal(await page.run("navigator.serviceWorker.controller"), null);
  assert.equal(await page.run("navigator.serviceWorker.ready.then(({ active }) => active !== null)"), true);
  await begin();
  await page.run("playedPast(1)");
});

test("in a private window, where Firefox has no file storage, that is said, and nothing waits for it", async () => {
  const url = await site();
  const page = await firefox(url, { preferences: { "browser.privatebrowsing.autostart": true } });
  await page.run("start({})");
  const magnet = `magnet:?xt=urn:btih:${"12".repeat(20)}`;
  // Asked before the failure is known, and after.
  for (const _ of [1, 2])
    await assert.rejects(
      page.run(`add("${magnet}")`),
      /file storage \(OPFS\) cannot be opened: leave private browsing/,
    );
  assert.equal((await page.run("said")).length, 1);
  // Another tab does not wait for the first one, either.
  const second = await open(await page.another(), url);
  await second.run("start({})");
  await assert.rejects(second.run(`add("${magnet}")`), /OPFS/);
  await page.run("client.destroy().then(() => true)");
});

test("in Firefox a second tab uses the first one's engine and takes over when that tab closes", async () => {
  const [url, tracker, data] = [await site(), await signaling(), folder("native")];
  writeFileSync(join(data, "film.bin"), Buffer.alloc(16 * MIB, "piecework"));
  const torrent = await seeded(join(data, "film.bin"), tracker, ["--upload-limit", "3M"]);
  const first = await firefox(url);
  await first.run("start({})");
  await first.run(`add("${torrent}")`);
  await first.run("pieces(3)");
  const second = await open(await first.another(), url);
  await second.run("start({})");
  await second.run(`add("${torrent}")`);
  await second.run("pieces(3)");
  assert.equal(await first.run("client.stats().then((s) => s.isHost)"), true);
  assert.equal(await second.run("client.stats().then((s) => s.isHost)"), false);
  await first.leave();
  await second.run("done()");
  assert.equal(await second.run("client.stats().then((s) => s.isHost)"), true);
  assert.equal(
    await second.run("digest()"),
    createHash("sha256")
      .update(readFileSync(join(data, "film.bin")))
      .digest("hex"),
  );
});

test("a killed Firefox fetches no verified piece again", async () => {
  const [url, tracker, data, profile] = [await site(), await signaling(), folder("native"), folder("profile")];
  const length = 24 * MIB;
  writeFileSync(join(data, "film.bin"), Buffer.alloc(length, "piecework"));
  const torrent = await seeded(join(data, "film.bin"), tracker, ["--upload-limit", "4M"]);
  const first = await firefox(url, { profile });
  await first.run("start({})");
  await first.run(`add("${torrent}")`);
  await first.run("pieces(120)");
  const before = await first.run("stats()");
  await first.kill();

  assert.ok(existsSync(join(profile, "storage")), "the profile holds nothing");
  const second = await firefox(url, { profile });
  await second.run("start({})");
  await second.run(`add("${torrent}")`);
  await second.run("done()");
  const after = await second.run("stats()");
  assert.equal(
    await second.run("digest()"),
    createHash("sha256")
      .update(readFileSync(join(data, "film.bin")))
      .digest("hex"),
  );
  assert.ok(before.verified >= 120 * 65_536 && before.verified < length, `${before.verified} bytes at the kill`);
  // Bytes in flight and the last unflushed group (1 MiB) may come twice, and nothing more.
  const most = length - before.verified + MIB + 128 * 16_384;
  assert.ok(after.downloaded <= most, `${after.downloaded} bytes fetched after the kill, at most ${most} are right`);
});

test("in Firefox a stream is seeded, answers come as a web server's, and a signal stops one", async () => {
  const page = await firefox(await site());
  await page.run("start({})");
  const seen = await page.run(`(async () => {
    const film = new Blob([Uint8Array.from({ length: ${2 * MIB} }, (_, i) => i % 251)]);
    window.torrent = await client.seed(Object.assign(film.stream(), { name: "film.mp4" }), { comment: "a film" });
    const part = await torrent.fetch("film.mp4", { headers: { range: "bytes=1000-1002" } });
    const bytes = [...new Uint8Array(await part.arrayBuffer())];
    const same = await torrent.fetch(0, { headers: { "if-none-match": part.headers.get("etag") } });
    const stop = new AbortController();
    const reader = (await torrent.fetch("film.mp4", { signal: stop.signal })).body.getReader();
    const first = (await reader.read()).value.length;
    stop.abort(new Error("enough"));
    const ended = await reader.read().then(() => "it was read", (error) => error.message);
    let length = 0;
    for await (const chunk of torrent.files[0]) length += chunk.length;
    const { comment, progress, done } = torrent;
    return { status: part.status, range: part.headers.get("content-range"), type: part.headers.get("content-type"),
      bytes, same: same.status, first, ended, length, comment, progress, done };
  })()`);
  assert.deepEqual(seen, {
    status: 206,
    range: `bytes 1000-1002/${2 * MIB}`,
    type: "video/mp4",
    bytes: [1000 % 251, 1001 % 251, 1002 % 251],
    same: 304,
    first: 256 * 1024,
    ended: "enough",
    length: 2 * MIB,
    comment: "a film",
    progress: 1,
    done: true,
  });
});
