// Next, as the package's README sets it up: what it makes ahead on the server, and what its server sends.
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { program } from "../../browser/support/harness.mjs";
import { test } from "../../browser/support/tests.mjs";
import { furnish, market, watchesBoth } from "../support/market.mjs";
import { opened } from "../support/opened.mjs";
import { project, sh, tool } from "../support/projects.mjs";
import { filled, recipe } from "../support/readme.mjs";

test("a film plays and another is bought on a page of Next, which made its markup on the server", async () => {
  const films = await market();
  const { files, commands } = recipe("Next");
  const folder = await project("next", { files: filled(files, films), manifest: {} });
  furnish(join(folder, "public"), films);
  await sh(folder, commands);
  assert.match(readFileSync(join(folder, ".next/server/app/index.html"), "utf8"), /<piecework-player src="magnet:/);
  await watchesBoth(await opened(await served("start", folder)), films);
});

test("a film plays and another is bought on the development server of Next", async () => {
  const films = await market();
  const { files, commands } = recipe("Next");
  const folder = await project("next-dev", { files: filled(files, films), manifest: {} });
  furnish(join(folder, "public"), films);
  await sh(folder, commands.replace(/^npx next build$/m, ""));
  await watchesBoth(await opened(await served("dev", folder)), films);
});

/** Starts a server of Next. Answers its URL. */
async function served(command, folder) {
  const words = [tool("next/dist/bin/next"), command, folder, "--hostname", "127.0.0.1", "--port", "0"];
  const [url] = await program(process.execPath, words, /http:\/\/127\.0\.0\.1:\d+/, { NO_COLOR: "1" });
  return url;
}
