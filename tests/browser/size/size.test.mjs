// The files that a paying page makes a visitor load, compared with their sizes when somebody last looked at them.
import assert from "node:assert/strict";
import { readFileSync, writeFileSync } from "node:fs";
import { brotliCompressSync, gzipSync } from "node:zlib";
import { browser, distFile, open, served, site } from "../support/harness.mjs";
import { test } from "../support/tests.mjs";

const BUDGET = new URL("budget.json", import.meta.url);
/**
 * The growth of a file after which somebody has to look: then run with `PIECEWORK_SIZE_BUDGET=write` and commit the
 * file.
 */
const ROOM = 1.03;
/** The custom element stands in a page of its own right; this test's page uses the client alone. */
const ELEMENT = "player.js";

test("a paying page loads no more than its budget", async () => {
  const url = await site();
  const { context } = await browser();
  const page = await open(context, url);
  const payments = {
    vault: `0x${"44".repeat(20)}`,
    chainId: 31337,
    token: { address: `0x${"55".repeat(20)}`, decimals: 6, symbol: "DUSD" },
    maxPricePerGB: "20",
    budget: "2",
  };
  await page.run(`start(${JSON.stringify({ payments })})`);
  await page.run("seed(65536, 1)");
  await page.run("done()");

  const files = [...new Set([...served(url), ELEMENT])].sort();
  const now = {};
  console.log(
    `        ${"what a paying page loads".padEnd(24)} ` +
      `${"raw".padStart(9)} ${"gzip -9".padStart(9)} ${"brotli".padStart(9)}`,
  );
  const line = (name, sizes) =>
    console.log(`        ${name.padEnd(24)} ${sizes.map((size) => String(size).padStart(9)).join(" ")}`);
  const sum = [0, 0, 0];
  for (const name of files) {
    const bytes = readFileSync(distFile(name));
    const sizes = [bytes.length, gzipSync(bytes, { level: 9 }).length, brotliCompressSync(bytes).length];
    for (const [i, size] of sizes.entries()) sum[i] += size;
    now[name] = sizes[1];
    line(name, sizes);
  }
  line("together", sum);
  if (process.env.PIECEWORK_SIZE_BUDGET === "write") writeFileSync(BUDGET, `${JSON.stringify(now, null, 2)}\n`);

  const budget = JSON.parse(readFileSync(BUDGET, "utf8"));
  assert.deepEqual(files, Object.keys(budget).sort(), "a paying page loads other files than before");
  for (const name of files) {
    const most = Math.floor(budget[name] * ROOM);
    assert.ok(now[name] <= most, `${name} grew: ${now[name]} bytes gzip, it was ${budget[name]} and may be ${most}`);
  }
  assert.deepEqual(page.errors, []);
});
