import assert from "node:assert/strict";
import { signaling, site } from "../support/harness.mjs";
import { film } from "../support/swarm.mjs";
import { test } from "../support/tests.mjs";
import { chromium } from "./plain_chromium.mjs";

const MIB = 1 << 20;
const LENGTH = 224 * MIB;
const SHOWN_MS = 15_000;
const HIDDEN_MS = 60_000;

test("a tab that is hidden for a minute goes on at no less than four fifths of its rate", async () => {
  const [url, tracker] = [await site(), await signaling()];
  const shared = await film(tracker, LENGTH);
  // The seeder sets the pace, so that only the browser makes the rates differ, and not other work of this machine.
  await shared.seed("--upload-limit", "2500K");
  const browser = await chromium();
  const page = await browser.tab(url);
  await page.run("window.loaded.then(() => true)");
  await page.run("start({})");
  await page.run(`add("${shared.torrent}")`);
  await page.run("pieces(8)");

  /** Bytes per second over a while, by the page's own clock. */
  const rate = async (milliseconds) => {
    const look = () =>
      page.run(
        "stats().then(({ verified, state }) => " +
          "({ verified, state, at: performance.now(), visible: document.visibilityState }))",
      );
    const from = await look();
    await new Promise((resolve) => setTimeout(resolve, milliseconds)); // this pause is measured
    const to = await look();
    assert.equal(to.state, "downloading");
    assert.equal(to.visible, from.visible);
    return { rate: ((to.verified - from.verified) * 1000) / (to.at - from.at), visible: to.visible };
  };
  const shown = await rate(SHOWN_MS);
  assert.equal(shown.visible, "visible");
  const other = await browser.tab("data:text/html,another");
  await other.activate();
  await page.run(`new Promise((resolve) => {
    if (document.visibilityState === "hidden") resolve(true);
    else document.addEventListener("visibilitychange", () => resolve(true), { once: true });
  })`);
  const hidden = await rate(HIDDEN_MS);
  assert.equal(hidden.visible, "hidden");
  if (process.env.PIECEWORK_TEST_VERBOSE)
    console.log(`  shown ${Math.round(shown.rate)} B/s, hidden ${Math.round(hidden.rate)} B/s`);
  assert.ok(
    hidden.rate >= 0.8 * shown.rate,
    `${Math.round(hidden.rate)} of ${Math.round(shown.rate)} bytes per second`,
  );
});
