// A newer version takes the place of an older one in mid-download.
import assert from "node:assert/strict";
import { asking, extended, fetched, older, paidOnceButForTheKill, paying } from "../support/extension.mjs";
import { kill, open } from "../support/harness.mjs";
import { MIB } from "../support/paid/terms.mjs";
import { add, deposit, reload, start } from "../support/paid/viewer.mjs";
import { film } from "../support/swarm.mjs";
import { test } from "../support/tests.mjs";

const LENGTH = 8 * MIB;
/** Bytes per second of the seller. */
const RATE = 2_000_000;

/** An older version that holds a free title, bought a part of another one, and has a site with a budget. */
async function inMidDownload() {
  const before = older("chromium");
  const { url, scene, extension, wallet, client } = await paying({ path: before.path });
  assert.equal(await extension.version(), "0.0.1");
  const free = await film(scene.tracker, MIB);
  const freeSeeder = await free.seedFreezably();
  const title = await scene.title("paid.bin", LENGTH);
  const seeder = await scene.seeder([title], RATE);
  const page = await asking(extension, url, client, { budget: "1" });
  await deposit(page, "1");
  await add(page, free);
  await page.run("done()");
  freeSeeder.freeze();
  await add(page, title);
  await page.run("pieces(24)");
  return { before, url, scene, extension, wallet, client, free, title, seeder, page };
}

/** The page's title comes, nothing of it is paid twice beyond the bound, and the site's budget and sum go on. */
async function goesOn({ extension, url, title, seeder, before }, page) {
  await add(page, title);
  await page.run("done()");
  assert.equal(await page.run("digest()"), title.digest);
  assert.equal(await page.run("workers.length"), 0, "the page runs no engine");
  const spent = await paidOnceButForTheKill(page, seeder, LENGTH, RATE);
  assert.equal(await extension.version(), before.version);
  const options = await extension.own("options.html");
  const left = options.locator("#sites li", { hasText: new URL(url).origin });
  const text = await left.getByText(/may still spend \S+\s\S+ of 1 /).textContent();
  const [, rest] = text.match(/may still spend (\S+)/);
  const paid = Number(spent >> 24n) / 1e6;
  assert.ok(Math.abs(1 - paid - Number(rest)) <= 0.001, `${text}; ${paid} is spent`);
}

test("an update in mid-download goes on with title, budget and sum, and seeds by itself before any page", async () => {
  const scene = await inMidDownload();
  const { before, extension, page, free, client } = scene;
  await page.run(`void (window.failed = new Promise((resolve) =>
    client.on("error", ({ error }) => resolve(error.message))))`);
  before.becomesNew();
  await extension.update();
  assert.match(await page.run("failed"), /updated, switched off or removed: reload the page/);
  assert.equal(await fetched(free), free.digest);
  await reload(page, { engine: "extension", ...client });
  await goesOn(scene, page);
});

test("a browser that is killed in mid-download and begins with a newer version goes on, too", async () => {
  const scene = await inMidDownload();
  const { before, extension, wallet, url, free, client } = scene;
  await kill(extension.profile);
  await extension.context.close().catch(() => undefined);
  before.becomesNew();
  const again = await extended(extension.profile, { path: before.path });
  assert.equal(await fetched(free), free.digest);
  await wallet.injectInto(again.context);
  const page = await open(again.context, url);
  await start(page, { engine: "extension", ...client });
  await goesOn({ ...scene, extension: again }, page);
});
