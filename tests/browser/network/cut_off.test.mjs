// The network is gone: the tracker and the peers answer nothing any more, on open sockets.
import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { browserPath, launch } from "../support/browsers/chromium.mjs";
import { browser, ending, freezable, open, ours, site, videoTitle } from "../support/harness.mjs";
import { serve } from "../support/player_site.mjs";
import { test } from "../support/tests.mjs";
import { turn } from "../support/turn.mjs";

const MIB = 1 << 20;
const PIECE = 65_536;
/** The seeder's rate, in bytes per millisecond. */
const RATE = 1_000;
/** The number of pieces that come before the gap and after it. */
const PIECES = 20;
/** Long enough for both ends to notice the gap (ICE's consent, RFC 7675), and too short for either to give up. */
const SHORT_MS = 6_000;
/**
 * The time after the gap's begin within which bytes come again. SCTP sends lost bytes again after pauses that double
 * from a second on (RFC 9260, section 6.3.3), so bytes sent again at t come once more at 2t + 1 s. The first try after
 * the gap may find a path without consent yet. A page that waits for a timeout of its own waits for 30 s from the last
 * block, 24 s after the gap.
 */
const AGAIN_MS = 3 * SHORT_MS + 3_000;

/** A film with a seeder and a tracker that can be cut off. */
async function scene() {
  const server = await freezable(ours("piecework-signaling"), ["--listen", "127.0.0.1:0"], /127\.0\.0\.1:(\d+)/);
  const tracker = `ws://127.0.0.1:${server.match[1]}/`;
  const { torrent, magnet, bytes, seedFreezably } = await videoTitle(tracker);
  const seeder = await seedFreezably(String(RATE * 1_000));
  return {
    tracker,
    torrent,
    magnet,
    digest: createHash("sha256").update(bytes).digest("hex"),
    cutTracker: () => server.freeze(),
    cut: () => {
      for (const { freeze } of [server, seeder]) freeze();
    },
    mend: () => {
      for (const { thaw } of [server, seeder]) thaw();
    },
  };
}

test("a network that is gone for some seconds, unnoticed by the browser, ends no connection", async () => {
  const world = await scene();
  // A stopped process takes in late the datagrams that came meanwhile. On this path they are lost.
  const path = await (await turn()).behindCut();
  const { context } = await browser();
  const page = await open(context, await site());
  await page.run(`start(${JSON.stringify(path.page)})`);
  await page.run(`add("${world.torrent}")`);
  await page.run(`(window.ended = [], torrent.on("peerclosed", ({ text }) => ended.push(text)), true)`);
  await page.run(`pieces(${PIECES})`);
  path.cut();
  world.cutTracker();
  const before = (await page.run("stats()")).verified;
  await new Promise((resolve) => setTimeout(resolve, SHORT_MS)); // this gap is tested
  const gap = (await page.run("stats()")).verified - before;
  assert.ok(gap <= MIB, `${gap} bytes came while nobody sent`);
  const resumed = page.run(`pieces(${PIECES})`);
  path.mend();
  world.mend();
  const mended = Date.now();
  await resumed;
  const again = Date.now() - mended;
  if (process.env.PIECEWORK_TEST_VERBOSE)
    console.log(`  ${PIECES} new pieces came within ${(again / 1000).toFixed(1)} s after the gap`);
  assert.ok(again <= AGAIN_MS + (PIECES * PIECE) / RATE, `${PIECES} pieces took ${again} ms after the gap`);
  assert.deepEqual(await page.run("ended"), []);
  await page.run("done()");
  assert.equal(await page.run("digest()"), world.digest);
  assert.deepEqual([page.errors, await page.run("said")], [[], []]);
});

test("offline until the connections are lost, and back: the page says so, and all goes on by itself", async () => {
  const world = await scene();
  const pages = await serve({ config: () => ({ trackers: [world.tracker] }), connect: "ws://127.0.0.1:*" });
  ending(pages.close);
  const started = await launch(await browserPath());
  ending(() => started.close());
  const page = started.context.pages()[0] ?? (await started.context.newPage());
  page.setDefaultTimeout(90_000);
  const problems = [];
  page.on("pageerror", (error) => problems.push(error.message));
  page.on(
    "console",
    (message) =>
      message.type() === "error" && !/ERR_INTERNET_DISCONNECTED/.test(message.text()) && problems.push(message.text()),
  );
  await page.goto(pages.url);
  await page.waitForFunction(() => document.body.dataset.view === "open");
  await page.fill("#magnet", world.magnet);
  await page.keyboard.press("Enter");
  await page.waitForFunction(
    () => document.body.dataset.phase === "offer" && !document.querySelector("#play").disabled,
  );
  await page.click("#play");
  await page.waitForFunction(() => document.querySelector("#video").currentTime > 0.5);
  await page.check("#keep");

  world.cut();
  await started.context.setOffline(true);
  await page.waitForSelector("#banner", { state: "visible" });
  assert.equal(await page.textContent("#banner-title"), "You are offline.");
  await page.waitForFunction(() => document.querySelector("#net-text").textContent === "Offline");
  await page.waitForFunction(() => globalThis.pieceworkPlayer.app.title.look.peers.length === 0);
  const kept = await page.evaluate(() => globalThis.pieceworkPlayer.app.title.look.verified);

  world.mend();
  await started.context.setOffline(false);
  const back = Date.now();
  await page.waitForSelector("#banner", { state: "hidden" });
  await page.waitForFunction((kept) => globalThis.pieceworkPlayer.app.title.look.verified > kept, kept);
  if (process.env.PIECEWORK_TEST_VERBOSE)
    console.log(`  the first new piece came ${((Date.now() - back) / 1000).toFixed(1)} s after the network`);
  await page.waitForFunction(() => {
    const { verified, length } = globalThis.pieceworkPlayer.app.title.look;
    return verified === length;
  });
  const held = await page.evaluate(async () => {
    const bytes = await (await fetch(document.querySelector("#video").currentSrc)).arrayBuffer();
    return [...new Uint8Array(await crypto.subtle.digest("SHA-256", bytes))]
      .map((byte) => byte.toString(16).padStart(2, "0"))
      .join("");
  });
  assert.equal(held, world.digest);
  const { downloaded, length } = await page.evaluate(() => globalThis.pieceworkPlayer.app.title.look);
  assert.ok(kept > 0 && downloaded <= length + MIB, `${downloaded} bytes for ${length}`);
  assert.deepEqual(problems, []);
});
