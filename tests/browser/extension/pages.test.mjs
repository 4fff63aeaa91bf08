// The extension's own pages: what they say, and whether a keyboard and a screen reader reach it.
import assert from "node:assert/strict";
import { violations } from "../player/axe.mjs";
import { asking, clientOf, extended, fetched, setUp, until, useVault } from "../support/extension.mjs";
import { open, signaling, site } from "../support/harness.mjs";
import { Scene } from "../support/paid/scene.mjs";
import { film } from "../support/swarm.mjs";
import { test } from "../support/tests.mjs";

test("nothing runs before the first page's button, and the first page says what will", async () => {
  const [url, extension] = [await site(), await extended()];
  const welcome = await extension.own("welcome.html");
  await welcome.getByText("uploaded to other viewers").waitFor();
  await welcome.locator("#upload").getByText("2.5 MB/s").waitFor();
  const popup = await extension.own("popup.html");
  await popup.getByText("Nothing runs yet.").waitFor();
  // A site that wants it is told so, and one that does not need it uses its own.
  const page = await open(extension.context, url);
  await page.run(`start({ engine: "extension" })`);
  await until(
    () => page.run("said.join()"),
    (said) => said !== "",
  );
  assert.match(await page.run("said.join()"), /not set up/);
});

test("the button shows that it uploads, and its page pauses that", async () => {
  const [url, tracker] = [await site(), await signaling()];
  const title = await film(tracker, 4 << 20);
  const seeder = await title.seedFreezably();
  const extension = await extended();
  await setUp(extension);
  const options = await extension.own("options.html");
  await options.locator("#up").fill("500");
  await options.locator("#limits button").click();
  await options.getByText("Saved").waitFor({ state: "attached" });
  const page = await asking(extension, url);
  await page.run(`add("${title.torrent}")`);
  await page.run("done()");
  seeder.freeze();

  const [worker] = extension.context.serviceWorkers();
  const badge = () => worker.evaluate(() => globalThis.chrome.action.getBadgeText({}));
  assert.equal(await badge(), "");
  const fetching = fetched(title);
  assert.equal(await until(badge, (text) => text !== ""), "\u2191");
  assert.equal(await fetching, title.digest);
  assert.equal(await until(badge, (text) => text === ""), "");

  const popup = await extension.own("popup.html");
  await popup.getByText("It shares your library.").waitFor();
  await popup.getByText("1 title", { exact: true }).waitFor();
  await popup.getByText("1 page", { exact: true }).waitFor();
  await popup.locator("#pause").press("Enter");
  await popup.getByText("You paused it.").waitFor();
  assert.equal(await popup.locator("#pause").getAttribute("aria-pressed"), "true");
  await popup.locator("#pause").press("Enter");
  await popup.getByText("It shares your library.").waitFor();
  await page.run("client.destroy()");
  await popup.getByText("0 pages", { exact: true }).waitFor();
});

test("the library adds a link, and deletes a title with its data", async () => {
  const tracker = await signaling();
  const title = await film(tracker, 1 << 20);
  await title.seed();
  const extension = await extended();
  await setUp(extension);
  const link = `magnet:?xt=urn:btih:${title.infoHash}&tr=${encodeURIComponent(tracker)}`;
  const library = await extension.own(`library.html?add=${encodeURIComponent(link)}`);
  // A link that was opened is shown, and taken up by a press alone.
  assert.equal(await library.locator("#link").inputValue(), link);
  await library.locator("#empty").waitFor();
  await library.locator("#add button").click();
  await library.getByText("film.bin: 1.0 MB, 100 % here").waitFor();
  await library.getByRole("button", { name: "Remove: film.bin" }).click();
  await library.locator("#confirm-yes").click();
  await library.locator("#empty").waitFor();
  await library.locator("#link").fill("nonsense");
  await library.locator("#add button").click();
  await library.getByText("this is none of them: nonsense").waitFor();
});

test("the options show the price that holds, and change it without the vault's file", async () => {
  const [scene, extension] = [await Scene.deployed(), await extended()];
  await setUp(extension);
  await useVault(extension, scene);
  const options = await extension.own("options.html");
  const most = () => options.locator("#most").inputValue();
  assert.equal(await until(most, (price) => price === "12"), "12");
  await options.locator("#most").fill("7");
  await options.locator("#vault button.primary").click();
  await options.getByText("Saved").waitFor({ state: "attached" });
  await options.reload();
  assert.equal(await until(most, (price) => price === "7"), "7");
  await options.locator("#vault-now").getByText(scene.chain.vault).waitFor();
});

test("axe finds no fault in the extension's pages", async () => {
  const [url, scene, extension] = [await site(), await Scene.deployed(), await extended()];
  await setUp(extension);
  await useVault(extension, scene);
  const title = await scene.title("film.bin", 1 << 20);
  const page = await asking(extension, url, clientOf(scene), { budget: "1" });
  await page.run(`client.add(Uint8Array.from(atob("${title.torrent}"), (c) => c.charCodeAt(0)), { onDemand: true })`);
  const shown = {
    "welcome.html": "#state:not(:empty)",
    "popup.html": "#now div",
    "options.html": "#sites li",
    "library.html": "#titles li",
    [`ask.html?site=${encodeURIComponent(url)}`]: "#money:not([hidden])",
  };
  for (const [name, element] of Object.entries(shown)) {
    const own = await extension.own(name);
    await own.locator(element).first().waitFor();
    assert.deepEqual(await violations(own), [], name);
    await own.close();
  }
});
