// The base of the tests of the page's views: the built page under the strict policy that a site should send.
// `fake_piecework.js` plays the public surface of the package. Screenshots go to target/demo/views.
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { existsSync, rmSync } from "node:fs";
import { mkdir, mkdtemp, readFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { after } from "node:test";
import { fileURLToPath } from "node:url";
import { browserPath, launch } from "../support/browsers/chromium.mjs";
import { dist, serve } from "../support/player_site.mjs";
import { test as declare } from "../support/tests.mjs";

const here = dirname(fileURLToPath(import.meta.url));
const shots = join(here, "..", "..", "..", "target", "demo", "views");
export const MAGNET =
  "magnet:?xt=urn:btih:c12fe1c06bba254a9dc9f519b335aa7c1367a88a&dn=Big+Buck+Bunny&tr=wss%3A%2F%2Ftracker.example";
export const PAID = {
  trackers: ["wss://tracker.example"],
  iceServers: [],
  vault: "0x4444444444444444444444444444444444444444",
  chainId: 31337,
  token: { address: "0x5555555555555555555555555555555555555555", decimals: 6, symbol: "pwUSD" },
  rpc: null,
  maxPricePerGB: "15",
};

/** The page's address, once a test has begun. */
export let site;
/** The one browser of these tests, once a test has begun. */
export let browser;
/** The answer to `/demo.json`. */
let config = PAID;

/** The site and the browser are started once for all tests of a file, and end after them. */
let started;
let closeSite;
async function start() {
  await mkdir(shots, { recursive: true });
  const scratch = await mkdtemp(join(tmpdir(), "piecework-views-"));
  process.on("exit", () => rmSync(scratch, { recursive: true, force: true }));
  const path = process.env.PIECEWORK_VIDEO ?? join(scratch, "video.mp4");
  if (!existsSync(path)) {
    execFileSync("ffmpeg", [
      "-nostdin",
      "-loglevel",
      "error",
      "-f",
      "lavfi",
      "-i",
      "testsrc2=size=640x360:rate=25:duration=20",
      "-c:v",
      "libx264",
      "-preset",
      "ultrafast",
      "-pix_fmt",
      "yuv420p",
      "-movflags",
      "+faststart",
      path,
    ]);
  }
  const documents = {
    "/piecework.js": join(here, "fake_piecework.js"),
    "/real_piecework.js": join(dist, "piecework.js"),
  };
  const served = await serve({ config: () => config, documents, video: await readFile(path) });
  ({ url: site, close: closeSite } = served);
  browser = await launch(await browserPath());
}

after(async () => {
  await browser?.close();
  await closeSite?.();
});

/** A test. The steps that it gives to `t.after` run at its end, the last one first. */
export function test(name, body) {
  declare(name, async () => {
    started ??= start();
    await started;
    const endings = [];
    try {
      await body({ after: (ending) => endings.push(ending) });
    } finally {
      for (const ending of endings.reverse()) await ending();
    }
  });
}

/** A fresh page in a scene. It fails the test if the policy refuses anything, or if a script throws. */
export async function open(
  t,
  scene,
  { setup = PAID, width = 1280, height = 900, dark = false, hash = "", ignore = null } = {},
) {
  config = setup;
  const page = await browser.context.newPage();
  const problems = [];
  page.on("pageerror", (error) => problems.push(error.message));
  page.on("console", (message) => {
    if (message.type() === "error" && !ignore?.test(message.text())) problems.push(message.text());
  });
  t.after(async () => {
    if (!page.isClosed()) {
      await page.evaluate(() => localStorage.clear());
      await page.close();
    }
    assert.deepEqual(problems, []);
  });
  await page.setViewportSize({ width, height });
  await page.emulateMedia({ colorScheme: dark ? "dark" : "light" });
  page.setDefaultTimeout(15_000);
  await page.goto(`${site}?scene=${scene}${hash}`);
  await page.waitForFunction(() => !["", undefined, "start"].includes(document.body.dataset.view));
  return page;
}

export async function openTitle(page) {
  await page.fill("#magnet", MAGNET);
  await page.press("#magnet", "Enter");
  await page.waitForFunction(() => document.body.dataset.phase === "offer");
}

export async function offer(t, scene, options) {
  const page = await open(t, scene, options);
  await openTitle(page);
  await page.waitForFunction(() => !document.querySelector("#play").disabled);
  return page;
}

/** Plays with half of the title here. */
export async function watching(t, options) {
  const page = await offer(t, "paid", options);
  await page.click("#play");
  await page.waitForFunction(() => document.body.dataset.phase === "watching");
  await page.evaluate(() => window.fake.half());
  await page.waitForFunction(() => document.querySelectorAll("#peers tbody tr").length === 5);
  await page.waitForFunction(() => document.querySelector("#video").currentTime > 0.2);
  return page;
}

export const shot = (page, name) => page.screenshot({ path: join(shots, `${name}.png`), fullPage: true });
export const text = (page, selector) =>
  page.textContent(selector).then((found) => found.replaceAll("\u00a0", " ").trim());
export const calls = (page) => page.evaluate(() => window.fake.calls);

/** The elements that make the page wider than its window. Runs in the page. */
export function tooWide() {
  const { scrollWidth, clientWidth } = document.documentElement;
  if (scrollWidth <= clientWidth) return [];
  const wide = [...document.querySelectorAll("body *")].filter(
    (element) =>
      element.checkVisibility() &&
      !element.closest(".scroll") &&
      element.getBoundingClientRect().right > clientWidth + 0.5,
  );
  return [
    `${scrollWidth} > ${clientWidth}`,
    ...wide.map((element) => `${element.tagName}#${element.id}.${element.className}`),
  ];
}

/** `{term: value}` of a list of amounts. */
export function ledger(page, selector) {
  return page.evaluate(
    (list) =>
      Object.fromEntries(
        [...document.querySelectorAll(`${list} > div`)].map((row) => [
          row.children[0].textContent,
          row.children[1].textContent.replaceAll("\u00a0", " "),
        ]),
      ),
    selector,
  );
}
