import assert from "node:assert/strict";
import { test } from "node:test";
import { Gate, MAX_TITLES_OF_PAGE, MAX_TITLES_OF_SITE, MAX_TRACKERS_BESIDES } from "./build/gate.js";
import { MAX_TRACKERS_OF_SITE } from "./build/sites.js";

const HASH = "ab".repeat(20);
const OTHER = "cd".repeat(20);
const OWNER = `0x${"11".repeat(20)}`;
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
function gate(site = {}, { mayPay = true, leaves } = {}) {
  const seen = {
    engine: [],
    page: [],
    took: [],
    trackers: new Set(),
    left: [],
    changed: [],
    reads: false,
    pays: true,
    inUse: 0,
    paysFrom: 0,
  };
  const state = { ...SITE, ...site };
  const one = new Gate({
    site: () => state,
    took: (hash, trackers) => {
      seen.took.push(hash);
      for (const url of trackers) seen.trackers.add(url);
    },
    trackers: () => seen.trackers,
    wishes: (hash) => seen.changed.push(hash),
    leaves: async () => leaves,
    left: (hash) => seen.left.push(hash),
    reads: () => seen.reads,
    pays: () => seen.pays,
    inUse: () => seen.inUse,
    onDemand: false,
    loopback: false,
    paysFrom: async () => {
      seen.paysFrom++;
      return mayPay;
    },
    sawMoney: () => undefined,
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

test("a page reaches only the titles that it took up itself", async () => {
  const made = withTitle();
  for (const t of ["torrent", "title", "source", "pause", "resume", "onDemand", "select", "webSeed", "maxPrice"]) {
    const { reached, answer } = ask(made, t, { hash: OTHER, files: [], url: "https://a.example/" });
    assert.equal(reached, undefined, t);
    assert.equal(answer.t, "err", t);
  }
  for (const t of ["leave", "remove"]) {
    made.one.fromPage({ t, id: 99, hash: OTHER });
    await new Promise((resolve) => setTimeout(resolve));
    assert.equal(made.seen.page.at(-1).t, "err", t);
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

test("who signed a title is told to a page that took it up, also when that changes", () => {
  const made = withTitle();
  const signed = { name: "A film", publisher: OWNER };
  const { reached, answer } = ask(made, "title", { hash: HASH, more: 1 }, signed);
  assert.deepEqual(reached, { t: "title", hash: HASH, id: 2 });
  assert.deepEqual(answer, { t: "ok", id: 2, v: signed });
  for (const hash of [HASH, OTHER]) made.one.fromEngine({ t: "event", e: "title", hash });
  assert.deepEqual(
    made.seen.page.filter(({ t }) => t === "event"),
    [{ t: "event", e: "title", hash: HASH }],
  );
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

test("a title that a page removes is left by the page, and its host is told", async () => {
  const made = withTitle();
  made.one.fromPage({ t: "remove", id: 2, hash: HASH, deleteData: true });
  assert.equal(made.one.mayRead(HASH), false);
  // What is added meanwhile is not left with it.
  made.one.fromPage({ t: "add", id: 3, magnet: MAGNET });
  await new Promise((resolve) => setTimeout(resolve));
  assert.deepEqual(made.seen.engine[1], { t: "leave", hash: HASH, id: 2 });
  assert.equal(made.seen.engine[2].t, "add");
  made.one.fromEngine({ t: "ok", id: 2, v: undefined });
  assert.deepEqual(made.seen.left, [HASH]);
});

test("what a page wants of a title goes to the host, which asks the engine for all pages", () => {
  const made = withTitle();
  const wish = made.one.titles.get(HASH);
  assert.equal(wish.whole, true);
  for (const [t, fields] of Object.entries({
    pause: {},
    onDemand: { v: true },
    maxPrice: { pricePerBlock: 5n },
    select: { files: [0], priority: "skip" },
  })) {
    const { reached, answer } = ask(made, t, { hash: HASH, ...fields });
    assert.deepEqual([reached, answer.t], [undefined, "ok"], t);
  }
  wish.learn(["normal", "normal"], true);
  assert.deepEqual(
    [wish.paused, wish.onDemand, wish.price, wish.priority(0), wish.priority(1)],
    [true, true, 5n, "skip", "normal"],
  );
  assert.deepEqual(made.seen.changed, Array(4).fill(HASH));
  const { reached } = ask(made, "add", { magnet: MAGNET, onDemand: false, files: [0], maxPricePerBlock: 9n }, HASH);
  assert.deepEqual([reached.onDemand, reached.files, reached.maxPricePerBlock], [true, undefined, undefined]);
  assert.match(ask(made, "select", { hash: HASH, files: [0], priority: "x" }).answer.message, /priority/);
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

/** A title as the engine has it, with what is nobody's business. */
const PEER = { paidFine: 9n, blocks: 9, pricePerBlock: 9n, active: true, note: "secret" };
const ENGINE_TITLE = {
  infoHash: HASH,
  name: "film",
  state: "downloading",
  onDemand: false,
  kept: true,
  failure: null,
  length: 100,
  pieceLength: 10,
  pieceCount: 10,
  have: Uint8Array.of(0x80, 0),
  verified: 10,
  selectedLength: 100,
  selectedVerified: 10,
  blockCount: 10,
  files: [{ path: ["a"], length: 100, priority: "normal" }],
  downloaded: 10,
  uploaded: 9,
  wasted: 0,
  downloadRate: 77,
  uploadRate: 9,
  pricePerBlock: 9n,
  maxPricePerBlock: 999_999n,
  spentFine: 9n,
  earnedFine: 9n,
  maxCostFine: 9n,
  peers: [
    { id: 1, client: "x", haveCount: 1, downloadRate: 77, uploadRate: 9, uploaded: 9, buying: PEER, selling: PEER },
  ],
  webSeeds: [
    { url: "https://mine.example/?a", state: "downloading", note: "", downloaded: 5, downloadRate: 5 },
    { url: "https://other.example/?token", state: "downloading", note: "", downloaded: 5, downloadRate: 5 },
  ],
  swarm: null,
  addedLater: "a field of a later engine",
};

test("a title's state tells a page nothing of other sites and visits", () => {
  const made = gate({ titles: [{ hash: HASH, spentFine: 3n }] });
  made.seen.pays = false;
  ask(made, "add", { magnet: MAGNET, onDemand: true, webSeeds: ["https://mine.example/?a"] }, HASH);
  const look = (more) => ask(made, "torrent", { hash: HASH }, { ...ENGINE_TITLE, ...more }).answer.v;
  const first = look({});
  assert.deepEqual([first.kept, first.uploaded, first.spentFine, first.maxPricePerBlock], [false, 0, 3n, 1_000n]);
  const zeros = ["uploadRate", "downloadRate"].map((key) => first[key]);
  assert.deepEqual(zeros.concat(first.peers[0].downloadRate, first.webSeeds[0].downloadRate), [0, 0, 0, 0]);
  const text = JSON.stringify(first, (_, v) => (typeof v === "bigint" ? String(v) : v));
  for (const word of ["secret", "token", "addedLater", "999999"]) assert.equal(text.includes(word), false, word);
  // What comes for another site is not seen by a page that neither fetches nor reads the title.
  const more = { have: Uint8Array.of(0xff, 0xc0), verified: 100, selectedVerified: 100, state: "seeding" };
  const idle = look(more);
  assert.deepEqual([idle.have, idle.verified, idle.state], [Uint8Array.of(0x80, 0), 10, "downloading"]);
  made.seen.reads = true;
  const reading = look(more);
  assert.deepEqual([reading.have, reading.downloadRate, reading.state], [Uint8Array.of(0xff, 0xc0), 77, "seeding"]);
});

test("the money that a page sees is what its site may spend", () => {
  const money = { accountReady: true, lack: null, balance: 9_000n, free: 9_000n, redeemable: 5n, redeemed: 5n };
  const engine = { torrents: [OTHER], trackers: [{ url: "wss://a" }], uploadRate: 7, money };
  const { answer } = ask(gate(), "snapshot", {}, engine);
  assert.equal(JSON.stringify(answer.v, (_, v) => (typeof v === "bigint" ? String(v) : v)).includes("9000"), false);
  assert.deepEqual([answer.v.money.free, answer.v.money.redeemable, answer.v.uploadRate], [60n, 0n, 0]);
  assert.deepEqual([answer.v.trackers, answer.v.torrents], [[], undefined]);
});

test("an add carries no price and no word on what is whole", () => {
  const add = (fields) => ask(gate(), "add", { magnet: MAGNET, ...fields }, HASH).reached;
  assert.deepEqual(
    [add({ pricePerBlock: 0n }).pricePerBlock, add({ check: "complete" }).check, add({ content: "x" }).content],
    [undefined, "resume", undefined],
  );
});

test("only what the engine made of a page's own files is taken for whole", () => {
  const made = gate();
  const [torrent, other] = ["d1:xi1ee", "d1:xi2ee"].map((text) => new TextEncoder().encode(text));
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
  for (const name of ["localhost.", "127.0.0.2", "0.0.0.0", "[::ffff:127.0.0.1]", "[::1]", "a.localhost"]) {
    const { reached: other } = ask(gate(), "add", { magnet: MAGNET, trackers: [`wss://${name}`] });
    assert.deepEqual(other.trackers, [], name);
  }
  const local = ask(gate({ origin: "http://127.0.0.1:80" }), "add", { magnet: MAGNET, trackers });
  assert.deepEqual(local.reached.trackers, ["wss://a.example", "ws://127.0.0.1:1", "wss://localhost"]);
});

test("an account is named by a site that may spend, and refused where the host pays from another one", async () => {
  const none = gate({ budget: 0n });
  const other = gate({}, { mayPay: false });
  for (const [made, t] of [none, other].flatMap((made) => [
    [made, "account"],
    [made, "accountId"],
  ])) {
    made.one.fromPage({ t, id: made.seen.page.length + 1, owner: OWNER });
    await new Promise((resolve) => setTimeout(resolve));
    assert.deepEqual([made.seen.engine, made.seen.page.at(-1).t], [[], "err"]);
  }
});

test("only the host tells the engine whose deposit pays, and what is no address reaches neither", async () => {
  const { one, seen } = gate();
  for (const [id, owner] of ["0x1", `0x${"zz".repeat(20)}`, 1, undefined].entries())
    one.fromPage({ t: "account", id, owner });
  await new Promise((resolve) => setTimeout(resolve));
  assert.deepEqual([seen.paysFrom, seen.engine, seen.page.map(({ t }) => t)], [0, [], Array(4).fill("err")]);
  one.fromPage({ t: "account", id: 5, owner: OWNER });
  one.fromPage({ t: "accountId", id: 6, owner: OWNER });
  await new Promise((resolve) => setTimeout(resolve));
  assert.deepEqual([seen.paysFrom, seen.engine], [1, [{ t: "accountId", owner: OWNER, id: 6 }]]);
  assert.deepEqual(seen.page.at(-1), { t: "ok", id: 5, v: undefined });
});

test("few requests of one page about accounts wait at once, and an engine that ended answers none", async () => {
  const { one, seen } = gate({}, { mayPay: new Promise(() => undefined) });
  for (let id = 0; id < 100; id++) one.fromPage({ t: id % 2 ? "account" : "accountId", id, owner: OWNER });
  await new Promise((resolve) => setTimeout(resolve));
  assert.deepEqual([seen.engine.length, seen.page.length], [0, 96]);

  let reject;
  const promise = new Promise((_, fails) => (reject = fails));
  const other = gate({}, { mayPay: promise });
  other.one.fromPage({ t: "account", id: 1, owner: OWNER });
  other.one.engineIsNew();
  reject(new Error("the engine stopped"));
  await new Promise((resolve) => setTimeout(resolve));
  assert.deepEqual([other.seen.engine, other.seen.page], [[], []]);
});

test("a second request by the id of one that waits gets nowhere", async () => {
  let resolve;
  const promise = new Promise((done) => (resolve = done));
  const { one, seen } = gate({}, { leaves: promise });
  ask({ one, seen }, "add", { magnet: MAGNET }, HASH);
  seen.engine.length = 0;
  one.fromPage({ t: "leave", id: 5, hash: HASH });
  one.fromPage({ t: "add", id: 6, magnet: `magnet:?xt=urn:btih:${OTHER}` });
  for (const id of [5, 6]) one.fromPage({ t: "snapshot", id });
  resolve();
  await new Promise((done) => setTimeout(done));
  assert.deepEqual(
    seen.engine.map(({ t }) => t),
    ["leave", "add"],
  );
  one.fromEngine({ t: "ok", id: 6, v: OTHER });
  assert.deepEqual([...one.titles.keys()], [OTHER]);
});

test("a page hears of its titles what it asked for, and of no other", () => {
  const { one, seen } = gate();
  ask({ one, seen }, "add", { magnet: MAGNET, onDemand: true }, HASH);
  const heard = (hash) => {
    const before = seen.page.length;
    for (const e of ["piece", "peer", "peerclosed", "warning", "payment", "paymentneeded", "ready", "error"])
      one.fromEngine({ t: "event", e, hash });
    return seen.page.slice(before).map(({ e }) => e);
  };
  assert.deepEqual([heard(OTHER), heard(null)], [[], []]);
  assert.deepEqual(heard(HASH), ["payment", "paymentneeded", "ready", "error"]);
  seen.pays = false;
  assert.deepEqual(heard(HASH), ["ready", "error"]);
  seen.reads = true;
  assert.deepEqual(heard(HASH), ["piece", "peer", "peerclosed", "warning", "ready", "error"]);
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
  const crowded = gate();
  crowded.seen.inUse = MAX_TITLES_OF_SITE;
  assert.match(ask(crowded, "add", { magnet: MAGNET }).answer.message, /A site/);
  let refused = 0;
  for (let i = 0; i < 2_000; i++) if (!ask(made, "snapshot", {}, { money: {} }).reached) refused++;
  assert.ok(refused >= 1_000, `${refused} refused`);
  // A player's place counts, too.
  const before = made.seen.engine.length;
  made.one.fromPage({ t: "play", hash: "0".repeat(40), player: 1, file: 0, position: 0, rate: 1 });
  assert.deepEqual([made.seen.engine.length, made.one.mayAsk()], [before, false]);
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

test("of trackers a page of this machine alone hears, and of those of this machine that it named", () => {
  const trackers = ["ws://localhost:8000", "ws://localhost:8001", "wss://tracker.example"].map((url) => ({
    url,
    connected: true,
    error: null,
  }));
  const seen = (origin) => {
    const made = gate({ origin });
    const named = ["ws://localhost:8000/", "wss://tracker.example/"];
    ask(made, "add", { magnet: MAGNET, trackers: named }, HASH);
    return ask(made, "snapshot", {}, { money: {}, trackers }).answer.v.trackers;
  };
  assert.deepEqual(seen("https://site.example"), []);
  const [one, ...more] = seen("http://localhost:3000");
  assert.deepEqual([one.url, one.connected, more], ["ws://localhost:8000", false, []]);
  assert.match(one.error, /load target\/extension-loopback/);
});

test("a site's titles name few trackers at once, however they are named", () => {
  const made = gate();
  const urls = (from, count) => Array.from({ length: count }, (_, i) => `wss://${from + i}.example/`);
  const add = (message) => ask(made, "add", message, HASH).answer;
  const text = (value) => `${value.length}:${value}`;
  const torrent = (list) =>
    new TextEncoder().encode(`d13:announce-listl${list.map((url) => `l${text(url)}e`).join("")}e4:infodee`);
  const link = (list) => `${MAGNET}${list.map((url) => `&tr=${encodeURIComponent(url)}`).join("")}`;
  assert.equal(add({ magnet: MAGNET, trackers: urls(0, 6) }).t, "ok");
  assert.equal(add({ magnet: link(urls(6, 6)) }).t, "ok");
  assert.equal(add({ torrent: torrent(urls(12, MAX_TRACKERS_OF_SITE - 12)) }).t, "ok");
  assert.equal(made.seen.trackers.size, MAX_TRACKERS_OF_SITE);
  for (const more of [{ trackers: urls(99, 1) }, { magnet: link(urls(99, 1)) }, { torrent: torrent(urls(99, 1)) }])
    assert.match(add({ magnet: more.torrent ? undefined : MAGNET, ...more }).message, /at most 16 signaling servers/);
  // The same ones again, and those of other kinds, take no room.
  assert.equal(add({ torrent: torrent([...urls(0, 16), "udp://tracker.example:80"]) }).t, "ok");
  made.seen.trackers.clear();
  assert.equal(add({ magnet: link(urls(99, 1)) }).t, "ok");
  assert.match(add({ torrent: new Uint8Array([1, 2, 3]) }).message, /not a .torrent file/);
});

test("a client's own trackers go with a title as far as there is room, and leave some to titles", () => {
  const urls = (from, count) => Array.from({ length: count }, (_, at) => `wss://t${from + at}.example`);
  const made = gate();
  const asked = (fields) => ask(made, "add", { magnet: MAGNET, trackers: [], ...fields }, HASH).reached?.trackers;
  assert.deepEqual(asked({ besides: urls(0, 2) }), urls(0, 2));
  for (const besides of [undefined, "wss://t0.example", [5, "ftp://t0.example", "ws://t0.example", "wss://"]])
    assert.deepEqual(asked({ besides }), []);
  assert.deepEqual(asked({ trackers: urls(2, 5), besides: urls(0, 9) }), [...urls(2, 5), ...urls(0, 7), ...urls(7, 1)]);
  assert.equal(made.seen.trackers.size, MAX_TRACKERS_BESIDES);
  assert.deepEqual(asked({ besides: urls(20, 9) }), []);
  const rest = MAX_TRACKERS_OF_SITE - MAX_TRACKERS_BESIDES;
  assert.deepEqual(asked({ trackers: urls(20, rest), besides: urls(7, 2) }), [...urls(20, rest), ...urls(7, 1)]);
  assert.equal(made.seen.trackers.size, MAX_TRACKERS_OF_SITE);
});
