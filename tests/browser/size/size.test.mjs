// The files that pages make a visitor load: in all, and each compared with its size when somebody last looked at it.
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { createHash, randomBytes } from "node:crypto";
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { brotliCompressSync } from "node:zlib";
import {
  browser,
  distFile,
  folder,
  freeEdition,
  native,
  open,
  run,
  served,
  signaling,
  site,
} from "../support/harness.mjs";
import { Scene } from "../support/paid/scene.mjs";
import { add, deposit, settled, viewer } from "../support/paid/viewer.mjs";
import { RemoteWallet } from "../support/paid/wallet.mjs";
import { test } from "../support/tests.mjs";

const BUDGET = new URL("budget.json", import.meta.url);
/**
 * The growth of a file after which somebody has to look: then run with `PIECEWORK_SIZE_BUDGET=write` and commit the
 * file.
 */
const ROOM = 1.03;
/** Bytes, `gzip -9`, of scripts and wasm: of a page that pays, and of one that never does. */
const MOST_PAYING = 270_000;
const MOST_FREE = 175_000;
const BLOCK = 16_384;
const LENGTH = 200 * BLOCK;
/** The service worker comes besides: the browser asks for it in its own time. */
const SERVICE_WORKER = "sw.js";
/** What these visits do not load. Their growth is looked at as well. */
const OTHERS = ["player.js", "piecework_rest.wasm", "free/piecework_rest.wasm"];

/** By the program `gzip`, as `cargo xtask wasm` says it: node's own zlib makes the wasm 0.5 to 0.9 % longer. */
const weigh = (name) => {
  const path = distFile(name);
  const bytes = readFileSync(path);
  return [bytes.length, execFileSync("gzip", ["-9nc", path]).length, brotliCompressSync(bytes).length];
};

/** Prints what a page loaded, and gives the sum of it without the service worker, in bytes of `gzip -9`. */
function weight(what, files) {
  console.log(`        ${what.padEnd(32)} ${"raw".padStart(9)} ${"gzip -9".padStart(9)} ${"brotli".padStart(9)}`);
  const line = (name, sizes) =>
    console.log(`        ${name.padEnd(32)} ${sizes.map((size) => String(size).padStart(9)).join(" ")}`);
  const sum = [0, 0, 0];
  for (const name of files) {
    const sizes = weigh(name);
    line(name, sizes);
    if (name !== SERVICE_WORKER) for (const [i, size] of sizes.entries()) sum[i] += size;
  }
  line("together, without sw.js", sum);
  return sum[1];
}

test(`a page that deposits and buys loads no more than ${MOST_PAYING} bytes`, async () => {
  const [url, scene] = [await site(), await Scene.open()];
  const wallet = await RemoteWallet.start(scene.chain, scene.payer);
  const title = await scene.title("film.bin", LENGTH);
  const seeder = await scene.seeder([title], 20_000_000);
  const page = await viewer(url, wallet, scene.options());
  await deposit(page, "2");
  await add(page, title);
  await page.run("done()");
  await settled(page, seeder, LENGTH / BLOCK);
  const files = served(url).sort();
  const sum = weight("a page that deposits and buys", files);
  assert.deepEqual(files, ["payments.js", "piecework.js", "piecework_bg.wasm", "sw.js", "worker.js"]);
  assert.ok(sum <= MOST_PAYING, `${sum} bytes`);
  assert.deepEqual(page.errors, []);
});

test(`a page with piecework/free loads no more than ${MOST_FREE} bytes`, async () => {
  const [url, tracker, data] = [await site({ mounts: freeEdition() }), await signaling(), folder("native")];
  const bytes = randomBytes(LENGTH);
  writeFileSync(join(data, "film.bin"), bytes);
  await run(["create", join(data, "film.bin"), "--tracker", tracker, "-o", join(data, "film.torrent")]);
  await native(["seed", join(data, "film.torrent"), "--data", data, "--state", join(data, "state")], /^seeding /);
  const { context } = await browser();
  const page = await open(context, url);
  await page.run("start({})");
  await page.run(`add("${readFileSync(join(data, "film.torrent")).toString("base64")}")`);
  await page.run("done()");
  assert.equal(await page.run("digest()"), createHash("sha256").update(bytes).digest("hex"));
  const files = served(url).sort();
  const sum = weight("a page with piecework/free", files);
  assert.deepEqual(files, ["free/piecework.js", "free/piecework_bg.wasm", "free/worker.js", "sw.js"]);
  assert.ok(sum <= MOST_FREE, `${sum} bytes`);
  assert.deepEqual(page.errors, []);
});

test("no file of a page grew unseen", () => {
  const budget = JSON.parse(readFileSync(BUDGET, "utf8"));
  const engine = ["piecework.js", "piecework_bg.wasm", "worker.js"];
  const files = [...engine, ...engine.map((name) => `free/${name}`), "payments.js", SERVICE_WORKER, ...OTHERS].sort();
  const now = Object.fromEntries(files.map((name) => [name, weigh(name)[1]]));
  if (process.env.PIECEWORK_SIZE_BUDGET === "write") writeFileSync(BUDGET, `${JSON.stringify(now, null, 2)}\n`);
  else assert.deepEqual(files, Object.keys(budget).sort(), "the budget names other files");
  for (const name of files) {
    const most = Math.floor((budget[name] ?? now[name]) * ROOM);
    assert.ok(now[name] <= most, `${name} grew: ${now[name]} bytes gzip, it was ${budget[name]} and may be ${most}`);
  }
});
