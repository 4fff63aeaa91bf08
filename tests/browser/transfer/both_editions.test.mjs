// Pages of one site with `piecework` and with `piecework/free`: they share the origin's engine.
import assert from "node:assert/strict";
import { browser, freeEdition, open, site } from "../support/harness.mjs";
import { Scene, UNIT_FINE } from "../support/paid/scene.mjs";
import { add, deposit, settled } from "../support/paid/viewer.mjs";
import { RemoteWallet } from "../support/paid/wallet.mjs";
import { test } from "../support/tests.mjs";

const MIB = 1 << 20;
const BLOCK = 16_384;

test("a page that pays takes over from one with piecework/free, which goes on by the other's engine", async () => {
  const scene = await Scene.open();
  const url = await site({ mounts: freeEdition("/free") });
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
