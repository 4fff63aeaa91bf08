// The page for keyboards, screen readers and every eye: axe-core in each state, focus, live regions, motion.
import assert from "node:assert/strict";
import { offer, test } from "./player_views/page.mjs";

test("everything is reached and named by keyboard alone", async (t) => {
  const page = await offer(t, "paid");
  const unnamed = await page.evaluate(() =>
    [...document.querySelectorAll("button, input, a, summary, video, canvas, [role=region]")]
      .filter((element) => element.checkVisibility())
      .filter((element) => !(element.textContent.trim() || element.getAttribute("aria-label") || element.getAttribute("aria-labelledby") || element.labels?.length))
      .map((element) => element.outerHTML.slice(0, 80)));
  assert.deepEqual(unnamed, []);
  const reached = new Set();
  await page.evaluate(() => document.activeElement.blur());
  for (let presses = 0; presses < 40; presses += 1) {
    await page.keyboard.press("Tab");
    reached.add(await page.evaluate(() => document.activeElement.id || document.activeElement.className || document.activeElement.name));
  }
  for (const id of ["skip", "nav-watch", "nav-money", "copy-magnet", "remove", "ceiling", "budget", "offer-share", "offer-cap", "wallet", "play"]) assert.ok(reached.has(id), `${id} is not reached by Tab: ${[...reached].join(", ")}`);
  await page.focus("#play");
  await page.keyboard.press("Enter");
  await page.waitForFunction(() => document.body.dataset.phase === "watching");
  assert.equal(await page.evaluate(() => getComputedStyle(document.querySelector(":focus")).outlineStyle), "solid");
});

