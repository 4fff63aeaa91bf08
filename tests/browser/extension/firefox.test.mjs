// The extension in Firefox: its background page runs the engine.
import assert from "node:assert/strict";
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { zip } from "../../../www/extension/zip.mjs";
import { FirefoxTab } from "../support/browsers/firefox_tab.mjs";
import { EXTENSION, clientOf, earnedBy, fetched, older, until } from "../support/extension.mjs";
import { ending, folder, signaling, site } from "../support/harness.mjs";
import { RESALE_FINE, Scene, UNIT_FINE } from "../support/paid/scene.mjs";
import { BLOCK, MIB } from "../support/paid/terms.mjs";
import { add, deposit, viewer } from "../support/paid/viewer.mjs";
import { RemoteWallet, inject } from "../support/paid/wallet.mjs";
import { film } from "../support/swarm.mjs";
import { test } from "../support/tests.mjs";

const ID = "extension@piecework.example";
const LENGTH = 4 << 20;
/** Only Mozilla signs packages; its long-term release installs others where it is told to. */
const UNSIGNED = { "xpinstall.signatures.required": false };

/** A Firefox with this profile. */
async function firefox(profile) {
  const tab = await FirefoxTab.start({}, { profile, preferences: UNSIGNED, wholeBrowser: true });
  ending(() => tab.close());
  tab.run = (expression) => tab.evaluate(`async () => (${expression})`);
  return tab;
}

/** Does something in a page of the extension. */
async function inOwn(tab, page, work) {
  // First in the tab that is there: a new one opens beside the chosen one.
  const root = await tab.rootOf(ID);
  const own = await tab.another();
  await own.open(root + page);
  await work(own);
  // The question closes by itself when it is answered.
  await own.leave().catch(() => undefined);
}

/** Installs it; its user reads the first page. No STUN server is asked: tests talk to this machine alone. */
async function setUp(tab, packed = join(EXTENSION, "piecework-firefox.zip")) {
  await tab.install(packed);
  await inOwn(tab, "options.html", async (own) => {
    await own.fill("#ice", "none");
    await own.click("#network button");
    await own.until(() => document.querySelector("#live").textContent === "Saved");
  });
  await inOwn(tab, "welcome.html", async (own) => {
    await own.click("#start");
    await own.until(() => /It runs/.test(document.querySelector("#state").textContent));
  });
}

/** The user's word on a site. */
async function allow(tab, url, budget) {
  await inOwn(tab, `ask.html?site=${encodeURIComponent(new URL(url).origin)}`, async (own) => {
    if (budget) await own.fill("#budget", budget);
    await own.until(() => !document.querySelector("#yes").disabled);
    await own.click("#yes");
  });
}

test("in Firefox a title that a site fetched is seeded with no tab open, and after a restart", async () => {
  const [url, tracker, profile] = [await site(), await signaling(), folder("profile")];
  const title = await film(tracker, LENGTH);
  const seeder = await title.seedFreezably();
  const tab = await firefox(profile);
  await setUp(tab);
  await tab.open(url);
  await tab.run("window.loaded");
  await tab.run(`start({ engine: "extension" })`);
  await allow(tab, url);
  await tab.run(`add("${title.torrent}")`);
  await tab.run("done()");
  assert.equal(await tab.run("digest()"), title.digest);
  assert.equal(await tab.run("workers.length"), 0, "the page runs no engine");
  assert.deepEqual(await tab.run("said"), []);

  seeder.freeze();
  await tab.open("about:blank");
  assert.equal(await fetched(title), title.digest);
  await tab.close();
  await firefox(profile);
  assert.equal(await fetched(title), title.digest);
});

test("in Firefox a site buys through the extension, which sells it to another browser after a restart", async () => {
  const [url, scene, profile] = [await site(), await Scene.deployed(), folder("profile")];
  const [wallet, other] = await Promise.all([1, 2].map(() => RemoteWallet.start(scene.chain, scene.payer)));
  const title = await scene.title("film.bin", 4 * MIB);
  const seeder = await scene.seeder([title], 20_000_000);
  const blocks = BigInt(title.bytes / BLOCK);
  const client = clientOf(scene);
  const tab = await firefox(profile);
  await setUp(tab);
  await inOwn(tab, "options.html", async (own) => {
    await own.until(() => document.querySelector("#ice").value === "none");
    await own.evaluate(
      (text) => {
        document.querySelector("#deployment").value = text;
        document.querySelector("#most").value = "12";
      },
      readFileSync(scene.deployment, "utf8"),
    );
    await own.click("#vault button.primary");
    await own.until(() => /paid in/.test(document.querySelector("#vault-now").textContent));
  });
  await tab.open(url);
  await tab.run("window.loaded");
  await tab.evaluate(inject, wallet.url);
  await tab.run(`start(${JSON.stringify({ engine: "extension", ...client })})`);
  await allow(tab, url, "1");
  assert.equal(await deposit(tab, "1"), "1000000");
  await add(tab, title);
  await tab.run("done()");
  assert.equal(await tab.run("digest()"), title.digest);
  const all = UNIT_FINE * blocks;
  const earned = await until(
    () => earnedBy(seeder),
    (sum) => sum === all,
  );
  assert.equal(earned, all);
  const spent = await until(
    () => tab.run("torrent.stats().then(({ spentFine }) => String(spentFine))"),
    (sum) => sum === String(all),
  );
  assert.equal(spent, String(all));
  assert.deepEqual(await tab.run("said"), []);
  await seeder.close();
  await tab.close();

  await firefox(profile);
  const buyer = await viewer(url, other, { ...client, payments: { ...client.payments, budget: "1" } });
  await deposit(buyer, "1");
  await add(buyer, title);
  await buyer.run("done()");
  assert.equal(await buyer.run("digest()"), title.digest);
  const paid = await buyer.run("client.stats().then(({ money }) => String(money.spentFine))");
  assert.equal(BigInt(paid), RESALE_FINE * blocks);
});

test("in Firefox an update in mid-download goes on with what is here, and seeds by itself at once", async () => {
  const [url, tracker, profile] = [await site(), await signaling(), folder("profile")];
  const [whole, part] = [await film(tracker, 1 << 20), await film(tracker, LENGTH)];
  const seeder = await whole.seedFreezably();
  await part.seed("--upload-limit", "1M");
  const before = older("firefox");
  const packed = join(folder("packed"), "piecework.xpi");
  writeFileSync(packed, await zip(before.path));
  const tab = await firefox(profile);
  await setUp(tab, packed);
  const begin = async () => {
    await tab.open(url);
    await tab.run("window.loaded");
    await tab.run(`start({ engine: "extension" })`);
  };
  await begin();
  await allow(tab, url);
  await tab.run(`add("${whole.torrent}")`);
  await tab.run("done()");
  seeder.freeze();
  await tab.run(`add("${part.torrent}")`);
  await tab.run(`torrent.stats().then(({ pieceLength }) => pieces((3 << 20) / pieceLength))`);

  before.becomesNew();
  writeFileSync(packed, await zip(before.path));
  await tab.install(packed);
  assert.equal(await fetched(whole), whole.digest);
  await begin();
  await tab.run(`add("${part.torrent}")`);
  await tab.run("done()");
  assert.equal(await tab.run("digest()"), part.digest);
  const { downloaded } = await tab.run("stats()");
  assert.ok(downloaded < LENGTH - (1 << 20), `${downloaded} of ${LENGTH} came anew`);
  await inOwn(tab, "options.html", async (own) => {
    assert.equal(await own.evaluate("() => browser.runtime.getManifest().version"), before.version);
  });
});
