// A site's new service worker among pages that are open.
import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { browser, distFile, folder, open, signaling, site, videoTitle } from "../support/harness.mjs";
import { test } from "../support/tests.mjs";

const MIB = 1 << 20;
const sha256 = (bytes) => createHash("sha256").update(bytes).digest("hex");
const OURS = readFileSync(distFile("sw.js"), "utf8");
const UNLIKE = /are of different versions of Piecework: close the site's other tabs and reload the page/;

/** A site that serves the service worker which `serve` got last. The worker tells its number to a page that asks. */
async function changing() {
  const file = join(folder("sw"), "sw.js");
  const serve = (number, script = OURS) =>
    writeFileSync(
      file,
      `addEventListener("message", ({ data, ports }) => data === "number" && ports[0].postMessage(${number}));\n` +
        script,
    );
  serve(1);
  return { url: await site({ mounts: { "/piecework-sw.js": file } }), serve };
}

/** A service worker with messages of another version, as later ones may have. */
function unlike() {
  const script = OURS.replaceAll(/version:1\b/g, "version:2").replaceAll(/version!==1\b/g, "version!==2");
  assert.notEqual(script, OURS);
  assert.doesNotMatch(script, /version\W+1\b/);
  return script;
}

/** The number of the service worker that controls the page. */
const number = `new Promise((resolve) => {
  const { port1, port2 } = new MessageChannel();
  port1.onmessage = ({ data }) => resolve(data);
  navigator.serviceWorker.controller.postMessage("number", [port2]);
})`;

/** Resolves when another service worker has taken over the page. */
const taken = `window.taken = new Promise((resolve) =>
  navigator.serviceWorker.addEventListener("controllerchange", () => resolve(true), { once: true })), true`;

/** A film that a native peer seeds at this rate. */
async function film(limit) {
  const title = await videoTitle(await signaling());
  await title.seed(limit);
  return title;
}

test("a film plays on while new service workers take over, by an update or another tab, which plays too", async () => {
  const [{ url, serve }, { torrent, bytes }] = [await changing(), await film("2M")];
  const { context } = await browser();
  const page = await open(context, url);
  await page.run("start({})");
  await page.run(`add("${torrent}", { onDemand: true })`);
  await page.run("play()");
  await page.run("playedPast(1)");
  // A reader is in the middle of an answer: the service worker that gives it stays for that long.
  const from = 20 * MIB;
  await page.run(`(async () => {
    const answer = await fetch(await torrent.files[0].url(), { headers: { Range: "bytes=${from}-${from + MIB - 1}" } });
    window.reader = answer.body.getReader();
    window.parts = [(await reader.read()).value];
    return true;
  })()`);
  await page.run(taken);
  serve(2);
  await page.run(
    "navigator.serviceWorker.getRegistration().then((registration) => registration.update()).then(() => true)",
  );
  const rest = await page.run(`(async () => {
    for (;;) {
      const { done, value } = await reader.read();
      if (done) break;
      parts.push(value);
    }
    const digest = await crypto.subtle.digest("SHA-256", await new Blob(parts).arrayBuffer());
    return [...new Uint8Array(digest)].map((byte) => byte.toString(16).padStart(2, "0")).join("");
  })()`);
  assert.equal(rest, sha256(bytes.subarray(from, from + MIB)));
  await page.run("taken");
  assert.equal(await page.run(number), 2);
  const at = await page.run("video.currentTime");
  await page.run(`playedPast(${at + 2})`);

  await page.run(taken);
  serve(3);
  const second = await open(context, url);
  await page.run("taken");
  assert.equal(await page.run(number), 3);
  await second.run("start({})");
  await second.run(`add("${torrent}", { onDemand: true })`);
  await second.run("play()");
  await second.run("playedPast(1)");
  const duration = await page.run("video.duration");
  await page.run(`seek(${duration * 0.8})`);
  await page.run(`playedPast(${duration * 0.8 + 1})`);
  assert.equal(await page.run("video.error === null"), true);
  await page.run("torrent.keep().then(() => done())");
  for (const tab of [page, second]) assert.equal((await tab.run("range()")).digest, sha256(bytes));
  assert.deepEqual([await page.run("said"), await second.run("said")], [[], []]);
});

test("a page under another version's service worker says so, to readers too, and a new page replaces it", async () => {
  const [{ url, serve }, tracker] = [await changing(), await signaling()];
  const { context } = await browser();
  const page = await open(context, url);
  await page.run("start({})");
  await page.run(`seed(${MIB}, 5, { trackers: ["${tracker}"] })`);
  assert.equal((await page.run("range()")).status, 200);

  await page.run(taken);
  serve(2, unlike());
  await page.run(
    "navigator.serviceWorker.getRegistration().then((registration) => registration.update()).then(() => true)",
  );
  await page.run("taken");
  assert.equal((await page.run("range()")).status, 503);
  assert.match(
    await page.run("torrent.files[0].url().then((url) => fetch(url)).then((answer) => answer.text())"),
    UNLIKE,
  );
  const said = await page.run("said");
  assert.ok(said.length > 0 && said.every((text) => UNLIKE.test(text)), said.join());
  // Reads that need no service worker work.
  assert.equal(
    await page.run("torrent.files[0].stream().getReader().read().then(({ value }) => value.length > 0)"),
    true,
  );

  // Nobody has told a tab that opens now where the engine is. It reports why it cannot go on.
  const second = await open(context, url);
  await second.run("start({})");
  await second.run(`new Promise((resolve) => client.on("warning", resolve)).then(() => true)`);
  assert.match((await second.run("said"))[0], UNLIKE);

  // The site is whole again. A new page finds the old service worker, and replaces it.
  await second.close();
  await page.close();
  serve(3);
  const third = await open(context, url);
  await third.run("start({})");
  await third.run(`seed(${MIB}, 5, { trackers: ["${tracker}"] })`);
  assert.equal((await third.run("range()")).digest, await third.run(`patternDigest(${MIB}, 5)`));
  assert.equal(await third.run(number), 3);
  assert.deepEqual(await third.run("said"), []);
});
