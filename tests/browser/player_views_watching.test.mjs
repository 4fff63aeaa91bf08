// The page's views while playing, and the account of money.
import assert from "node:assert/strict";
import { calls, ledger, offer, open, openTitle, shot, site, test, text, tooWide, watching } from "./player_views/page.mjs";

test("while playing: pieces, peers, money, and the switch for uploading", async (t) => {
  const page = await watching(t);
  await page.evaluate(() => {
    const { client, torrent } = window.fake;
    client.emit("payment", { text: "Promised serial 12 to a seller: up to 0.01 pwUSD.", torrent });
    client.emit("warning", { text: "A peer sent data that does not match its hash, and was banned.", torrent });
  });
  await page.click("#log-box summary");
  assert.equal(await page.locator("#log li").count(), 2);
  const first = await page.locator("#peers tbody tr").first().innerText();
  assert.match(first.replaceAll("\u00a0", " "), /8\.9 MB.*0\.0891 pwUSD.*10\.00 pwUSD\/GB/s);
  const money = await ledger(page, "#watch-ledger");
  assert.equal(money["Spent, this title"], "0.1270 pwUSD");
  assert.match(await text(page, "#watch-ledger"), /exactly 0\.016056 pwUSD and 0\.5364 of the smallest unit/);
  assert.match(await page.getAttribute("#pieces", "aria-label"), /of 758 pieces are here/);
  await shot(page, "playing-light");
  await page.uncheck("#share");
  await page.waitForFunction(() => window.fake.uploadLimit === 0);
  await page.waitForFunction(() => document.querySelector("#share-state").textContent.startsWith("Uploading is off"));
});

test("the views fit from a small phone to a wide screen, in dark and light", async (t) => {
  for (const [width, height] of [[320, 640], [390, 844], [768, 1024], [1280, 900], [1600, 1000]]) {
    for (const dark of [false, true]) {
      const page = await watching(t, { width, height, dark });
      const name = `${width}-${dark ? "dark" : "light"}`;
      const fits = async (what, at = page) => assert.deepEqual(await at.evaluate(tooWide), [], `${what} overflows at ${width} px`);
      await fits("playing");
      await shot(page, `playing-${name}`);
      await page.click("#nav-money");
      await page.waitForFunction(() => document.querySelector("#account").textContent.includes("0.016056"));
      await fits("money");
      await shot(page, `money-${name}`);
      await page.click("#nav-watch");
      await page.waitForFunction(() => document.querySelectorAll("#library li").length === 1);
      await fits("library");
      await shot(page, `open-${name}`);
      await page.evaluate(() => localStorage.clear());
      const other = await offer(t, "paid", { width, height, dark });
      await fits("offer", other);
      await shot(other, `offer-${name}`);
      await other.close();
      await page.close();
    }
  }
});

test("ten thousand pieces are drawn without holding up the page", async (t) => {
  const page = await offer(t, "large");
  await page.click("#play");
  await page.waitForFunction(() => document.body.dataset.phase === "watching");
  await page.waitForFunction(() => document.querySelector("#pieces").width > 0);
  const busy = await page.evaluate(async () => {
    let long = 0;
    const observer = new PerformanceObserver((list) => list.getEntries().forEach((entry) => (long += entry.duration)));
    observer.observe({ type: "longtask" });
    const start = performance.now();
    for (let piece = 0; piece < 10_000; piece += 1) {
      window.fake.has((piece * 7919) % 10_000);
      if (piece % 50 === 0) await new Promise((resolve) => requestAnimationFrame(resolve));
    }
    return { long, all: performance.now() - start };
  });
  assert.ok(busy.long < busy.all / 4, `${Math.round(busy.long)} of ${Math.round(busy.all)} ms in long tasks`);
  await page.waitForFunction(() => document.querySelector("#pieces-text").textContent === "all 10,000 pieces here and checked");
  assert.ok((await page.locator("#pieces").boundingBox()).height <= 200);
  await shot(page, "pieces-10000");
});

test("texts of strangers never become markup", async (t) => {
  const page = await open(t, "hostile");
  await openTitle(page);
  await page.waitForFunction(() => !document.querySelector("#play").disabled);
  await page.click("#play");
  await page.waitForFunction(() => document.querySelectorAll("#peers tbody tr").length === 1);
  assert.match(await text(page, "#title-name"), /^<img src=x/);
  assert.match(await text(page, "#peers tbody"), /<svg onload/);
  assert.equal(await page.evaluate(() => window.hacked), undefined);
  assert.equal(await page.locator("main img").count(), 0);
});

test("money: redeem, exit after a warning, withdraw, recover", async (t) => {
  const page = await watching(t);
  await page.click("#nav-money");
  await page.waitForFunction(() => document.querySelector("#redeem").textContent.includes("0.016056"));
  await shot(page, "money-light");
  await page.click("#redeem");
  await page.waitForFunction(() => document.querySelector("#money-message").textContent.includes("went to your wallet"));
  await page.waitForFunction(() => document.querySelector("#redeem").textContent === "Nothing to redeem" && document.querySelector("#redeem").disabled);

  await page.click("#exit");
  assert.match(await text(page, "#confirm-text"), /cannot be cancelled/);
  await shot(page, "money-confirm-exit");
  await page.keyboard.press("Escape");
  assert.ok(!(await calls(page)).includes("exit"));
  await page.click("#exit");
  await page.click("#confirm-yes");
  await page.waitForFunction(() => !document.querySelector("#exit-state").hidden);
  assert.match(await text(page, "#exit-state"), /can be withdrawn from .*cannot be cancelled/s);
  assert.equal(await page.isVisible("#exit"), false);
  await shot(page, "money-exiting");
  await page.reload();
  await page.goto(`${site}?scene=paid#/money`);
  await page.waitForFunction(() => !document.querySelector("#exit-state").hidden);

  await page.click("#recover");
  await page.waitForFunction(() => document.querySelectorAll("#recovered li").length === 1);
  assert.match(await text(page, "#recovered"), /1\.87 pwUSD and a bond of 2\.50 pwUSD/);
  await shot(page, "money-recovered");
});

