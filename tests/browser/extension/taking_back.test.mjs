// What a site brought to the library, when its user takes the site back.
import assert from "node:assert/strict";
import { asking, extended, setUp } from "../support/extension.mjs";
import { signaling, site } from "../support/harness.mjs";
import { film } from "../support/swarm.mjs";
import { test } from "../support/tests.mjs";

const LENGTH = 256 << 10;

/** Takes a site back; `withTitles`: with what it brought. */
async function takeBack(options, url, withTitles) {
  const row = options.locator("#sites li", { hasText: new URL(url).origin });
  if (withTitles) await row.getByRole("checkbox").check();
  else assert.equal(await row.getByRole("checkbox").isChecked(), false, "by itself it deletes nothing");
  await row.getByRole("button", { name: /^Take back/ }).click();
  await row.waitFor({ state: "detached" });
}

test("with a site go, if its user says so, the titles that only this site brought", async () => {
  const tracker = await signaling();
  const extension = await extended();
  await setUp(extension);
  const [first, second, third] = [await site(), await site(), await site()];
  const titles = [];
  for (let i = 1; i <= 4; i++) {
    // Another length is another title.
    const title = await film(tracker, i * LENGTH);
    await title.seed();
    titles.push(title);
  }
  const [only, both, mine, kept] = titles;
  const brings = async (url, ...brought) => {
    const page = await asking(extension, url);
    for (const { torrent } of brought) {
      await page.run(`add("${torrent}")`);
      await page.run("done()");
    }
    return page;
  };
  await brings(first, only, both, mine);
  await brings(second, both);
  await brings(third, kept);

  const library = await extension.own("library.html");
  const shows = (i) => library.getByText(`film.bin: ${words[i]}`);
  const words = ["262 kB", "524 kB", "786 kB", "1.0 MB"];
  for (const i of words.keys()) await shows(i).waitFor();
  // The user takes one over.
  await library.locator("#link").fill(`magnet:?xt=urn:btih:${mine.infoHash}`);
  await library.locator("#add button").click();
  const options = await extension.own("options.html");
  await options.getByText("also delete the 2 titles that it brought").waitFor();
  await takeBack(options, first, true);
  await shows(0).waitFor({ state: "detached" });
  for (const i of [1, 2, 3]) await shows(i).waitFor();

  await takeBack(options, third, false);
  await options.reload();
  await options.getByText("also delete the 1 title that it brought").waitFor();
  await takeBack(options, second, true);
  await shows(1).waitFor({ state: "detached" });
  for (const i of [2, 3]) await shows(i).waitFor();

  // It is the same after a restart.
  await extension.context.close();
  const again = await extended(extension.profile);
  const list = await again.own("library.html");
  await list.locator("#titles li").nth(1).waitFor();
  assert.equal(await list.locator("#titles li").count(), 2);
});
