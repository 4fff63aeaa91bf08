// What the user set against uploads: then no peer gets anything, and a peer that waits gets it afterwards.
import assert from "node:assert/strict";
import { asking, extended, fetched, meanwhile, setUp } from "../support/extension.mjs";
import { signaling, site } from "../support/harness.mjs";
import { film } from "../support/swarm.mjs";
import { test } from "../support/tests.mjs";

const LENGTH = 2 << 20;

/** An extension that alone has a title. */
async function aloneWithTitle() {
  const [url, tracker, extension] = [await site(), await signaling(), await extended()];
  await setUp(extension);
  const title = await film(tracker, LENGTH);
  const seeder = await title.seedFreezably();
  const page = await asking(extension, url);
  await page.run(`add("${title.torrent}")`);
  await page.run("done()");
  seeder.freeze();
  return { tracker, extension, title };
}

/** A peer that wants the title gets nothing, in four times the time that all of it takes; `lifted` lets it. */
async function getsNothingBefore({ tracker, extension, title }, lifted) {
  let isOver = false;
  const getting = fetched(title).finally(() => (isOver = true));
  await meanwhile(tracker, "1M");
  const library = await extension.own("library.html");
  await library.getByText("100 % here, up 0 B/s").waitFor();
  await library.close();
  assert.equal(isOver, false, "it got the title");
  await lifted();
  assert.equal(await getting, title.digest);
}

test("while its user paused it, no peer gets anything", async () => {
  const scene = await aloneWithTitle();
  const popup = await scene.extension.own("popup.html");
  await popup.locator("#pause").click();
  await popup.getByText("You paused it.").waitFor();
  await getsNothingBefore(scene, () => popup.locator("#pause").click());
});

test("outside of the hours for uploads no peer gets anything", async () => {
  const scene = await aloneWithTitle();
  const options = await scene.extension.own("options.html");
  const saves = async (from, to) => {
    await options.locator("#from").fill(from);
    await options.locator("#to").fill(to);
    await options.locator("#limits button").click();
    await options.getByText("Saved").waitFor({ state: "attached" });
    await options.reload();
  };
  // It stays so, also if the hour ends in the middle of this test.
  const hour = (new Date().getHours() + 6) % 23;
  await saves(String(hour), String(hour + 1));
  const popup = await scene.extension.own("popup.html");
  await popup.getByText(`It uploads from ${hour} to ${hour + 1} o\u2019clock.`).waitFor();
  await getsNothingBefore(scene, () => saves("", ""));
});
