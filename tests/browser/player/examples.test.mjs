// The example pages of the package, as the README shows them, with a real seeder.
import assert from "node:assert/strict";
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { browser, distFile, folder, native, open, program, signaling, site, videoTitle } from "../support/harness.mjs";
import { streamTitle } from "../support/paid/stream.mjs";
import { test } from "../support/tests.mjs";

const ROOT = join(distFile("."), "../../..");
const PLAIN = readFileSync(join(ROOT, "www/npm/examples/plain/site/index.html"), "utf8");
/** The files that a site serves beside the page and the service worker. */
const FILES = ["player.js", "piecework.js", "worker.js", "piecework_bg.wasm", "piecework_rest.wasm"];

/** Waits in the page until an expression holds. */
const until = (page, expression) =>
  page.run(`new Promise((resolve) => {
    const look = () => ((${expression}) ? resolve(true) : setTimeout(look, 20));
    look();
  })`);

test("the plain page is what the README tells a site owner to write", () => {
  const readme = readFileSync(join(ROOT, "README.md"), "utf8");
  const shown = readme.split("## For a site owner")[1].split("```html\n")[1].split("```")[0];
  assert.ok(shown.includes("<piecework-player"), shown);
  assert.ok(PLAIN.includes(shown), PLAIN);
});

test("the plain page plays the magnet link that is put into it", async () => {
  const title = await videoTitle(await signaling());
  await title.seed("4M");
  const written = PLAIN.replace(
    /src="magnet:[^"]*" trackers="[^"]*"/,
    `src="${title.magnet.replaceAll("&", "&amp;")}"`,
  );
  assert.notEqual(written, PLAIN);
  const index = join(folder("plain"), "index.html");
  writeFileSync(index, written);
  const parts = FILES.map((name) => [`/piecework/${name}`, distFile(name)]);
  // Chromium asks every site for an icon, and reports one that is missing.
  const icon = ["/favicon.ico", join(ROOT, "www/player/icon.svg")];
  const url = await site({ mounts: { "/": index, ...Object.fromEntries([...parts, icon]) } });
  const page = await open((await browser()).context, url);
  await page.run(`customElements.whenDefined("piecework-player")
    .then(() => void (window.video = document.querySelector("piecework-player").video))`);
  await until(page, "video.readyState >= HTMLMediaElement.HAVE_METADATA");
  await page.run("video.play().then(() => true)");
  await until(page, "video.currentTime > 1");
  assert.equal(await page.run("video.error === null"), true);
  assert.deepEqual(page.errors, []);
});

for (const [path, player] of [
  ["", "hls.js"],
  ["shaka.html", "Shaka Player"],
])
  test(`the page of ${player} plays the stream of a link, served by the line of its README`, async () => {
    const example = join(ROOT, "www/npm/examples/hls");
    const line = readFileSync(join(example, "README.md"), "utf8").split("```sh\n")[1].split("\n")[0];
    assert.equal(line, "node www/npm/examples/hls/serve.mjs");
    const [tracker, data] = [await signaling(), folder("stream")];
    const title = await streamTitle(tracker, data);
    await native(
      ["seed", title.path, "--data", data, "--state", folder("seeder"), "--upload-limit", "20M"],
      /^seeding /,
    );
    const [, url] = await program(process.execPath, [join(example, "serve.mjs"), "0"], /^(http:\S+)/);
    const { context } = await browser();
    // The page has no icon, and Chromium reports one that is missing.
    await context.route("**/favicon.ico", (route) => route.fulfill({ status: 204 }));
    const page = await open(context, `${url}${path}#${title.magnet}`);
    await page.run("void (window.video = document.querySelector('video'))");
    await until(page, "video.readyState >= HTMLMediaElement.HAVE_METADATA");
    await page.run("video.play().then(() => true)");
    await until(page, "video.currentTime > 1");
    await page.run("void (video.currentTime = 20)");
    await until(page, "!video.seeking && video.currentTime > 20.5");
    assert.equal(await page.run("document.querySelector('[role=status]').textContent"), "show");
    assert.deepEqual(page.errors, []);
  });
