// A page publishes a film: its wallet signs the title and registers it, other pages buy it, and its creator is paid.
import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { promisify } from "node:util";
import { site } from "../support/harness.mjs";
import { piecework, Scene } from "../support/paid/scene.mjs";
import { viewer } from "../support/paid/viewer.mjs";
import { RemoteWallet } from "../support/paid/wallet.mjs";
import { test } from "../support/tests.mjs";

const BLOCK = 16_384;
const BLOCKS = 64;
const CREATOR = 3;

/** What `piecework info` says of a .torrent, by the scene's chain. */
async function info(scene, torrent) {
  const path = join(scene.folder, "published.torrent");
  writeFileSync(path, Buffer.from(torrent, "base64"));
  const { stdout } = await promisify(execFile)(piecework, ["info", path, "--deployment", scene.deployment, "--json"]);
  return JSON.parse(stdout);
}

/** Publishes the page's torrent with these options. Answers what came of it, the file in base64. */
const publish = (page, options) =>
  page.run(`(async () => {
    const { torrentFile, ...published } = await client.publish(torrent, ${JSON.stringify(options)});
    const file = btoa(String.fromCharCode(...torrentFile));
    const { title, signature } = torrent;
    return { ...published, file, title, signature, same: file === btoa(String.fromCharCode(...torrent.torrentFile)) };
  })()`);

test("a page signs and registers what it seeds, and its creator is credited to the last unit", async () => {
  const scene = await Scene.deployed();
  const { accounts } = scene.anvil;
  const creator = accounts[CREATOR].address;
  const url = await site();
  const wallet = await RemoteWallet.start(scene.chain, scene.payee);
  wallet.signs = true;
  const seller = await viewer(url, wallet, scene.options({ sellPricePerGB: "10" }));
  await seller.run(`seed(${BLOCKS * BLOCK}, 7, { trackers: ["${scene.tracker}"] })`);
  await assert.rejects(publish(seller, {}), /No wallet is connected/);
  await seller.run("client.connectWallet()");
  assert.ok(BigInt(await seller.run("client.registrationFee().then(String)")) > 0n);

  // A refusal leaves the torrent unsigned.
  wallet.refuses.add("eth_signTypedData_v4");
  await assert.rejects(publish(seller, {}), /Refused in the wallet/);
  assert.equal(await seller.run("torrent.signature"), "unsigned");
  wallet.refuses.clear();
  wallet.prompts.length = 0;
  const options = { name: "Evening over the bay", share: "2.5", licence: "CC-BY-4.0", creator, register: true };
  const published = await publish(seller, options);
  assert.deepEqual(wallet.prompts, ["eth_signTypedData_v4", "eth_sendTransaction"]);
  assert.deepEqual([published.isRegistered, published.signature, published.same], [true, "fits", true]);
  assert.equal(published.title.publisher.toLowerCase(), scene.payee.toLowerCase());
  assert.match(published.magnetURI, new RegExp(`&pw\\.by=${scene.payee}&pw\\.content=${published.id}$`, "i"));

  const { title: said } = await info(scene, published.file);
  assert.deepEqual([said.signed, said.fits, said.name, said.licence], [true, true, options.name, options.licence]);
  assert.deepEqual([said.creator, said.share_percent], [creator, "2.5"]);
  assert.equal(said.registry_looked_at.same_words, true);
  assert.equal(said.registry_looked_at.registration.id, published.id);

  // The same words again: nobody is asked for anything.
  wallet.prompts.length = 0;
  assert.equal((await publish(seller, options)).file, published.file);
  assert.deepEqual(wallet.prompts, []);

  const buyer = await viewer(url, await RemoteWallet.start(scene.chain, scene.payer), scene.options());
  await buyer.run("client.connectWallet()");
  await buyer.run('client.deposit({ amount: "1" }).then(() => true)');
  await buyer.run(`add("${published.file}", { onDemand: false })`);
  const registration = await buyer.run("torrent.registration()");
  assert.equal(registration.own.publisher.toLowerCase(), scene.payee.toLowerCase());
  assert.deepEqual([registration.own.share, registration.sameWords, registration.earlier], [2.5, true, null]);
  await buyer.run("done()");
  const redeems = async () => BigInt(await seller.run("client.stats().then(({ money }) => String(money.redeemable))"));
  for (const until = Date.now() + 30_000; (await redeems()) === 0n; )
    assert.ok(Date.now() < until, "nothing was earned");
  await seller.run("client.redeem().then(({ paid }) => String(paid))");
  const redeemed = (await scene.chain.events()).filter(({ name }) => name === "Redeemed");
  const share = redeemed.reduce((sum, { gross }) => sum + (gross * 250n) / 10_000n, 0n);
  assert.ok(share > 0n);
  assert.equal(await seller.run(`client.credit("${creator}").then(String)`), String(share));
  assert.deepEqual([seller.errors, buyer.errors], [[], []]);
});
