// A title's public page on a real chain: the registry, the vault and the redemptions are what the commands made there.
// Between page and chain stands a node that passes everything on, and changes of it what a test says.
import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { readFileSync, writeFileSync } from "node:fs";
import { mkdir } from "node:fs/promises";
import { createServer } from "node:http";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { getAddress } from "ethers";
import { browserPath, launch } from "../support/browsers/chromium.mjs";
import { FirefoxTab } from "../support/browsers/firefox_tab.mjs";
import { ending } from "../support/harness.mjs";
import { Scene, piecework } from "../support/paid/scene.mjs";
import { serve } from "../support/player_site.mjs";
import { test } from "../support/tests.mjs";
import { violations } from "./axe.mjs";

const shots = join(dirname(fileURLToPath(import.meta.url)), "..", "..", "..", "target", "demo", "views");
const DAY = 86_400;
/** A name that means harm to a page and to a spreadsheet. */
const NAME = '=1+1, "Ours" & <b>ours</b>';
const BYTES = 1_500_000;
const HEX = (number) => `0x${number.toString(16)}`;

/** A command in the scene's folder; what it answers. */
async function run(scene, ...words) {
  const { stdout } = await promisify(execFile)(piecework, [...words, "--json"], { cwd: scene.folder });
  return JSON.parse(stdout);
}

/** A chain as `piecework vault deploy` leaves it, with keys of people. */
async function open() {
  const scene = await Scene.deployed();
  ["publisher", "creator", "another", "stranger"].forEach((name, at) => {
    const account = scene.anvil.accounts[at + 3];
    scene[name] = account.address;
    writeFileSync(join(scene.folder, `${name}.key`), `${account.privateKey}\n`, { mode: 0o600 });
  });
  scene.at = ["--deployment", scene.deployment];
  return scene;
}

/** Publishes and registers a film; its id, and the .torrent to sell. */
async function publish(scene, title, { key = "publisher.key", name = NAME, signed = "film" } = {}) {
  const path = join(scene.folder, `${signed}.signed.torrent`);
  const share = ["--share", "7.35", "--creator", scene.creator, "--licence", "CC-BY-4.0"];
  const words = [title.path, "--key", key, "--name", name, ...share, "--register", ...scene.at, "-o", path];
  const { id } = await run(scene, "publish", ...words);
  return { id, path };
}

/** Somebody deposits and buys the film, and the seller redeems what it got. */
async function sell(scene, seeder, signed, buyer) {
  await promisify(execFile)(piecework, ["key", "new", "--session", `${buyer}.key`], { cwd: scene.folder });
  const session = ["--session-key", `${buyer}.key`];
  await run(scene, "deposit", "1", ...session, "--owner-key", "payer.key", ...scene.at);
  const limits = ["--max-price", "10", "--budget", "1", "--owner", scene.payer, ...session];
  await promisify(execFile)(piecework, ["get", signed.path, "--no-stun", "-o", buyer, ...limits, ...scene.at], {
    cwd: scene.folder,
  });
  const redeemed = await seeder.ask("redeem");
  assert.ok(redeemed.ok, JSON.stringify(redeemed));
}

/** The node. `change(request, answer)` gives another answer, or the same. `asked` has the requests. */
async function nodeOf(scene, change = (_, answer) => answer) {
  const asked = [];
  const server = createServer(async (request, response) => {
    const headers = { "access-control-allow-origin": "*", "access-control-allow-headers": "content-type" };
    if (request.method === "OPTIONS") return response.writeHead(204, headers).end();
    const parts = [];
    for await (const part of request) parts.push(part);
    const body = JSON.parse(Buffer.concat(parts).toString());
    asked.push(body);
    const answer = await (await fetch(scene.anvil.url, { ...POST, body: JSON.stringify(body) })).json();
    const changed = await change(body, answer);
    const text = typeof changed === "string" ? changed : JSON.stringify(changed);
    response.writeHead(200, { ...headers, "content-type": "application/json" }).end(text);
  });
  await new Promise((resolve) => server.listen(0, "127.0.0.1", resolve));
  ending(() => {
    server.closeAllConnections();
    server.close();
  });
  return { url: `http://127.0.0.1:${server.address().port}/`, asked };
}
const POST = { method: "POST", headers: { "content-type": "application/json" } };

/** The site of a chain, by the deployment's file alone. */
async function siteOf(scene, more = {}) {
  const config = { deployment: "deployments/chain.json", maxPricePerGB: "12", rpc: scene?.anvil.url, ...more };
  const site = await serve({
    config: () => (scene ? config : {}),
    connect: "http://127.0.0.1:*",
    documents: scene ? { "/deployments/chain.json": scene.deployment } : {},
  });
  ending(site.close);
  return site;
}

async function visitor() {
  const browser = await launch(await browserPath());
  ending(() => browser.close());
  const page = browser.context.pages()[0] ?? (await browser.context.newPage());
  page.setDefaultTimeout(30_000);
  page.problems = [];
  page.loaded = [];
  page.on("pageerror", (error) => page.problems.push(error.message));
  page.on("console", (message) => message.type() === "error" && page.problems.push(message.text()));
  page.on("request", (request) => page.loaded.push(new URL(request.url()).pathname));
  return page;
}

/** Opens an address of the page, and waits for the view. */
async function at(page, site, words, view) {
  await page.goto("about:blank");
  await page.goto(`${site.url}title.html${words}`);
  await page.waitForFunction(() => !["start", "reading"].includes(document.body.dataset.view));
  assert.equal(await page.evaluate(() => document.body.dataset.view), view, await page.textContent("main"));
}

/** The lines of a table, or of a list of amounts. */
const lines = (page, selector) =>
  page.$$eval(`${selector} > *`, (rows) => rows.map((row) => [...row.children].map((cell) => cell.textContent)));
const units = (text) =>
  BigInt(
    text
      .replace(/[,\s\u00a0]|pwUSD|USD|[A-Za-z]/g, "")
      .replace(/^(\d+)\.?(\d*)$/, (_, whole, part) => whole + part.padEnd(6, "0")),
  );
const dayOf = (seconds) => new Date(seconds * 1000).toISOString().slice(0, 10);

/** What the chain says, read by ethers: the redemptions of a title, each with its day and its creator. */
async function redeemed(scene, id) {
  const rows = (await scene.chain.redemptions()).filter((row) => row.content === id);
  for (const row of rows) {
    const { blockNumber } = await scene.chain.call("eth_getTransactionReceipt", [row.transaction]);
    const { timestamp } = await scene.chain.call("eth_getBlockByNumber", [blockNumber, false]);
    row.block = Number(blockNumber);
    row.day = dayOf(Number(timestamp));
  }
  return rows;
}
const sum = (rows, name) => rows.reduce((all, row) => all + row[name], 0n);

test("a title's page shows who registered it and what went to whom, day by day, to the unit", async () => {
  const scene = await open();
  const title = await scene.title("film.mp4", BYTES);
  const other = await scene.title("other.mp4", BYTES);
  const signed = await publish(scene, title);
  const another = await publish(scene, other, { name: "Another", signed: "other" });
  const seeder = await scene.seeder([signed, another], 20_000_000);
  await sell(scene, seeder, signed, "first");
  await sell(scene, seeder, another, "beside");
  // Two days later the publisher takes less, and somebody else gets it.
  await scene.chain.passSeconds(2 * DAY);
  const sender = ["--key", "publisher.key", ...scene.at];
  await run(scene, "title", "lower-share", signed.id, "5", ...sender);
  await run(scene, "title", "set-creator", signed.id, scene.another, ...sender);
  await sell(scene, seeder, signed, "second");
  await scene.chain.call("anvil_mine", [HEX(3_000)]);

  const rows = await redeemed(scene, signed.id);
  const days = [...new Set(rows.map((row) => row.day))];
  assert.equal(days.length, 2);
  const [early, late] = days.map((day) => rows.filter((row) => row.day === day));
  for (const [part, bps] of [
    [early, 735n],
    [late, 500n],
  ])
    assert.ok(part.length > 0 && part.every(({ gross, cut }) => cut > 0n && cut === (gross * bps) / 10_000n));
  // What the vault owes each of them, but for the other film's part, is what the page has to show.
  const beside = sum(await redeemed(scene, another.id), "cut");
  assert.equal(await scene.chain.creditOf(scene.creator), sum(early, "cut") + beside);
  assert.equal(await scene.chain.creditOf(scene.another), sum(late, "cut"));

  const site = await siteOf(scene);
  const page = await visitor();
  await mkdir(shots, { recursive: true });
  await page.setViewportSize({ width: 1280, height: 900 });
  const shows = async () => {
    assert.equal(await page.textContent("#title-name"), NAME);
    assert.match(await page.textContent("#title-lede"), new RegExp(`by ${getAddress(scene.publisher)}\\.$`));
    const sums = await lines(page, "#title-sums");
    assert.equal(sums[0][1], `${rows.length} times`);
    assert.deepEqual(
      sums.slice(1).map(([, value]) => units(value)),
      [sum(rows, "gross"), sum(rows, "cut"), sum(rows, "net")],
    );
    assert.equal(sums[2][2], "5 % of each sale now.");
    const shown = (await lines(page, "#title-days")).map(([day, count, ...amounts]) => [
      day,
      count,
      ...amounts.map(units),
    ]);
    const expected = [late, early].map((part) => [
      part[0].day,
      String(part.length),
      sum(part, "gross"),
      sum(part, "cut"),
      sum(part, "net"),
    ]);
    assert.deepEqual(shown, expected);
    const receivers = (await lines(page, "#title-receivers")).map(([who, as, , amount]) => [who, as, units(amount)]);
    const creators = [
      [getAddress(scene.creator), "creator", sum(early, "cut")],
      [getAddress(scene.another), "creator", sum(late, "cut")],
    ].sort((one, two) => (one[2] < two[2] ? 1 : -1));
    assert.deepEqual(receivers, [...creators, [getAddress(scene.payee), "seller", sum(rows, "net")]]);
  };
  await at(page, site, `#id=${signed.id}`, "title");
  await shows();
  const registration = new Map((await lines(page, "#title-registration")).map(([term, value]) => [term, value]));
  assert.equal(registration.get("Publisher"), getAddress(scene.publisher));
  assert.equal(registration.get("Creator now"), getAddress(scene.another));
  assert.equal(registration.get("Licence"), "CC-BY-4.0");
  assert.equal(registration.get("Title id"), signed.id);
  const changes = await page.$$eval("#title-changes li", (all) => all.map((line) => line.textContent));
  assert.match(changes[0], /UTC: the share was lowered to 5 %\.$/);
  assert.match(changes[1], new RegExp(`the creator became ${getAddress(scene.another)}\\.$`));
  // Two bars at the ends of three days, the creators' part of each at its foot.
  const bars = await page.$$eval("#title-chart rect", (all) =>
    all.map((bar) => [bar.getAttribute("class"), Number(bar.getAttribute("height"))]),
  );
  assert.deepEqual(
    bars.map(([name]) => name),
    ["sellers", "creators", "sellers", "creators"],
  );
  for (const [part, at] of [
    [early, 0],
    [late, 2],
  ]) {
    const drawn = bars[at + 1][1] / (bars[at][1] + bars[at + 1][1]);
    assert.ok(Math.abs(drawn - Number(sum(part, "cut")) / Number(sum(part, "gross"))) < 0.001, String(drawn));
  }
  await page.screenshot({ path: join(shots, "title.png"), fullPage: true });
  assert.deepEqual(await violations(page), []);
  await page.screenshot({ path: join(shots, "title-phone-dark.png"), fullPage: true });

  // The spreadsheet has each redemption.
  const saving = page.waitForEvent("download");
  await page.click("#title-save");
  const saved = readFileSync(await (await saving).path(), "utf8")
    .trimEnd()
    .split("\r\n");
  // The name is one cell, and no formula.
  const cell = `,"'${NAME.replaceAll('"', '""')}",`;
  assert.ok(saved.slice(1).every((line) => line.includes(cell)));
  const csv = saved.map((line) => line.replace(cell, ",,").split(","));
  assert.deepEqual(csv[0].slice(0, 3), ["date", "title", "block"]);
  assert.deepEqual(
    csv
      .slice(1)
      .map(([day, , block, transaction, , , gross, cut, net]) => [
        day,
        Number(block),
        transaction,
        units(gross),
        units(cut),
        units(net),
      ]),
    rows.map((row) => [row.day, row.block, row.transaction, row.gross, row.cut, row.net]),
  );

  // A node that refuses large ranges is asked for smaller ones, and says the same.
  const strict = await nodeOf(scene, (request, answer) => {
    const [{ fromBlock, toBlock }] = request.method === "eth_getLogs" ? request.params : [{}];
    const isLarge = request.method === "eth_getLogs" && Number(toBlock) - Number(fromBlock) >= 700;
    return isLarge ? { id: 1, error: { code: -32005, message: "query exceeds 700 blocks" } } : answer;
  });
  await at(page, site, `#id=${signed.id}&rpc=${encodeURIComponent(strict.url)}`, "title");
  await shows();
  const ranges = strict.asked.filter(({ method }) => method === "eth_getLogs").length;
  assert.ok(ranges > 8 && ranges < 40, `${ranges} ranges`);
  assert.match(await page.textContent("#title-whose"), new RegExp(`is the word of ${new URL(strict.url).host}`));

  // Over more than three months it is shown month by month, with the creator's new share.
  await scene.chain.passSeconds(120 * DAY);
  await sell(scene, seeder, signed, "third");
  const months = {};
  for (const row of await redeemed(scene, signed.id))
    months[row.day.slice(0, 7)] = (months[row.day.slice(0, 7)] ?? 0n) + row.gross;
  await at(page, site, `#id=${signed.id}`, "title");
  assert.equal(await page.textContent("#title-days-head"), "Month by month");
  const monthly = (await lines(page, "#title-days")).map(([month, , gross]) => [month, units(gross)]);
  assert.deepEqual(monthly.toReversed(), Object.entries(months));

  // Neither page loads anything of the other's.
  assert.ok(!page.loaded.some((path) => /worker|wasm|payments\.js|page\.js/.test(path)), page.loaded.join());
  page.loaded = [];
  await page.goto(site.url);
  await page.waitForFunction(() => document.body.dataset.view === "open");
  assert.ok(!page.loaded.some((path) => /title/.test(path)), page.loaded.join());
  assert.deepEqual(page.problems, []);

  const firefox = await FirefoxTab.start({
    firefox: process.env.PIECEWORK_FIREFOX,
    geckodriver: process.env.PIECEWORK_GECKODRIVER,
  });
  ending(() => firefox.close());
  await firefox.open(`${site.url}title.html#id=${signed.id}`);
  await firefox.until(() => document.body.dataset.view === "title");
  const all = sum(await redeemed(scene, signed.id), "gross");
  assert.equal(units(await firefox.text("#title-sums > :nth-child(2) > dd")), all);
});

test("what nobody registered, sold or names is said; an earlier registration stands beside a later one", async () => {
  const scene = await open();
  const title = await scene.title("film.mp4", 100_000);
  const site = await siteOf(scene);
  const page = await visitor();

  // Nothing is asked for; a wrong word is named, and the keyboard is enough.
  await at(page, site, "", "ask");
  assert.deepEqual(await violations(page), []);
  await page.focus("#title-text");
  await page.keyboard.press("Enter");
  assert.match(await page.textContent("#title-wrong"), /Write a title.s id/);
  await page.keyboard.type("0x12");
  await page.keyboard.press("Enter");
  assert.match(await page.textContent("#title-wrong"), /.0x12. is no title.s id/);
  assert.equal(await page.getAttribute("#title-text", "aria-invalid"), "true");

  const { stdout } = await promisify(execFile)(piecework, ["info", title.path, "--json"]);
  const { info_hash: infoHash } = JSON.parse(stdout);
  await page.fill("#title-text", infoHash);
  await page.keyboard.press("Enter");
  await page.waitForFunction(() => document.body.dataset.view === "none");
  assert.match(await page.textContent("#title-lede"), /Nobody registered the content/);
  await at(page, site, `#id=0x${"7".repeat(64)}`, "none");
  assert.match(await page.textContent("#title-lede"), /Nobody registered the id 0x7777/);

  // Registered once, and sold never: the hash leads to it.
  const first = await publish(scene, title, { name: "=1+1" });
  await at(page, site, `#hash=${infoHash}`, "title");
  assert.equal(await page.textContent("#title-name"), "=1+1");
  assert.ok(await page.isVisible("#title-none"));
  assert.equal(await page.isVisible("#title-save"), false);
  assert.equal(await page.isVisible("#title-earlier"), false);
  assert.deepEqual(await violations(page), []);

  // A thief registers the same content later.
  const thief = await publish(scene, title, { key: "stranger.key", name: "Mine", signed: "thief" });
  await at(page, site, `?id=${thief.id}`, "title");
  assert.match(
    await page.textContent("#title-earlier"),
    new RegExp(`registered the same content before: ${getAddress(scene.publisher)}, on \\d{4}-`),
  );
  assert.deepEqual(await violations(page), []);
  await page.screenshot({ path: join(shots, "title-earlier.png"), fullPage: true });
  // axe left it as wide as a phone: nothing has to be pushed sideways.
  const [inside, wide] = await page.evaluate(() => [document.documentElement.scrollWidth, innerWidth]);
  assert.ok(inside <= wide, `${inside} px on a screen of ${wide}`);
  await page.click("#title-listed-all a");
  await page.waitForFunction(() => document.querySelector("#title-name").textContent === "=1+1");
  assert.equal(await page.isVisible("#title-earlier"), false);
  await at(page, site, `#magnet=${encodeURIComponent(title.magnet)}`, "list");
  const listed = await page.$$eval("#title-listed-all a", (all) => all.map((link) => link.textContent));
  assert.deepEqual(listed, [first.id, thief.id]);
  assert.deepEqual(await violations(page), []);
  await at(page, site, `#magnet=${encodeURIComponent(`${title.magnet}&pw.content=${thief.id.slice(2)}`)}`, "title");
  assert.equal(await page.textContent("#title-name"), "Mine");
  assert.deepEqual(page.problems, []);

  const free = await siteOf(null);
  await page.goto(`${free.url}title.html`);
  await page.waitForFunction(() => document.body.dataset.view === "failed");
  assert.match(await page.textContent("#title-reason"), /no payments set up/);
  const nodeless = JSON.parse(readFileSync(scene.deployment, "utf8"));
  delete nodeless.rpc;
  scene.deployment = join(scene.folder, "nodeless.json");
  writeFileSync(scene.deployment, JSON.stringify(nodeless));
  const unnamed = await siteOf(scene, { rpc: null });
  await at(page, unnamed, `#id=${first.id}`, "failed");
  assert.match(await page.textContent("#title-reason"), /names no node that could be asked\. Name one below/);
  for (const [typed, says] of [
    ["ftp://node.example", /is not the address of a node\. Write https:/],
    ["http://node.example", /http:.. is taken for this machine alone/],
    ["https://a:b@node.example", /is not the address of a node/],
  ]) {
    await page.fill("#title-url", typed);
    await page.keyboard.press("Enter");
    assert.match(await page.textContent("#title-url-wrong"), says);
  }
  await page.fill("#title-url", scene.anvil.url);
  await page.keyboard.press("Enter");
  await page.waitForFunction(() => document.body.dataset.view === "title");
});

test("what a node cannot have meant is an error that names it, and a search can be stopped", async () => {
  const scene = await open();
  const title = await scene.title("film.mp4", BYTES);
  const signed = await publish(scene, title);
  const seeder = await scene.seeder([signed], 20_000_000);
  await sell(scene, seeder, signed, "buyer");
  const site = await siteOf(scene);
  const page = await visitor();
  const of = (method, change) => (request, answer) => {
    if (request.method !== method || !answer.result) return answer;
    return { ...answer, result: change(structuredClone(answer.result), request.params[0]) };
  };
  /** The events of the vault, or of the registry: these have the title's id as their second topic. */
  const logs = (isVault, change) =>
    of("eth_getLogs", (found, { topics }) => ((topics.length === 1) === isVault ? found.map(change) : found));
  const swapped = (text, was, is) => text.replaceAll(was, is);
  const name = (text) => Buffer.from(text).toString("hex");
  const LIES = [
    [of("eth_chainId", () => "0x1"), /is of chain 1, and this site's titles are on chain 31337/],
    [of("eth_chainId", () => `0x${"f".repeat(40)}`), /answer to eth_chainId is not one to that question/],
    [of("eth_blockNumber", () => "0x0"), /at block 0, before this site's vault/],
    [of("eth_call", () => "0x"), /knows no contract that answers/],
    [of("eth_call", () => `0x${"0".repeat(64)}`), /does not hold this site's token/],
    [logs(false, (log) => ({ ...log, data: swapped(log.data, name("Ours"), name("Mine")) })), /contradicts itself/],
    [logs(false, (log) => ({ ...log, address: scene.payee })), /answer to eth_getLogs is not one/],
    [
      of("eth_getLogs", (found, { topics }) => (topics.length === 1 ? found : [])),
      /has the registration, and not the event/,
    ],
    [logs(true, (log) => ({ ...log, blockNumber: "0xffffff" })), /answer to eth_getLogs is not one/],
    [logs(true, (log) => ({ ...log, removed: true })), /answer to eth_getLogs is not one/],
    [logs(true, (log) => ({ ...log, data: log.data.slice(0, -64) })), /contradicts itself/],
    // More is the creator's than was paid.
    [logs(true, (log) => ({ ...log, data: `${log.data.slice(0, -64)}${"f".repeat(64)}` })), /contradicts itself/],
    [of("eth_getLogs", (found) => [...found, ...found]), /answer to eth_getLogs is not one/],
    [of("eth_getBlockByNumber", (block) => ({ ...block, number: "0x1" })), /answer to eth_getBlockByNumber is not one/],
    [of("eth_getBlockByNumber", () => null), /does not keep block/],
    [of("eth_getBlockByNumber", (block) => ({ ...block, timestamp: HEX(2 ** 50) })), /eth_getBlockByNumber is not one/],
    [
      (request, answer) => (request.method === "eth_getLogs" ? "<html>busy</html>" : answer),
      /eth_getLogs with HTTP 200 and no JSON/,
    ],
    [
      (request, answer) => (request.method === "eth_getLogs" ? `"${"x".repeat(17 << 20)}"` : answer),
      /longer than 16 MiB/,
    ],
    [
      (_, { id }) => ({ id, error: { code: -32000, message: `no\u202e ${"y".repeat(500)}` } }),
      /^The node refused eth_chainId: no\ufffd y{100,160}\u2026\.$/,
    ],
  ];
  for (const [change, says] of LIES) {
    const node = await nodeOf(scene, change);
    await at(page, site, `#id=${signed.id}&rpc=${encodeURIComponent(node.url)}`, "failed");
    assert.match(await page.textContent("#title-reason"), says);
    assert.equal(await page.isVisible("#title-found"), false);
  }
  assert.deepEqual(await violations(page), []);
  await page.screenshot({ path: join(shots, "title-failed.png"), fullPage: true });
  const gone = await nodeOf(scene);
  await at(page, site, `#id=${signed.id}&rpc=${encodeURIComponent("http://127.0.0.1:9/")}`, "failed");
  assert.match(await page.textContent("#title-reason"), /cannot be reached/);
  page.problems = page.problems.filter((text) => !/ERR_(CONNECTION_REFUSED|UNSAFE_PORT)/.test(text));

  // A search that is slow says how far it is, ends at once when it is told to, and begins again.
  let release;
  const held = new Promise((resolve) => (release = resolve));
  const slow = await nodeOf(scene, async (request, answer) => {
    if (request.method === "eth_getLogs" && request.params[0].topics.length === 1) await held;
    return answer;
  });
  await page.goto("about:blank");
  await page.goto(`${site.url}title.html#id=${signed.id}&rpc=${encodeURIComponent(slow.url)}`);
  await page.waitForFunction(() => document.querySelector("#title-doing").textContent === "Reading the registration");
  assert.equal(await page.getAttribute("body", "data-view"), "reading");
  assert.deepEqual(await violations(page), []);
  await page.click("#title-stop");
  await page.waitForFunction(() => document.body.dataset.view === "failed");
  assert.equal(await page.textContent("#title-failed-head"), "Stopped");
  release();
  await page.click("#title-again");
  await page.waitForFunction(() => document.body.dataset.view === "title");
  assert.equal(gone.asked.length, 0);
  assert.deepEqual(page.problems, []);
});
