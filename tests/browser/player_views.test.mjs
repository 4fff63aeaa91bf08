// The page's views in all their states, in Chromium under the strict policy a site should send, with the public surface of the
// package played by `player_views/fake_piecework.js`. Screenshots go to target/demo/views.
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { existsSync, rmSync } from "node:fs";
import { mkdir, mkdtemp, readFile } from "node:fs/promises";
import { createServer } from "node:http";
import { tmpdir } from "node:os";
import { dirname, extname, join, normalize } from "node:path";
import { fileURLToPath } from "node:url";
import { browserPath, launch } from "./demo/browser.mjs";
import { test as declare } from "./tests.mjs";

const here = dirname(fileURLToPath(import.meta.url));
const root = join(here, "..", "..");
const dist = join(root, "www", "player", "dist");
const shots = join(root, "target", "demo", "views");
const MAGNET = "magnet:?xt=urn:btih:c12fe1c06bba254a9dc9f519b335aa7c1367a88a&dn=Big+Buck+Bunny&tr=wss%3A%2F%2Ftracker.example";
const POLICY = "default-src 'none'; script-src 'self' 'wasm-unsafe-eval'; worker-src 'self'; connect-src 'self'; style-src 'self'; img-src 'self' data:; media-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'; trusted-types piecework";
const TYPES = { ".html": "text/html; charset=utf-8", ".js": "text/javascript", ".css": "text/css", ".svg": "image/svg+xml", ".json": "application/json", ".mp4": "video/mp4" };
const PAID = {
  trackers: ["wss://tracker.example"],
  vault: "0x4444444444444444444444444444444444444444",
  chainId: 31337,
  token: { address: "0x5555555555555555555555555555555555555555", decimals: 6, symbol: "pwUSD" },
  rpc: null,
};

let server;
let site;
let browser;
let video;
/** What `/demo.json` answers: on this machine the page asks for it first. */
let config = PAID;

/** The site and the browser are started once for all tests of this file, and end with the process. */
let started;
async function start() {
  assert.ok(existsSync(join(dist, "page.js")), "www/player/dist is not built: run `npm run build` in www/npm and www/player");
  await mkdir(shots, { recursive: true });
  const scratch = await mkdtemp(join(tmpdir(), "piecework-views-"));
  process.on("exit", () => rmSync(scratch, { recursive: true, force: true }));
  const path = process.env.PIECEWORK_VIDEO ?? join(scratch, "video.mp4");
  if (!existsSync(path)) {
    execFileSync("ffmpeg", ["-nostdin", "-loglevel", "error", "-f", "lavfi", "-i", "testsrc2=size=640x360:rate=25:duration=20", "-c:v", "libx264", "-preset", "ultrafast", "-pix_fmt", "yuv420p", "-movflags", "+faststart", path]);
  }
  video = await readFile(path);
  server = createServer((request, response) => void answer(request, response));
  await new Promise((resolve) => server.listen(0, "127.0.0.1", resolve));
  site = `http://127.0.0.1:${server.address().port}/`;
  browser = await launch(await browserPath());
}

/** A test; what it gives to `t.after` is done at its end, the last first. */
function test(name, body) {
  declare(name, async () => {
    await (started ??= start());
    const endings = [];
    try {
      await body({ after: (ending) => endings.push(ending) });
    } finally {
      for (const ending of endings.reverse()) await ending();
    }
  });
}

async function answer(request, response) {
  const { pathname } = new URL(request.url, site);
  const send = (status, body, type, more = {}) => {
    response.writeHead(status, { "content-type": type, "content-security-policy": POLICY, "x-content-type-options": "nosniff", ...more });
    response.end(body);
  };
  if (pathname === "/demo.json") return config ? send(200, JSON.stringify(config), TYPES[".json"]) : send(404, "", "text/plain");
  if (pathname === "/piecework.js") return send(200, await readFile(join(here, "player_views", "fake_piecework.js")), TYPES[".js"]);
  if (pathname === "/video.mp4") {
    const [, from, to] = /bytes=(\d+)-(\d*)/.exec(request.headers.range ?? "bytes=0-") ?? [];
    const [start, end] = [Number(from), to ? Number(to) : video.length - 1];
    return send(206, video.subarray(start, end + 1), TYPES[".mp4"], { "content-range": `bytes ${start}-${end}/${video.length}`, "accept-ranges": "bytes" });
  }
  const file = normalize(join(dist, pathname === "/" ? "index.html" : pathname));
  if (!file.startsWith(dist) || !existsSync(file)) return send(404, "not found", "text/plain");
  return send(200, await readFile(file), TYPES[extname(file)] ?? "application/octet-stream");
}

/** A fresh page in a scene; it fails the test if anything is refused by the policy or thrown. */
async function open(t, scene, { setup = PAID, width = 1280, height = 900, dark = false, hash = "", ignore = null } = {}) {
  config = setup;
  const page = await browser.context.newPage();
  const problems = [];
  page.on("pageerror", (error) => problems.push(error.message));
  page.on("console", (message) => {
    if (message.type() === "error" && !(ignore && ignore.test(message.text()))) problems.push(message.text());
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

async function openTitle(page) {
  await page.fill("#magnet", MAGNET);
  await page.press("#magnet", "Enter");
  await page.waitForFunction(() => document.body.dataset.phase === "offer");
}

async function offer(t, scene, options) {
  const page = await open(t, scene, options);
  await openTitle(page);
  await page.waitForFunction(() => !document.querySelector("#play").disabled);
  return page;
}

/** Plays, with half of it here. */
async function watching(t, options) {
  const page = await offer(t, "paid", options);
  await page.click("#play");
  await page.waitForFunction(() => document.body.dataset.phase === "watching");
  await page.evaluate(() => window.fake.half());
  await page.waitForFunction(() => document.querySelectorAll("#peers tbody tr").length === 5);
  await page.waitForFunction(() => document.querySelector("#video").currentTime > 0.2);
  return page;
}

const shot = (page, name) => page.screenshot({ path: join(shots, `${name}.png`), fullPage: true });
const text = (page, selector) => page.textContent(selector).then((found) => found.replaceAll("\u00a0", " ").trim());
const calls = (page) => page.evaluate(() => window.fake.calls);

/** What makes the page wider than its window. Runs in the page. */
function tooWide() {
  const { scrollWidth, clientWidth } = document.documentElement;
  if (scrollWidth <= clientWidth) return [];
  const wide = [...document.querySelectorAll("body *")].filter((element) => element.checkVisibility() && !element.closest(".scroll") && element.getBoundingClientRect().right > clientWidth + 0.5);
  return [`${scrollWidth} > ${clientWidth}`, ...wide.map((element) => `${element.tagName}#${element.id}.${element.className}`)];
}

/** `{term: value}` of a list of amounts. */
function ledger(page, selector) {
  return page.evaluate((list) => Object.fromEntries([...document.querySelectorAll(`${list} > div`)].map((row) => [row.children[0].textContent, row.children[1].textContent.replaceAll("\u00a0", " ")])), selector);
}

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
  assert.equal(rows["Deposit"], "2.00 pwUSD");
  assert.equal(rows["Bond"], "2.50 pwUSD");
  assert.equal(rows["From your wallet now"], "4.50 pwUSD");
  assert.match(await text(page, "#costs"), /72 hours after you ask/);
  assert.equal(await text(page, "#play"), "Deposit 4.50 pwUSD and play");
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
  assert.deepEqual(await calls(page), ["add onDemand=true", "connect two.example", "deposit 2.000000 2.500000", "budget 0.300000", "maxPricePerGB 12.500000", "uploadLimit 800000", "onDemand false", "streamTo"]);
  assert.equal(await text(page, "#share-state"), "Uploading is on, at most 800 kB/s.");
});

test("a refusal in the wallet sends nothing and says so beside the button", async (t) => {
  const page = await offer(t, "paid");
  await page.evaluate(() => (window.fake.rejects = true));
  await page.click("#play");
  await page.waitForFunction(() => document.querySelector("#play-error").textContent !== "");
  assert.match(await text(page, "#play-error"), /said no/);
  assert.equal(await page.evaluate(() => document.body.dataset.phase), "offer");
  assert.deepEqual(await calls(page), ["add onDemand=true", "connect one.example"]);
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

test("a free title shows no wallet and no money", async (t) => {
  const page = await offer(t, "free");
  assert.equal(await text(page, "#cost-summary"), "Free");
  assert.equal(await page.isVisible("#wallets"), false);
  assert.equal(await page.isVisible("#limits"), false);
  await shot(page, "offer-free");
  await page.uncheck("#offer-share");
  await page.click("#play");
  await page.waitForFunction(() => document.body.dataset.phase === "watching");
  assert.deepEqual((await calls(page)).filter((call) => /connect|deposit|uploadLimit/.test(call)), ["uploadLimit 0"]);
});

test("a site without payments shows none", async (t) => {
  const page = await offer(t, "free", { setup: null, ignore: /404/ });
  assert.equal(await page.evaluate(() => window.fake.options.payments), undefined);
  await page.click("#nav-money");
  assert.equal(await page.isVisible("#money-off"), true);
  assert.equal(await page.isVisible("#money-on"), false);
});

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
      await page.waitForFunction(() => document.querySelector("#earned-headline").textContent.includes("0.016056"));
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

test("looking for metadata, then going on by itself", async (t) => {
  const page = await open(t, "metadata");
  await page.fill("#magnet", MAGNET);
  await page.press("#magnet", "Enter");
  await page.waitForFunction(() => document.body.dataset.phase === "metadata");
  assert.equal(await text(page, "#waiting-text"), "Looking for peers");
  await shot(page, "metadata");
  await page.evaluate(() => Object.assign(window.fake.torrent.state, { state: "downloading", name: "Now known.mp4", length: 1e7, pieceCount: 306, peers: [window.fake.peer(1, { haveCount: 306 })] }));
  await page.waitForFunction(() => document.body.dataset.phase === "offer");
});

test("offline is said in every view, and taken back", async (t) => {
  const page = await open(t, "paid", { ignore: /ERR_INTERNET_DISCONNECTED/ });
  t.after(() => browser.context.setOffline(false));
  await browser.context.setOffline(true);
  await page.waitForFunction(() => document.querySelector("#banner-title").textContent === "You are offline." && !document.querySelector("#banner").hidden);
  await page.waitForFunction(() => document.querySelector("#net").dataset.state === "offline");
  await shot(page, "offline");
  await browser.context.setOffline(false);
  await page.waitForFunction(() => document.querySelector("#banner").hidden);
});

test("an engine that stopped says so and offers to load again", async (t) => {
  const page = await open(t, "paid");
  await page.evaluate(() => window.fake.client.emit("error", { error: new Error("The engine stopped three times."), torrent: null }));
  await page.waitForFunction(() => !document.querySelector("#banner").hidden);
  assert.equal(await text(page, "#banner-action"), "Load the page again");
  await shot(page, "engine-stopped");
});

test("a browser that lacks something is told what, and what to do", async (t) => {
  const page = await open(t, "unsupported");
  assert.match(await text(page, "#view-start"), /OPFS.*update the browser/s);
  await shot(page, "unsupported");
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

test("a .torrent file is opened by choosing and by dropping it", async (t) => {
  const page = await open(t, "paid");
  await page.setInputFiles("#file", { name: "film.torrent", mimeType: "application/x-bittorrent", buffer: Buffer.from("d4:infod4:name4:filmee") });
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
