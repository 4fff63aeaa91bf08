// esbuild, as the package's README sets it up; and a page with a `<video>` of its own in the element's place.
import { join } from "node:path";
import { site } from "../../browser/support/harness.mjs";
import { test } from "../../browser/support/tests.mjs";
import { furnish, market, watchesBoth } from "../support/market.mjs";
import { opened } from "../support/opened.mjs";
import { project, sh } from "../support/projects.mjs";
import { filled, policy, recipe } from "../support/readme.mjs";

test("a film plays and another is bought on a page that esbuild bundled", async () => {
  const films = await market();
  const { files, commands } = recipe("esbuild");
  const folder = await project("esbuild", { files: filled(files, films), manifest: {} });
  await sh(folder, commands);
  furnish(join(folder, "public"), films);
  const url = await site({ pages: join(folder, "public"), policy: policy(), bare: true });
  await watchesBoth(await opened(url), films);
});
