// Two sites whose pages have wallets with different accounts: from whose deposit the extension pays.
import assert from "node:assert/strict";
import { asking, clientOf, earnedBy, extended, setUp, spentBySite, until, useVault } from "../support/extension.mjs";
import { site } from "../support/harness.mjs";
import { Scene, UNIT_FINE } from "../support/paid/scene.mjs";
import { BLOCK, MIB } from "../support/paid/terms.mjs";
import { add, deposit } from "../support/paid/viewer.mjs";
import { RemoteWallet } from "../support/paid/wallet.mjs";
import { test } from "../support/tests.mjs";

const LENGTH = 4 * MIB;
const ALL = UNIT_FINE * BigInt(LENGTH / BLOCK);
const TRANSFER = "0xa9059cbb";
const word = (hex) => hex.replace("0x", "").padStart(64, "0");

/** Two sites that may spend, each with a wallet of another account in its page, and a seller. */
async function twoOwners() {
  const [scene, extension] = [await Scene.deployed(), await extended()];
  await setUp(extension);
  await useVault(extension, scene);
  const another = scene.anvil.accounts[2].address;
  const data = `${TRANSFER}${word(another)}${word((10_000_000).toString(16))}`;
  await scene.chain.call("eth_sendTransaction", [{ from: scene.payer, to: scene.chain.token, data }]);
  const titles = [await scene.title("one.bin", LENGTH), await scene.title("two.bin", LENGTH)];
  const seeder = await scene.seeder(titles, 20_000_000);
  const sites = [];
  for (const account of [scene.payer, another]) {
    const page = await asking(extension, await site(), clientOf(scene), { budget: "1" });
    const wallet = await RemoteWallet.start(scene.chain, account);
    await wallet.isOf(page);
    sites.push({ page, wallet });
  }
  return { scene, extension, titles, seeder, sites, owners: [scene.payer, another] };
}

/** The first owner's deposit is on its way back, as its user wants it. */
async function exits(extension, { page }) {
  const library = await extension.own("library.html");
  await library.locator("#wallet-page").selectOption(await page.run("location.origin"));
  await library.locator("#exit").click();
  await library.locator("#confirm-yes").click();
  await library.locator("#money-state").getByText("can be withdrawn from").waitFor();
  return library;
}

/** The other site's deposit is refused before its wallet is asked for money. */
async function isRefused({ page, wallet }) {
  await assert.rejects(deposit(page, "1"), /pays from another account: its user ends that first/);
  assert.deepEqual(wallet.sent, []);
}

/** What the site is told that it spent in all, once it is so much. */
async function spent({ page }, wanted) {
  const sum = await until(
    () => spentBySite(page).then(([, all]) => BigInt(all)),
    (all) => all === wanted,
  );
  assert.equal(sum, wanted);
}

test("another owner's deposit is refused until the user asks for the present one back, and then pays", async () => {
  const { extension, titles, seeder, sites } = await twoOwners();
  const [first, second] = sites;
  await deposit(first.page, "1");
  await add(first.page, titles[0]);
  await first.page.run("done()");
  await spent(first, ALL);
  await isRefused(second);

  await exits(extension, first);
  await deposit(second.page, "1");
  await add(second.page, titles[1]);
  await second.page.run("done()");
  assert.equal(await second.page.run("digest()"), titles[1].digest);
  await spent(second, ALL);
  await spent(first, ALL);
  assert.equal(await earnedBy(seeder), 2n * ALL);
  // The first owner's turn is over: the second deposit is not used up.
  await assert.rejects(first.page.run("client.deposit({ amount: '1' })"), /pays from another account/);
});

test("another owner's deposit pays when the present one is used up, and each site's sum is its own", async () => {
  const { titles, seeder, sites } = await twoOwners();
  const [first, second] = sites;
  // Three quarters of what both titles cost.
  await deposit(first.page, "0.0628");
  await add(first.page, titles[0]);
  await first.page.run("done()");
  await spent(first, ALL);
  await isRefused(second);
  await add(first.page, titles[1]);
  const lack = await until(
    () => first.page.run("client.stats().then(({ money }) => money.lack)"),
    (now) => now === "usedup",
  );
  assert.equal(lack, "usedup");
  const before = await until(
    async () => [BigInt((await spentBySite(first.page))[1]), await earnedBy(seeder)],
    ([sum, earned]) => sum === earned,
  );
  assert.equal(before[0], before[1]);
  await first.page.run("torrent.pause()");

  await deposit(second.page, "1");
  await add(second.page, titles[1]);
  await second.page.run("done()");
  assert.equal(await second.page.run("digest()"), titles[1].digest);
  const rest = await until(
    () => earnedBy(seeder),
    (earned) => earned === 2n * ALL,
  );
  assert.equal(rest, 2n * ALL);
  await spent(second, 2n * ALL - before[0]);
  await spent(first, before[0]);
});

/** As a host leaves it that ends after it kept who pays, and before its engine heard of that. */
function keepPayer(owner) {
  return new Promise((resolve, reject) => {
    const opening = indexedDB.open("piecework-extension", 1);
    opening.onerror = () => reject(opening.error);
    opening.onsuccess = () => {
      const transaction = opening.result.transaction("values", "readwrite");
      transaction.objectStore("values").put({ owner, funded: null }, "payer");
      transaction.oncomplete = () => resolve();
      transaction.onabort = () => reject(transaction.error);
    };
  });
}

test("a host that ends amid a change of accounts counts what the next one spends", async () => {
  const { extension, titles, seeder, sites, owners } = await twoOwners();
  const [first, second] = sites;
  await deposit(first.page, "1");
  await add(first.page, titles[0]);
  await first.page.run("done()");
  await spent(first, ALL);
  const library = await exits(extension, first);
  await library.evaluate(keepPayer, owners[1]);
  assert.equal(await extension.endHost(), true);

  await deposit(second.page, "1");
  await add(second.page, titles[1]);
  await second.page.run("done()");
  await spent(second, ALL);
  await spent(first, ALL);
  assert.equal(await earnedBy(seeder), 2n * ALL);
});
