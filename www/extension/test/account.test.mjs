import assert from "node:assert/strict";
import { test } from "node:test";
import { Account, isFunded } from "./build/account.js";

const OWNER = `0x${"ab".repeat(20)}`;
const OTHER = `0x${"cd".repeat(20)}`;
const NOW = { accountReady: true, lack: null, balance: 10n, locked: 2n, free: 4n };
const lacking = (lack) => ({ lack });
const before = (funded) => ({ owner: OWNER, funded });

const mayPayFrom = (payer, owner, money) => host({ payer, money }).one().mayPayFrom("https://a.example", owner);

test("the first owner may be named, and the same one again", async () => {
  assert.equal(await mayPayFrom(null, OTHER, NOW), true);
  assert.equal(await mayPayFrom(before(true), OWNER.toUpperCase().replace("X", "x"), NOW), true);
});

test("a deposit of which something can be promised is not left", async () => {
  assert.equal(await mayPayFrom(before(true), OTHER, NOW), false);
  assert.equal(await mayPayFrom(before(false), OTHER, { ...NOW, lack: "budget" }), false);
  // A seller that takes no small promise says nothing of the deposit.
  assert.equal(await mayPayFrom(before(true), OTHER, { ...NOW, lack: "usedup" }), false);
});

test("a deposit that is used up, or that its user ended, is left", async () => {
  const usedUp = [{ balance: 0n }, { free: 0n, locked: 0n }, { free: 0n, lack: "usedup" }];
  const over = [...usedUp, ...["exiting", "withdrawn", "held"].map(lacking)];
  for (const fields of over) {
    assert.equal(isFunded(true, { ...NOW, ...fields }), false);
    assert.equal(await mayPayFrom(before(true), OTHER, { ...NOW, ...fields }), true);
  }
});

test("a deposit that is promised whole is left once it was seen to be used up, and not before", async () => {
  const promised = { ...NOW, free: 0n };
  assert.deepEqual(
    [true, null, false].map((seen) => isFunded(seen, promised)),
    [true, true, false],
  );
  // Until there is another deposit.
  assert.equal(isFunded(false, NOW), true);
});

test("while the chain was not read, a deposit that was there is not left, and an account without one is", async () => {
  const unread = { accountReady: false, lack: "none", balance: 0n, locked: 0n, free: 0n };
  assert.equal(await mayPayFrom(before(true), OTHER, unread), false);
  assert.equal(await mayPayFrom(before(null), OTHER, unread), true);
  assert.equal(await mayPayFrom(before(false), OTHER, unread), true);
});

const [A, B] = ["https://a.example", "https://b.example"];
const EMPTY = { accountReady: true, lack: null, balance: 0n, locked: 0n, free: 0n };
const MINUTE = 60_000;

/** What a host keeps, the engine's own record of the owner, and what happened; `fails` is a step that does. */
function host({ payer = null, engine = null, money = EMPTY } = {}) {
  const seen = { payer, engine, money, time: 0, steps: [], denied: new Set(), fails: null };
  const step = (name, then = () => undefined) => {
    seen.steps.push(name);
    if (seen.fails === name) throw new Error(`no ${name}`);
    then();
  };
  const parts = {
    time: () => seen.time,
    maySpend: (site) => !seen.denied.has(site),
    now: async () => seen.money,
    settle: async () => step(one().isChanging ? "closes" : "settles"),
    payFrom: async (owner) => step("engine", () => (seen.engine = owner)),
    keep: async (next) => step("keep", () => (seen.payer = next)),
  };
  let account = new Account(payer, parts);
  const one = () => account;
  /** The host ended, and another one begins. */
  seen.again = () => (account = new Account(structuredClone(seen.payer), parts));
  return { seen, one };
}

test("another owner pays after what was spent is counted; nothing is spent until the engine pays from it", async () => {
  const { seen, one } = host({ payer: before(false), engine: OWNER });
  assert.equal(await one().payFrom(A, OTHER), true);
  assert.deepEqual(seen.steps, ["closes", "keep", "engine"]);
  assert.deepEqual(
    [seen.payer, seen.engine, one().isChanging],
    [{ owner: OTHER, funded: null, sites: [A] }, OTHER, false],
  );
  // The same one, by another site.
  assert.equal(await one().payFrom(B, OTHER), true);
  assert.deepEqual([seen.payer.sites, seen.steps.length], [[A, B], 4]);
});

test("a host that ends at any step of a change pays from the owner that it kept, once it is told", async () => {
  for (const fails of ["closes", "keep", "engine"]) {
    const { seen, one } = host({ payer: before(false), engine: OWNER });
    seen.fails = fails;
    // It ends there: nothing more is kept.
    await assert.rejects(one().payFrom(A, OTHER), new RegExp(`no ${fails}`));
    assert.equal(one().owner, OWNER);
    if (fails === "engine") seen.payer = { owner: OTHER, funded: null, sites: [A] };
    seen.fails = null;
    const next = seen.again();
    await next.assure();
    assert.deepEqual([seen.engine, next.owner, next.isChanging], [seen.payer.owner, seen.payer.owner, false], fails);
  }
});

test("an engine that refuses another owner leaves all as it was, and is told again whose deposit pays", async () => {
  const { seen, one } = host({ payer: before(false), engine: OWNER });
  seen.fails = "engine";
  await assert.rejects(one().payFrom(A, OTHER), /no engine/);
  assert.deepEqual([one().owner, seen.payer.owner, one().isChanging], [OWNER, OWNER, false]);
  await assert.rejects(one().assure(), /no engine/, "it may have taken it after all");
  seen.fails = null;
  await one().assure();
  assert.equal(seen.engine, OWNER);
  // Once for each engine.
  const { length } = seen.steps;
  await one().assure();
  assert.equal(seen.steps.length, length);
  one().engineIsNew();
  await one().assure();
  assert.equal(seen.steps.length, length + 1);
});

test("a site that names one owner after the other does not keep others from theirs", async () => {
  const { seen, one } = host();
  assert.equal(await one().payFrom(A, OWNER), true);
  await assert.rejects(one().payFrom(A, `0x${"ef".repeat(20)}`), /a moment ago/);
  seen.time += 1;
  assert.equal(await one().payFrom(B, OTHER), true);
  for (; seen.time < MINUTE; seen.time += MINUTE / 10) {
    await assert.rejects(one().mayPayFrom(A, OWNER), /a moment ago/);
    await assert.rejects(one().payFrom(A, OWNER), /a moment ago/);
  }
  // The chain was read meanwhile.
  seen.money = NOW;
  await one().saw(NOW);
  assert.equal(await one().payFrom(A, OWNER), false);
  assert.equal(one().owner, OTHER);
});

test("a deposit whose sites the user took back holds nobody up", async () => {
  const { seen, one } = host({ payer: { ...before(true), sites: [A] }, money: NOW });
  assert.equal(await one().mayPayFrom(B, OTHER), false);
  seen.denied.add(A);
  assert.equal(await one().mayPayFrom(B, OTHER), true);
  assert.equal(await one().payFrom(B, OTHER), true);
  // One of an earlier version names no sites.
  assert.equal(
    await host({ payer: before(true), money: NOW })
      .one()
      .mayPayFrom(B, OTHER),
    false,
  );
});
