import assert from "node:assert/strict";
import { test } from "node:test";
import { ceilFine, finePerBlock, floorFine, formatAmount, parseAmount, unitsPerGB } from "./build/units.js";

test("decimal text becomes base units exactly, or is refused", () => {
  assert.equal(parseAmount("10", 6), 10_000_000n);
  assert.equal(parseAmount("0.000001", 6), 1n);
  assert.equal(parseAmount(" 1.50 ", 1), 15n);
  assert.equal(parseAmount(0.25, 6), 250_000n);
  for (const wrong of ["", "-1", "1e3", "0.0000001", "1,5", ".5", "0x10", "1.", NaN, 1e-7]) {
    assert.throws(() => parseAmount(wrong, 6), RangeError, String(wrong));
  }
});

test("base units become decimal text without trailing zeros", () => {
  assert.equal(formatAmount(10_000_000n, 6), "10");
  assert.equal(formatAmount(1n, 6), "0.000001");
  assert.equal(formatAmount(2_500_000n, 6), "2.5");
  assert.equal(formatAmount(7n, 0), "7");
});

test("a price per GB survives the way to a price per block and back", () => {
  // 10 tokens per GB of a 6-decimal token: 10_000_000 * 2^24 * 16384 / 10^9, rounded up.
  assert.equal(finePerBlock(10_000_000n), 2_748_779_070n);
  for (const price of [0n, 1n, 5_000_000n, 10_000_000n, 123_456_789n]) {
    assert.equal(unitsPerGB(finePerBlock(price)), price);
  }
});

test("fine amounts are rounded towards the side that is said", () => {
  assert.equal(floorFine((3n << 24n) + 1n), 3n);
  assert.equal(ceilFine((3n << 24n) + 1n), 4n);
  assert.equal(ceilFine(3n << 24n), 3n);
});
