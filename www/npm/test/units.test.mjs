import assert from "node:assert/strict";
import { test } from "node:test";
import {
  bondFor,
  ceilFine,
  finePerBlock,
  floorFine,
  formatAmount,
  parseAmount,
  parseTypedAmount,
  unitsPerGB,
} from "./build/units.js";

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

test("what a person types becomes base units, or nothing where it means two things", () => {
  const amounts = {
    " 2.50 ": 2_500_000n,
    "2,5": 2_500_000n,
    "0,125": 125_000n,
    "1,5000": 1_500_000n,
    "1.500": 1_500_000n,
    "1,500.00": 1_500_000_000n,
  };
  for (const [typed, units] of Object.entries(amounts)) assert.equal(parseTypedAmount(typed, 6), units, typed);
  assert.equal(parseTypedAmount("1,500,000", 6), 1_500_000_000_000n);
  assert.equal(parseTypedAmount("7.00", 0), 7n);
  assert.equal(parseTypedAmount("999999999999", 0), 999_999_999_999n);
  for (const wrong of [
    "1,500",
    "",
    "-1",
    "1e3",
    ".5",
    "1.",
    "1,5.2",
    "1,5,2",
    "1,50,000",
    "0.0000001",
    "0x10",
    "1 000",
    "1000000000000",
  ]) {
    assert.equal(parseTypedAmount(wrong, 6), null, wrong);
  }
});

test("an amount is printed with the places and the commas that are asked for", () => {
  assert.equal(formatAmount(10_000_000n, 6, { leastPlaces: 2 }), "10.00");
  assert.equal(formatAmount(2_512_300n, 6, { leastPlaces: 2 }), "2.5123");
  assert.equal(formatAmount(7n, 0, { leastPlaces: 2 }), "7.00");
  assert.equal(formatAmount(1_234_567_890_000n, 6, { grouped: true }), "1,234,567.89");
  assert.equal(formatAmount(999_000_000n, 6, { grouped: true }), "999");
  assert.equal(formatAmount(123_456_789n, 0, { grouped: true, leastPlaces: 1 }), "123,456,789.0");
});

test("a bond is a quarter more than the deposit, rounded up", () => {
  assert.deepEqual([0n, 1n, 4n, 5n, 2_000_000n].map(bondFor), [0n, 2n, 5n, 7n, 2_500_000n]);
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
