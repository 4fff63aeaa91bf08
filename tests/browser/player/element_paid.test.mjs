// `<piecework-player>` with a title that costs money: the offer, the deposit, and what is offered when it is gone.
import assert from "node:assert/strict";
import { browserPath, launch } from "../support/browsers/chromium.mjs";
import { ending } from "../support/harness.mjs";
import { make, soldFilm } from "../support/paid/element.mjs";
import { test } from "../support/tests.mjs";
import { violations } from "./axe.mjs";

/** The page with the element and the wallet in it. It notes these events of the element, with sums as text. */
async function embed({ url, wallet }, attributes, events = []) {
  const browser = await launch(await browserPath());
  ending(() => browser.close());
  await wallet.injectInto(browser.context);
  const page = browser.context.pages()[0] ?? (await browser.context.newPage());
  page.setDefaultTimeout(60_000);
  page.problems = [];
  page.on("pageerror", (error) => page.problems.push(error.message));
  page.on("console", (message) => message.type() === "error" && page.problems.push(message.text()));
  await page.goto(url);
  await page.evaluate((names) => {
    window.heard = [];
    const plain = (detail) =>
      Object.fromEntries(Object.entries(detail ?? {}).map(([name, value]) => [name, String(value)]));
    for (const name of names)
      document.addEventListener(name, ({ detail }) => window.heard.push([name, plain(detail)]), { capture: true });
  }, events);
  await page.evaluate(make, attributes);
  return page;
}

/** Presses Tab until this control of the element has the focus. Answers the controls on the way. */
async function tabTo(page, name) {
  const stops = [];
  while (stops.at(-1) !== name) {
    assert.ok(stops.length < 20, `${name} is not reached: ${stops}`);
    await page.keyboard.press("Tab");
    stops.push(
      await page.evaluate(() => {
        const focused = document.activeElement.shadowRoot?.activeElement;
        return focused?.getAttribute("aria-label") ?? (focused?.textContent || focused?.localName);
      }),
    );
  }
  return stops;
}

const offer = (page) => page.getByRole("group", { name: "Payment" });
const status = (page) => page.locator("#player [role=status]");
const stats = (page) =>
  page.evaluate(async () => {
    const player = document.querySelector("#player");
    const { money } = await player.client.stats();
    return { state: (await player.torrent.stats()).state, spent: Number(money.spent), balance: Number(money.balance) };
  });
/** Waits until all of it is here, whatever part the element fetches by itself. */
const whole = (page) =>
  page.evaluate(async () => {
    const { torrent } = document.querySelector("#player");
    await torrent.keep();
    if ((await torrent.stats()).state !== "seeding") await new Promise((resolve) => torrent.on("done", resolve));
  });
/** Waits for an offer with these words, and takes it. Answers its text. */
async function take(page, words) {
  await page.waitForFunction((words) => {
    const offer = document.querySelector("#player").shadowRoot.querySelector(".offer");
    return !offer.hidden && !offer.querySelector(".pay").disabled && offer.textContent.includes(words);
  }, words);
  const text = await offer(page).textContent();
  await page.getByRole("button", { name: "Deposit and play" }).click();
  return text;
}

test("the element's offer is read, refused and taken by the keyboard, and a film plays from the deposit", async () => {
  const film = await soldFilm();
  const { scene, seeder, wallet } = film;
  const page = await embed(film, film.attributes);
  await offer(page).waitFor();
  // A film of 0.46 asks for 0.5 and its bond, and more can be put down.
  const asks =
    /at most 0\.457\d* pwUSD at the prices that are asked\. A deposit of 0\.5 pwUSD and a bond of 0\.63 pwUSD/;
  assert.match(await offer(page).textContent(), asks);
  assert.match(await offer(page).textContent(), /comes back whole.*lost only if the same money is promised to two/);
  const sums = page.getByRole("combobox", { name: "Deposit" });
  assert.deepEqual(await sums.locator("option").allTextContents(), [
    "0.5 pwUSD: enough for this title",
    "1 pwUSD: twice as much, for others too",
    "2.5 pwUSD: five times as much",
  ]);
  assert.deepEqual(await violations(page), []);
  assert.deepEqual(wallet.prompts, []);

  // The order of the focus is the order of reading.
  await page.evaluate(() => document.activeElement.blur());
  const stops = await tabTo(page, "Deposit");
  assert.equal(stops[0], "Video: film.mp4");
  await page.keyboard.press("ArrowDown");
  await page.waitForFunction(() =>
    document.querySelector("#player").shadowRoot.querySelector(".offer").textContent.includes("a bond of 1.3 pwUSD"),
  );
  await page.keyboard.press("ArrowUp");
  assert.match(await offer(page).textContent(), asks);
  assert.deepEqual(await tabTo(page, "Deposit and play"), ["Deposit and play"]);

  // The person says no in the wallet; the button keeps the focus, and nothing was sent.
  for (const method of ["eth_requestAccounts", "eth_sendTransaction"]) {
    wallet.refuses.add(method);
    await page.keyboard.press("Enter");
    await page.waitForFunction(
      () => document.querySelector("#player").shadowRoot.querySelector("[role=status]").textContent !== "",
    );
    assert.equal(await status(page).textContent(), "Nothing was deposited.");
    await page.waitForFunction(
      () => document.activeElement.shadowRoot?.activeElement?.textContent === "Deposit and play",
    );
    await page.evaluate(() => {
      document.querySelector("#player").shadowRoot.querySelector("[role=status]").textContent = "";
    });
    wallet.refuses.clear();
  }
  assert.deepEqual(wallet.sent, []);
  assert.deepEqual(await violations(page), []);

  await page.keyboard.press("Enter");
  await page.waitForFunction(() => document.querySelector("#player").video.currentTime > 1);
  assert.equal(await offer(page).isVisible(), false);
  assert.equal(await page.evaluate(() => document.activeElement.shadowRoot.activeElement.localName), "video");
  const [opened] = (await scene.chain.events()).filter(({ name }) => name === "Opened");
  assert.deepEqual([opened.amount, opened.bond], [500_000n, 630_000n]);
  const asked = [...wallet.prompts];
  assert.deepEqual(asked.slice(-2), ["eth_sendTransaction", "eth_sendTransaction"]);

  // The deposit is enough for all of it, at a seller that redeems nothing meanwhile.
  await whole(page);
  const { spent } = await stats(page);
  assert.ok(spent > 440_000 && spent <= 460_000, String(spent));
  assert.equal(await offer(page).isVisible(), false);
  assert.deepEqual(wallet.prompts, asked);
  assert.equal((await seeder.ask("redeem")).ok, true);
  assert.deepEqual(page.problems, []);
});

test("a deposit that is used up, or on its way back, is offered again, up to the site's most", async () => {
  const film = await soldFilm();
  const page = await embed(film, { ...film.attributes, "max-deposit": "0.2" });
  const first = await take(page, "This title costs");
  assert.match(first, /A deposit of 0\.2 pwUSD and a bond of 0\.25 pwUSD/);
  assert.equal(await page.getByRole("combobox", { name: "Deposit" }).isVisible(), false);
  const fetching = whole(page);
  const second = await take(page, "The deposit is used up: a second one is added to it.");
  assert.match(second, /A deposit of 0\.2 pwUSD/);
  // What is left costs less than one more deposit of that size.
  await page.evaluate(async () => {
    const { client } = document.querySelector("#player");
    while ((await client.stats()).money.spent < 300_000n) await new Promise((resolve) => setTimeout(resolve, 50));
  });
  await page.evaluate(() => void document.querySelector("#player").client.exit());
  const third = await take(page, "The former deposit is on its way back, and a new one is made.");
  assert.match(third, /A deposit of 0\.\d+ pwUSD/);
  await fetching;
  const opened = (await film.scene.chain.events()).filter(({ name }) => name === "Opened");
  assert.equal(opened.length, 2);
  assert.equal((await film.seeder.ask("redeem")).ok, true);
  assert.deepEqual(page.problems, []);
});

test("a film above the page's limit offers nothing and says both prices, until the limit rises", async () => {
  const film = await soldFilm();
  const page = await embed(film, { ...film.attributes, "max-price-per-gb": "5" }, ["pricetoohigh", "paymentneeded"]);
  await page.waitForFunction(() => window.heard.length > 0);
  assert.match(
    await status(page).textContent(),
    /^Sellers ask 17\.6\d* pwUSD per GB; this page pays at most 5 pwUSD: nothing is bought from them\.$/,
  );
  assert.equal(await offer(page).isVisible(), false);
  const [[name, { pricePerGB, maxPricePerGB, cost }]] = await page.evaluate(() => window.heard);
  assert.deepEqual([name, pricePerGB.slice(0, 3), maxPricePerGB], ["pricetoohigh", "176", "5000000"]);
  // By the price that is asked, as the offer names it below, and not by the limit.
  assert.match(cost, /^457\d\d\d$/);
  // The sentence stays when the film's beginning cannot be read.
  await page.waitForTimeout(1_500);
  assert.match(await status(page).textContent(), /^Sellers ask/);

  // The same by a limit of the title's own, under the page's.
  await page.evaluate(() => document.querySelector("#player").remove());
  await page.evaluate(make, film.attributes);
  await offer(page).waitFor();
  await page.evaluate(() => {
    window.heard = [];
    return document.querySelector("#player").torrent.setMaxPricePerGB("5");
  });
  await page.waitForFunction(() => window.heard.some(([name]) => name === "pricetoohigh"));
  assert.equal(await offer(page).isVisible(), false);
  await page.evaluate(() => document.querySelector("#player").torrent.setMaxPricePerGB("20"));
  await offer(page).waitFor();
  assert.match(await offer(page).textContent(), /at most 0\.457\d* pwUSD at the prices that are asked/);
  await page.waitForFunction(
    () => document.querySelector("#player").shadowRoot.querySelector("[role=status]").textContent === "",
  );
  const keep = page.getByRole("button", { name: "Keep the whole title" });
  const sum = async (locator) =>
    /at most (0\.\d+) pwUSD at the prices that are asked/.exec(await locator.textContent())[1];
  assert.equal(await sum(keep), await sum(offer(page)));
  assert.deepEqual(film.wallet.prompts, []);
  assert.deepEqual(page.problems, []);
});

test("a reload without a node of the page's takes no second deposit: the wallet's account is read first", async () => {
  const film = await soldFilm();
  const { "rpc-url": _, ...attributes } = film.attributes;
  const page = await embed(film, attributes);
  await take(page, "This title costs");
  await page.waitForFunction(() => document.querySelector("#player").video.currentTime > 1);
  const [sent, spent] = [film.wallet.sent.length, (await stats(page)).spent];

  await page.reload();
  await page.evaluate(make, attributes);
  await take(page, "This title costs");
  await page.waitForFunction(
    async (spent) => (await document.querySelector("#player").client.stats()).money.spent > BigInt(spent),
    spent,
  );
  await page.waitForFunction(() => document.querySelector("#player").video.currentTime > 1);
  assert.equal(await offer(page).isVisible(), false);
  assert.equal(film.wallet.sent.length, sent);
  assert.equal((await film.scene.chain.events()).filter(({ name }) => name === "Opened").length, 1);
  assert.deepEqual(page.problems, []);
});

test("a title that costs money, on a page that names no vault, is said to need one", async () => {
  const film = await soldFilm();
  const { magnet, trackers } = film.attributes;
  const page = await embed(film, { magnet, trackers });
  await page.waitForFunction(() =>
    document.querySelector("#player").shadowRoot.querySelector("[role=status]").textContent.includes("give nothing"),
  );
  assert.match(await status(page).textContent(), /If this title costs money, the page has to name the vault/);
  assert.deepEqual(page.problems, []);
});
