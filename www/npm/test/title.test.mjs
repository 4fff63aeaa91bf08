import assert from "node:assert/strict";
import { test } from "node:test";
import { titleOf } from "./build/title.js";

const SIGNED = {
  name: "A film",
  publisher: `0x${"11".repeat(20)}`,
  creator: `0x${"22".repeat(20)}`,
  bps: 250,
  licence: "",
  created: 1_700_000_000,
  id: `0x${"33".repeat(32)}`,
  salt: `0x${"00".repeat(32)}`,
  hash: `0x${"44".repeat(32)}`,
  chainId: 1,
  registry: null,
  encrypted: false,
  previous: null,
};

test("a title that fits has its share in percent and its date", () => {
  const { bps: _, created, ...same } = SIGNED;
  const { title, signature } = titleOf(SIGNED);
  assert.equal(signature, "fits");
  assert.deepEqual(title, { ...same, share: 2.5, created: new Date(created * 1000) });
});

test("a publisher's number that is no date is none", () => {
  for (const created of [0, 2 ** 53]) assert.equal(titleOf({ ...SIGNED, created }).title.created, null);
});

test("what does not fit is no title, and a torrent that is gone is not known", () => {
  for (const found of ["unknown", "unsigned", "awaited", { wrong: "the signature is not its publisher's" }])
    assert.deepEqual(titleOf(found), { title: null, signature: found });
  assert.deepEqual(titleOf(null), { title: null, signature: "unknown" });
});
