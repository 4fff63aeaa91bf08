import assert from "node:assert/strict";
import {
  asking,
  earnedBy,
  extended,
  paidOnceButForTheKill,
  paying,
  spentBySite,
  until,
} from "../support/extension.mjs";
import { open, site } from "../support/harness.mjs";
import { RESALE_FINE, UNIT_FINE } from "../support/paid/scene.mjs";
import { BLOCK, MIB } from "../support/paid/terms.mjs";
import { film } from "../support/swarm.mjs";
import { add, deposit, start, viewer } from "../support/paid/viewer.mjs";
import { RemoteWallet } from "../support/paid/wallet.mjs";
import { test } from "../support/tests.mjs";

const LENGTH = 4 * MIB;
const BLOCKS = BigInt(LENGTH / BLOCK);

test("a site buys through the extension, which sells it again with no tab open and after a restart", async () => {
  const { url, scene, extension, client } = await paying();
  const title = await scene.title("film.bin", LENGTH);
  const seeder = await scene.seeder([title], 20_000_000);
  const page = await asking(extension, url, client, { budget: "1" });
  assert.equal(await deposit(page, "1"), "1000000");
  await add(page, title);
  await page.run("done()");
  assert.equal(await page.run("digest()"), title.digest);
  const all = UNIT_FINE * BLOCKS;
  assert.equal(
    await until(
      () => earnedBy(seeder),
      (earned) => earned === all,
    ),
    all,
  );
  assert.deepEqual(
    await until(
      () => spentBySite(page),
      ([one, sum]) => one === String(all) && sum === String(all),
    ),
    [String(all), String(all)],
  );
  assert.deepEqual(await page.run("said"), []);
  await seeder.close();
  await extension.context.close();

  const again = await extended(extension.profile);
  const [wallet, seller] = await Promise.all(
    [scene.payer, scene.payee].map((account) => RemoteWallet.start(scene.chain, account)),
  );
  const buyer = await viewer(url, wallet, { ...client, payments: { ...client.payments, budget: "1" } });
  await deposit(buyer, "1");
  await add(buyer, title);
  await buyer.run("done()");
  assert.equal(await buyer.run("digest()"), title.digest);
  const spent = await buyer.run("client.stats().then(({ money }) => String(money.spentFine))");
  assert.equal(BigInt(spent), RESALE_FINE * BLOCKS);
  const library = await again.own("library.html");
  const words = await until(
    () => library.locator("#titles p").first().textContent(),
    (text) => /earned 0\.02/.test(text),
  );
  assert.match(words, /5\.00\u00a0pwUSD per GB, paid 0\.0419\u00a0pwUSD, earned 0\.0209\u00a0pwUSD/);

  // The wallet is in a page of the site; what the extension composed goes to the account that the user confirms.
  await seller.injectInto(again.context);
  const visit = await open(again.context, url);
  await start(visit, client);
  assert.deepEqual(await visit.run("client.stored()"), [await buyer.run("torrent.infoHash")]);
  await library.locator("#wallet-page option").first().waitFor({ state: "attached" });
  // Nothing is composed for an account that the user does not agree to.
  await library.locator("#redeem").click();
  await library.locator("#confirm button[value=no]").click();
  assert.deepEqual(seller.prompts, ["eth_requestAccounts"]);
  await library.locator("#redeem").click();
  await library.locator("#confirm-text").getByText(new RegExp(scene.payee, "i")).waitFor();
  await library.locator("#confirm-yes").click();
  await library.locator("#money-state").getByText("came to").waitFor();
  const redeemed = await scene.chain.redemptions();
  const paid = redeemed.reduce((sum, { net }) => sum + net, 0n);
  assert.equal(paid, (RESALE_FINE * BLOCKS) >> 24n);
  assert.deepEqual(seller.prompts, ["eth_requestAccounts", "eth_requestAccounts", "eth_sendTransaction"]);
  // The page's wallet was asked for what it alone can do: it could tell anything about the chain.
  const its = ["eth_accounts", "eth_requestAccounts", "eth_chainId", "eth_sendTransaction"];
  assert.deepEqual(
    seller.asked.filter((method) => !its.includes(method)),
    [],
  );
});

/** All of a free title comes through: there was time for the rest of another one. */
async function freeTitle(page, scene) {
  const free = await film(scene.tracker, LENGTH);
  await free.seed();
  await page.run(`(async () => {
    const bytes = Uint8Array.from(atob("${free.torrent}"), (c) => c.charCodeAt(0));
    const other = await client.add(bytes, { onDemand: false });
    await other.ready;
    await other.files[0].arrayBuffer();
  })()`);
}

test("a site buys nothing above its ceiling, whatever another site with the same title wants", async () => {
  const { url, scene, extension, client } = await paying();
  const title = await scene.title("film.bin", LENGTH);
  const seeder = await scene.seeder([title], 20_000_000);
  const page = await asking(extension, url, client, { budget: "1", ceiling: "5" });
  await deposit(page, "1");
  await add(page, title);
  await freeTitle(page, scene);
  assert.equal(await earnedBy(seeder), 0n);
  // The least sum there is.
  const UNIT = 1n << 24n;
  const other = await asking(extension, await site(), client, { budget: "0.000001", ceiling: "12" });
  await other.run("client.connectWallet().then(() => 0)");
  await add(other, title);
  await other.run(`torrent.setMaxPricePerGB("12")`);
  await freeTitle(other, scene);
  const earned = await earnedBy(seeder);
  assert.ok(earned <= UNIT, `${earned} of ${UNIT}`);
  assert.deepEqual(await spentBySite(page), ["0", "0"]);
  // Its user may raise the ceiling, and then it buys.
  const change = await extension.own(`ask.html?site=${encodeURIComponent(new URL(url).origin)}`);
  await change.locator("#money:not([hidden])").waitFor();
  await change.locator("#budget").fill("1");
  const closed = change.waitForEvent("close");
  await change.locator("#yes").click();
  await closed;
  await page.run("done()");
  assert.equal(await page.run("digest()"), title.digest);
});

test("a site spends no more than its user allowed", async () => {
  const { url, scene, extension, client } = await paying();
  const title = await scene.title("film.bin", LENGTH);
  const seeder = await scene.seeder([title], 20_000_000);
  // Half of what the title costs.
  const BUDGET = 20_000n << 24n;
  const page = await asking(extension, url, client, { budget: "0.02" });
  await deposit(page, "1");
  await add(page, title);
  // Whatever the page says of budget and price.
  await page.run(`Promise.allSettled([client.setBudget("1"), torrent.setMaxPricePerGB("12")])`);
  const near = (BUDGET * 9n) / 10n;
  await until(
    () => earnedBy(seeder),
    (sum) => sum >= near,
  );
  await freeTitle(page, scene);
  const earned = await earnedBy(seeder);
  assert.ok(earned >= near && earned <= BUDGET, `${earned} of ${BUDGET}`);
  const [, spent] = await until(
    () => spentBySite(page),
    ([, sum]) => sum === String(earned),
  );
  assert.equal(BigInt(spent), earned);
});

test("a history that the user deletes, and pages that come and go, give a site nothing more to spend", async () => {
  const { url, scene, extension, client } = await paying();
  const title = await scene.title("film.bin", LENGTH);
  const seeder = await scene.seeder([title], 20_000_000);
  // Three quarters of what the title costs, of which the first half is bought before.
  const BUDGET = 30_000n << 24n;
  const page = await asking(extension, url, client, { budget: "0.03" });
  await deposit(page, "1");
  await page.run(`(async () => {
    const bytes = Uint8Array.from(atob("${title.torrent}"), (c) => c.charCodeAt(0));
    window.torrent = await client.add(bytes, { onDemand: true });
    await torrent.ready;
    await torrent.files[0].blob({ end: ${LENGTH / 2} });
  })()`);
  const half = (UNIT_FINE * BLOCKS) / 2n;
  await until(
    () => spentBySite(page),
    ([, sum]) => BigInt(sum) >= half,
  );
  const library = await extension.own("library.html");
  await library.locator("#history summary").click();
  await library.locator("#history-clear").click();
  await library.locator("#confirm-yes").click();
  await library.close();
  await page.run(`void torrent.files[0].blob().catch(() => undefined)`);
  for (let visit = 0; visit < 5; visit++) {
    const other = await open(extension.context, url);
    await start(other, client);
    await other.run("client.stats().then(() => 0)");
    await other.close();
  }
  await freeTitle(page, scene);
  const earned = await earnedBy(seeder);
  assert.ok(earned > half && earned <= BUDGET, `${earned} of ${BUDGET}`);
  const [, spent] = await until(
    () => spentBySite(page),
    ([, sum]) => sum === String(earned),
  );
  assert.equal(BigInt(spent), earned);
});

test("a host that is killed in mid-sale pays nothing twice beyond the bound, and its count goes on", async () => {
  const { url, scene, extension, client } = await paying();
  const title = await scene.title("film.bin", 2 * LENGTH);
  const seeder = await scene.seeder([title], 2_000_000);
  const page = await asking(extension, url, client, { budget: "1" });
  await deposit(page, "1");
  await add(page, title);
  await page.run("pieces(24)");
  assert.ok(await extension.endHost());
  await page.run("done()");
  assert.equal(await page.run("digest()"), title.digest);
  await paidOnceButForTheKill(page, seeder, 2 * LENGTH, 2_000_000);
});
