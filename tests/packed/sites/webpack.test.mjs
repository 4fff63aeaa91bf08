// webpack 5, as the package's README sets it up.
import { join } from "node:path";
import { site } from "../../browser/support/harness.mjs";
import { test } from "../../browser/support/tests.mjs";
import { furnish, market, watchesBoth } from "../support/market.mjs";
import { opened } from "../support/opened.mjs";
import { project, sh } from "../support/projects.mjs";
import { filled, policy, recipe } from "../support/readme.mjs";

test("a film plays and another is bought on a page that webpack built", async () => {
  const films = await market();
  const { files, commands } = recipe("webpack");
  const folder = await project("webpack", { files: filled(files, films), manifest: {} });
  await sh(folder, commands);
  furnish(join(folder, "dist"), films);
  const url = await site({ pages: join(folder, "dist"), policy: policy(" webpack"), bare: true });
  await watchesBoth(await opened(url), films);
});
