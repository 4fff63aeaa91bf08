// What a redemption costs and brings, for tokens of any decimals and any price.
import assert from "node:assert/strict";
import { test } from "node:test";
import { priceOf, sliceFor, sliceOf } from "./build/units.js";
import { Worth, gasPriceIn } from "./build/worth.js";

const GWEI = 10n ** 9n;
const worth = (decimals, more = {}) => new Worth({ token: { decimals }, ...more });

test("the least claim is ten times its gas at the default, in tokens of any decimals", () => {
  // 27,000 gas at 0.01 gwei and 3,000 $ for a coin are 0.00081 $.
  for (const [decimals, redeemed, gas] of [
    [6, 8_100n, 810n],
    [18, 8_100n * 10n ** 12n, 810n * 10n ** 12n],
    // Nothing rounds to zero, and no fraction is passed over.
    [2, 10n, 1n],
    [0, 10n, 1n],
  ])
    assert.deepEqual(worth(decimals, { coinPrice: "3000" }).least(GWEI / 100n), { redeemed, gas }, decimals);
  // A token of 8 decimals of which one costs twenty coins, and one of which a coin costs less than the smallest unit.
  assert.deepEqual(worth(8, { coinPrice: "0.05" }).least(GWEI / 100n), { redeemed: 20n, gas: 2n });
  assert.deepEqual(worth(0, { coinPrice: "0.0001" }).least(GWEI), { redeemed: 10n, gas: 1n });
  // A coin that is the token: 300,000 gwei, as where gas is paid in a coin of little worth.
  const cheap = worth(18, { coinPrice: 1 }).least(300_000n * GWEI);
  assert.deepEqual(cheap, { redeemed: 81n * 10n ** 18n, gas: 81n * 10n ** 17n });
  assert.equal(worth(6).least(GWEI), null, "the coin has no price here");
  assert.deepEqual(worth(6, { coinPrice: 3000 }).least(0n), { redeemed: 10n, gas: 1n });
  assert.deepEqual(worth(6, { coinPrice: "3000", maxGasPercent: 50 }).least(GWEI / 100n), {
    redeemed: 1_620n,
    gas: 810n,
  });
});

test("a redemption says its fee, its cost, and whether it is dear or a loss", () => {
  const dollars = worth(6, { coinPrice: "3000" });
  // One claim: 87,000 gas at a gwei are 0.261 $.
  const one = (amount) => dollars.cost(amount, 1, GWEI);
  assert.deepEqual(one(2_610_000n), {
    amount: 2_610_000n,
    transactions: 1,
    fee: 87_000n * GWEI,
    cost: 261_000n,
    isDear: false,
    isLoss: false,
  });
  assert.deepEqual(
    [one(2_609_999n), one(261_000n), one(260_999n)].map(({ isDear, isLoss }) => [isDear, isLoss]),
    [
      [true, false],
      [true, false],
      [true, true],
    ],
  );
  const many = dollars.cost(10n ** 9n, 129, GWEI);
  assert.deepEqual([many.transactions, many.fee], [2, (2n * 60_000n + 129n * 27_000n) * GWEI]);
  const unknown = worth(6).cost(5n, 1, GWEI);
  assert.deepEqual([unknown.fee, unknown.cost, unknown.isDear, unknown.isLoss], [87_000n * GWEI, null, null, null]);
  const unread = dollars.cost(5n, 1, null);
  assert.deepEqual([unread.fee, unread.cost, unread.isDear, unread.isLoss], [null, null, null, null]);
  // A fee below one unit of a token without decimals is not nothing, and not a unit where it is judged.
  const { cost, isDear, isLoss } = worth(0, { coinPrice: "3000" }).cost(3n, 1, GWEI);
  assert.deepEqual([cost, isDear, isLoss], [1n, false, false]);
});

test("what is no price and no percentage is refused by name", () => {
  for (const coinPrice of ["", "x", "-1", "0", 0, "1e3", NaN])
    assert.throws(() => worth(6, { coinPrice }), /payments\.coinPrice .* write tokens above 0/, String(coinPrice));
  for (const maxGasPercent of [0, 101, 1.5, NaN])
    assert.throws(() => worth(6, { maxGasPercent }), /payments\.maxGasPercent/, String(maxGasPercent));
});

test("a node's word on the price of gas is read within bounds", () => {
  assert.equal(gasPriceIn("0x3b9aca00"), GWEI);
  assert.equal(gasPriceIn("0x0"), 0n);
  for (const bad of [null, undefined, 5, "5", "0x", "0xg", `0x${"f".repeat(65)}`, `0x1${"0".repeat(21)}`, {}])
    assert.equal(gasPriceIn(bad), null, String(bad));
});

test("a slice is what is worth redeeming, and some blocks at the highest price, of a token of any worth", () => {
  const one = (decimals) => 10n ** BigInt(decimals);
  // A dollar at up to 60 $ per GB: 0.01.
  for (const decimals of [3, 6, 18])
    assert.equal(sliceFor(sliceOf(decimals), 60n * one(decimals)), one(decimals) / 100n, decimals);
  // A claim pays whole units: a slice of one would pay nothing, for a part of a block is not sold.
  assert.equal(sliceFor(sliceOf(0), 15n), 10n);
  // A millionth of a dollar: ten blocks cost 2,500 tokens, but a voucher holds no more than four slices.
  assert.equal(sliceFor(sliceOf(18), 15_000_000n * one(18)), (1n << 70n) - 1n);
  assert.equal(sliceFor(sliceOf(6), 15_000_000n * one(6)), 2_500n * one(6));
  // 60,000 dollars: what gas costs decides, not a hundredth of a token.
  assert.equal(sliceFor(20n, 25_000n), 20n);
});

test("a price below a unit per GB, or above what a voucher holds, is refused with the bound", () => {
  assert.equal(priceOf("10", 6), 2_748_779_070n);
  // One unit per GB is 275 fine units a block: a block costs far less than a unit, and not nothing.
  assert.equal(priceOf("1", 0), 275n);
  assert.equal(priceOf("0", 0), 0n);
  assert.equal(priceOf("1.0", 0), 275n);
  assert.throws(
    () => priceOf("0.5", 0),
    /no price of a token with 0 decimals: the smallest is 1 per GB\. Name a price/,
  );
  assert.throws(() => priceOf("0.0000001", 6), /the smallest is 0\.000001 per GB/);
  assert.throws(() => priceOf("ten", 6), /not an amount/);
  // Ten dollars of a token that is worth a millionth of one.
  assert.equal(priceOf("10000000", 18) > 0n, true);
  assert.throws(() => priceOf("1000000000", 18), /the largest of a token with 18 decimals is 288230376\.\d+ per GB/);
});
