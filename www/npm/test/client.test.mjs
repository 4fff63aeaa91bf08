// The client's messages to the engine, and to the next engine.
import assert from "node:assert/strict";
import { test } from "node:test";
import { HASH, MAGNET, asked, engines, payments, price, started } from "./page.mjs";
import { Client } from "./build/client.js";

const budget = async (client) => (await client.stats()).money.budget;
/** The engine that runs stops, and another one has started. */
async function restart(client) {
  const warned = new Promise((resolve) => client.on("warning", resolve));
  engines.at(-1).trap();
  assert.match((await warned).text, /a new one starts/);
  await client.stats();
}

/** A client for as long as the test lasts. */
function open(t, options) {
  const client = new Client(options);
  t.after(() => client.destroy());
  return client;
}

test("a budget that was set holds for the next engine, also where another client or page runs it", async (t) => {
  const host = open(t, { payments: payments() });
  assert.equal(await budget(host), 20_000_000n);
  const second = open(t, { payments: payments() });
  await host.setBudget("0.3");
  assert.equal(await budget(host), 300_000n);
  await restart(host);
  assert.equal(engines.at(-1).payment.budget, 300_000n);
  // Set by another page than the one whose engine runs.
  await second.setBudget("0.2");
  await restart(host);
  assert.equal(await budget(host), 200_000n);
  // Set before it came, and by a page that is gone.
  const third = open(t, { payments: payments() });
  assert.equal(await budget(third), 200_000n);
  await host.destroy();
  assert.equal(await budget(second), 200_000n);
  await second.destroy();
  assert.equal(await budget(third), 200_000n);
  assert.equal(engines.at(-1).payment.budget, 200_000n);
  // The spending at another vault does not count here.
  const other = open(t, { payments: payments("66") });
  const failed = new Promise((resolve) => other.on("error", resolve));
  assert.match((await failed).error.message, /close that page/);
  const next = started();
  await third.destroy();
  assert.equal((await next).payment.budget, 20_000_000n);
});

test("the most that a later add of a title allows to be paid is what the next engine is told", async (t) => {
  const client = open(t, { trackers: ["wss://tracker.invalid"], payments: payments() });
  const first = await client.add(MAGNET, { onDemand: true });
  const again = async () => {
    await restart(client);
    return engines.at(-1).told.find(({ t }) => t === "add").maxPricePerBlock;
  };
  assert.equal(await again(), undefined);
  assert.equal(await client.add(HASH, { maxPricePerGB: "1" }), first);
  assert.equal(engines.at(-1).told.at(-1).maxPricePerBlock, price(1));
  assert.equal(await again(), price(1));
  // A message without it changes nothing.
  await client.add(MAGNET);
  assert.equal(await again(), price(1));
});

test("the engine decides what is fetched unless the page says it; files are named by index or by path", async (t) => {
  const added = async (client, options) => {
    await client.add(MAGNET, options);
    const { onDemand, files } = engines.at(-1).told.findLast(({ t }) => t === "add");
    return [onDemand, files];
  };
  const paying = open(t, { trackers: ["wss://tracker.invalid"], payments: payments() });
  assert.deepEqual(await added(paying), [undefined, undefined], "a free page may share a paying one's engine");
  assert.deepEqual(await added(paying, { onDemand: true }), [true, undefined]);
  assert.deepEqual(await added(paying, { onDemand: false }), [false, undefined]);
  assert.deepEqual(await added(paying, { files: [0, 2] }), [undefined, [0, 2]]);
  // The engine knows no paths: nothing is fetched before the files are known.
  assert.deepEqual(await added(paying, { files: ["a/b.mp4", 1], onDemand: false }), [true, undefined]);
  await paying.destroy();
  const free = open(t, { trackers: ["wss://tracker.invalid"] });
  assert.deepEqual(await added(free), [undefined, undefined]);
  assert.deepEqual(await added(free, { onDemand: true }), [true, undefined]);
});

test("an option that is no list, or holds what it cannot, is named, and nothing is added", async (t) => {
  for (const [option, wrong, says] of [
    ["trackers", "wss://tracker.example", /^trackers must be a list of URLs, such as \["wss:/],
    ["trackers", [5], /^trackers must be a list of URLs/],
    ["iceServers", { urls: "stun:stun.example" }, /^iceServers must be a list of servers, such as \[\{ urls:/],
    ["iceServers", ["stun:stun.example"], /^iceServers must be/],
    ["iceServers", [{ urls: [] }], /^iceServers must be/],
  ])
    assert.throws(() => new Client({ [option]: wrong }), { name: "PieceworkError", message: says });
  const client = open(t, { trackers: ["wss://tracker.invalid"] });
  for (const [options, says] of [
    [{ trackers: "wss://tracker.example" }, /^trackers must be a list of URLs/],
    [{ webSeeds: "http://site.example/film.mp4" }, /^webSeeds must be a list of URLs, such as \["https:/],
    [{ webSeeds: ["http://"] }, /^webSeeds must be a list of URLs/],
    [{ webSeeds: [null] }, /^webSeeds must be a list of URLs/],
    [{ files: "film.mp4" }, /^files must be a list of indices \(whole numbers from 0\) and paths, such as \[0, /],
    [{ files: [-1] }, /^files must be/],
    [{ files: [0.5] }, /^files must be/],
    [{ files: [0, {}] }, /^files must be/],
    [{ files: 0 }, /^files must be/],
  ]) {
    const wrong = { name: "PieceworkError", message: says };
    await assert.rejects(client.add(MAGNET, options), wrong, JSON.stringify(options));
    await assert.rejects(client.seed(new Blob(["film"]), options), wrong, JSON.stringify(options));
  }
  await client.stats();
  assert.deepEqual(
    engines.at(-1).told.filter(({ t }) => t === "add" || t === "seed"),
    [],
  );
  await client.add(MAGNET, { webSeeds: ["film.mp4", new URL("https://site.example/film.mp4")], files: null });
  const { webSeeds, files } = engines.at(-1).told.find(({ t }) => t === "add");
  assert.deepEqual([webSeeds, files], [["http://localhost/film.mp4", "https://site.example/film.mp4"], undefined]);
});

/** The last limit of the title that the running engine got, once the title was added. */
async function limit(client) {
  await client.stats();
  const { told } = engines.at(-1);
  const said = (request) =>
    request.t === "add" ? request.maxPricePerBlock : request.t === "maxPrice" ? request.pricePerBlock : undefined;
  while (!told.some(({ t }) => t === "add")) await client.stats();
  return told.map(said).findLast((price) => price !== undefined);
}

const TRACKED = { trackers: ["wss://tracker.invalid"], payments: payments() };

for (const [how, allow] of [
  ["as it is added", (one) => one.add(HASH, { maxPricePerGB: "1" })],
  ["later", async (one) => (await one.add(HASH)).setMaxPricePerGB("1")],
  ["for nothing", (one) => one.add(HASH, { maxPricePerGB: "0" })],
]) {
  const most = how === "for nothing" ? 0n : price(1);
  test(`the most that one page allows for a title, ${how}, holds for the engine of another page`, async (t) => {
    const host = open(t, TRACKED);
    await allow(host);
    const second = open(t, TRACKED);
    await second.add(HASH); // a message without it changes nothing
    const third = open(t, TRACKED);
    await third.stats();
    const next = started();
    await host.destroy();
    await next;
    assert.equal(await limit(second), most);
    // Neither does a client that comes after the page that set it, to an engine that never heard of the title.
    await second.destroy();
    await third.stats();
    await third.add(HASH);
    assert.equal(await limit(third), most);
  });
}

test("of two pages that allow different sums for a title, the last counts, also for the next engine", async (t) => {
  const host = open(t, TRACKED);
  const [first, second] = [await host.add(HASH, { maxPricePerGB: "1" }), open(t, TRACKED)];
  await (await second.add(HASH)).setMaxPricePerGB("5");
  await restart(host);
  assert.equal(await limit(host), price(5));
  await first.setMaxPricePerGB("2");
  const next = started();
  await host.destroy();
  await next;
  assert.equal(await limit(second), price(2));
});

test("the limit of a title that was removed is forgotten on every page", async (t) => {
  const host = open(t, TRACKED);
  const second = open(t, TRACKED);
  const torrent = await second.add(HASH, { maxPricePerGB: "1" });
  await torrent.remove();
  await restart(host);
  await host.add(HASH);
  assert.equal(await limit(host), undefined);
});

test("what a page of another vault says of budget and limits is not taken for what ours says", async (t) => {
  const host = open(t, TRACKED);
  await host.setBudget("0.3");
  await host.add(HASH, { maxPricePerGB: "1" });
  const other = open(t, { ...TRACKED, payments: payments("66") });
  await new Promise((resolve) => other.on("error", resolve));
  await assert.rejects(other.setBudget("5"), /close that page/);
  // The engine has taken the earlier message by then.
  const second = open(t, TRACKED);
  await second.setBudget("0.2");
  await other.setBudget("5").catch(() => undefined);
  await second.stats();
  await restart(host);
  assert.equal(await budget(host), 200_000n);
  assert.equal(await limit(host), price(1));
});

test("who sells is asked for lasting storage, for what was earned is nowhere else", async (t) => {
  const file = new Blob(["a film"]);
  const asks = async (act) => {
    const before = asked.times;
    await act();
    return asked.times - before;
  };
  const free = open(t, {});
  assert.equal(await asks(() => free.seed(file, { sellPricePerGB: "5" })), 0, "it is never sold");
  await free.destroy();
  const client = open(t, { payments: payments() });
  assert.equal(await asks(() => client.seed(file)), 0);
  assert.equal(await asks(() => client.seed(file, { sellPricePerGB: "0" })), 0);
  assert.equal(await asks(() => client.seed(file, { sellPricePerGB: "5" })), 1);
  assert.equal(await asks(() => client.torrents[0].setSellPricePerGB("0")), 0);
  // If the browser asks its user, and the user does not answer, the page asks once in a visit.
  assert.equal(await asks(() => client.torrents[0].setSellPricePerGB("2")), 0);
  assert.equal(await asks(() => client.seed(file, { sellPricePerGB: "5" })), 0);
  await client.destroy();
  const fixed = open(t, { payments: payments("44", { sellPricePerGB: "3" }) });
  assert.equal(await asks(() => fixed.add(MAGNET)), 0, "a visitor who watches did nothing yet");
  assert.equal(await asks(() => fixed.seed(file)), 1);
});

test("files are shared as they are listed at the call, not as the page lists them later", async (t) => {
  const client = new Client();
  t.after(() => client.destroy());
  const list = [new File(["a"], "a.ts"), new File(["b"], "b.ts")];
  const seeding = client.seed(list);
  list.length = 0; // as an input's list when the page empties the input
  await seeding;
  const { files, name } = engines.at(-1).told.find((message) => message.t === "seed");
  assert.deepEqual([files.map(({ path }) => path), name], [[["a.ts"], ["b.ts"]], "files"]);
});
