import assert from "node:assert/strict";
import { kill, site } from "../support/harness.mjs";
import { RESALE_FINE, Scene, UNIT_FINE } from "../support/paid/scene.mjs";
import { BLOCK, MIB } from "../support/paid/terms.mjs";
import { add, deposit, settled, viewer } from "../support/paid/viewer.mjs";
import { RemoteWallet } from "../support/paid/wallet.mjs";
import { test } from "../support/tests.mjs";

/** Whole blocks, so that bytes and blocks tell the same. */
const LENGTH = 8 * MIB;
const BLOCKS = LENGTH / BLOCK;
/** What the buyer has of it when the seller's visit ends, in blocks, and how: two of the five ends are kills. */
const VISITS = [
  { until: 100, end: "close" },
  { until: 200, end: "kill" },
  { until: 300, end: "close" },
  { until: 400, end: "kill" },
  { until: BLOCKS, end: null },
];
/** Half of what was paid. */
const RESALE = 5_000_000n;

/** All that a page earned, with what it has redeemed, and its lines of the history. */
const earnings = (page) =>
  page.run(`(async () => {
    const { money } = await client.stats();
    const lines = (await client.history()).filter(({ kind }) => kind === "sold");
    return {
      earned: String(money.redeemableFine + (money.redeemed << 24n)),
      redeemable: String(money.redeemable),
      history: String(lines.reduce((sum, { amountFine }) => sum + amountFine, 0n)),
    };
  })()`);

test("what a browser bought it sells at its price from the start of every visit, over closes and kills", async () => {
  const [url, scene] = [await site(), await Scene.open()];
  const wallets = await Promise.all([1, 2].map(() => RemoteWallet.start(scene.chain, scene.payer)));
  const title = await scene.title("film.bin", LENGTH);
  const seeder = await scene.seeder([title], 20_000_000);
  // Slow enough that a visit ends in mid-sale.
  const options = { ...scene.options(), uploadLimit: 1_500_000 };

  let seller = await viewer(url, wallets[0], options);
  const { profile } = seller.browser;
  await deposit(seller, "1");
  await add(seller, title);
  await seller.run("done()");
  const bought = await settled(seller, seeder, BLOCKS);
  assert.equal(bought.spent, UNIT_FINE * BigInt(BLOCKS));
  await seller.browser.context.close();
  await seeder.close();

  const buyer = await viewer(url, wallets[1], scene.options());
  await deposit(buyer, "1");
  await add(buyer, title);
  const blocksBought = (count) =>
    buyer.run(`new Promise((resolve) => {
      const enough = async () => (await torrent.stats()).verified >= ${count * BLOCK} && resolve(true);
      torrent.on("piece", enough);
      enough();
    })`);
  let spentBefore = null;
  for (const { until, end } of VISITS) {
    seller = await viewer(url, wallets[0], options, profile);
    // Nobody opens the title.
    const library = await seller.run(`(async () => {
      const torrents = await client.seedLibrary();
      return Promise.all(torrents.map(async (one) => {
        await one.ready;
        const { sellPricePerGB, spentFine } = await one.stats();
        return { hash: one.infoHash, price: String(sellPricePerGB), spent: String(spentFine) };
      }));
    })()`);
    const hash = await buyer.run("torrent.infoHash");
    // A browser that is closed may lose its record of the last steps; what is on record then stays so.
    spentBefore ??= library[0]?.spent;
    assert.deepEqual(library, [{ hash, price: String(RESALE), spent: spentBefore }], `visit until ${until}`);
    await blocksBought(until);
    if (end === "kill") await kill(profile);
    if (end) await seller.browser.context.close().catch(() => undefined);
  }
  const forgotten = bought.spent - BigInt(spentBefore);
  assert.ok(forgotten >= 0n && forgotten <= UNIT_FINE * 64n, `${forgotten} of ${bought.spent} were forgotten`);
  assert.equal(await buyer.run("digest()"), title.digest);

  // Both sides agree, and the history with them. A killed seller may have lost the links of a range's end that it had
  // not stored, and no later fold makes up for them: the buyer names its sum when it comes back.
  const spentBy = () => buyer.run("client.stats().then(({ money }) => String(money.spentFine))").then(BigInt);
  let [sold, spent] = [await earnings(seller), await spentBy()];
  // A connection to a killed seller keeps its range until the browser finds it dead. A link is in the history once it
  // is stored.
  const agree = () => sold.earned === String(spent) && sold.history === sold.earned;
  for (const patience = Date.now() + 75_000; !agree() && Date.now() < patience; )
    [sold, spent] = [await earnings(seller), await spentBy()];
  assert.equal(sold.earned, String(spent), "the buyer's ledger and the seller's");
  assert.equal(sold.history, sold.earned, "the seller's history");
  assert.ok(spent >= RESALE_FINE * BigInt(Math.floor(BLOCKS * 0.9)), `${spent} for ${BLOCKS} blocks`);

  // And the chain.
  const paid = await seller.run(`(async () => {
    await client.connectWallet();
    return String((await client.redeem()).paid);
  })()`);
  assert.equal(paid, sold.redeemable);
  const redemptions = await scene.chain.redemptions();
  assert.equal(
    redemptions.reduce((sum, { net }) => sum + net, 0n),
    BigInt(paid),
  );
  assert.deepEqual(buyer.errors, []);
});
