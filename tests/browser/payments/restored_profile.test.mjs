import assert from "node:assert/strict";
import { browser, open, site } from "../support/harness.mjs";
import { Scene } from "../support/paid/scene.mjs";
import { add, deposit, look, reload, settled, viewer } from "../support/paid/viewer.mjs";
import { RemoteWallet } from "../support/paid/wallet.mjs";
import { test } from "../support/tests.mjs";

const LENGTH = 64 * 16_384;

/** Changes the engine's database. */
const inDatabase = (change) => `(async () => {
  const opening = indexedDB.open("piecework");
  const database = await new Promise((resolve, reject) => {
    opening.onsuccess = () => resolve(opening.result);
    opening.onerror = () => reject(opening.error);
  });
  const transaction = database.transaction(["records", "keys"], "readwrite");
  const [records, keys] = ["records", "keys"].map((name) => transaction.objectStore(name));
  const asked = ${change};
  await new Promise((resolve, reject) => {
    transaction.oncomplete = () => resolve();
    transaction.onabort = () => reject(transaction.error);
  });
  database.close();
  return JSON.stringify(asked.result);
})()`;
/**
 * Puts the database back to its state before the deposit. The keys and the wallet are there. The promises, the number
 * of this start and the journal's records are not.
 */
const restore = inDatabase(
  `(records.delete(IDBKeyRange.bound("pay/", "pay0")), keys.delete("generation"), keys.put(2 ** 40, "journal"))`,
);
/** Puts it back to its state before the wallet was connected, too. */
const forgetOwner = inDatabase(`keys.delete(IDBKeyRange.bound("owner ", "owner!"))`);

test("a profile that is put back to before its deposit promises nothing from it, in this visit or later", async () => {
  const [url, scene] = [await site(), await Scene.open()];
  const wallet = await RemoteWallet.start(scene.chain, scene.payer);
  const titles = [await scene.title("first.bin", LENGTH), await scene.title("second.bin", LENGTH)];
  const seeder = await scene.seeder(titles, 20_000_000);
  const options = scene.options();
  const page = await viewer(url, wallet, options);
  await deposit(page, "2");
  await add(page, titles[0]);
  await page.run("done()");
  assert.ok((await settled(page, seeder)).vouchersSigned > 0);
  await page.run("client.destroy()");
  await page.run(restore);

  for (const visit of ["first", "second"]) {
    await reload(page, options);
    await page.run(`(window.held = new Promise((resolve) => {
      client.on("paymentneeded", ({ reason }) => reason === "held" && resolve(reason));
    }), true)`);
    await add(page, titles[1]);
    assert.equal(await page.run(`Promise.race([held, done().then(() => "bought")])`), "held", `${visit} visit`);
    const { vouchersSigned, lack } = await look(page);
    assert.deepEqual([vouchersSigned, lack], [0, "held"], `${visit} visit`);
  }

  // The next deposit goes to another account, also where this account is not known to be the wallet's.
  await page.run(forgetOwner);
  await reload(page, options);
  await deposit(page, "2");
  await add(page, titles[1]);
  await page.run("done()");
  assert.equal((await look(page)).lack, null);
  assert.equal((await scene.chain.events()).filter(({ name }) => name === "Opened").length, 2);
});

test("keys that are stored in a form this version does not know are not replaced", async () => {
  const url = await site();
  const { context } = await browser();
  const page = await open(context, url);
  const address = (byte) => `0x${byte.repeat(20)}`;
  const payments = {
    vault: address("33"),
    chainId: 31337,
    token: { address: address("44"), decimals: 6, symbol: "pwUSD" },
    maxPricePerGB: "12",
    budget: "1",
  };
  await page.run(`start(${JSON.stringify({ payments })})`);
  await page.run("client.stats().then(() => true)");
  await page.run("client.destroy()");
  await page.run(inDatabase(`keys.put({ form: "later" }, "payee")`));
  await page.reload();
  await page.run("window.loaded");
  await page.run(`start(${JSON.stringify({ payments })})`);
  await assert.rejects(page.run("client.stats()"), /the stored payee key cannot be read/);
  assert.equal(await page.run(inDatabase(`keys.get("payee")`)), JSON.stringify({ form: "later" }));
});
