// The deposit that is proposed for a title.
import assert from "node:assert/strict";
import { test } from "node:test";
import { proposedDeposit, titleCost } from "./build/deposit.js";
import { bondFor, formatAmount, parseAmount, sliceOf } from "./build/units.js";

/** A proposal in whole tokens: `amount + bond`. */
function proposed(cost, decimals, more = {}) {
  const units = (amount) => (amount === undefined ? undefined : parseAmount(amount, decimals));
  const { times, ...sums } = more;
  const given = Object.fromEntries(Object.entries(sums).map(([name, amount]) => [name, units(amount)]));
  const { amount, bond, isEnough } = proposedDeposit({
    cost: units(cost),
    decimals,
    ...given,
    ...(times && { times }),
  });
  assert.ok(bond >= bondFor(amount), "a seller refuses the bond");
  assert.equal(isEnough, amount >= units(cost));
  return `${formatAmount(amount, decimals)} + ${formatAmount(bond, decimals)}`;
}

test("a film of 0.46 asks for half a token and its bond, whatever the decimals", () => {
  assert.equal(proposed("0.46", 6), "0.5 + 0.63");
  assert.equal(proposed("0.46", 18), "0.5 + 0.63");
  assert.equal(proposed("0.46", 3), "0.5 + 0.63");
  // A token of cents, and one without decimals of which one is worth a tenth of a cent.
  assert.equal(proposed("4.6", 2), "5 + 6.3");
  assert.equal(proposed("460", 0), "500 + 630");
});

test("the headroom is four slices or 5 %, and the sum has two significant digits", () => {
  for (const [cost, expected] of [
    ["0.000001", "0.1 + 0.13"],
    ["0", "0.1 + 0.13"],
    ["0.06", "0.1 + 0.13"],
    ["0.061", "0.11 + 0.14"],
    ["0.250675", "0.3 + 0.38"],
    ["0.8", "0.84 + 1.1"],
    ["1.2", "1.3 + 1.7"],
    ["9.96", "11 + 14"],
    ["100", "110 + 140"],
    ["123456.789", "130000 + 170000"],
  ])
    assert.equal(proposed(cost, 6), expected, cost);
  for (const [cost, expected] of [
    ["0", "100 + 130"],
    ["30", "100 + 130"],
    ["70", "110 + 140"],
    ["1000", "1100 + 1400"],
  ])
    assert.equal(proposed(cost, 0), expected, cost);
  assert.equal(proposed("0.000000000000000001", 18), "0.1 + 0.13");
});

test("larger slices want more room", () => {
  assert.equal(proposed("0.46", 6, { tranche: "0.1" }), "1 + 1.3");
  assert.equal(proposed("2", 6, { tranche: "0.1" }), "2.4 + 3");
  assert.deepEqual([sliceOf(0), sliceOf(2), sliceOf(3), sliceOf(6)], [10n, 10n, 10n, 10_000n]);
});

test("the site's least and most hold to the digit, and a part of the cost is called one", () => {
  assert.equal(proposed("0.46", 6, { least: "2" }), "2 + 2.5");
  assert.equal(proposed("0.46", 6, { least: "2.345" }), "2.345 + 3");
  assert.equal(proposed("3", 6, { least: "2" }), "3.2 + 4");
  assert.equal(proposed("0.46", 6, { most: "0.30" }), "0.3 + 0.38");
  assert.equal(proposed("0.46", 6, { most: "0.02" }), "0.02 + 0.025");
  assert.equal(proposed("0.46", 6, { least: "2", most: "1" }), "1 + 1.3");
});

test("more than the title needs is so many times what is enough, up to the site's most", () => {
  assert.equal(proposed("0.46", 6, { times: 2n }), "1 + 1.3");
  assert.equal(proposed("0.46", 6, { times: 5n }), "2.5 + 3.2");
  assert.equal(proposed("0.44", 6, { times: 5n }), "2.4 + 3");
  assert.equal(proposed("0.46", 6, { times: 5n, most: "2" }), "2 + 2.5");
});

const title = (more) => ({ length: 30_000_000, verified: 0, maxCost: 690_000n, maxPricePerGB: 15_000_000n, ...more });
const asking = (...prices) => prices.map((pricePerGB) => ({ buying: { pricePerGB } }));

test("a title costs what the dearest of its sellers within the limit asks", () => {
  assert.equal(titleCost(title({ peers: asking(10_000_000n) })), 460_000n);
  assert.equal(titleCost(title({ peers: asking(5_000_000n, null, 10_000_000n, 0n, 16_000_000n) })), 460_000n);
  // The visitor's own limit.
  assert.equal(titleCost(title({ peers: asking(5_000_000n, 10_000_000n) }), 6_000_000n), 230_000n);
  assert.equal(titleCost(title({ peers: asking(16_000_000n) }), 20_000_000n), 736_000n);
  // Nobody within it: at the limit.
  assert.equal(titleCost(title({ peers: asking(16_000_000n) })), 690_000n);
  assert.equal(titleCost(title({ peers: [] }), 7_500_000n), 345_000n);
  // Only heard of.
  assert.equal(titleCost(title({ peers: [] }), 15_000_000n, 10_000_000n), 460_000n);
  // Never rounded down.
  assert.equal(titleCost(title({ maxCost: 1n, peers: asking(1n) })), 1n);
});

test("a title that was limited to free peers costs its missing blocks", () => {
  const limited = { maxCost: 0n, maxPricePerGB: 0n, peers: asking(10_000_000n) };
  // 1,832 blocks of 16 KiB are 30,015,488 bytes.
  assert.equal(titleCost(title(limited), 15_000_000n), 300_155n);
  assert.equal(titleCost(title({ ...limited, verified: 30_000_000 }), 15_000_000n), 0n);
});
