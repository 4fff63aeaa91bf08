import assert from "node:assert/strict";
import { test } from "node:test";
import { parseRange } from "./build/range.js";

const FAR = Number.MAX_SAFE_INTEGER;

test("one valid range of bytes is read as it is", () => {
  for (const [header, range] of [
    ["bytes=0-0", { start: 0, end: 1 }],
    ["bytes=5-", { start: 5 }],
    ["bytes=-5", { suffix: 5 }],
    ["bytes=-0", { suffix: 0 }],
    ["bytes=007-0010", { start: 7, end: 11 }],
    ["Bytes=1-2", { start: 1, end: 3 }],
    [" bytes=1-2\t", { start: 1, end: 3 }],
    ["bytes=99999999999999999999-", { start: FAR }],
    ["bytes=0-99999999999999999999", { start: 0, end: FAR }],
    ["bytes=-99999999999999999999", { suffix: FAR }],
  ]) {
    assert.deepEqual(parseRange(header), range, header);
  }
});

test("what is not one valid range of bytes asks for the whole file", () => {
  const wrong = [
    null,
    "",
    "bytes",
    "bytes=",
    "bytes=-",
    "bytes=5-2",
    "bytes=99999999999999999999-99999999999999999998",
    "bytes=0-0,2-3",
    "bytes=0-1,",
    ",bytes=0-1",
    "bytes= 0-5",
    "bytes =0-5",
    "bytes=0 -5",
    "bytes=0- 5",
    "items=0-5",
    "0-5",
    "bytes=0-5-7",
    "bytes=+1-2",
    "bytes=1.0-2",
    "bytes=0x1-2",
    "bytes=1e1-20",
    "bytes=--5",
    "bytes:0-5",
    "bytes=a-b",
    "bytes=٠-٥",
  ];
  for (const header of wrong) assert.equal(parseRange(header), null, String(header));
});
