// Vite, as the package's README sets it up: its development server, and what it builds.
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { program, site } from "../../browser/support/harness.mjs";
import { test } from "../../browser/support/tests.mjs";
import { furnish, market, watchesBoth } from "../support/market.mjs";
import { BROWSERS, opened } from "../support/opened.mjs";
import { project, sh, tool, write } from "../support/projects.mjs";
import { filled, policy, recipe } from "../support/readme.mjs";

/** A project with the README's files. */
async function vite(name, films) {
  const { files } = recipe("Vite");
  const folder = await project(name, { files: filled(files, films) });
  furnish(join(folder, "public"), films);
  return folder;
}

/** Starts a development server. Answers its URL. */
async function served(folder, { version = "vite", base = "/" } = {}) {
  const words = [tool(`${version}/bin/vite.js`), folder, "--host", "127.0.0.1", "--port", "0", "--base", base];
  const url = new RegExp(`http://127\\.0\\.0\\.1:\\d+${encodeURI(base)}`);
  return (await program(process.execPath, words, url, { NO_COLOR: "1" }))[0];
}

for (const browser of Object.keys(BROWSERS)) {
  const name = browser.toLowerCase();

  test(`a film plays and another is bought in ${browser} on Vite's development server`, async () => {
    const films = await market();
    const folder = await vite(`vite-dev-${name}`, films);
    const page = await opened(await served(folder), browser);
    await watchesBoth(page, films);
    // Two copies of the module would be two engines.
    const modules = new Set(page.requests.filter((asked) => /\/piecework\.js(\?|$)/.test(asked)));
    assert.equal(modules.size, 1, [...modules].join());
  });

  test(`a film plays and another is bought in ${browser} on a page that Vite built`, async () => {
    const films = await market();
    const folder = await vite(`vite-build-${name}`, films);
    await sh(folder, "npx vite build");
    const url = await site({ pages: join(folder, "dist"), policy: policy(), bare: true });
    await watchesBoth(await opened(url, browser), films);
  });
}

test("a film plays and another is bought with the oldest Vite of the plugin, in folders of odd names", async () => {
  const films = await market();
  const folder = await vite("vite oldest \u00fc 100%25", films);
  const { peerDependencies } = JSON.parse(readFileSync(join(folder, "node_modules/piecework/package.json"), "utf8"));
  assert.equal(peerDependencies.vite, ">=6");
  const index = readFileSync(join(folder, "index.html"), "utf8");
  // Chromium asks for an icon at the root, where this server has nothing.
  write(folder, { "index.html": index.replace("<title>", '<link rel="icon" href="/favicon.ico"><title>') });
  const page = await opened(await served(folder, { version: "vite-6", base: "/my films/" }));
  await watchesBoth(page, films);
});
