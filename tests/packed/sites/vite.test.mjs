// Vite, as the package's README sets it up: its development server, and what it builds.
import assert from "node:assert/strict";
import { join } from "node:path";
import { ChromiumTab } from "../../browser/support/browsers/chromium_tab.mjs";
import { FirefoxTab } from "../../browser/support/browsers/firefox_tab.mjs";
import { ending, program, site } from "../../browser/support/harness.mjs";
import { test } from "../../browser/support/tests.mjs";
import { furnish, market, watchesBoth } from "../support/market.mjs";
import { project, sh, tool } from "../support/projects.mjs";
import { filled, policy, recipe } from "../support/readme.mjs";

/** A project with the README's files. */
async function vite(name, films) {
  const { files } = recipe("Vite");
  const folder = await project(name, {
    files: filled(files, { magnet: films.free.magnet, tracker: films.tracker, pays: true }),
  });
  furnish(join(folder, "public"), films);
  return folder;
}

async function opened(Tab, url) {
  const page = await Tab.start();
  ending(() => page.close());
  await page.open(url);
  return page;
}

for (const [browser, Tab] of [
  ["Chromium", ChromiumTab],
  ["Firefox", FirefoxTab],
]) {
  test(`a film plays and another is bought in ${browser} on Vite's development server`, async () => {
    const films = await market();
    const folder = await vite(`vite-dev-${browser.toLowerCase()}`, films);
    const words = [tool("vite/bin/vite.js"), folder, "--host", "127.0.0.1", "--port", "0"];
    const [url] = await program(process.execPath, words, /http:\/\/127\.0\.0\.1:\d+\//, { NO_COLOR: "1" });
    const page = await opened(Tab, url);
    await watchesBoth(page, films);
    // Two copies of the module would be two engines.
    const modules = new Set(page.requests.filter((asked) => /\/piecework\.js(\?|$)/.test(asked)));
    assert.equal(modules.size, 1, [...modules].join());
  });

  test(`a film plays and another is bought in ${browser} on a page that Vite built`, async () => {
    const films = await market();
    const folder = await vite(`vite-build-${browser.toLowerCase()}`, films);
    await sh(folder, "npx vite build");
    const url = await site({ pages: join(folder, "dist"), policy: policy(), bare: true });
    await watchesBoth(await opened(Tab, url), films);
  });
}
