// A buyer in plain JavaScript, written from docs/protocol.md and docs/vectors alone: no line of it is the crate's or
// the package's. First its code runs against every file of vectors. Then it pays our native seeder for a small title on
// a local chain: it folds, crashes, gets a STATE, comes back, and compares the vault's payouts with its own ledger.
import assert from "node:assert/strict";
import { cleanUp } from "../browser/support/harness.mjs";
import { due } from "./buyer/numbers.mjs";
import { Records } from "./buyer/records.mjs";
import { checks } from "./buyer/vectors.mjs";
import { AMOUNT, BLOCKS, PIECES, TRANCHE, UNIT, World } from "./buyer/world.mjs";

/** Fine units of this many blocks. */
const priceOf = (blocks) => UNIT * BigInt(blocks);

/** The messages of one name that came or went on this connection. */
const said = (peer, name) => peer.payments.log.filter(([what]) => what === name);

/** The first visit: one piece of several blocks, then enough pieces for a fold, then a crash. */
async function buysAndCrashes(world) {
  await world.visit(async (peer, records) => {
    await peer.fetch(1);
    assert.equal(records.revealed(), priceOf(4), "four blocks are four steps");
    await peer.fetch(7);
    assert.ok(said(peer, "fold").length > 0, "28 blocks do not fit a chain of 24 steps");
    assert.equal(records.revealed(), priceOf(28));
    assert.ok(new Records(world.recordsPath).revealed() < records.revealed(), "the last steps are not on record");
  });
  world.crash();
}

/** The second visit: the records are behind, and a STATE shows by how much. Then it buys on, and says BYE. */
async function comesBackByState(world) {
  await world.visit(async (peer, records) => {
    await peer.fetch(8);
    assert.equal(said(peer, "STATE").length, 1);
    assert.equal(records.revealed(), priceOf(32), "nothing was paid twice");
    await peer.fetch(15);
    assert.equal(records.revealed(), priceOf(60));
    peer.leave();
  });
}

/**
 * The third visit: the records are right, so the seller takes its fold. It buys the rest, and the seller redeems while
 * it is there.
 */
async function buysTheRest(world) {
  await world.visit(async (peer, records) => {
    await peer.fetch(PIECES);
    assert.equal(said(peer, "STATE").length, 0);
    assert.equal(records.revealed(), priceOf(BLOCKS));
    assert.equal(records.ranges.size, 2, "61 blocks to a serial: the second one pays the rest");
    world.redeemed = await world.seeder.ask("redeem");
    await peer.until("NEED 5 of the range that is not full", () =>
      [...records.ranges.values()].some(({ closed }) => closed),
    );
    peer.leave();
  });
  const whole = Buffer.concat(Array.from({ length: PIECES }, (_, piece) => world.download.pieces.get(piece)));
  assert.ok(whole.equals(world.bytes), "the title is the seeder's");
}

/** The vault paid each range as the buyer's ledger says, and the rest of the deposit is there. */
async function isRedeemed(world) {
  const ranges = [...new Records(world.recordsPath).ranges.values()];
  const ledger = ranges.map(({ first, count, revealed }) => [
    first,
    due({ count, base: revealed, unit: 0n }, 0, TRANCHE),
  ]);
  const redemptions = await world.chain.reader.redemptions();
  const byFirst = ([a], [b]) => a - b;
  assert.deepEqual(
    redemptions.map(({ first, net }) => [Number(first), net]).sort(byFirst),
    ledger.sort(byFirst),
    JSON.stringify(world.redeemed),
  );
  for (const { payee, owner } of redemptions)
    assert.deepEqual([payee.toLowerCase(), owner.toLowerCase()], [world.payee, world.account.owner]);
  const sum = ledger.reduce((all, [, units]) => all + units, 0n);
  assert.equal(await world.chain.reader.balanceOf(world.payee), sum);
  const { balance, consumed } = await world.chain.state(world.account.id);
  assert.equal(balance, AMOUNT - sum);
  assert.equal(
    consumed,
    ranges.reduce((serials, { count }) => serials + count, 1),
  );
}

/** Runs all of them, each as one of `test`'s. */
export async function buyer(test) {
  for (const [file, check] of Object.entries(checks)) await test(`buyer: its code agrees with ${file}`, check);
  let world;
  const step = (name, body) =>
    test(`buyer: ${name}`, async () => {
      world ??= World.start();
      await body(await world);
    });
  await step("pays a piece of several blocks, folds, and crashes", buysAndCrashes);
  await step("is shown a STATE, and buys on from there", comesBackByState);
  await step("comes back with records that are right, and buys the rest until the seller redeems", buysTheRest);
  await step("the vault paid what its ledger says", isRedeemed);
  await cleanUp();
}

// By itself: `node buyer.mjs`.
if (process.argv[1] && import.meta.url === new URL(`file://${process.argv[1]}`).href) {
  let [passed, failed] = [0, 0];
  await buyer(async (name, body) => {
    try {
      await body();
      passed++;
      console.log(`ok      ${name}`);
    } catch (error) {
      failed++;
      console.log(`FAILED  ${name}\n${error.stack ?? error}`);
    }
  });
  console.log(`${passed} passed, ${failed} failed`);
  process.exit(failed > 0 ? 1 : 0);
}
