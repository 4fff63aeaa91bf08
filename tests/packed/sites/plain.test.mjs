// A page without a bundler, as the package's README begins: a folder with the files that `npx piecework copy` placed.
import assert from "node:assert/strict";
import { rmSync } from "node:fs";
import { join } from "node:path";
import { site } from "../../browser/support/harness.mjs";
import { test } from "../../browser/support/tests.mjs";
import { furnish, market, watchesBoth } from "../support/market.mjs";
import { BROWSERS, opened } from "../support/opened.mjs";
import { project, sh } from "../support/projects.mjs";
import { filled, policy, recipe } from "../support/readme.mjs";

for (const browser of Object.keys(BROWSERS))
  test(`a film plays and another is bought in ${browser} on a plain page`, async () => {
    const films = await market();
    const { files, commands } = recipe("A film in a page");
    const folder = await project(`plain-${browser.toLowerCase()}`, { files: filled(files, films) });
    await sh(folder, commands);
    furnish(join(folder, "site"), films);
    const url = await site({ pages: join(folder, "site"), policy: policy(), bare: true });
    await watchesBoth(await opened(url, browser), films);
  });

test("a page below the root plays with the service worker that it names", async () => {
  const films = await market();
  const { files, commands } = recipe("A film in a page");
  const { "site/index.html": page } = filled(files, films, ' service-worker-url="/piecework-sw.js"');
  const below = page.replace('src="piecework/player.js"', 'src="/piecework/player.js"');
  assert.notEqual(below, page);
  const folder = await project("plain-below", { files: { "site/films/1/index.html": below } });
  await sh(folder, commands);
  furnish(join(folder, "site"), films);
  const url = await site({ pages: join(folder, "site"), policy: policy(), bare: true });
  const opening = await opened(`${url}/films/1/index.html`);
  await opening.until(() => document.querySelector("piecework-player")?.video?.readyState >= 1);
  assert.match(await opening.evaluate(() => document.querySelector("piecework-player").video.src), /\/__piecework\//);
  assert.deepEqual(opening.problems, []);
});

test("a page whose service worker was forgotten plays a small film, and says how to place it", async () => {
  const films = await market();
  const { files, commands } = recipe("A film in a page");
  const folder = await project("plain-forgotten", { files: filled(files, films, "") });
  await sh(folder, commands);
  rmSync(join(folder, "site/piecework-sw.js"));
  furnish(join(folder, "site"), films);
  const page = await opened(await site({ pages: join(folder, "site"), policy: policy(), bare: true }));
  await page.until(() => {
    const status = document.querySelector("piecework-player")?.shadowRoot.querySelector("[role=status]");
    return /`npx piecework copy`/.test(status?.textContent ?? "");
  });
  await page.until(() => document.querySelector("piecework-player").video.readyState >= 1);
  await page.evaluate(() => {
    const { video } = document.querySelector("piecework-player");
    video.muted = true;
    return video.play();
  });
  await page.until(() => document.querySelector("piecework-player").video.currentTime > 1);
  // The browser's own line about the script that is not there.
  assert.deepEqual(
    page.problems.filter((text) => !/404/.test(text)),
    [],
  );
});
