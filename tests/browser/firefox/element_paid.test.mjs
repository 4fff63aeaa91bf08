// `<piecework-player>` in Firefox with a title that costs money, paid by a wallet that the page hands over.
import assert from "node:assert/strict";
import { FirefoxTab } from "../support/browsers/firefox_tab.mjs";
import { ending } from "../support/harness.mjs";
import { make, soldFilm } from "../support/paid/element.mjs";
import { test } from "../support/tests.mjs";

const part = (selector) => `document.querySelector("#player").shadowRoot.querySelector("${selector}")`;

test("Firefox plays a paid film from the element's deposit, with a provider of the page's own", async () => {
  const { scene, seeder, wallet, url, attributes } = await soldFilm();
  const page = await FirefoxTab.start();
  ending(() => page.close());
  await page.open(url);
  await page.evaluate(make, attributes);
  await page.evaluate((wallet) => {
    document.querySelector("#player").provider = {
      async request({ method, params }) {
        const headers = { "content-type": "application/json" };
        const answer = await fetch(wallet, { method: "POST", headers, body: JSON.stringify({ method, params }) });
        const { result, error } = await answer.json();
        if (error) throw Object.assign(new Error(error.message), { code: error.code });
        return result;
      },
    };
  }, wallet.url);
  await page.until(`() => !${part(".offer")}.hidden && !${part(".pay")}.disabled`);
  assert.match(
    await page.evaluate(`() => ${part(".offer")}.textContent`),
    /A deposit of 0\.5 pwUSD and a bond of 0\.63 pwUSD/,
  );
  wallet.refuses.add("eth_requestAccounts");
  await page.evaluate(`() => ${part(".pay")}.click()`);
  await page.until(`() => ${part("[role=status]")}.textContent === "Nothing was deposited."`);
  assert.deepEqual(wallet.sent, []);
  wallet.refuses.clear();
  await page.evaluate(`() => ${part(".pay")}.click()`);
  await page.until(`() => ${part(".offer")}.hidden`);
  await page.evaluate(() => void document.querySelector("#player").video.play());
  await page.until(`() => document.querySelector("#player").video.currentTime > 1`);
  const [opened] = (await scene.chain.events()).filter(({ name }) => name === "Opened");
  assert.deepEqual([opened.amount, opened.bond], [500_000n, 630_000n]);
  await page.evaluate(() => void document.querySelector("#player").torrent.keep());
  await page.until(`async () => (await document.querySelector("#player").torrent.stats()).state === "seeding"`);
  assert.equal((await seeder.ask("redeem")).ok, true);
  // The page looked for a store of the vault's own, and made none.
  const stores = await page.evaluate(async () => (await indexedDB.databases()).map(({ name }) => name));
  assert.deepEqual(stores, ["piecework"]);
  assert.deepEqual(page.problems, []);
});
