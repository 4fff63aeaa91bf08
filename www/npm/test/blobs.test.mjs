import assert from "node:assert/strict";
import { test } from "node:test";
import { isHere, MOST_FETCHED, MOST_WHOLE, refusal, wholeUrl } from "./build/blobs.js";

const lacking = new Error("There is no service worker.");

test("a file is here when every piece that it touches is", () => {
  // Pieces of 10 bytes: the second file begins in the third and ends in the fourth; the empty one is nowhere.
  const files = [{ length: 25 }, { length: 10 }, { length: 0 }, { length: 60 }];
  const here = (...bytes) =>
    files.map((_, index) => isHere({ have: Uint8Array.from(bytes), pieceLength: 10, files }, index));
  assert.deepEqual(here(0b1110_0000, 0), [true, false, true, false]);
  assert.deepEqual(here(0b0011_0000, 0), [false, true, true, false]);
  assert.deepEqual(here(0b0001_1111, 0b1100_0000), [false, false, true, true]);
  assert.deepEqual(here(), [false, false, true, false]);
});

test("a file that is all here plays up to one bound, and another up to a smaller one, unless it may cost money", () => {
  assert.equal(refusal("a", MOST_WHOLE, true, true), null);
  assert.match(refusal("a", MOST_WHOLE + 1, true, false), /^a is longer than 512 MiB, the most that plays $/);
  assert.equal(refusal("a", MOST_FETCHED, false, false), null);
  assert.match(refusal("a", MOST_FETCHED + 1, false, false), /^a is longer than 32 MiB, .* before it is all here $/);
  assert.match(refusal("a", 1, false, true), /^a is not all here, and a page that may pay buys nothing for a player $/);
});

test("a paying page reads nothing of a file that is not all here, and says what is missing", async () => {
  const pieces = { have: new Uint8Array(1), pieceLength: 10, files: [{ length: 5 }] };
  const file = { name: "a", length: 5, index: 0, blob: () => assert.fail("it was read") };
  const { why } = await wholeUrl(file, pieces, true, lacking);
  assert.match(why, /for a player without a service worker\. There is no service worker\.$/);
});
