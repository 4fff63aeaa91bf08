import assert from "node:assert/strict";
import { test } from "node:test";
import { feeIn } from "./build/following.js";
import { historyCSV, historyOf } from "./build/history.js";

const HASH = "ab".repeat(20);
const PEER = `0x${"22".repeat(20)}`;
const line = (more) => ({
  day: 20_787,
  month: null,
  kind: "bought",
  hash: HASH,
  peer: PEER,
  count: 3,
  amount: 0n,
  ...more,
});

test("the engine's lines become dated entries, the newest first, with the titles' names", () => {
  const entries = historyOf({
    lines: [
      line({ day: null, kind: "redeemed", hash: null, amount: 7n }),
      line({ day: null, month: 2_026 * 12, kind: "sold", amount: (5n << 24n) + 9n }),
      line({ amount: 3n << 24n }),
      line({ kind: "fees", hash: null, peer: null, amount: 21_000n, count: 1 }),
    ],
    names: [{ hash: HASH, name: "film.mp4" }],
  });
  assert.deepEqual(
    entries.map(({ period, date, kind, name, amount, amountFine }) => [period, date, kind, name, amount, amountFine]),
    [
      ["day", "2026-11-30", "bought", "film.mp4", 3n, 3n << 24n],
      ["day", "2026-11-30", "gas", null, 21_000n, null],
      ["month", "2026-01", "sold", "film.mp4", 5n, (5n << 24n) + 9n],
      ["earlier", "", "redeemed", null, 7n, null],
    ],
  );
  for (const day of [0, 4_294_967_295]) assert.match(historyOf({ lines: [line({ day })], names: [] })[0].date, /-/);
});

test("the table has a heading, decimal amounts, and no cell that a spreadsheet runs", () => {
  const names = ["=1+1", "+1", "-1", "@x", "\tx", 'a "b", c', "two\r\nlines", "plain"];
  const entries = names.flatMap((name, at) =>
    historyOf({ lines: [line({ amount: BigInt(at) << 24n })], names: [{ hash: HASH, name }] }),
  );
  const csv = historyCSV(entries, { decimals: 6, symbol: "USD" });
  assert.ok(csv.startsWith("date,kind,title,info hash,peer,count,amount,unit\r\n2026-11-30,bought,'=1+1,"));
  const cells = ["'=1+1", "'+1", "'-1", "'@x", "'\tx", '"a ""b"", c"', '"two\r\nlines"', "plain"];
  for (const [at, cell] of cells.entries())
    assert.ok(csv.includes(`bought,${cell},${HASH},${PEER},3,${at === 0 ? "0" : `0.00000${at}`},USD\r\n`), cell);
  const [gas] = historyOf({ lines: [line({ kind: "fees", amount: 10n ** 17n })], names: [] });
  assert.match(historyCSV([gas], { decimals: 0, symbol: "USD" }), /,0\.1,coin\r\n$/);
});

test("a fee is what this wallet paid, with what an OP-stack chain takes on top, or nothing is said", () => {
  const receipt = { from: PEER.toUpperCase().replace("0X", "0x"), gasUsed: "0x5208", effectiveGasPrice: "0x3b9aca00" };
  assert.equal(feeIn(receipt, PEER), 21_000n * 1_000_000_000n);
  assert.equal(feeIn({ ...receipt, l1Fee: "0x7" }, PEER), 21_000n * 1_000_000_000n + 7n);
  for (const wrong of [
    { from: `0x${"33".repeat(20)}` }, // a paymaster
    { from: undefined },
    { gasUsed: undefined },
    { effectiveGasPrice: 7 },
    { gasUsed: "0x" },
    { gasUsed: "-0x5" },
    { effectiveGasPrice: `0x${"f".repeat(24)}` },
    { l1Fee: "lots" },
  ])
    assert.equal(feeIn({ ...receipt, ...wrong }, PEER), null, JSON.stringify(wrong));
});
