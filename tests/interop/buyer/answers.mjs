// A buyer's answers to each REJECT, to NEED, STATE, ACK and BYE, as the tables of docs/protocol.md have them. The
// vectors lack these.
import assert from "node:assert/strict";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { buyerOfTheVectors, stoppedClock } from "./fixtures.mjs";
import { linksOf } from "./hash_chain.mjs";
import { owed } from "./numbers.mjs";
import { Payments } from "./payments.mjs";
import { ZERO32, sign, tagOf, voucherDigest } from "./voucher.mjs";

const PAYEE = "0x1c5a77d9fa7ef466951b2f01f724bca3a5820b63";
const UNIT = 2_748_779_070n;
const TERMS = {
  type: "TERMS",
  version: 1,
  flags: 0,
  quoteId: 1,
  ttl: 600,
  payee: PAYEE,
  content: ZERO32,
  unit: UNIT,
  minRange: 10_000n << 24n,
};
const CREDIT = { maxSteps: 256, credit0: 16, creditMax: 256, ramp: 2, minBondPercent: 125, luck: ZERO32 };

/** A buyer on a connection whose seller quoted; `said` has its messages since the last look. */
function quoted(path) {
  const clock = stoppedClock();
  const buyer = buyerOfTheVectors(path);
  const out = [];
  const payments = new Payments({
    ...buyer,
    now: () => clock.time,
    after: clock.after,
    send: (message) => out.push(message),
  });
  const said = () => out.splice(0);
  const quote = () => payments.read({ ...TERMS, ...CREDIT });
  quote();
  const [commit] = said();
  const about = { first: commit.first, tag: tagOf(commit) };
  return { ...buyer, clock, payments, said, quote, commit, about };
}

/** The same with an ACK, and with some steps revealed. */
function attached(path, paid = 0) {
  const seat = quoted(path);
  seat.payments.read({ type: "ACK", ...seat.about, k: 0, owedBlocks: 0, creditBlocks: 16 });
  seat.payments.wanted = 100;
  seat.payments.payable = paid;
  seat.payments.settle();
  seat.said();
  return seat;
}

const reject = (seat, code, aux = 0, about = seat.about) => seat.payments.read({ type: "REJECT", code, ...about, aux });

/** The waits before the same COMMIT came again, until buying ended. */
function repetitions(seat, code, aux) {
  const waits = [];
  for (let n = 0; n < 10; n++) {
    reject(seat, code, aux);
    if (seat.payments.ended !== null) return waits;
    const begun = seat.clock.time;
    let again = [];
    while (again.length === 0) {
      seat.clock.next();
      again = seat.said();
    }
    assert.deepEqual(again, [seat.commit]);
    waits.push(seat.clock.time - begun);
  }
  return waits;
}

const cases = {
  "the chain is pending": (path) =>
    assert.deepEqual(repetitions(quoted(path), 13, 0), [2_000, 4_000, 8_000, 16_000, 30_000]),
  "the seller is behind": (path) => assert.deepEqual(repetitions(quoted(path), 4, 7), [2_000, 4_000, 8_000]),
  "the rate": (path) => {
    assert.equal(repetitions(quoted(path), 14, 1)[0], 50);
    assert.equal(repetitions(quoted(`${path}.2`), 14, 1_000)[0], 1_000);
  },
  "what ends the range": (path) => {
    for (const [code, aux] of [
      [3, 0],
      [4, 0],
      [4, 8],
      [5, 7],
      [6, 7],
      [7, 0],
      [8, 0],
      [10, 0],
      [12, 300],
      [16, 2],
      [200, 0],
    ]) {
      const seat = quoted(`${path}.${code}.${aux}`);
      reject(seat, code, aux);
      assert.notEqual(seat.payments.ended, null, `REJECT ${code} (${aux})`);
      assert.equal(seat.records.ranges.get(7).closed, code === 5 || code === 6);
    }
  },
  "what ends buying whatever it names": (path) => {
    for (const code of [1, 2, 15]) {
      const seat = attached(`${path}.${code}`);
      seat.payments.payable = 3;
      reject(seat, code, 0, { first: 0, tag: "0x00000000" });
      assert.deepEqual(
        seat.said().map(({ type, k }) => [type, k]),
        [["PAY", 3]],
      );
      assert.notEqual(seat.payments.ended, null);
    }
  },
  "what is ignored": (path) => {
    const seat = attached(path, 3);
    for (const code of [9, 11]) reject(seat, code);
    for (const code of [3, 5, 13]) reject(seat, code, 0, { first: 99, tag: seat.about.tag });
    for (const reason of [3, 4, 99]) seat.payments.read({ type: "NEED", reason, first: 7 });
    seat.payments.read({ type: "ACK", first: 7, tag: "0x12345678", k: 1, owedBlocks: 0, creditBlocks: 9 });
    seat.payments.read({ type: "BYE", reason: 0 });
    assert.deepEqual([seat.payments.ended, seat.payments.credit, seat.said()], [null, 16, []]);
  },
  "a quote that is refused": (path) => {
    const seat = quoted(path);
    for (let n = 1; n < 4; n++) {
      reject(seat, 9);
      assert.equal(seat.payments.ended, null);
      seat.quote();
      while (seat.said().length === 0) seat.clock.next();
      seat.about = { first: 7, tag: seat.payments.tags[0] };
    }
    reject(seat, 9);
    assert.notEqual(seat.payments.ended, null);
    assert.equal(seat.records.next, 8, "the range stays this payee's");
  },
  "a range that the seller closed": (path) => {
    const seat = attached(path, 3);
    seat.payments.payable = 2;
    seat.payments.read({ type: "NEED", reason: 5, first: 7 });
    assert.deepEqual(
      seat.said().map(({ type, k }) => [type, k]),
      [["PAY", 5]],
    );
    let [next] = seat.said();
    while (next === undefined) {
      seat.clock.next();
      [next] = seat.said();
    }
    assert.deepEqual([next.type, next.first], ["COMMIT", 8]);
  },
  "a range that was consumed after it was paid on": (path) => {
    const seat = attached(path, 3);
    reject(seat, 5, 7);
    assert.deepEqual(
      seat.said().map(({ type, first }) => [type, first]),
      [["COMMIT", 8]],
    );
    assert.equal(seat.payments.ended, null);
  },
  "credit above what was quoted": (path) => {
    const seat = attached(path, 3);
    seat.payments.read({ type: "ACK", ...seat.about, k: 3, owedBlocks: 0, creditBlocks: 9_999 });
    assert.equal(seat.payments.credit, 256);
  },
  "a phantom debt": (path) => {
    const seat = quoted(path);
    seat.payments.read({ type: "ACK", ...seat.about, k: 0, owedBlocks: 5, creditBlocks: 16 });
    assert.equal(seat.payments.allowance(), 11);
    seat.payments.read({ type: "ACK", ...seat.about, k: 0, owedBlocks: 2, creditBlocks: 16 });
    assert.equal(seat.payments.allowance(), 14);
  },
  "the proof of a STATE": (path) => {
    const forgeries = {
      good: {},
      "another payee": { payee: `0x${"33".repeat(20)}` },
      "a wrong link": { k: 5 },
      "another owner": { owner: `0x${"44".repeat(20)}` },
      "fewer steps": { k: 0 },
    };
    for (const [n, [what, forged]] of Object.entries(forgeries).entries()) {
      const seat = quoted(`${path}.${n}`);
      const links = linksOf(`0x${"77".repeat(32)}`, 61);
      const voucher = {
        owner: seat.account.owner,
        payee: PAYEE,
        first: 7,
        count: 1,
        content: ZERO32,
        base: 0n,
        unit: UNIT,
        steps: 61,
        root: links[0],
        luck: ZERO32,
        ...forged,
      };
      const signature = sign(seat.account.sessionKey, voucherDigest(seat.account, voucher));
      const k = forged.k ?? 6;
      seat.payments.read({ type: "STATE", ...voucher, ...signature, k, w: links[k === 5 ? 6 : k] });
      const good = what === "good";
      assert.equal(seat.payments.ended === null, good, what);
      assert.equal(seat.records.revealed(), good ? owed(voucher, 6) : 0n, what);
      if (good) assert.equal(seat.said()[0].base, owed(voucher, 6));
    }
  },
  "evidence of a promise that is not on record": (path) => {
    const seat = attached(path);
    const voucher = {
      owner: seat.account.owner,
      payee: `0x${"33".repeat(20)}`,
      first: 9,
      count: 1,
      content: ZERO32,
      base: 0n,
      unit: UNIT,
      steps: 61,
      root: ZERO32,
      luck: ZERO32,
    };
    seat.payments.read({
      type: "SEEN",
      ...voucher,
      ...sign(seat.account.sessionKey, voucherDigest(seat.account, voucher)),
    });
    assert.ok(seat.records.held);
  },
  "the seller's BYE": (path) => {
    const seat = attached(path);
    seat.payments.payable = 3;
    seat.payments.read({ type: "BYE", reason: 0x81 });
    assert.deepEqual(
      seat.said().map(({ type, k }) => [type, k]),
      [["PAY", 3]],
    );
    assert.equal(seat.payments.allowance(), 0);
  },
};

/** Every answer of the tables. */
export function answers() {
  const path = mkdtempSync(join(tmpdir(), "piecework-buyer-"));
  for (const [name, check] of Object.entries(cases)) {
    try {
      check(join(path, name));
    } catch (error) {
      error.message = `${name}: ${error.message}`;
      throw error;
    }
  }
  rmSync(path, { recursive: true });
}
