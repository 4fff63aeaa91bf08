// The names of an origin's stores, and the number of each store's last engine.
import assert from "node:assert/strict";
import { test } from "node:test";
import { aliveName, keepGeneration, lastGeneration, named, storeIn, storeOf } from "./build/stores.js";

const OTHER = `31337-0x${"cd".repeat(20)}`;

test("the first store has the plain names, also towards pages of earlier versions", () => {
  assert.equal(named("piecework-engine", null), "piecework-engine");
  assert.equal(named("piecework-engine", OTHER), `piecework-engine-${OTHER}`);
  assert.match(aliveName(null), /^piecework-page-[0-9a-f-]{36}$/);
  assert.notEqual(aliveName(null), aliveName(null));
  for (const store of [null, OTHER]) assert.equal(storeIn(aliveName(store)), store);
  for (const strange of [undefined, "", "another lock", "piecework-page-5", `piecework-page-${OTHER}`])
    assert.equal(storeIn(strange), null);
});

test("where the page cannot look, the engine is the first one, which says what is wrong", async () => {
  assert.equal(globalThis.indexedDB, undefined);
  assert.equal(await storeOf({ chainId: 31337, vault: `0x${"cd".repeat(20)}` }), null);
});

test("the number of each store's last engine is kept for its next one, and a strange value is none", (t) => {
  const kept = new Map();
  globalThis.localStorage = { getItem: (key) => kept.get(key) ?? null, setItem: (key, value) => kept.set(key, value) };
  t.after(() => delete globalThis.localStorage);
  assert.deepEqual(lastGeneration(null), {});
  keepGeneration(null, 7);
  keepGeneration(OTHER, 2);
  assert.deepEqual(lastGeneration(null), { generation: 7 });
  assert.deepEqual(lastGeneration(OTHER), { generation: 2 });
  // Cleared, or written by somebody else: then nothing is known.
  for (const value of ["", "x", "-1", "1e99"]) {
    kept.set("piecework generation", value);
    assert.deepEqual(lastGeneration(null), {});
  }
  globalThis.localStorage = {
    getItem() {
      throw new Error("denied");
    },
    setItem() {
      throw new Error("denied");
    },
  };
  keepGeneration(null, 8);
  assert.deepEqual(lastGeneration(null), {});
});
