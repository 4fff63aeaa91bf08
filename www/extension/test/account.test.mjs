import assert from "node:assert/strict";
import { test } from "node:test";
import { isFunded, mayPayFrom } from "./build/account.js";

const OWNER = `0x${"ab".repeat(20)}`;
const OTHER = `0x${"cd".repeat(20)}`;
const NOW = { accountReady: true, lack: null, balance: 10n, locked: 2n, free: 4n };
const lacking = (lack) => ({ lack });
const before = (funded) => ({ owner: OWNER, funded });

test("the first owner may be named, and the same one again", () => {
  assert.equal(mayPayFrom(null, OTHER, NOW), true);
  assert.equal(mayPayFrom(before(true), OWNER.toUpperCase().replace("X", "x"), NOW), true);
});

test("a deposit of which something can be promised is not left", () => {
  assert.equal(mayPayFrom(before(true), OTHER, NOW), false);
  assert.equal(mayPayFrom(before(false), OTHER, { ...NOW, lack: "budget" }), false);
});

test("a deposit that is used up, or that its user ended, is left", () => {
  const over = [{ balance: 0n }, { free: 0n, locked: 0n }, ...["usedup", "exiting", "withdrawn", "held"].map(lacking)];
  for (const fields of over) {
    assert.equal(isFunded(true, { ...NOW, ...fields }), false);
    assert.equal(mayPayFrom(before(true), OTHER, { ...NOW, ...fields }), true);
  }
});

test("a deposit that is promised whole is left once it was seen to be used up, and not before", () => {
  const promised = { ...NOW, free: 0n };
  assert.deepEqual(
    [true, null, false].map((seen) => isFunded(seen, promised)),
    [true, true, false],
  );
  // Until there is another deposit.
  assert.equal(isFunded(false, NOW), true);
});

test("while the chain was not read, a deposit that was there is not left, and an account without one is", () => {
  const unread = { accountReady: false, lack: "none", balance: 0n, locked: 0n, free: 0n };
  assert.equal(mayPayFrom(before(true), OTHER, unread), false);
  assert.equal(mayPayFrom(before(null), OTHER, unread), true);
  assert.equal(mayPayFrom(before(false), OTHER, unread), true);
});
