import assert from "node:assert/strict";
import { site } from "../support/harness.mjs";
import { FUNDS, Scene, UNIT_FINE } from "../support/paid/scene.mjs";
import { add, deposit, look, reload, settled, viewer } from "../support/paid/viewer.mjs";
import { RemoteWallet } from "../support/paid/wallet.mjs";
import { test } from "../support/tests.mjs";

const BLOCK = 16_384;
const LENGTH = 200 * BLOCK;
const refusal = /PieceworkRejectedError: Refused in the wallet\./;

test("a wallet that refuses gives a clear error, and nothing is sent or paid", async () => {
  const [url, scene] = [await site(), await Scene.open()];
  const wallet = await RemoteWallet.start(scene.chain, scene.payer);
  const title = await scene.title("film.bin", LENGTH);
  const seeder = await scene.seeder([title], 20_000_000);
  const page = await viewer(url, wallet, scene.options());
  const needed = page.run(
    `new Promise((resolve) => client.on("paymentneeded", ({ pricePerGB }) => resolve(String(pricePerGB))))`,
  );

  wallet.refuses.add("eth_requestAccounts");
  await assert.rejects(deposit(page, "2"), refusal);
  wallet.refuses.clear();
  wallet.refuses.add("eth_sendTransaction");
  await assert.rejects(deposit(page, "2"), refusal);
  assert.deepEqual(wallet.prompts, ["eth_requestAccounts", "eth_requestAccounts", "eth_sendTransaction"]);
  assert.deepEqual(wallet.sent, []);
  assert.equal(await scene.chain.balanceOf(scene.payer), FUNDS);
  assert.deepEqual(await scene.chain.events(), []);

  // Without a deposit the page hears the price, and gets nothing.
  await add(page, title);
  assert.ok(Number(await needed) >= 9_999_999, "the price the seller asks is named");
  const now = await look(page);
  assert.deepEqual([now.downloaded, now.spent, now.vouchersSigned], [0, 0n, 0]);
  assert.equal((await seeder.ask("stats")).torrents[0].uploaded, 0);

  // The same page goes on as soon as the person agrees.
  wallet.refuses.clear();
  await deposit(page, "2");
  await page.run("done()");
  assert.equal(await page.run("digest()"), title.digest);
  assert.equal((await settled(page, seeder, LENGTH / BLOCK)).earned, UNIT_FINE * BigInt(LENGTH / BLOCK));
});

test("a chain that is gone in mid-download stops no agreed range, and the rest goes on when it is back", async () => {
  const [url, scene] = [await site(), await Scene.open()];
  const wallet = await RemoteWallet.start(scene.chain, scene.payer);
  const titles = [await scene.title("first.bin", LENGTH), await scene.title("second.bin", LENGTH)];
  const seeder = await scene.seeder(titles, 2_000_000);
  const options = scene.options();
  const page = await viewer(url, wallet, options);
  await deposit(page, "2");
  const asked = [...wallet.prompts];
  await add(page, titles[0]);
  await page.run("pieces(1)");
  await scene.anvil.stop();

  // The first range is accepted already: its 61 blocks need no chain. A page that begins now finds none to read.
  await page.run(`new Promise((resolve) => {
    const enough = () => fetched.length >= 12 && resolve(true);
    torrent.on("piece", enough);
    enough();
  })`);
  await reload(page, options);
  const warned = page.run(
    `new Promise((resolve) => (said.length ? resolve(said[0]) : client.on("warning", ({ text }) => resolve(text))))`,
  );
  await add(page, titles[0]);
  say(await warned);

  await scene.anvil.run();
  await page.run("done()");
  assert.equal(await page.run("digest()"), titles[0].digest);
  await add(page, titles[1]);
  await page.run("done()");
  assert.equal(await page.run("digest()"), titles[1].digest);
  const end = await settled(page, seeder);
  assert.equal(end.earned, end.spent);
  assert.ok(end.spent <= (UNIT_FINE * BigInt(end.sent)) / BigInt(BLOCK));
  assert.deepEqual(wallet.prompts, asked);
  assert.equal((await seeder.ask("redeem")).ok, true);
});

const say = (text) => process.env.PIECEWORK_TEST_VERBOSE && console.log(`  ${text}`);
