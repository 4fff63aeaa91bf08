// The page's views before playing, and in trouble: opening, the offer, sharing, offline, failures.
import assert from "node:assert/strict";
import {
  MAGNET,
  PAID,
  browser,
  calls,
  ledger,
  offer,
  open,
  openTitle,
  shot,
  site,
  test,
  text,
  tooWide,
} from "./page.mjs";

test("an empty first view says what to do, and a wrong link what is wrong", async (t) => {
  const page = await open(t, "paid");
  assert.equal(await page.isVisible("#library-empty"), true);
  await shot(page, "open-light");
  await page.fill("#magnet", "https://example.org/");
  await page.press("#magnet", "Enter");
  assert.match(await text(page, "#open-error"), /not a magnet link/);
  assert.equal(await page.getAttribute("#magnet", "aria-invalid"), "true");
  assert.equal(await page.evaluate(() => document.activeElement.id), "magnet");
  await page.fill("#magnet", "magnet:?xt=broken");
  await page.press("#magnet", "Enter");
  await page.waitForFunction(() => document.querySelector("#open-error").textContent.includes("info hash"));
  await shot(page, "open-error");
});

test("a paid title says price, most, deposit, bond and return before the wallet is asked", async (t) => {
  const page = await offer(t, "paid");
  const rows = await ledger(page, "#costs");
  assert.equal(rows["Lowest price"], "10.00 pwUSD per GB");
  assert.equal(rows["The most it can cost"], "0.376012 pwUSD");
  // At the price that is asked it can cost 0.250675.
  assert.equal(rows.Deposit, "0.30 pwUSD");
  assert.equal(rows.Bond, "0.38 pwUSD");
  assert.equal(rows["From your wallet now"], "0.68 pwUSD");
  assert.match(await text(page, "#costs"), /comes back whole.*lost only if the same money is promised to two sellers/);
  assert.match(await text(page, "#costs"), /72 hours after you ask/);
  assert.equal(await text(page, "#play"), "Deposit 0.68 pwUSD and play");
  assert.equal(await page.isVisible("#offer-cap"), true);
  assert.deepEqual(await calls(page), ["add onDemand=true"]);
  assert.equal(await page.evaluate(() => window.fake.options.uploadLimit), 0);
  await shot(page, "offer-paid-light");
});

test("one gesture connects, deposits, sets the limits, allows uploading and plays, in this order", async (t) => {
  const page = await offer(t, "paid");
  await page.fill("#ceiling", "12.5");
  await page.fill("#budget", "0.30");
  await page.waitForFunction(() => document.querySelector("#costs").textContent.includes("0.30"));
  await page.fill("#offer-cap", "800");
  await page.getByText("<b>Second</b> Wallet").click();
  await page.click("#play");
  await page.waitForFunction(() => document.body.dataset.phase === "watching");
  await page.waitForFunction(() => window.fake.calls.includes("streamTo"));
  assert.deepEqual(await calls(page), [
    "add onDemand=true",
    "connect two.example",
    "deposit 0.300000 0.380000",
    "budget 0.300000",
    "maxPricePerGB 12.500000",
    "uploadLimit 800000",
    "seedLibrary",
    "streamTo",
  ]);
  assert.equal(await text(page, "#share-state"), "Uploading is on, at most 800 kB/s.");
});

test("a title that was kept before is kept again by the button, unless the switch is turned off", async (t) => {
  for (const again of [true, false]) {
    const page = await offer(t, "kept");
    const keep = page.getByRole("group", { name: "All of it" }).getByLabel("Go on keeping the whole title");
    assert.equal(await keep.isChecked(), true);
    const said = (await text(page, "#offer-keep-hint")).replaceAll("\u00a0", " ");
    assert.match(
      said,
      /^You chose so before\. The rest is 24\.8 MB: 0\.2482 pwUSD at the lowest price, at most 0\.376012 pwUSD\.$/,
    );
    assert.equal((await calls(page)).at(-1), "add onDemand=true", "nothing is fetched yet");
    if (!again) {
      await keep.focus();
      await page.keyboard.press("Space");
    }
    await page.click("#play");
    await page.waitForFunction(() => window.fake.calls.includes("streamTo"));
    const kept = (await calls(page)).filter((call) => call.startsWith("keep"));
    assert.deepEqual(kept, [`keep ${again}`]);
    // The next look shows it.
    await page.waitForFunction((again) => document.querySelector("#keep").checked === again, again);
    await page.close();
  }
  const other = await offer(t, "paid");
  assert.equal(await other.locator("#offer-kept").isVisible(), false);
});

test("a refusal in the wallet sends nothing and says so beside the button", async (t) => {
  const page = await offer(t, "paid");
  await page.evaluate(() => (window.fake.rejects = true));
  await page.click("#play");
  await page.waitForFunction(() => document.querySelector("#play-error").textContent !== "");
  assert.match(await text(page, "#play-error"), /said no/);
  assert.equal(await page.evaluate(() => document.body.dataset.phase), "offer");
  assert.deepEqual(await calls(page), ["add onDemand=true", "connect one.example"]);
  await page.waitForFunction(() => document.activeElement.id === "play" && !document.querySelector("#play").disabled);
  assert.equal(await text(page, "#play"), "Deposit 0.68 pwUSD and play");
  await shot(page, "offer-refused");
});

test("a wallet that fails is quoted, and the button works again", async (t) => {
  const page = await offer(t, "paid");
  await page.evaluate(() => (window.fake.fails = "The wallet holds 0.5 pwUSD; 4.5 are needed."));
  await page.click("#play");
  await page.waitForFunction(() => document.querySelector("#play-error").textContent.includes("4.5 are needed"));
  await page.waitForFunction(() => !document.querySelector("#play").disabled);
});

test("a price above the limit cannot be accepted", async (t) => {
  const page = await offer(t, "paid");
  await page.fill("#ceiling", "9");
  await page.waitForFunction(() => document.querySelector("#play").disabled);
  assert.equal(await text(page, "#play"), "Above your limit");
  await page.fill("#ceiling", "nine");
  await page.waitForFunction(() => document.querySelector("#ceiling").getAttribute("aria-invalid") === "true");
  assert.match(await text(page, "#limits-error"), /Give an amount/);
});

test("without a wallet the page says how to get one", async (t) => {
  const page = await open(t, "paid");
  await page.evaluate(() => (window.fake.wallets = []));
  await page.evaluate(() => window.pieceworkPlayer.app.engine.findWallets());
  await openTitle(page);
  await page.waitForFunction(() => !document.querySelector("#wallet-none").hidden);
  assert.equal(await page.isDisabled("#play"), true);
  await shot(page, "offer-no-wallet");
});

test("a film of 0.46 asks for a deposit of 0.50 and a bond of 0.63", async (t) => {
  const page = await offer(t, "paid");
  // At the limit of 15 per GB, and 0.46 at the seller's 10.
  await page.evaluate(() => (window.fake.torrent.state.maxCost = 690_000n));
  await page.waitForFunction(() => document.querySelector("#play").textContent.includes("1.13"));
  const rows = await ledger(page, "#costs");
  assert.deepEqual([rows.Deposit, rows.Bond, rows["From your wallet now"]], ["0.50 pwUSD", "0.63 pwUSD", "1.13 pwUSD"]);
  await page.click("#play");
  await page.waitForFunction(() => document.body.dataset.phase === "watching");
  assert.ok((await calls(page)).includes("deposit 0.500000 0.630000"));
});

test("more than the title needs can be put down, and the button, the wallet and the limit have that sum", async (t) => {
  const page = await offer(t, "paid");
  const chosen = () => page.locator("#sum-options input:checked").evaluate((radio) => radio.parentElement.innerText);
  assert.match(await chosen(), /Enough for this title\s*0\.30/);
  assert.equal(await page.inputValue("#budget"), "0.30");
  await page.locator("#sum-options input:checked").press("ArrowDown");
  await page.waitForFunction(() => document.querySelector("#play").textContent.includes("1.35"));
  assert.match(await chosen(), /Twice as much, for others too\s*0\.60/);
  assert.equal((await ledger(page, "#costs"))["From your wallet now"], "1.35 pwUSD");
  assert.equal(await page.inputValue("#budget"), "0.60");
  // It stays chosen as the price changes.
  await page.evaluate(() => (window.fake.torrent.state.peers[0].buying.pricePerGB = 14_000_000n));
  await page.waitForFunction(() => document.querySelector("#play").textContent.includes("1.8"));
  assert.match(await chosen(), /Twice as much, for others too\s*0\.80/);
  await page.click("#play");
  await page.waitForFunction(() => document.body.dataset.phase === "watching");
  const made = await calls(page);
  assert.ok(made.includes("deposit 0.800000 1.000000"), made.join("; "));
  assert.ok(made.includes("budget 0.800000"), made.join("; "));
});

for (const [site, deposit, total, note] of [
  [{ deposit: "2" }, "2.00 pwUSD", "4.50 pwUSD", /What you watch is paid from it/],
  [{ deposit: 2, maxDeposit: 2 }, "2.00 pwUSD", "4.50 pwUSD", /What you watch is paid from it/],
  [{ maxDeposit: "0.2" }, "0.20 pwUSD", "0.45 pwUSD", /you are asked again when it is used up/],
]) {
  test(`a site that says ${JSON.stringify(site)} has that sum proposed`, async (t) => {
    const page = await offer(t, "paid", { setup: { ...PAID, ...site } });
    const rows = await ledger(page, "#costs");
    assert.deepEqual([rows.Deposit, rows["From your wallet now"]], [deposit, total]);
    assert.match(await text(page, "#costs"), note);
    assert.equal(await page.isVisible("#sums"), !("maxDeposit" in site));
  });
}

test("a deposit that is nearly used up gets what is missing, though less is added than is left", async (t) => {
  const page = await open(t, "paid");
  await page.evaluate(() => Object.assign(window.fake.money, { accountReady: true, balance: 200_000n }));
  await page.waitForFunction(() => window.pieceworkPlayer.app.look?.money.accountReady);
  await openTitle(page);
  await page.waitForFunction(() => document.querySelector("#play").dataset.needsWallet === "true");
  assert.equal((await ledger(page, "#costs"))["Added to your deposit"], "0.10 pwUSD");
  await page.click("#play");
  await page.waitForFunction(() => document.body.dataset.phase === "watching");
  const made = await calls(page);
  assert.ok(made.includes("deposit 0.100000 0.130000"), made.join("; "));
  assert.ok(made.includes("budget 0.300000"), made.join("; "));
});

test("a second paid title within the deposit asks no wallet", async (t) => {
  const page = await open(t, "paid");
  await page.evaluate(() => Object.assign(window.fake.money, { accountReady: true, balance: 2_000_000n }));
  await page.waitForFunction(() => window.pieceworkPlayer.app.look?.money.accountReady);
  await openTitle(page);
  await page.waitForFunction(() => !document.querySelector("#play").disabled);
  assert.equal(await page.isVisible("#wallets"), false);
  assert.equal(await text(page, "#play"), "Play");
  await page.click("#play");
  await page.waitForFunction(() => document.body.dataset.phase === "watching");
  assert.ok(!(await calls(page)).some((call) => /connect|deposit/.test(call)));
});

/** There is a deposit from an earlier title. */
async function deposited(page) {
  await page.evaluate(() => Object.assign(window.fake.money, { accountReady: true, balance: 2_000_000n }));
  await page.waitForFunction(() => window.pieceworkPlayer.app.look?.money.accountReady);
}

/** Plays a title that the page calls free, and holds the page to that. */
async function playsForNothing(page) {
  await page.waitForFunction(
    () => document.querySelector("#cost-summary").textContent === "Free" && !document.querySelector("#play").disabled,
  );
  assert.match(await text(page, "#play-hint"), /No wallet is needed, and none is asked/);
  await page.click("#play");
  await page.waitForFunction(() => document.body.dataset.phase === "watching");
  const made = await calls(page);
  const capped = made.indexOf("maxPricePerGB 0.000000");
  assert.ok(capped >= 0 && capped < made.indexOf("streamTo"), made.join("; "));
  // As long as the player has enough, nothing has to come.
  await page.check("#keep");
}

test("a title that was called free is not paid from a deposit; with sellers alone the price is shown", async (t) => {
  const page = await open(t, "paid");
  await deposited(page);
  await openTitle(page);
  // The peer may choke for ever, leave, or be too slow.
  await page.evaluate(() => window.fake.torrent.state.peers.push(window.fake.peer(2, { peerChoking: true })));
  await playsForNothing(page);
  await page.waitForFunction(() =>
    document.querySelector("#banner-title").textContent.startsWith("Nobody sends the rest for nothing"),
  );
  await page.evaluate(() => window.fake.torrent.state.peers.pop());
  await page.click("#banner-action");
  await page.waitForFunction(
    () =>
      document.body.dataset.phase === "offer" &&
      document.querySelector("#play-hint").textContent.startsWith("Paid from your deposit"),
  );
  await page.click("#play");
  await page.waitForFunction(() => document.body.dataset.phase === "watching");
  assert.equal(
    (await calls(page)).filter((call) => call.startsWith("maxPricePerGB")).at(-1),
    "maxPricePerGB 15.000000",
  );
});

/**
 * A title that a seller offers, beside a peer that says it has all of it, asks nothing and stays, whatever it gives.
 */
async function beside(t, peer = {}) {
  const page = await open(t, "paid");
  await deposited(page);
  await openTitle(page);
  await page.evaluate((more) => window.fake.torrent.state.peers.push(window.fake.peer(2, more)), peer);
  return page;
}

/** The last limit that the page told the engine. */
const allowed = async (page) => (await calls(page)).filter((call) => call.startsWith("maxPricePerGB")).at(-1);

test("a title can be bought though a peer stays that says it has all and gives nothing", async (t) => {
  const page = await beside(t, { peerChoking: true });
  // The page says this again each time that the visitor goes back to the free peers.
  for (const isAgain of [false, true]) {
    if (isAgain) await page.check("#ways [value=free]");
    await playsForNothing(page);
    await page.waitForFunction(
      () =>
        document.querySelector("#banner-title").textContent.startsWith("Nobody sends the rest for nothing") &&
        document.querySelector("#banner").checkVisibility(),
    );
    await page.click("#banner-action");
    await page.waitForFunction(
      () =>
        document.body.dataset.phase === "offer" &&
        document.querySelector("#play-hint").textContent.startsWith("Paid from your deposit"),
    );
    assert.equal(await page.isChecked("#ways [value=paid]"), true);
    assert.equal(await page.isVisible("#limits"), true);
    assert.equal(await page.isVisible("#banner"), false);
  }
  await page.click("#play");
  await page.waitForFunction(() => document.body.dataset.phase === "watching");
  assert.equal(await allowed(page), "maxPricePerGB 15.000000");
});

for (const [what, downloadRate] of [
  ["drips", 1_820],
  ["is just too slow to stand still", 17_000],
]) {
  test(`the price can be seen while watching though a free peer ${what}`, async (t) => {
    const page = await beside(t);
    await playsForNothing(page);
    await page.evaluate((rate) => (window.fake.torrent.state.downloadRate = rate), downloadRate);
    if (downloadRate < 16_384) await page.waitForSelector("#banner-action", { state: "visible" });
    await page.click("#see-price");
    await page.waitForFunction(
      () =>
        document.body.dataset.phase === "offer" &&
        document.querySelector("#play-hint").textContent.startsWith("Paid from your deposit"),
    );
  });
}

test("where some give a title and others sell it, the offer says both, and the visitor's choice holds", async (t) => {
  const page = await beside(t);
  await page.waitForSelector("#ways", { state: "visible" });
  // The free offer comes first; the price stands beside it.
  assert.equal(await page.isChecked("#ways [value=free]"), true);
  assert.equal(await page.isVisible("#limits"), false);
  const rows = await ledger(page, "#costs");
  assert.equal(rows.Price, "0");
  assert.equal(rows["Price of sellers"], "10.00 pwUSD per GB");
  assert.equal(await text(page, "#way-free"), "1 peer");
  assert.equal(await text(page, "#way-paid"), "from 10.00 pwUSD per GB");
  await shot(page, "offer-free-or-paid");
  // By the keyboard alone.
  await page.focus("#ways [value=free]");
  await page.keyboard.press("ArrowDown");
  await page.waitForSelector("#limits", { state: "visible" });
  assert.deepEqual(await ledger(page, "#costs").then((both) => [both["Lowest price"], both["From others"]]), [
    "10.00 pwUSD per GB",
    "0",
  ]);
  await page.setViewportSize({ width: 320, height: 640 });
  assert.deepEqual(await page.evaluate(tooWide), []);
  await shot(page, "offer-paid-or-free");
  await page.fill("#ceiling", "12.5");
  // The choice stays, whichever peers come or go.
  await page.evaluate(() => window.fake.torrent.state.peers.push(window.fake.peer(3)));
  await page.waitForFunction(() => document.querySelector("#way-free").textContent === "2 peers");
  assert.equal(await page.isChecked("#ways [value=paid]"), true);
  await page.check("#ways [value=free]");
  await page.evaluate(() => window.fake.torrent.state.peers.splice(1));
  await page.waitForFunction(() => document.querySelector("#way-free").textContent === "nobody now");
  assert.equal(await page.isDisabled("#play"), true);
  assert.match(await text(page, "#play-hint"), /Nobody gives it for nothing at the moment/);
  await page.check("#ways [value=paid]");
  await page.click("#play");
  await page.waitForFunction(() => document.body.dataset.phase === "watching");
  assert.equal(await allowed(page), "maxPricePerGB 12.500000");
});

test("beside a peer that gives a part of it, paying is proposed, and can be declined", async (t) => {
  const page = await beside(t, { haveCount: 100 });
  await page.waitForFunction(() => document.querySelector("#way-free").textContent === "1 peer, in part");
  assert.equal(await page.isChecked("#ways [value=paid]"), true);
  await page.check("#ways [value=free]");
  await page.waitForFunction(() => document.querySelector("#cost-summary").textContent === "Free");
  await page.click("#play");
  await page.waitForFunction(() => document.body.dataset.phase === "watching");
  assert.equal(await allowed(page), "maxPricePerGB 0.000000");
});

test("beside a seller, a peer that has nothing is not one who gives", async (t) => {
  const page = await beside(t, { haveCount: 0 });
  await page.evaluate(() => window.fake.torrent.state.peers.push(window.fake.peer(3, { haveCount: 1 })));
  await page.waitForFunction(() => document.querySelector("#way-free").textContent === "1 peer, in part");
});

for (const lack of ["exiting", "withdrawn", "held"]) {
  test(`a deposit that is ${lack} is not said to be enough, and another one is offered`, async (t) => {
    const page = await open(t, "paid");
    await page.evaluate((why) => (window.fake.money.lack = why), lack);
    await deposited(page);
    await openTitle(page);
    await page.waitForFunction(() => document.querySelector("#play").dataset.needsWallet === "true");
    assert.doesNotMatch(await text(page, "#costs"), /Enough for this title/);
    // The new deposit is a whole one, as the first, and not only the sum that the former one lacks.
    assert.equal((await ledger(page, "#costs")).Deposit, "0.30 pwUSD");
    assert.match(await text(page, "#costs"), /This is another one/);
    await page.click("#play");
    await page.waitForFunction(() => document.body.dataset.phase === "watching");
    assert.ok((await calls(page)).includes("deposit 0.300000 0.380000"));
  });
}

test("a deposit that was spent and not redeemed yet is not said to be enough, and more is offered", async (t) => {
  const page = await open(t, "paid");
  // All of it was paid to sellers, and the chain still has it.
  await page.evaluate(() => (window.fake.money.free = 50_000n));
  await deposited(page);
  await openTitle(page);
  await page.waitForFunction(() => document.querySelector("#play").dataset.needsWallet === "true");
  // 0.250675 are needed, and 0.05 are there.
  assert.equal((await ledger(page, "#costs"))["Added to your deposit"], "0.25 pwUSD");
  await page.evaluate(() => (window.fake.money.free = 300_000n));
  await page.waitForFunction(() => document.querySelector("#play").dataset.needsWallet === "false");
  assert.equal((await ledger(page, "#costs"))["Your deposit"], "0.30 pwUSD");
  await page.click("#play");
  await page.waitForFunction(() => document.body.dataset.phase === "watching");
  await page.check("#keep");
  await page.evaluate(() => Object.assign(window.fake.money, { lack: "usedup", free: 0n }));
  await page.waitForFunction(() =>
    document.querySelector("#banner-text").textContent.startsWith("Your deposit is used up"),
  );
  await page.click("#banner-action");
  await page.waitForFunction(
    () => document.body.dataset.phase === "offer" && document.querySelector("#play").dataset.needsWallet === "true",
  );
  assert.equal((await ledger(page, "#costs"))["Added to your deposit"], "0.30 pwUSD");
});

test("a deposit that pays no more while watching is said, and leads to another one", async (t) => {
  const page = await open(t, "paid");
  await deposited(page);
  await openTitle(page);
  await page.waitForFunction(() => !document.querySelector("#play").disabled);
  await page.click("#play");
  await page.waitForFunction(() => document.body.dataset.phase === "watching");
  await page.check("#keep");
  await page.evaluate(() => (window.fake.money.lack = "exiting"));
  await page.waitForFunction(
    () =>
      document.querySelector("#banner-text").textContent.startsWith("Your deposit is on its way back") &&
      document.querySelector("#banner").checkVisibility(),
  );
  await page.click("#banner-action");
  await page.waitForFunction(
    () => document.body.dataset.phase === "offer" && document.querySelector("#play").dataset.needsWallet === "true",
  );
});

test("what was said to be free is not paid from a deposit, with a seller that names its price late", async (t) => {
  const page = await open(t, "free");
  await deposited(page);
  await openTitle(page);
  await playsForNothing(page);
});

test("limits of a thousand tokens and more can be accepted as the page proposes them", async (t) => {
  // As at a site whose token is worth a hundredth of a dollar.
  const page = await offer(t, "paid", { setup: { ...PAID, maxPricePerGB: "1500", budget: "2000" } });
  assert.equal(await page.inputValue("#ceiling"), "1500.00");
  assert.equal(await text(page, "#limits-error"), "");
  for (const [typed, isAmount] of [
    ["1,500", false],
    ["1,500.00", true],
    ["1,500,000", true],
    ["0,125", true],
    ["1,5000", true],
    ["1.500", true],
  ]) {
    await page.fill("#ceiling", typed);
    assert.equal((await text(page, "#limits-error")) === "", isAmount, typed);
  }
});

test("a price that means a thousand times as much to some is refused by a sentence", async (t) => {
  const page = await open(t, "paid");
  const data = await page.evaluateHandle(() => {
    const transfer = new DataTransfer();
    transfer.items.add(new File(["x"], "film.mp4"));
    return transfer;
  });
  await page.dispatchEvent("main", "drop", { dataTransfer: data });
  await page.waitForSelector("#share-chosen", { state: "visible" });
  await page.fill("#share-price", "1,500");
  await page.click("#share-go");
  await page.waitForFunction(() =>
    document.querySelector("#share-error").textContent.startsWith("Give a price such as 2.50"),
  );
  assert.ok(!(await calls(page)).some((call) => call.startsWith("seed")));
  await page.fill("#share-price", "1,500.00");
  await page.click("#share-go");
  await page.waitForFunction(() => window.fake.calls.some((call) => call.startsWith("seed")));
  assert.match(
    (await calls(page)).find((call) => call.startsWith("seed")),
    /"sellPricePerGB":"1500\.000000"/,
  );
});

test("a free title shows no wallet and no money", async (t) => {
  const page = await offer(t, "free");
  assert.equal(await text(page, "#cost-summary"), "Free");
  assert.equal(await page.isVisible("#wallets"), false);
  assert.equal(await page.isVisible("#limits"), false);
  await shot(page, "offer-free");
  await page.uncheck("#offer-share");
  await page.click("#play");
  await page.waitForFunction(() => document.body.dataset.phase === "watching");
  assert.deepEqual(
    (await calls(page)).filter((call) => /connect|deposit|uploadLimit/.test(call)),
    ["uploadLimit 0"],
  );
});

test("a site without payments shows none", async (t) => {
  const page = await offer(t, "free", { setup: null, ignore: /404/ });
  assert.equal(await page.evaluate(() => window.fake.options.payments), undefined);
  await page.click("#nav-money");
  await page.waitForFunction(() => document.body.dataset.view === "money");
  assert.equal(await page.isVisible("#money-off"), true);
  assert.equal(await page.isVisible("#money-on"), false);
});

test("looking for metadata, then going on by itself", async (t) => {
  const page = await open(t, "metadata");
  await page.fill("#magnet", MAGNET);
  await page.press("#magnet", "Enter");
  await page.waitForFunction(() => document.body.dataset.phase === "metadata");
  assert.equal(await text(page, "#waiting-text"), "Looking for peers");
  await shot(page, "metadata");
  await page.evaluate(() =>
    Object.assign(window.fake.torrent.state, {
      state: "downloading",
      name: "Now known.mp4",
      length: 1e7,
      pieceCount: 306,
      peers: [window.fake.peer(1, { haveCount: 306 })],
    }),
  );
  await page.waitForFunction(() => document.body.dataset.phase === "offer");
});

test("offline is said in every view, and taken back", async (t) => {
  const page = await open(t, "paid", { ignore: /ERR_INTERNET_DISCONNECTED/ });
  t.after(() => browser.context.setOffline(false));
  await browser.context.setOffline(true);
  await page.waitForFunction(
    () =>
      document.querySelector("#banner-title").textContent === "You are offline." &&
      !document.querySelector("#banner").hidden,
  );
  await page.waitForFunction(() => document.querySelector("#net").dataset.state === "offline");
  await shot(page, "offline");
  await browser.context.setOffline(false);
  await page.waitForFunction(() => document.querySelector("#banner").hidden);
});

test("an engine that stopped says so and offers to load again", async (t) => {
  const page = await open(t, "paid");
  await page.evaluate(() =>
    window.fake.client.emit("error", { error: new Error("The engine stopped three times."), torrent: null }),
  );
  await page.waitForFunction(() => !document.querySelector("#banner").hidden);
  assert.equal(await text(page, "#banner-action"), "Load the page again");
  await shot(page, "engine-stopped");
});

test("a browser that lacks something is told what, and what to do", async (t) => {
  const page = await open(t, "unsupported");
  assert.match(await text(page, "#view-start"), /OPFS.*update the browser/s);
  await shot(page, "unsupported");
});

test("a .torrent file is opened by choosing and by dropping it", async (t) => {
  const page = await open(t, "paid");
  await page.setInputFiles("#file", {
    name: "film.torrent",
    mimeType: "application/x-bittorrent",
    buffer: Buffer.from("d4:infod4:name4:filmee"),
  });
  await page.waitForFunction(() => document.body.dataset.phase === "offer");
  await page.click("#nav-watch");
  await page.waitForFunction(() => document.body.dataset.view === "open");
  const data = await page.evaluateHandle(() => {
    const transfer = new DataTransfer();
    transfer.items.add(new File(["d4:infod4:name4:filmee"], "film.torrent"));
    return transfer;
  });
  await page.dispatchEvent("main", "dragenter", { dataTransfer: data });
  assert.equal(await page.isVisible("#drop"), true);
  await page.dispatchEvent("main", "drop", { dataTransfer: data });
  await page.waitForFunction(() => document.body.dataset.phase === "offer");
  assert.equal(await page.isVisible("#drop"), false);
});

test("a magnet link in the address opens the title", async (t) => {
  const page = await open(t, "paid", { hash: `#magnet=${MAGNET}` });
  await page.waitForFunction(() => document.body.dataset.phase === "offer");
  assert.match(page.url(), /#\/title\/c12fe1c06bba254a9dc9f519b335aa7c1367a88a$/);
});

/** Drags text or files onto the page and lets go. */
async function drop(page, { text: dragged = "", files = [] }) {
  const data = await page.evaluateHandle(
    ({ dragged, files }) => {
      const transfer = new DataTransfer();
      if (dragged) transfer.setData("text/plain", dragged);
      for (const [name, content] of files) transfer.items.add(new File([content], name));
      return transfer;
    },
    { dragged, files },
  );
  await page.dispatchEvent("main", "dragenter", { dataTransfer: data });
  assert.equal(await page.isVisible("#drop"), true);
  await page.dispatchEvent("main", "drop", { dataTransfer: data });
  assert.equal(await page.isVisible("#drop"), false);
}

test("a magnet link is opened by dropping or pasting it anywhere, and other text is told what it is not", async (t) => {
  const page = await open(t, "paid");
  await drop(page, { text: "just words" });
  await page.waitForFunction(() =>
    /neither a magnet link nor a file/.test(document.querySelector("#open-error").textContent),
  );
  await page.click("#nav-money");
  await page.waitForFunction(() => document.body.dataset.view === "money");
  await drop(page, { text: MAGNET });
  await page.waitForFunction(() => document.body.dataset.phase === "offer");
  await page.click("#nav-watch");
  await page.waitForFunction(() => document.body.dataset.view === "open");
  await page.evaluate((magnet) => {
    const clipboardData = new DataTransfer();
    clipboardData.setData("text/plain", magnet);
    document.body.dispatchEvent(new ClipboardEvent("paste", { clipboardData, bubbles: true, cancelable: true }));
  }, MAGNET);
  await page.waitForFunction(() => document.body.dataset.phase === "offer");
});

test("a dropped file is shared only after its button, with a price and a cap that the page says first", async (t) => {
  const page = await open(t, "paid");
  await drop(page, {
    files: [
      ["first.mp4", "x"],
      ["second.mp4", "yy"],
    ],
  });
  await page.waitForSelector("#share-chosen", { state: "visible" });
  assert.equal(await text(page, "#share-name"), "2 files");
  assert.match(await text(page, "#share-intro"), /sent from here to whoever opens its link/);
  assert.equal(await page.evaluate(() => document.activeElement.id), "share-go");
  assert.deepEqual(await calls(page), []);
  await page.fill("#share-price", "cheap");
  await page.click("#share-go");
  assert.match(await text(page, "#share-error"), /Give a price such as/);
  assert.equal(await page.evaluate(() => document.activeElement.id), "share-price");
  await page.fill("#share-price", "2.5");
  await page.fill("#share-cap", "400");
  await page.evaluate(() => (window.fake.fails = "The storage is full."));
  await page.click("#share-go");
  await page.waitForFunction(
    () => document.querySelector("#share-error").textContent === "It could not be shared. The storage is full.",
  );
  await page.evaluate(() => {
    window.fake.fails = "";
    window.fake.calls.length = 0;
  });
  await page.click("#share-go");
  // The film goes to the player at once, and plays only when the visitor presses play.
  await page.waitForFunction(() => document.body.dataset.phase === "watching");
  await page.waitForFunction(() => window.fake.calls.includes("streamTo"));
  assert.deepEqual(await calls(page), [
    'seed first.mp4,second.mp4 {"trackers":["wss://tracker.example"],"sellPricePerGB":"2.500000"}',
    "uploadLimit 400000",
    "seedLibrary",
    "streamTo",
  ]);
  assert.equal(await page.evaluate(() => document.querySelector("#video").paused), true);
  assert.match(await text(page, "#share-state"), /Uploading is on, at most 400 kB\/s/);
});

test("a magnet link is copied with its own trackers alone, or by hand where the browser refuses", async (t) => {
  const page = await open(t, "paid");
  await browser.context.grantPermissions(["clipboard-read", "clipboard-write"]);
  t.after(() => browser.context.clearPermissions());
  // Another title's tracker, perhaps a private one, that the engine also speaks to.
  await page.evaluate(() =>
    window.fake.trackers.push({ url: "wss://private.example/secret", connected: true, error: null }),
  );
  await page.fill(
    "#magnet",
    `${MAGNET}&tr=${encodeURIComponent("wss://second.example/announce")}&tr=udp%3A%2F%2Fudp.example%3A1`,
  );
  await page.press("#magnet", "Enter");
  await page.waitForFunction(() => document.body.dataset.phase === "offer");
  await page.click("#copy-magnet");
  await page.waitForFunction(() => document.querySelector("#copy-magnet").textContent === "Copied");
  const link = new URL(await page.evaluate(() => navigator.clipboard.readText()));
  assert.equal(link.searchParams.get("xt"), "urn:btih:c12fe1c06bba254a9dc9f519b335aa7c1367a88a");
  assert.equal(link.searchParams.get("dn"), "Big Buck Bunny.mp4");
  assert.deepEqual(link.searchParams.getAll("tr"), ["wss://tracker.example", "wss://second.example/announce"]);
  // After a reload the page knows the trackers again, from its notes.
  await page.goto(`${site}?scene=library#/title/c12fe1c06bba254a9dc9f519b335aa7c1367a88a`);
  await page.waitForFunction(() => document.body.dataset.phase === "offer");
  await page.evaluate(
    () => (navigator.clipboard.writeText = async () => Promise.reject(new DOMException("no", "NotAllowedError"))),
  );
  await page.click("#copy-magnet");
  await page.waitForSelector("#copy-dialog", { state: "visible" });
  const shown = new URL(await page.inputValue("#copy-link"));
  assert.deepEqual(shown.searchParams.getAll("tr"), ["wss://tracker.example", "wss://second.example/announce"]);
  assert.equal(
    await page.evaluate(
      () =>
        getSelection().toString() ||
        document
          .querySelector("#copy-link")
          .value.slice(
            document.querySelector("#copy-link").selectionStart,
            document.querySelector("#copy-link").selectionEnd,
          ),
    ),
    shown.href,
  );
  await page.keyboard.press("Escape");
  await page.waitForFunction(() => document.activeElement.id === "copy-magnet");
});

test("a .torrent file's own trackers are in its magnet link", async (t) => {
  const page = await open(t, "paid");
  await browser.context.grantPermissions(["clipboard-read", "clipboard-write"]);
  t.after(() => browser.context.clearPermissions());
  const torrent =
    "d8:announce21:wss://one.example/ann" +
    "13:announce-listll21:wss://one.example/annel19:udp://two.example:1eel22:wss://four.example/annee" +
    "4:infod4:name19:wss://inside.example6:pieces0:ee";
  await page.setInputFiles("#file", {
    name: "film.torrent",
    mimeType: "application/x-bittorrent",
    buffer: Buffer.from(torrent),
  });
  await page.waitForFunction(() => document.body.dataset.phase === "offer");
  await page.click("#copy-magnet");
  await page.waitForFunction(() => document.querySelector("#copy-magnet").textContent === "Copied");
  const link = new URL(await page.evaluate(() => navigator.clipboard.readText()));
  assert.deepEqual(link.searchParams.getAll("tr"), [
    "wss://tracker.example",
    "wss://one.example/ann",
    "wss://four.example/ann",
  ]);
});

test("until the engine answers, the page says that it looks, and claims no empty shelf or account", async (t) => {
  const page = await open(t, "slow");
  assert.equal(await page.isVisible("#library-reading"), true);
  assert.equal(await page.isVisible("#library-empty"), false);
  await page.click("#nav-money");
  await page.waitForFunction(() => document.body.dataset.view === "money");
  assert.deepEqual(Object.values(await ledger(page, "#account")), ["\u2026", "\u2026", "\u2026", "\u2026", "\u2026"]);
  await page.evaluate(() => {
    window.fake.scene = "paid";
    window.fake.answerStats();
    window.fake.answer();
  });
  await page.waitForFunction(() => document.querySelector("#account").textContent.includes("Locked0.00"));
  await page.click("#nav-watch");
  await page.waitForSelector("#library-empty", { state: "visible" });
  assert.equal(await page.isVisible("#library-reading"), false);
});

test("a shelf that cannot be read is not called empty, and is read again on demand", async (t) => {
  const page = await open(t, "slow");
  await page.evaluate(() => {
    window.fake.scene = "library";
    window.fake.stored.push("c12fe1c06bba254a9dc9f519b335aa7c1367a88a");
    window.fake.refuse(new Error("the storage is locked"));
  });
  await page.waitForSelector("#banner", { state: "visible" });
  assert.equal(await text(page, "#banner-text"), "The storage is locked.");
  assert.equal(await page.isVisible("#library-empty"), false);
  await page.click("#banner-action");
  await page.waitForFunction(() => document.querySelectorAll("#library li").length === 1);
  assert.equal(await page.isVisible("#banner"), false);
});
