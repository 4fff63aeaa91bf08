// Pages of one origin that pay by different vaults, or do not pay.
import assert from "node:assert/strict";
import { browser, open, site } from "../support/harness.mjs";
import { Scene, UNIT_FINE } from "../support/paid/scene.mjs";
import { add, deposit, settled, start } from "../support/paid/viewer.mjs";
import { RemoteWallet } from "../support/paid/wallet.mjs";
import { test } from "../support/tests.mjs";

const BLOCK = 16_384;
const LENGTH = 100 * BLOCK;

/** Two vaults, each with a seller of a title of its own, and a browser with a wallet. */
async function twoVaults() {
  const [url, scene] = [await site(), await Scene.open()];
  const wallet = await RemoteWallet.start(scene.chain, scene.payer);
  const { context } = await browser();
  await wallet.injectInto(context);
  const vaults = [];
  for (const [name, vault] of [
    ["first", scene.chain.vault],
    ["second", await scene.vault()],
  ]) {
    const title = await scene.title(`${name}.bin`, LENGTH);
    const seeder = await scene.seeder([title], 20_000_000, { vault });
    vaults.push({ vault, title, seeder, options: scene.options({ vault }) });
  }
  const page = async (options) => {
    const opened = await open(context, url);
    await start(opened, options);
    return opened;
  };
  return { scene, vaults, page, free: { trackers: [scene.tracker] } };
}

/** Buys a title whole. Answers its info hash. */
async function buys(page, { title, seeder }) {
  const hash = await add(page, title);
  await page.run("done()");
  assert.equal(await page.run("digest()"), title.digest);
  const { earned } = await settled(page, seeder, LENGTH / BLOCK);
  assert.equal(earned, UNIT_FINE * BigInt(LENGTH / BLOCK));
  return hash;
}

const stored = (page) => page.run("client.stored()");
const said = (page) => page.run("said");
const sessionKey = (page) => page.run("client.account().then(({ sessionKey }) => sessionKey)");
const isHost = (page) => page.run("client.stats().then(({ isHost }) => isHost)");
const balance = (page) => page.run("client.account().then(({ balance }) => String(balance))");

/** Loads a page again with its options. */
async function again(page, options) {
  await page.reload();
  await page.run("window.loaded");
  await start(page, options);
  await page.run("client.stats().then(() => true)");
}

test("two vaults of one origin buy at once, each with its own titles and keys; reloads change nothing", async () => {
  const { vaults, page, free } = await twoVaults();
  const [first, second] = [await page(vaults[0].options), await page(vaults[1].options)];
  await deposit(first, "0.5");
  await deposit(second, "0.4");
  const hashes = await Promise.all([buys(first, vaults[0]), buys(second, vaults[1])]);
  assert.deepEqual([await isHost(first), await isHost(second)], [true, true]);
  assert.deepEqual([await stored(first), await stored(second)], [[hashes[0]], [hashes[1]]]);
  const keys = [await sessionKey(first), await sessionKey(second)];
  const payees = [await first.run("client.payee"), await second.run("client.payee")];
  assert.equal(new Set([...keys, ...payees]).size, 4);

  // A page that does not pay has the first vault's engine, however the pages are loaded again.
  const other = await page(free);
  assert.deepEqual(await stored(other), [hashes[0]]);
  assert.equal(await isHost(other), false);
  const third = await page(vaults[1].options);
  assert.deepEqual([await isHost(third), await stored(third)], [false, [hashes[1]]]);
  await third.close();
  for (const [one, options] of [
    [first, vaults[0].options],
    [second, vaults[1].options],
    [other, free],
    [second, vaults[1].options],
    [first, vaults[0].options],
  ])
    await again(one, options);
  assert.deepEqual(
    [await stored(first), await stored(second), await stored(other)],
    [[hashes[0]], [hashes[1]], [hashes[0]]],
  );
  for (const [at, one] of [first, second].entries()) {
    await one.run("client.connectWallet()");
    assert.equal(await sessionKey(one), keys[at]);
    assert.equal(await one.run("client.payee"), payees[at]);
    assert.equal(await balance(one), ["500000", "400000"][at]);
    assert.equal(await one.run("client.stats().then(({ money }) => money.accountReady)"), true);
    assert.equal(await one.run("client.stats().then(({ money }) => money.lack)"), null);
    assert.deepEqual(await said(one), []);
  }
  assert.deepEqual(await said(other), []);
});

test("a free page comes first, then a paying one, then one of another vault; each is reloaded in turn", async () => {
  const { vaults, page, free } = await twoVaults();
  const plain = await page(free);
  const own = await plain.run(`seed(${LENGTH}, 1).then(() => torrent.infoHash)`);
  // The engine of the free page takes the payments of the first page that has some.
  const first = await page(vaults[0].options);
  await deposit(first, "0.5");
  const bought = await buys(first, vaults[0]);
  const second = await page(vaults[1].options);
  await deposit(second, "0.4");
  const other = await buys(second, vaults[1]);
  const pages = [
    [plain, free],
    [first, vaults[0].options],
    [second, vaults[1].options],
  ];
  for (const at of [0, 1, 2, 1, 0, 2]) {
    await again(...pages[at]);
    assert.deepEqual((await stored(plain)).sort(), [own, bought].sort());
    assert.deepEqual((await stored(first)).sort(), [own, bought].sort());
    assert.deepEqual(await stored(second), [other]);
  }
  await first.run("client.connectWallet()");
  assert.equal(await balance(first), "500000");
  for (const [one] of pages) assert.deepEqual(await said(one), []);
});

test("of two vaults that begin at once in a new profile, one gets the first engine and the other its own", async () => {
  const { vaults, page } = await twoVaults();
  // The fresh profile has no store, so both pages look for the first one.
  const both = await Promise.all([page(vaults[0].options), page(vaults[1].options)]);
  await Promise.all(both.map((one, at) => deposit(one, ["0.5", "0.4"][at])));
  await Promise.all(both.map((one, at) => buys(one, vaults[at])));
  assert.deepEqual(await Promise.all(both.map(isHost)), [true, true]);
  const names = await both[0].run("indexedDB.databases().then((all) => all.map(({ name }) => name).sort())");
  const others = vaults.map(({ vault }) => `piecework-31337-${vault.toLowerCase()}`);
  assert.equal(names.length, 2);
  assert.equal(names[0], "piecework");
  assert.ok(others.includes(names[1]), names[1]);
  for (const one of both) assert.deepEqual(await said(one), []);
});

test("two clients of one page pay by two vaults, and each file comes from the engine that has it", async () => {
  const { vaults, page } = await twoVaults();
  const one = await page(vaults[0].options);
  await deposit(one, "0.5");
  const hashes = [await buys(one, vaults[0])];
  await one.run("(window.clients = [client], window.torrents = [torrent], true)");
  await start(one, vaults[1].options);
  await deposit(one, "0.4");
  hashes.push(await buys(one, vaults[1]));
  await one.run("(clients.push(client), torrents.push(torrent), true)");
  assert.deepEqual(await one.run("Promise.all(clients.map((client) => client.stored()))"), [[hashes[0]], [hashes[1]]]);
  for (const [at, { title }] of vaults.entries()) {
    const digest = await one.run(`(async () => {
      window.torrent = torrents[${at}];
      const whole = await fetch(await torrent.files[0].url()).then((response) => response.arrayBuffer());
      const hash = await crypto.subtle.digest("SHA-256", whole);
      return [...new Uint8Array(hash)].map((byte) => byte.toString(16).padStart(2, "0")).join("");
    })()`);
    assert.equal(digest, title.digest);
  }
  // Another page finds the engine of its vault in it.
  for (const [at, { options }] of vaults.entries()) {
    const guest = await page(options);
    assert.deepEqual([await isHost(guest), await stored(guest)], [false, [hashes[at]]]);
    await guest.close();
  }
  assert.deepEqual(await said(one), []);
});
