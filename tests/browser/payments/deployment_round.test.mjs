// A paid round from nothing but the file of `piecework vault deploy` and keys: the seller, the page and
// `<piecework-player>` are told no address, no chain and no sum besides. The price is the seller's, the ceiling the
// site's.
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { browserPath, launch } from "../support/browsers/chromium.mjs";
import { ending } from "../support/harness.mjs";
import { make } from "../support/paid/element.mjs";
import { Scene, UNIT_FINE } from "../support/paid/scene.mjs";
import { BLOCK } from "../support/paid/terms.mjs";
import { RemoteWallet } from "../support/paid/wallet.mjs";
import { EMBED, serve } from "../support/player_site.mjs";
import { test } from "../support/tests.mjs";

const AT = "deployments/chain.json";
/** Whole tokens that the demo token's deployer holds, in units of 10^-6. */
const MINTED = 10_000_000_000n;

/** The demo's film at a seller, and a site that knows the file, with a wallet of the payer's key in its visitor. */
async function round(path = "") {
  const scene = await Scene.deployed();
  const title = await scene.title("film.mp4", readFileSync(process.env.PIECEWORK_VIDEO));
  const seeder = await scene.seeder([title], 20_000_000);
  const wallet = await RemoteWallet.start(scene.chain, scene.payer);
  assert.equal(await scene.chain.balanceOf(scene.payer), MINTED);
  const site = await serve({
    config: () => ({ trackers: [scene.tracker], deployment: AT, maxPricePerGB: "15" }),
    connect: "ws://127.0.0.1:* http://127.0.0.1:*",
    documents: { ...EMBED, [`/${AT}`]: scene.deployment },
  });
  ending(site.close);
  const browser = await launch(await browserPath());
  ending(() => browser.close());
  await wallet.injectInto(browser.context);
  const page = browser.context.pages()[0] ?? (await browser.context.newPage());
  page.setDefaultTimeout(60_000);
  page.problems = [];
  page.on("pageerror", (error) => page.problems.push(error.message));
  page.on("console", (message) => message.type() === "error" && page.problems.push(message.text()));
  await page.goto(`${site.url}${path}`);
  return { scene, title, seeder, wallet, page };
}

/**
 * The seller redeems all of it, and the chain shows that it came from the buyer's deposit. `spent` gives the buyer's
 * fine units. The buyer's ledger follows the payments within half a second, and the seller holds the last of them soon.
 */
async function redeemed({ scene, title, seeder }, spent) {
  const whole = UNIT_FINE * BigInt(Math.ceil(title.bytes / BLOCK));
  let [bought, earned] = [0n, 0n];
  for (const until = Date.now() + 30_000; (bought < whole || earned !== bought) && Date.now() < until; ) {
    bought = BigInt(await spent());
    earned = BigInt((await seeder.ask("stats")).money.redeemable_fine);
  }
  assert.equal(earned, bought);
  assert.ok(bought >= whole, `${bought} of ${whole}`);
  assert.equal(await scene.chain.balanceOf(scene.payee), 0n);
  const answer = await seeder.ask("redeem");
  assert.equal(answer.ok, true, JSON.stringify(answer));
  const paid = await scene.chain.balanceOf(scene.payee);
  const redemptions = await scene.chain.redemptions();
  // The vault rounds each claim down to a unit.
  const worth = earned >> 24n;
  assert.ok(
    paid <= worth && paid > worth - BigInt(redemptions.length),
    `${paid} of ${worth}, ${redemptions.length} times`,
  );
  const sum = redemptions.reduce((sum, { net }) => sum + net, 0n);
  assert.equal(sum, paid);
  assert.deepEqual(new Set(redemptions.map(({ owner }) => owner)), new Set([scene.payer]));
  const [opened] = (await scene.chain.events()).filter(({ name }) => name === "Opened");
  assert.equal(await scene.chain.balanceOf(scene.payer), MINTED - opened.amount - opened.bond);
  assert.equal(await scene.chain.balanceOf(scene.chain.vault), opened.amount + opened.bond - paid);
}

test("the page deposits, watches and pays, and its seller redeems, by the file of a new vault alone", async () => {
  const all = await round();
  const { page, title, wallet } = all;
  await page.waitForFunction(() => document.body.dataset.view === "open");
  await page.fill("#magnet", title.magnet);
  await page.keyboard.press("Enter");
  await page.waitForFunction(
    () => document.body.dataset.phase === "offer" && !document.querySelector("#play").disabled,
  );
  assert.match(await page.textContent("#offer"), /Lowest price10\.00\spwUSD per GB/);
  assert.deepEqual(wallet.prompts, []);
  await page.click("#play");
  await page.waitForFunction(
    () => document.querySelector("#video").currentTime > 1 || document.querySelector("#play-error").textContent !== "",
  );
  assert.equal(await page.textContent("#play-error"), "");
  await page.check("#keep");
  await page.waitForFunction(() => {
    const { look } = globalThis.pieceworkPlayer.app.title;
    return look && look.length > 0 && look.verified === look.length;
  });
  const spent = async () => String((await globalThis.pieceworkPlayer.client.stats()).money.spentFine);
  await redeemed(all, () => page.evaluate(spent));
  assert.deepEqual(page.problems, []);
});

test("the element deposits, watches and pays by the same file, and its seller redeems", async () => {
  const all = await round("embed.html");
  const { scene, page, title } = all;
  await page.evaluate(make, {
    magnet: title.magnet,
    trackers: scene.tracker,
    deployment: AT,
    "max-price-per-gb": "15",
    keep: "",
  });
  const offer = page.getByRole("group", { name: "Payment" });
  await offer.waitFor();
  assert.match(await offer.textContent(), /costs 10 pwUSD per GB/);
  await page.getByRole("button", { name: "Deposit and play" }).click();
  await page.waitForFunction(() => document.querySelector("#player").video.currentTime > 1);
  await page.evaluate(async () => {
    const { torrent } = document.querySelector("#player");
    if ((await torrent.stats()).state !== "seeding") await new Promise((resolve) => torrent.on("done", resolve));
  });
  const spent = async () => String((await document.querySelector("#player").client.stats()).money.spentFine);
  await redeemed(all, () => page.evaluate(spent));
  assert.deepEqual(page.problems, []);
});
