// Titles in the page with every real part under it: `piecework publish`, a registry on a chain, a seller and a buyer.
import assert from "node:assert/strict";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { browserPath, launch } from "../support/browsers/chromium.mjs";
import { ChromiumTab } from "../support/browsers/chromium_tab.mjs";
import { FirefoxTab } from "../support/browsers/firefox_tab.mjs";
import { ending, site as testSite } from "../support/harness.mjs";
import { make } from "../support/paid/element.mjs";
import { Scene } from "../support/paid/scene.mjs";
import { dropTorrent, pinnedTo, publishedFilms } from "../support/paid/titles.mjs";
import { add, deposit, settled, viewer } from "../support/paid/viewer.mjs";
import { RemoteWallet } from "../support/paid/wallet.mjs";
import { EMBED, serve } from "../support/player_site.mjs";
import { test } from "../support/tests.mjs";
import { violations } from "./axe.mjs";

const BLOCK = 16_384;
const LENGTH = 64 * BLOCK;
const CREATOR = 3;

/** A site that pays by the scene's deployment, and has a wallet with this account. */
async function siteOf(scene, account = 1) {
  const site = await serve({
    config: () => ({
      trackers: [scene.tracker],
      deployment: "deployment.json",
      maxPricePerGB: "15",
      wallet: "plain",
      walletKeys: [scene.anvil.accounts[account].privateKey],
    }),
    connect: "ws://127.0.0.1:* http://127.0.0.1:*",
    documents: { "/deployment.json": scene.deployment },
  });
  ending(site.close);
  return site.url;
}

/** The page of such a site, in a browser of its own. */
async function visit(scene, { account = 1, ignore = null } = {}) {
  const url = await siteOf(scene, account);
  const browser = await launch(await browserPath());
  ending(() => browser.close());
  const page = browser.context.pages()[0] ?? (await browser.context.newPage());
  page.setDefaultTimeout(60_000);
  page.problems = [];
  page.on("pageerror", (error) => page.problems.push(error.message));
  page.on("console", (message) => {
    if (message.type() === "error" && !ignore?.test(message.text())) page.problems.push(message.text());
  });
  await page.goto(url);
  await page.waitForFunction(() => document.body.dataset.view === "open");
  return page;
}

const text = async (page, selector) => (await page.textContent(selector)).replaceAll("\u00a0", " ").trim();
const says = (page, selector, wanted) =>
  page.waitForFunction(
    ([selector, wanted]) => document.querySelector(selector)?.textContent.includes(wanted),
    [selector, wanted],
  );

test("a creator sees its share of what was redeemed, and claims it to the last unit", async () => {
  const scene = await Scene.deployed();
  const { accounts } = scene.anvil;
  const creator = accounts[CREATOR].address;
  const plain = await scene.title("film.bin", LENGTH);
  const title = await scene.publish(plain, 2, ["--share", "5", "--creator", creator, "--register"]);
  const seeder = await scene.seeder([title], 20_000_000);
  const page = await visit(scene, { account: CREATOR, ignore: /ERR_CONNECTION_REFUSED/ });
  await page.click("#nav-money");
  assert.equal(await page.isVisible("#credit-row"), false);
  await page.click("#connect");
  await page.click(".dev-wallet-yes");
  await says(page, "#credit-hint", "Nothing is credited to 0x");
  assert.equal(await page.isVisible("#credit"), false);

  const buyer = await viewer(await testSite(), await RemoteWallet.start(scene.chain, scene.payer), scene.options());
  await deposit(buyer, "2");
  await add(buyer, title);
  await buyer.run("done()");
  await settled(buyer, seeder, LENGTH / BLOCK);
  assert.equal((await seeder.ask("redeem")).ok, true);
  const redeemed = (await scene.chain.events()).filter(({ name }) => name === "Redeemed");
  const share = redeemed.reduce((sum, { gross }) => sum + (gross * 500n) / 10_000n, 0n);
  assert.ok(share > 0n);

  await page.click("#nav-watch");
  await page.click("#nav-money");
  await page.locator("#credit:enabled").waitFor();
  const credit = await page.evaluate(async () => String(await globalThis.pieceworkPlayer.client.credit()));
  assert.equal(credit, String(share));
  assert.match(await text(page, "#credit"), /^Claim 0\.\d+ pwUSD$/);
  assert.deepEqual(await violations(page), []);
  await page.setViewportSize({ width: 1280, height: 800 });

  // A refusal in the wallet leaves all as it is.
  await page.click("#credit");
  await page.click(".dev-wallet-no");
  await says(page, "#money-message", "You said no in the wallet. Nothing was sent.");
  assert.equal(await scene.chain.balanceOf(creator), 0n);
  await page.locator("#credit:enabled").focus();
  await page.keyboard.press("Enter");
  await page.click(".dev-wallet-yes");
  await says(page, "#money-message", "went to your wallet.");
  assert.equal(await scene.chain.balanceOf(creator), share);
  await says(page, "#credit-hint", "Nothing is credited to 0x");
  assert.equal(await page.isVisible("#credit"), false);

  // The chain is gone: the line says so, and asks again when it is told to.
  await scene.anvil.stop();
  await page.click("#nav-watch");
  await page.click("#nav-money");
  await says(page, "#credit-hint", "It could not be read. The node at 127.0.0.1:");
  await scene.anvil.run();
  await page.click("#credit-again");
  await says(page, "#credit-hint", "Nothing is credited to 0x");
  assert.deepEqual(page.problems, []);
});

/** An address as the card has it at a glance. */
const short = (address) => `${address.slice(0, 8)}\u2026${address.slice(-4)}`;

/** What the page says of the title that is open, once the chain has answered and the seller has named its price. */
async function card(page, state) {
  await page.until((state) => {
    const card = document.querySelector("#published .piecework-title");
    const isAsked = document.querySelector("#costs")?.textContent.includes("Lowest price");
    // The button follows the title at the next look.
    const isRefused = document.querySelector("#play")?.textContent === "Not to be bought";
    const isSo = card?.dataset.state === state && card.querySelector(".failed").hidden;
    return (
      isSo && isAsked && isRefused === ["wrong", "awaited"].includes(state) && document.body.dataset.phase === "offer"
    );
  }, state);
  return page.evaluate(() => {
    const card = document.querySelector("#published .piecework-title");
    const shown = (selector) =>
      [...card.querySelectorAll(selector)].filter((one) => one.checkVisibility()).map((one) => one.textContent);
    const play = document.querySelector("#play");
    return {
      by: shown(".by").join(),
      facts: shown(".facts li"),
      earlier: shown(".earlier").join(),
      more: Object.fromEntries(
        [...card.querySelectorAll("dl > div")].map((row) => [...row.children].map((c) => c.textContent)),
      ),
      isOpen: card.querySelector("details").open,
      play: [play.textContent.replaceAll("\u00a0", " "), play.disabled],
      hint: document.querySelector("#play-hint").textContent,
      wallets: document.querySelector("#wallets").checkVisibility(),
    };
  });
}

async function back(page) {
  await page.click("#nav-watch");
  await page.until(() => document.body.dataset.view === "open");
}

test("the element says who published a title, and offers none that is not signed rightly", async () => {
  const { scene, films, publisher } = await publishedFilms();
  const [good, bad] = ["/good.torrent", "/bad.torrent"];
  const write = (name, { torrent }) => {
    const path = join(scene.folder, name);
    writeFileSync(path, Buffer.from(torrent, "base64"));
    return path;
  };
  const documents = {
    ...EMBED,
    "/deployment.json": scene.deployment,
    [good]: write("good", films.registered),
    [bad]: write("bad", films.tampered),
  };
  const site = await serve({ config: () => null, connect: "ws://127.0.0.1:* http://127.0.0.1:*", documents });
  ending(site.close);
  const page = await ChromiumTab.start();
  ending(() => page.close());
  const wallet = await RemoteWallet.start(scene.chain, scene.payer);
  await wallet.injectInto(page.page.context());
  await page.open(`${site.url}embed.html`);
  const given = { deployment: "deployment.json", "max-price-per-gb": "15", trackers: scene.tracker };
  await page.evaluate(make, { torrent: good, ...given });
  const card = page.page.locator("#player .piecework-title[data-state=registered]");
  await card.getByText("Registered since").waitFor();
  assert.ok((await card.textContent()).startsWith(`Signed by ${short(publisher)}`));
  await page.page.locator("#player .pay:enabled").waitFor();
  await card.getByText("Whole addresses and more").press("Enter");
  await card.getByText(publisher).waitFor();
  assert.deepEqual(await violations(page.page), []);

  await page.evaluate((bad) => document.querySelector("#player").setAttribute("torrent", bad), bad);
  const wrong = page.page.locator("#player .piecework-title[data-state=wrong] .by");
  await wrong.waitFor();
  const why = "Nothing of it is paid for: the signature is not its publisher's.";
  assert.equal(await wrong.textContent(), why);
  await page.until(
    (why) => document.querySelector("#player").shadowRoot.querySelector(".said").textContent === why,
    why,
  );
  assert.equal(await page.page.locator("#player .offer").isVisible(), false);
  assert.deepEqual(wallet.prompts, []);
  assert.deepEqual(page.problems, []);
});

for (const [name, Tab] of [
  ["Chromium", ChromiumTab],
  ["Firefox", FirefoxTab],
])
  test(`${name} says before anything is paid who published a title, and stops at a wrong signature`, async () => {
    const { scene, films, publisher, other, creator } = await publishedFilms();
    const page = await Tab.start();
    ending(() => page.close());
    await page.open(await siteOf(scene));
    await page.until(() => document.body.dataset.view === "open");
    const open = async ({ torrent }, state) => {
      await page.evaluate(dropTorrent, torrent);
      return card(page, state);
    };
    const today = await page.evaluate(() =>
      new Intl.DateTimeFormat(undefined, { dateStyle: "long" }).format(new Date()),
    );

    const registered = await open(films.registered, "registered");
    assert.equal(registered.by, `Signed by ${short(publisher)}`);
    assert.deepEqual(registered.facts, [
      `Registered since ${today}`,
      `5 % of every sale goes to its creator, ${short(creator)}`,
      "Licence: CC-BY-4.0",
    ]);
    assert.equal(registered.earlier, "");
    assert.match(registered.play[0], /^Deposit .* and play$/);
    assert.equal(registered.play[1], false);
    assert.equal(registered.more.Publisher, publisher);
    // The whole addresses are a key away.
    assert.equal(registered.isOpen, false);
    await page.press("#published summary", "Enter");
    await page.until(() => document.querySelector("#published details").open);
    if (page.page) assert.deepEqual(await violations(page.page), []);
    await back(page);

    const signed = await open(films.signed, "signed");
    assert.deepEqual(signed.facts, ["Not registered on the chain", "No licence is granted"]);
    assert.equal(signed.play[1], false);
    await back(page);

    const unsigned = await open(films.unsigned, "unsigned");
    assert.deepEqual([unsigned.by, unsigned.facts], ["Unsigned: nobody says who published this.", []]);
    assert.match(unsigned.play[0], /^Deposit .* and play$/);
    assert.equal(unsigned.play[1], false);
    await back(page);

    const second = await open(films.second, "registered");
    assert.equal(second.earlier, `Somebody else registered the same content earlier: ${short(other)}, on ${today}.`);
    assert.ok(second.more.Earlier.startsWith(`${other} on `), second.more.Earlier);
    assert.equal(second.more["Registrations of this content"], "2");
    assert.equal(second.play[1], false);
    if (page.page) assert.deepEqual(await violations(page.page), []);
    await back(page);

    const tampered = await open(films.tampered, "wrong");
    assert.equal(tampered.by, "Nothing of it is paid for: the signature is not its publisher's.");
    assert.deepEqual([tampered.play, tampered.hint], [["Not to be bought", true], tampered.by]);
    assert.equal(tampered.wallets, false);
    if (page.page) assert.deepEqual(await violations(page.page), []);
    await back(page);

    // The link in hand counts: it names somebody else.
    await open(films.pinned, "signed");
    await back(page);
    await page.fill("#magnet", pinnedTo(films.pinned, other));
    await page.press("#magnet", "Enter");
    const pinned = await card(page, "wrong");
    assert.match(pinned.by, /^Nothing of it is paid for: the link is of 0x.* signed by 0x/);
    assert.deepEqual(pinned.play, ["Not to be bought", true]);
    await back(page);

    // By link alone the title comes from a peer, if it is whom the link names.
    const byLink = async (magnet, state) => {
      await page.fill("#magnet", magnet);
      await page.press("#magnet", "Enter");
      return card(page, state);
    };
    assert.deepEqual((await byLink(films.linked.magnet, "registered")).facts, registered.facts);
    await back(page);
    const awaited = await byLink(pinnedTo(films.awaited, other), "awaited");
    assert.match(awaited.by, /nobody has sent the signed title yet: nothing is paid before it comes\.$/);
    assert.deepEqual([awaited.play, awaited.hint], [["Not to be bought", true], awaited.by]);
    if (page.page) assert.deepEqual(await violations(page.page), []);
    const wallet = await page.evaluate(() => window.__pieceworkDevWallet?.prompts ?? []);
    assert.deepEqual(wallet, [], "the wallet was asked for nothing");
    assert.deepEqual(page.problems, []);
  });
