// `piecework/free`: the package without payments. It fetches and seeds.
import assert from "node:assert/strict";
import { browser, freeEdition, open, signaling, site } from "../support/harness.mjs";
import { test } from "../support/tests.mjs";

const MIB = 1 << 20;

test("two pages with piecework/free seed and fetch a file, bit-exact", async () => {
  const [url, tracker] = [await site({ mounts: freeEdition() }), await signaling()];
  const pages = [];
  for (let i = 0; i < 2; i++) pages.push(await open((await browser()).context, url));
  const [seeder, viewer] = pages;
  for (const page of pages) await page.run(`start({ trackers: ["${tracker}"] })`);
  const torrent = await seeder.run(`seed(${8 * MIB}, 5)`);
  await viewer.run(`add("${torrent}")`);
  await viewer.run("done()");
  assert.equal(await viewer.run("digest()"), await seeder.run(`patternDigest(${8 * MIB}, 5)`));
  for (const page of pages) assert.deepEqual(page.errors, []);
});

test("piecework/free refuses payments and wallets with a sentence", async () => {
  const url = await site({ mounts: freeEdition() });
  const page = await open((await browser()).context, url);
  const payments = `{ vault: "0x${"44".repeat(20)}", chainId: 1, maxPricePerGB: "1" }`;
  const refused = /^This is `piecework\/free`, which neither pays nor is paid: import `piecework` instead\.$/;
  const made = `(async () => start({ payments: ${payments} }))().catch((error) => error.message)`;
  assert.match(await page.run(made), refused);
  await page.run("start({})");
  assert.match(await page.run("client.wallets().catch((error) => error.message)"), refused);
  assert.match(await page.run(`client.deposit({ amount: "1" }).catch((error) => error.message)`), refused);
});
