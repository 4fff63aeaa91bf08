// The pages of www/npm/examples/hls in Firefox: its `URL` resolves the addresses of a stream's files, its media sources
// take the segments, and both players seek.
import assert from "node:assert/strict";
import { join } from "node:path";
import { FirefoxTab } from "../support/browsers/firefox_tab.mjs";
import { distFile, ending, folder, native, program, signaling } from "../support/harness.mjs";
import { streamTitle } from "../support/paid/stream.mjs";
import { endsWell, watchesAgain, watchesPaidStream } from "../support/paid/stream_scenes.mjs";
import { start } from "../support/paid/viewer.mjs";
import { inject } from "../support/paid/wallet.mjs";
import { test } from "../support/tests.mjs";

/** The test page in Firefox as a paying viewer, with the wallet as the page's own. */
async function opened(url, wallet, options) {
  const tab = await FirefoxTab.start({});
  ending(() => tab.close());
  await tab.open(url);
  const page = { run: (expression) => tab.evaluate(`async () => (${expression})`), errors: tab.problems };
  await page.run("window.loaded");
  await tab.evaluate(inject, wallet.url);
  await start(page, options);
  return page;
}

for (const name of ["hls.js", "shaka-player"])
  test(`${name} plays a paid stream, changes levels, seeks; the viewer pays for segments that it loads`, async () => {
    const scene = await watchesPaidStream(name, { opened });
    await watchesAgain(scene);
    await endsWell(scene, name);
  });

const SERVE = join(distFile("."), "../examples/hls/serve.mjs");

for (const [path, player] of [
  ["", "hls.js"],
  ["shaka.html", "Shaka Player"],
])
  test(`${player} plays a stream out of a torrent, and seeks`, async () => {
    const [tracker, data] = [await signaling(), folder("stream")];
    const title = await streamTitle(tracker, data);
    const where = ["--data", data, "--state", folder("seeder")];
    await native(["seed", title.path, ...where, "--upload-limit", "20M"], /^seeding /);
    const [, url] = await program(process.execPath, [SERVE, "0"], /^(http:\S+)/);
    const tab = await FirefoxTab.start({});
    ending(() => tab.close());
    await tab.open(`${url}${path}#${title.magnet}`);
    await tab.until(() => document.querySelector("video").readyState >= HTMLMediaElement.HAVE_METADATA);
    await tab.evaluate(() => document.querySelector("video").play());
    await tab.until(() => document.querySelector("video").currentTime > 1);
    await tab.evaluate(() => {
      document.querySelector("video").currentTime = 20;
    });
    await tab.until(() => {
      const video = document.querySelector("video");
      return !video.seeking && video.currentTime > 20.5;
    });
    assert.equal(await tab.text("[role=status]"), "show");
    assert.deepEqual(tab.problems, []);
  });
