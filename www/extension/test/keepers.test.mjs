import assert from "node:assert/strict";
import { test } from "node:test";
import { Keepers, MAX_KEPT_OF_SITE } from "./build/keepers.js";

const A = "https://a.example";
const B = "https://b.example";
const site = (origin, hashes, allowed = true) => ({ origin, allowed, titles: hashes.map((hash) => ({ hash })) });

test("what a site brought goes with it, and what another allowed one has too stays by that one", () => {
  const keepers = new Keepers();
  for (const hash of ["own", "both", "denied"]) keepers.keep(hash, A);
  keepers.keep("other", B);
  assert.deepEqual(keepers.counts(), { [A]: 3, [B]: 1 });
  const denied = site("https://denied.example", ["denied"], false);
  assert.deepEqual(keepers.handOver(A, [site(A, ["own"]), denied, site(B, ["both"])]), ["own", "denied"]);
  assert.deepEqual(keepers.of(B), ["both", "other"]);
});

test("a site that has no room takes over nothing", () => {
  const keepers = new Keepers();
  for (let i = 0; i < MAX_KEPT_OF_SITE; i++) keepers.keep(`${i}`, B);
  keepers.keep("both", A);
  assert.equal(keepers.hasRoom(B), false);
  assert.deepEqual(keepers.handOver(A, [site(B, ["both"])]), ["both"]);
});

test("a title that the user took over, or that is gone, is no site's", () => {
  const keepers = new Keepers(
    new Map([
      ["mine", A],
      ["gone", A],
      ["here", A],
    ]),
  );
  assert.equal(keepers.drop("mine"), true);
  assert.equal(keepers.drop("mine"), false);
  keepers.limit(new Set(["here"]));
  assert.deepEqual([...keepers.kept()], [["here", A]]);
});
