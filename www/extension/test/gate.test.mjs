import assert from "node:assert/strict";
import { test } from "node:test";
import { Gate, MAX_TITLES_OF_PAGE } from "./build/gate.js";

const HASH = "ab".repeat(20);
const OTHER = "cd".repeat(20);
const MAGNET = `magnet:?xt=urn:btih:${HASH}`;
const SITE = {
  origin: "https://site.example",
  allowed: true,
  budget: 100n,
  spentFine: 40n << 24n,
  ceiling: 1_000n,
  titles: [],
};

/** A gate, what came through it, and an engine that answers when it is told to. */
function gate(site = {}, { mayPay = true } = {}) {
  const seen = { engine: [], page: [], took: [] };
  const state = { ...SITE, ...site };
  const one = new Gate({
    site: () => state,
    took: (hash) => seen.took.push(hash),
    now: () => seen.now ?? 0,
    toEngine: (message) => seen.engine.push(message),
    toPage: (message) => seen.page.push(message),
    mayPayFrom: async () => mayPay,
  });
  return { one, seen, state };
}

/** A page's request, and the engine's answer to it. */
function ask({ one, seen }, t, fields = {}, answer = undefined) {
  seen.id = (seen.id ?? 0) + 1;
  const { id } = seen;
  one.fromPage({ ...fields, t, id });
  const reached = seen.engine.find((message) => message.id === id);
  if (reached) one.fromEngine({ t: "ok", id, v: answer });
  return { reached, answer: seen.page.find((message) => message.id === id) };
}

/** A page with a title. */
function withTitle(site, options) {
  const made = gate(site, options);
  ask(made, "add", { magnet: MAGNET }, HASH);
  return made;
}

test("nothing of a page reaches the engine before its site is allowed", () => {
  const { one, seen } = gate({ allowed: null });
  for (const t of ["hello", "add", "torrent", "snapshot", "seed", "redeem", "limits", "play", "stream"])
    one.fromPage({ t, id: 1, hash: HASH, magnet: MAGNET });
  assert.deepEqual(seen.engine, []);
  assert.equal(one.mayRead(HASH), false);
});

test("a page reaches only the titles that it took up itself", () => {
  const made = withTitle();
  for (const t of [
    "torrent",
    "source",
    "leave",
    "remove",
    "pause",
    "resume",
    "onDemand",
    "select",
    "webSeed",
    "maxPrice",
  ]) {
    const { reached, answer } = ask(made, t, { hash: OTHER, files: [], url: "https://a.example/" });
    assert.equal(reached, undefined, t);
    assert.equal(answer.t, "err", t);
  }
  made.one.fromPage({ t: "play", hash: OTHER, player: 1, file: 0, position: 0, rate: 1 });
  assert.equal(made.seen.engine.length, 1);
  assert.equal(made.one.mayRead(OTHER), false);
  assert.equal(made.one.mayRead(HASH), true);
});

test("the trackers that another site named are told to nobody", () => {
  const { reached, answer } = ask(withTitle(), "source", { hash: HASH });
  assert.deepEqual([reached, answer], [undefined, { t: "ok", id: 2, v: undefined }]);
});

test("an info hash alone tells nobody that the title is here", () => {
  const made = gate();
  const { reached, answer } = ask(made, "add", { hash: OTHER });
  assert.equal(reached, undefined);
  assert.match(answer.message, /nothing is stored here/);
});

test("what is the user's own is asked of the engine by no site", () => {
  const own = ["receipts", "clearReceipts", "budget", "newSessionKey", "redeem", "redeemed", "price", "nonsense"];
  const made = withTitle();
  for (const t of own) {
    const { reached, answer } = ask(made, t, { hash: HASH, to: "0x0", total: 1n, pricePerBlock: 0n });
    assert.equal(reached, undefined, t);
    assert.equal(answer.t, "err", t);
  }
});

test("a page's title is removed from the page, not from the library", () => {
  const made = withTitle();
  const { reached } = ask(made, "remove", { hash: HASH, deleteData: true });
  assert.deepEqual(reached, { t: "leave", hash: HASH, id: 2 });
  assert.equal(made.one.mayRead(HASH), false);
});

test("the greeting tells the site's own titles, and nothing by which the user is known elsewhere", () => {
  const made = gate({ titles: [{ hash: HASH, spentFine: 0n }] });
  const { answer } = ask(
    made,
    "hello",
    {},
    {
      stored: [HASH, OTHER],
      vault: "0x1",
      chainId: 1,
      sessionKey: "0xkey",
      payee: "0xpayee",
      generation: 7,
    },
  );
  const plain = { stored: [HASH], vault: "0x1", chainId: 1, sessionKey: null, payee: null, generation: null };
  assert.deepEqual(answer.v, plain);
});

test("a title's state tells nothing of other sites and visits", () => {
  const made = withTitle({ titles: [{ hash: HASH, spentFine: 3n }] });
  const engine = {
    kept: true,
    uploaded: 9,
    uploadRate: 9,
    earnedFine: 9n,
    pricePerBlock: 9n,
    spentFine: 9n,
    verified: 1,
  };
  const { answer } = ask(made, "torrent", { hash: HASH }, engine);
  const own = {
    kept: false,
    uploaded: 0,
    uploadRate: 0,
    earnedFine: 0n,
    pricePerBlock: 0n,
    spentFine: 3n,
    verified: 1,
  };
  assert.deepEqual(answer.v, own);
});

test("the money that a page sees is what its site may spend", () => {
  const money = { accountReady: true, lack: null, balance: 9_000n, free: 9_000n, redeemable: 5n, redeemed: 5n };
  const engine = { torrents: [OTHER], trackers: [{ url: "wss://a" }], uploadRate: 7, money };
  const { answer } = ask(gate(), "snapshot", {}, engine);
  assert.equal(JSON.stringify(answer.v, (_, v) => (typeof v === "bigint" ? String(v) : v)).includes("9000"), false);
  assert.deepEqual([answer.v.money.free, answer.v.money.redeemable, answer.v.uploadRate], [60n, 0n, 0]);
  assert.deepEqual([answer.v.trackers, answer.v.torrents], [[], undefined]);
});

test("a page's price is cut to the ceiling, and to nothing when its budget is spent", () => {
  const made = withTitle();
  const price = (pricePerBlock) => ask(made, "maxPrice", { hash: HASH, pricePerBlock }).reached.pricePerBlock;
  assert.equal(price(5_000n), 1_000n);
  assert.equal(price(5n), 5n);
  assert.equal(price("5"), 1_000n);
  made.state.spentFine = 100n << 24n;
  assert.equal(price(5n), 0n);
  const add = (fields) => ask(made, "add", { magnet: MAGNET, ...fields }, HASH).reached;
  assert.equal(add({ maxPricePerBlock: 5n }).maxPricePerBlock, 0n);
  assert.equal(add({}).maxPricePerBlock, 0n);
  assert.deepEqual(
    [add({ pricePerBlock: 0n }).pricePerBlock, add({ check: "complete" }).check, add({ content: "x" }).content],
    [undefined, "resume", undefined],
  );
});

test("only what the engine made of a page's own files is taken for whole", () => {
  const made = gate();
  const [torrent, other] = [Uint8Array.of(1, 2, 3), Uint8Array.of(1, 2, 4)];
  const blob = new Blob(["x"]);
  const files = [{ blob, path: ["x"] }];
  for (const wrong of [
    { files: [{ path: ["x"] }] },
    { files: "x" },
    { files, name: 5 },
    { files: [{ blob, path: [1] }] },
  ])
    assert.equal(ask(made, "seed", { name: "x", ...wrong }).reached, undefined);
  assert.ok(ask(made, "seed", { name: "x", files, pricePerBlock: 1n }, torrent).reached);
  const check = (bytes) => ask(made, "add", { torrent: bytes, check: "complete" }, HASH).reached.check;
  assert.deepEqual([check(other), check(torrent)], ["resume", "complete"]);
});

test("what a page says of a torrent that it makes reaches the engine within bounds; what others said does not", () => {
  const made = gate();
  const files = [{ blob: new Blob(["x"]), path: ["x"] }];
  const said = { private: true, pieceLength: 32_768, created: 5, comment: "a film", createdBy: "a test" };
  const seed = (more) => ask(made, "seed", { name: "x", files, ...more }).reached;
  const reached = seed({ ...said, webSeeds: ["https://a.example/", "http://a.example/"], pricePerBlock: 1n });
  assert.deepEqual(Object.fromEntries(Object.keys(said).map((key) => [key, reached[key]])), said);
  assert.deepEqual([reached.webSeeds, reached.pricePerBlock], [["https://a.example/"], undefined]);
  const wrong = seed({ private: "no", pieceLength: -1, created: "now", comment: "x".repeat(9_999), createdBy: 5 });
  assert.deepEqual(
    [wrong.private, wrong.pieceLength, wrong.created, wrong.comment.length, wrong.createdBy],
    [false, undefined, undefined, 4_096, undefined],
  );
  // A title's .torrent file names the trackers of whoever brought it, perhaps of another site.
  ask(made, "add", { magnet: `magnet:?xt=urn:btih:${HASH}` }, HASH);
  for (const t of ["source", "closePeer"]) assert.equal(ask(made, t, { hash: HASH, peer: 1 }).reached, undefined);
});

test("a page names no server that it could not ask itself", () => {
  const [trackers, webSeeds] = [
    ["wss://a.example", "ws://a.example", "ws://127.0.0.1:1", "wss://localhost", "x"],
    ["https://a.example", "http://a.example", "http://192.168.0.1", "https://127.0.0.1/"],
  ];
  const { reached } = ask(gate(), "add", { magnet: MAGNET, trackers, webSeeds });
  assert.deepEqual([reached.trackers, reached.webSeeds], [["wss://a.example"], ["https://a.example"]]);
  const local = ask(gate({ origin: "http://127.0.0.1:80" }), "add", { magnet: MAGNET, trackers });
  assert.deepEqual(local.reached.trackers, ["wss://a.example", "ws://127.0.0.1:1", "wss://localhost"]);
});

test("an account is named by a site that may spend, and does not replace one with a deposit", async () => {
  const none = gate({ budget: 0n });
  assert.equal(ask(none, "accountId", { owner: "0x1" }).reached, undefined);
  const other = gate({}, { mayPay: false });
  other.one.fromPage({ t: "account", id: 1, owner: "0x1" });
  await null;
  await null;
  assert.deepEqual([other.seen.engine, other.seen.page[0].t], [[], "err"]);
});

test("events of other titles and of the whole engine stay outside", () => {
  const { one, seen } = withTitle();
  const before = seen.page.length;
  for (const hash of [OTHER, null]) one.fromEngine({ t: "event", e: "warning", hash, text: "x" });
  one.fromEngine({ t: "event", e: "piece", hash: HASH, piece: 1 });
  assert.deepEqual(
    seen.page.slice(before).map(({ e }) => e),
    ["piece"],
  );
});

test("no page reads the chain for the extension, and no page answers for another", () => {
  const { one, seen } = gate();
  one.fromEngine({ t: "ethCall", id: 3, to: "0x1", data: "0x" });
  one.fromPage({ t: "ethCallAnswer", id: 3, v: "0xff" });
  assert.deepEqual(seen.page, []);
  assert.deepEqual(
    seen.engine.map(({ t, v }) => [t, v]),
    [["ethCallAnswer", undefined]],
  );
});

test("a page has so many titles, and asks so often", () => {
  const made = gate();
  for (let i = 0; i < MAX_TITLES_OF_PAGE; i++) {
    const hash = i.toString(16).padStart(40, "0");
    assert.ok(ask(made, "add", { magnet: `magnet:?xt=urn:btih:${hash}` }, hash).reached);
  }
  assert.match(ask(made, "add", { magnet: MAGNET }).answer.message, /at most/);
  let refused = 0;
  for (let i = 0; i < 2_000; i++) if (!ask(made, "snapshot", {}, { money: {} }).reached) refused++;
  assert.ok(refused >= 1_000, `${refused} refused`);
  made.seen.now = 60_000;
  assert.ok(ask(made, "snapshot", {}, { money: {} }).reached);
});

test("a message of any form harms nobody", () => {
  const { one, seen } = gate();
  const strange = [null, 1, "x", [], {}, { t: 1 }, { t: "add" }, { t: "add", id: NaN }, { t: "add", id: 1, magnet: 5 }];
  for (const message of strange) one.fromPage(message);
  one.fromPage({ t: "add", id: 2, magnet: "m".repeat(100_000) });
  one.fromPage({ t: "add", id: 3, torrent: { length: 5 } });
  one.fromPage({ t: "select", id: 4, hash: HASH, files: "x" });
  assert.deepEqual(seen.engine, []);
});
