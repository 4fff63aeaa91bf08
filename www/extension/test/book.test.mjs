import assert from "node:assert/strict";
import { test } from "node:test";
import { Book } from "./build/book.js";

const A = "https://a.example";
const LATER = 50_000;
const rest = (book, now) => book.unexplained([A], now).fine;

/** A book of an account that spent 100 before, in which A pays for the title "t". */
function book() {
  const one = new Book();
  one.sum(100n, 0);
  one.pays("t", A, 40n);
  return one;
}

test("what was spent before counts for nobody, and what is spent counts once", () => {
  const one = book();
  assert.equal(one.pending, 0n);
  one.sum(130n, 1);
  assert.equal(one.pending, 30n);
  // The records show it a moment later.
  assert.equal(one.title("t", 40n), 0n);
  assert.equal(one.title("t", 60n), 20n);
  assert.equal(one.title("t", 70n), 10n);
  assert.deepEqual([one.pending, rest(one, LATER)], [0n, 0n]);
});

test("what no title explains in time counts for all that could pay", () => {
  const one = book();
  one.sum(150n, 1_000);
  assert.equal(rest(one, 2_000), 0n);
  assert.deepEqual(one.unexplained([A, "https://b.example"], LATER), { fine: 50n, sites: [A, "https://b.example"] });
  assert.equal(rest(one, 2 * LATER), 0n);
  // The records catch up: it is counted already.
  assert.equal(one.title("t", 90n), 0n);
});

test("a history that the user deletes hides no spending", () => {
  const one = book();
  one.sum(110n, 1);
  assert.equal(one.title("t", 0n), 0n);
  assert.equal(rest(one, LATER), 10n);
  one.sum(125n, LATER);
  assert.equal(one.title("t", 15n), 15n);
  assert.equal(rest(one, 2 * LATER), 0n);
});

test("titles explain no more than was spent", () => {
  const one = book();
  one.sum(105n, 1);
  assert.equal(one.title("t", 1_000n), 5n);
  assert.equal(one.title("t", 2_000n), 0n);
});

test("a crash forgets nothing that was not counted yet", () => {
  const one = book();
  one.sum(120n, 1);
  rest(one, 1);
  const again = new Book(structuredClone(one.kept()), 0);
  // An engine that lost its last moment begins lower.
  again.sum(115n, 1);
  assert.equal(again.pending, 20n);
  again.sum(121n, 2);
  assert.equal(again.pending, 21n);
  assert.deepEqual(again.unexplained([], LATER), { fine: 21n, sites: [A] });
});

test("another account begins with what it has spent", () => {
  const one = book();
  one.countsFor("0x1");
  assert.equal(one.counted, 100n, "a version that kept no owner counted for the one that pays");
  // It is another one also where a host ended between them.
  const again = new Book(structuredClone(one.kept()));
  again.countsFor("0x1");
  assert.equal(again.counted, 100n);
  again.countsFor("0x2");
  assert.equal(again.counted, null);
  one.countsFor("0x2");
  assert.equal(one.most(7_000n, 50n), 0n, "before its sum is known, nothing of it is spent");
  one.sum(7_000n, 1);
  assert.equal(one.pending, 0n);
  assert.equal(one.most(7_000n, 50n), 7_050n);
});

test("what is spent and not counted for a site yet is no longer there to spend", () => {
  const one = book();
  one.sum(130n, 1);
  assert.equal(one.most(130n, 50n), 150n);
  one.title("t", 60n);
  assert.equal(one.most(130n, 30n), 150n);
  assert.equal(one.most(0n, 0n), 0n);
});

test("the book has a bound", () => {
  const one = new Book();
  for (let i = 0; i < 3_000; i++) one.pays(String(i), A, 0n);
  assert.deepEqual([one.payers.size, one.costs.size], [1_024, 1_024]);
});

test("a count that says no owner is the first one's who is named, also when it was kept again meanwhile", () => {
  const { owner: _, ...before } = book().kept();
  const again = new Book(new Book(before).kept());
  again.countsFor(A);
  again.sum(130n, 1);
  assert.equal(again.pending, 30n);
});
