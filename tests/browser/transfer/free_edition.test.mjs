// `piecework/free`: the package without payments. It fetches and seeds, and shares an origin with pages that pay.
import assert from "node:assert/strict";
import { browser, freeEdition, open, signaling, site } from "../support/harness.mjs";
import { Scene, UNIT_FINE } from "../support/paid/scene.mjs";
import { add, deposit, settled } from "../support/paid/viewer.mjs";
import { RemoteWallet } from "../support/paid/wallet.mjs";
import { test } from "../support/tests.mjs";

const MIB = 1 << 20;
const BLOCK = 16_384;

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
  assert.match(await page.run(`client.deposit({ amount: "1" }).catch((error) => error.message)`), /not configured/);
});

test("a page that pays takes over from one with piecework/free, which goes on by the other's engine", async () => {
  const scene = await Scene.open();
  const free = Object.fromEntries(Object.entries(freeEdition()).map(([path, file]) => [`/free${path}`, file]));
  const url = await site({ mounts: free });
  const wallet = await RemoteWallet.start(scene.chain, scene.payer);
  const title = await scene.title("film.bin", 100 * BLOCK);
  const seeder = await scene.seeder([title], 20_000_000);
  const { context } = await browser();
  await wallet.injectInto(context);
  const plain = await open(context, url);
  await plain.run(`(async () => {
    const { Client } = await import("/free/dist/piecework.js");
    window.client = new Client({ iceServers: [], uploadLimit: null });
    client.on("error", ({ error }) => said.push(error.message));
    window.torrent = await client.seed(new File([new Uint8Array(${MIB})], "own.bin"));
    return torrent.infoHash;
  })()`);
  assert.equal(await plain.run("client.stats().then(({ isHost }) => isHost)"), true);

  const paying = await open(context, url);
  await paying.run(`start(${JSON.stringify(scene.options())})`);
  await deposit(paying, "2");
  await add(paying, title);
  await paying.run("done()");
  assert.equal(await paying.run("digest()"), title.digest);
  const now = await settled(paying, seeder, 100);
  assert.equal(now.spent, UNIT_FINE * 100n);
  assert.equal(await paying.run("client.stats().then(({ isHost }) => isHost)"), true);
  // The other page still has its torrent, in the engine that pays.
  const after = await plain.run("client.stats().then(({ isHost }) => isHost)");
  assert.equal(after, false);
  assert.equal(await plain.run("torrent.stats().then(({ verified }) => verified)"), MIB);
  assert.deepEqual(await plain.run("said"), []);
});
