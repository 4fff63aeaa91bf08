import assert from "node:assert/strict";
import { test } from "node:test";
import { choices, payerOf, price, Wish } from "./build/wishes.js";

/** A page's wish, which knows the title's files. */
function wish(
  { onDemand = true, most = null, only = null } = {},
  files = ["normal", "normal", "normal"],
  alone = true,
) {
  const one = new Wish(onDemand, most, only, []);
  one.learn(files, alone);
  return one;
}

test("what is paid is what the payer wants to pay, up to its ceiling", () => {
  assert.equal(price(10n, [wish()]), 10n);
  assert.equal(price(10n, [wish({ most: 12n })]), 10n);
  assert.equal(price(10n, [wish({ most: 12n }), wish({ most: 4n })]), 4n);
});

test("a file that one page skips comes for the page that wants it", () => {
  const [one, other] = [wish(), wish()];
  one.select([0, 1], "skip");
  const now = ["normal", "normal", "normal"];
  assert.deepEqual(choices([one, other], now), new Map());
  assert.deepEqual(choices([one], now), new Map([["skip", [0, 1]]]));
  other.select([2], "high");
  assert.deepEqual(choices([one, other], now), new Map([["high", [2]]]));
  assert.deepEqual(choices([], now), new Map());
});

test("a page that chooses nothing has the files that are on record, and beside another site all", () => {
  const record = ["skip", "normal", "skip"];
  assert.deepEqual(choices([wish({}, record)], record), new Map());
  assert.deepEqual(choices([wish({}, record, false)], record), new Map([["normal", [0, 2]]]));
  assert.equal(wish({ only: [1, 99, -1] }, ["high", "high"]).priority(0), "skip");
});

test("files that are chosen before they are known are within bounds, and count later", () => {
  const one = new Wish(true, null, null, []);
  assert.equal(one.select([1], "skip"), null);
  assert.match(one.select(Array(4_096).fill(0), "skip"), /not known yet/);
  assert.match(one.select([0], "maybe"), /priority/);
  one.learn(["normal", "normal"], true);
  assert.deepEqual([one.priority(0), one.priority(1)], ["normal", "skip"]);
});

test("a page that pauses fetches nothing by itself", () => {
  const one = wish({ onDemand: false });
  assert.equal(one.whole, true);
  one.paused = true;
  assert.equal(one.whole, false);
});

test("the site pays whose page asks for bytes: who paid before, else the first", () => {
  const [a, b] = ["https://a.example", "https://b.example"];
  const could = (...asks) => [a, b].map((site, at) => ({ site, asks: asks[at] }));
  assert.equal(payerOf(undefined, could(false, true)), b);
  assert.equal(payerOf(a, could(false, true)), b);
  assert.equal(payerOf(b, could(true, true)), b);
  assert.equal(payerOf(undefined, could(true, true)), a);
  // Nobody asks: nothing changes.
  assert.equal(payerOf(b, could(false, false)), b);
  assert.equal(payerOf(undefined, could(false, false)), a);
  assert.equal(payerOf(a, []), undefined);
});
