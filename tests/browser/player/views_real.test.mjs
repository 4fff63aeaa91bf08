// The page with every real part under it: the package, the engine, a signaling server and other peers. The strict
// policy is around it.
import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { readFileSync } from "node:fs";
import { browserPath, launch } from "../support/browsers/chromium.mjs";
import { ending, signaling, videoTitle } from "../support/harness.mjs";
import { serve } from "../support/player_site.mjs";
import { test } from "../support/tests.mjs";

const sha256 = (bytes) => createHash("sha256").update(bytes).digest("hex");

/** The page of a free site, in a browser of its own. */
async function visit(tracker, { ignore = null } = {}) {
  const site = await serve({ config: () => ({ trackers: [tracker] }), connect: "ws://127.0.0.1:*" });
  ending(site.close);
  const browser = await launch(await browserPath());
  ending(() => browser.close());
  await browser.context.grantPermissions(["clipboard-read", "clipboard-write"]);
  const page = browser.context.pages()[0] ?? (await browser.context.newPage());
  page.setDefaultTimeout(60_000);
  page.problems = [];
  page.on("pageerror", (error) => page.problems.push(error.message));
  page.on("console", (message) => {
    if (message.type() === "error" && !ignore?.test(message.text())) page.problems.push(message.text());
  });
  await page.goto(site.url);
  await page.waitForFunction(() => document.body.dataset.view === "open");
  return page;
}

/** The digest of the bytes that the page's service worker gives out for the file that plays. */
function fileHeld(page) {
  return page.evaluate(async () => {
    const bytes = await (await fetch(document.querySelector("#video").currentSrc)).arrayBuffer();
    const digest = new Uint8Array(await crypto.subtle.digest("SHA-256", bytes));
    return [...digest].map((byte) => byte.toString(16).padStart(2, "0")).join("");
  });
}

const complete = (page) =>
  page.waitForFunction(() => {
    const look = globalThis.pieceworkPlayer.app.title.look;
    return look && look.length > 0 && look.verified === look.length;
  });

function video() {
  const path = process.env.PIECEWORK_VIDEO;
  assert.ok(path, "PIECEWORK_VIDEO names no video");
  return path;
}

test("a dropped file goes up only after its button, and its link brings it whole to another visitor", async () => {
  const tracker = await signaling();
  const [giver, taker] = [await visit(tracker), await visit(tracker)];
  const content = readFileSync(video());
  const data = await giver.evaluateHandle((base64) => {
    const transfer = new DataTransfer();
    transfer.items.add(
      new File([Uint8Array.from(atob(base64), (letter) => letter.charCodeAt(0))], "Ours & only ours (2026).mp4", {
        type: "video/mp4",
      }),
    );
    return transfer;
  }, content.toString("base64"));
  await giver.dispatchEvent("main", "drop", { dataTransfer: data });
  await giver.waitForSelector("#share-chosen", { state: "visible" });
  const before = await giver.evaluate(async () => {
    const { client, app } = globalThis.pieceworkPlayer;
    return { torrents: client.torrents.length, uploading: client.uploading, sharing: app.engine.sharing.on };
  });
  assert.deepEqual(before, { torrents: 0, uploading: false, sharing: false });
  await giver.fill("#share-cap", "");
  await giver.click("#share-go");
  await giver.waitForFunction(
    () => document.body.dataset.phase === "watching" || document.querySelector("#share-error").textContent !== "",
  );
  assert.equal(await giver.textContent("#share-error"), "");
  assert.equal(await giver.textContent("#title-name"), "Ours & only ours (2026).mp4");
  await giver.click("#copy-magnet");
  await giver.waitForFunction(() => document.querySelector("#copy-magnet").textContent === "Copied");
  const magnet = await giver.evaluate(() => navigator.clipboard.readText());

  const dragged = await taker.evaluateHandle((text) => {
    const transfer = new DataTransfer();
    transfer.setData("text/plain", text);
    return transfer;
  }, magnet);
  await taker.dispatchEvent("main", "drop", { dataTransfer: dragged });
  await taker.waitForFunction(
    () => document.body.dataset.phase === "offer" && !document.querySelector("#play").disabled,
  );
  assert.equal(await taker.textContent("#cost-summary"), "Free");
  await taker.click("#play");
  await taker.check("#keep");
  await complete(taker);
  assert.equal(await fileHeld(taker), sha256(content));
  await giver.waitForFunction((length) => globalThis.pieceworkPlayer.app.title.look.uploaded >= length, content.length);

  // The film is saved where the visitor chooses: a file of the browser's own storage stands for the disk.
  await taker.evaluate(() => {
    window.showSaveFilePicker = async ({ suggestedName }) =>
      (await navigator.storage.getDirectory()).getFileHandle(`saved-${suggestedName.length}`, { create: true });
  });
  await taker.getByRole("button", { name: /^Save / }).click();
  await taker.waitForFunction(() => document.querySelector("#live").textContent === "Saved");
  const saved = await taker.evaluate(async (name) => {
    const file = await (await (await navigator.storage.getDirectory()).getFileHandle(name)).getFile();
    const digest = new Uint8Array(await crypto.subtle.digest("SHA-256", await file.arrayBuffer()));
    return [...digest].map((byte) => byte.toString(16).padStart(2, "0")).join("");
  }, `saved-${"Ours & only ours (2026).mp4".length}`);
  assert.equal(saved, sha256(content));
  assert.deepEqual([giver.problems, taker.problems], [[], []]);
});

test("a title that the visitor chose to keep is offered so at the next visit, before it is fetched", async () => {
  const tracker = await signaling();
  const title = await videoTitle(tracker);
  await title.seed("2M");
  const page = await visit(tracker);
  const opens = async () => {
    await page.fill("#magnet", title.magnet);
    await page.keyboard.press("Enter");
    await page.waitForFunction(
      () => document.body.dataset.phase === "offer" && !document.querySelector("#play").disabled,
    );
  };
  const again = async () => {
    const { origin } = new URL(page.url());
    await page.goto("about:blank");
    await page.goto(origin);
    await page.waitForFunction(() => document.body.dataset.view === "open");
    await opens();
  };
  const look = () => page.evaluate(() => globalThis.pieceworkPlayer.app.title.current.look());
  await opens();
  assert.equal(await page.locator("#offer-keep").isVisible(), false);
  await page.click("#play");
  await page.waitForFunction(() => document.querySelector("#video").currentTime > 0.1);
  await page.check("#keep");
  await page.waitForFunction(() =>
    document.querySelector("#keep-cost").textContent.startsWith("All of it is fetched."),
  );

  await again();
  await page.locator("#offer-keep").waitFor();
  assert.equal(await page.locator("#offer-keep").isChecked(), true);
  assert.match(await page.textContent("#offer-keep-hint"), /The rest is .*, for nothing\./);
  const { onDemand, kept } = await look();
  assert.deepEqual([onDemand, kept], [true, true]);
  await page.uncheck("#offer-keep");
  await page.click("#play");
  await page.waitForFunction(() => document.querySelector("#video").currentTime > 0.1);
  assert.equal(await page.locator("#keep").isChecked(), false);
  await page.check("#keep");
  await page.waitForFunction(() =>
    document.querySelector("#keep-cost").textContent.startsWith("All of it is fetched."),
  );

  // What was chosen last counts.
  await again();
  await page.locator("#offer-keep").waitFor();
  await page.click("#play");
  await complete(page);
  assert.equal(await fileHeld(page), sha256(readFileSync(video())));
  assert.deepEqual(page.problems, []);
});

test("offline and back in mid-film: the page says both, keeps its pieces, and fetches the rest", async () => {
  const tracker = await signaling();
  const title = await videoTitle(tracker);
  await title.seed("2M");
  const page = await visit(tracker, { ignore: /ERR_INTERNET_DISCONNECTED/ });
  await page.fill("#magnet", title.magnet);
  await page.keyboard.press("Enter");
  await page.waitForFunction(
    () => document.body.dataset.phase === "offer" && !document.querySelector("#play").disabled,
  );
  await page.click("#play");
  await page.waitForFunction(() => document.querySelector("#video").currentTime > 0.5);
  await page.check("#keep");
  await page.context().setOffline(true);
  await page.waitForSelector("#banner", { state: "visible" });
  assert.equal(await page.textContent("#banner-title"), "You are offline.");
  await page.waitForFunction(() => document.querySelector("#net-text").textContent === "Offline");
  const kept = await page.evaluate(() => globalThis.pieceworkPlayer.app.title.look.verified);
  await page.click("#nav-watch");
  await page.waitForFunction(() => /% here/.test(document.querySelector("#library")?.textContent ?? ""));
  await page.click("#library a");
  await page.waitForFunction(() => document.body.dataset.phase === "watching");
  await page.context().setOffline(false);
  await page.waitForSelector("#banner", { state: "hidden" });
  await complete(page);
  assert.ok(kept > 0);
  assert.equal(await fileHeld(page), sha256(readFileSync(video())));
  assert.deepEqual(page.problems, []);
});
