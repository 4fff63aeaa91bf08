// The engine's word on a torrent's title: who signed it, and that a page buys nothing while it does not fit.
import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { readFileSync, writeFileSync } from "node:fs";
import { promisify } from "node:util";
import { ours, site } from "../support/harness.mjs";
import { Scene } from "../support/paid/scene.mjs";
import { add, deposit, settled, viewer } from "../support/paid/viewer.mjs";
import { RemoteWallet } from "../support/paid/wallet.mjs";
import { test } from "../support/tests.mjs";

const BLOCK = 16_384;
const LENGTH = 60 * BLOCK;

/** The title as somebody with a key of their own published it: signed, and not registered. */
async function published(scene, title, name = "publisher") {
  const key = `${scene.folder}/${name}.key`;
  const signed = `${scene.folder}/${name}.torrent`;
  writeFileSync(key, `${Buffer.from(name.padEnd(32, "!")).toString("hex")}\n`, { mode: 0o600 });
  const words = ["--share", "5", "--licence", "CC-BY-4.0", "--json", "-o", signed];
  const { stdout } = await promisify(execFile)(ours("piecework"), ["publish", title.path, "--key", key, ...words]);
  const told = JSON.parse(stdout);
  return { ...title, path: signed, torrent: readFileSync(signed).toString("base64"), told };
}

/** The torrent with these bytes instead of others of the same length. */
function changed({ torrent, ...title }, from, to) {
  const bytes = Buffer.from(torrent, "base64");
  const at = bytes.indexOf(from);
  assert.ok(at >= 0 && from.length === to.length);
  bytes.write(to, at, "latin1");
  return { ...title, torrent: bytes.toString("base64") };
}

const look = "({ title: torrent.title, signature: torrent.signature, link: torrent.magnetURI })";
const awaits = (expected) =>
  `new Promise((done) => {
    const look = () => JSON.stringify(torrent.signature) === '${JSON.stringify(expected)}' && done(true);
    torrent.on("title", look);
    look();
  })`;

test("a page knows who signed a torrent's title, and buys it", async () => {
  const [url, scene] = [await site(), await Scene.open()];
  const wallet = await RemoteWallet.start(scene.chain, scene.payer);
  const title = await published(scene, await scene.title("film.bin", LENGTH));
  const seeder = await scene.seeder([title], 20_000_000);
  const page = await viewer(url, wallet, scene.options());
  await deposit(page, "2");
  await add(page, title);
  const { title: told, signature, link } = await page.run(look);
  assert.equal(signature, "fits");
  assert.match(told.publisher, /^0x[0-9a-f]{40}$/);
  assert.equal(told.creator, told.publisher);
  assert.deepEqual([told.share, told.licence, told.registry, told.chainId], [5, "CC-BY-4.0", null, 1]);
  assert.deepEqual([told.encrypted, told.previous, told.name], [false, null, "film.bin"]);
  assert.match(told.id, /^0x[0-9a-f]{64}$/);
  assert.ok(await page.run("torrent.title.created instanceof Date && Date.now() - torrent.title.created < 600_000"));
  assert.ok(link.includes(`&pw.by=${told.publisher}`), link);
  await page.run("done()");
  assert.equal(await page.run("digest()"), title.digest);
  await settled(page, seeder, LENGTH / BLOCK);
  // A later visit knows it from what is stored.
  await page.run("torrent.remove()");
  await page.run(`(async () => {
    window.torrent = await client.add("${await page.run("torrent.infoHash")}");
    await torrent.ready;
  })()`);
  assert.deepEqual((await page.run(look)).title?.id, told.id);
  assert.deepEqual(page.errors, []);
});

test("a page pays for nothing whose signature does not fit, and says why", async () => {
  const [url, scene] = [await site(), await Scene.open()];
  const wallet = await RemoteWallet.start(scene.chain, scene.payer);
  const title = await scene.title("film.bin", LENGTH);
  const signed = await published(scene, title);
  const seeder = await scene.seeder([signed], 20_000_000);
  const page = await viewer(url, wallet, scene.options());
  await deposit(page, "2");
  await add(page, changed(signed, "CC-BY-4.0", "CC-BY-1.0"));
  const { title: told, signature } = await page.run(look);
  assert.deepEqual([told, signature], [null, { wrong: "the signature is not its publisher's" }]);
  // A peer is there, and asks for money.
  await page.run(`new Promise((met) => {
    const look = async () => {
      const { peers } = await torrent.stats();
      if (peers.some(({ buying }) => buying.pricePerGB > 0n)) met();
      else setTimeout(look, 50);
    };
    look();
  })`);
  assert.equal(await page.run("client.stats().then(({ money }) => money.vouchersSigned)"), 0);
  // The right one comes, and counts.
  await page.run(`(async () => {
    const bytes = Uint8Array.from(atob("${signed.torrent}"), (c) => c.charCodeAt(0));
    await client.add(bytes, { onDemand: false });
  })()`);
  assert.ok(await page.run(awaits("fits")));
  await page.run("done()");
  assert.equal(await page.run("digest()"), title.digest);
  await settled(page, seeder, LENGTH / BLOCK);
  assert.deepEqual(page.errors, []);
});

test("a link that names its publisher gets the title from a peer before anything is paid", async () => {
  const [url, scene] = [await site(), await Scene.open()];
  const wallet = await RemoteWallet.start(scene.chain, scene.payer);
  const title = await scene.title("film.bin", LENGTH);
  const signed = await published(scene, title);
  const page = await viewer(url, wallet, scene.options());
  await deposit(page, "2");
  // Whoever has the unsigned torrent alone sells nothing.
  const unsigned = await scene.seeder([title], 20_000_000);
  const by = (link, publisher) => `${link}&pw.by=${publisher}`;
  await page.run(`(async () => {
    [window.told, window.fetched] = [[], []];
    window.torrent = await client.add("${by(title.magnet, signed.told.publisher)}", { onDemand: false });
    torrent.on("title", () => told.push([torrent.signature, client.stats().then(({ money }) => money.vouchersSigned)]));
    await torrent.ready;
  })()`);
  assert.equal((await page.run(look)).signature, "awaited");
  await unsigned.close();
  const seeder = await scene.seeder([signed], 20_000_000);
  assert.ok(await page.run(awaits("fits")));
  assert.equal((await page.run(look)).title.publisher, signed.told.publisher.toLowerCase());
  await page.run("done()");
  assert.equal(await page.run("digest()"), title.digest);
  await settled(page, seeder, LENGTH / BLOCK);
  assert.deepEqual(page.errors, []);
});
