// A redemption that would cost more than it brings, and whole purchases with tokens of other decimals and other worth.
import assert from "node:assert/strict";
import { site } from "../support/harness.mjs";
import { Scene } from "../support/paid/scene.mjs";
import { add, deposit, viewer } from "../support/paid/viewer.mjs";
import { RemoteWallet } from "../support/paid/wallet.mjs";
import { test } from "../support/tests.mjs";

const BLOCK = 16_384;
const BLOCKS = 120;
const GWEI = 10n ** 9n;

const TOKENS = [
  {
    name: "a token without decimals",
    decimals: 0,
    deposit: "100",
    // 0.16 units a block: far less than a unit, and 19 units in all.
    price: "10000",
    ceiling: "12000",
    coinPrice: "1000",
  },
  {
    name: "a token of 18 decimals that is worth a millionth of a dollar",
    decimals: 18,
    deposit: "50000",
    // Ten dollars per GB: 164 tokens a block, and a voucher holds at most 4,722.
    price: "10000000",
    ceiling: "12000000",
    coinPrice: "1000000",
  },
];

for (const token of TOKENS) {
  test(`${token.name} pays a whole title, and nothing is redeemed at a loss but by the user`, async () => {
    const one = 10n ** BigInt(token.decimals);
    const [url, scene] = [await site(), await Scene.open({ decimals: token.decimals, funds: 1_000_000n * one })];
    const earner = scene.anvil.accounts[4].address;
    const buyers = await RemoteWallet.start(scene.chain, scene.payer);
    const sellers = await RemoteWallet.start(scene.chain, earner);
    const more = { maxPricePerGB: token.ceiling, budget: token.deposit, coinPrice: token.coinPrice };
    const shop = await viewer(url, sellers, scene.options({ ...more, sellPricePerGB: token.price }));
    const torrent = await shop.run(`seed(${BLOCKS * BLOCK}, 1)`);
    const page = await viewer(url, buyers, scene.options(more));
    await deposit(page, token.deposit);
    await add(page, { torrent });
    await page.run("done()");
    const unit = (BigInt(token.price) * one * (1n << 24n) * 16_384n + 999_999_999n) / 1_000_000_000n;
    const earned = await shop.run(`new Promise((resolve) => {
      const look = async () => {
        const { money } = await client.stats();
        if (money.preimagesReceived < ${BLOCKS}) return setTimeout(look, 50);
        const { redeemableFine, redeemable, redeemableRanges } = money;
        resolve({ fine: String(redeemableFine), units: String(redeemable), ranges: redeemableRanges });
      };
      look();
    })`);
    assert.equal(BigInt(earned.fine), unit * BigInt(BLOCKS), "every block is paid at its price");
    const units = BigInt(earned.units);
    const rests = (BigInt(earned.fine) >> 24n) - units;
    assert.ok(units > 0n && rests >= 0n && rests <= BigInt(earned.ranges), `${units} of ${earned.ranges} ranges`);

    const cost = () =>
      shop.run(`client.redemptionCost().then(({ amount, fee, cost, isDear, isLoss }) => ({
        amount: String(amount), fee: String(fee), cost: String(cost), isDear, isLoss,
      }))`);
    const gas = async (baseFee) => {
      await scene.chain.call("anvil_setNextBlockBaseFeePerGas", [`0x${baseFee.toString(16)}`]);
      await scene.chain.call("evm_mine");
    };
    await shop.run("client.connectWallet()");
    await gas(1_000_000n * GWEI);
    const dear = await cost();
    assert.equal(dear.amount, earned.units);
    assert.deepEqual([dear.isDear, dear.isLoss], [true, true]);
    assert.ok(BigInt(dear.cost) > units, dear.cost);
    const due = () => shop.run("client.redeem({ due: true }).then(({ paid }) => String(paid))");
    assert.equal(await due(), "0");
    assert.deepEqual(sellers.sent, [], "nothing is sent at a loss");

    await gas(1n);
    const cheap = await cost();
    assert.deepEqual([cheap.isDear, cheap.isLoss], [false, false]);
    assert.ok(BigInt(cheap.cost) > 0n && BigInt(cheap.cost) * 10n <= units, cheap.cost);
    const byItself = BigInt(await due());
    assert.ok(byItself > 0n);
    const rest = BigInt(await shop.run("client.redeem().then(({ paid }) => String(paid))"));
    assert.equal(byItself + rest, units);
    assert.equal(await scene.chain.balanceOf(earner), units);
    // The receipts agree with what was said before: the fee is no more than twice as much, or half.
    const receipts = await Promise.all(
      sellers.sent.map((hash) => scene.chain.call("eth_getTransactionReceipt", [hash])),
    );
    const paid = receipts.reduce(
      (sum, { gasUsed, effectiveGasPrice }) => sum + BigInt(gasUsed) * BigInt(effectiveGasPrice),
      0n,
    );
    assert.ok(paid > BigInt(cheap.fee) / 4n && paid < BigInt(cheap.fee) * 4n, `${paid} was said to be ${cheap.fee}`);
    assert.deepEqual(page.errors, []);
    assert.deepEqual(shop.errors, []);
  });
}
