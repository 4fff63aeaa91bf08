import assert from "node:assert/strict";
import { test } from "node:test";
import { HASH, MAGNET, engines } from "./page.mjs";
import { Client } from "./build/client.js";
import { Emitter } from "./build/emitter.js";
import { PieceworkError } from "./build/errors.js";
import { Live, holds } from "./build/live.js";
import { sourceOf } from "./build/parsed.js";
import { fileEntries } from "./build/seeding.js";
import { hashIn, recognise } from "./build/source.js";
import { Torrent, TorrentFile } from "./build/torrent.js";
import { spooled } from "./build/spooling.js";

const refuse = (text) => new Error(text);

test("a listener hears every event, the next one, or those before a signal, until it is taken off", () => {
  const emitter = new Emitter();
  const heard = [];
  const hear = (event) => heard.push(event);
  const once = (event) => heard.push(`once ${event}`);
  const stop = new AbortController();
  const off = emitter.on("piece", hear);
  emitter.once("piece", once);
  emitter.on("piece", (event) => heard.push(`until ${event}`), { signal: stop.signal });
  emitter.emit("piece", 1);
  stop.abort();
  emitter.emit("piece", 2);
  assert.deepEqual(heard.splice(0), [1, "once 1", "until 1", 2]);
  off();
  emitter.emit("piece", 3);
  emitter.once("piece", once);
  emitter.on("piece", hear);
  emitter.off("piece", once);
  emitter.off("piece", hear);
  emitter.on("piece", hear, { signal: stop.signal });
  assert.equal(emitter.hears("piece", "done"), false);
  emitter.emit("piece", 4);
  assert.deepEqual(heard, []);
  // A listener that takes itself off, or listens anew, keeps nobody from hearing.
  emitter.once("done", () => emitter.once("done", hear));
  emitter.once("done", once);
  emitter.emit("done", 5);
  emitter.emit("done", 6);
  assert.deepEqual(heard, ["once 5", 6]);
});

test("a state is asked for when it is looked at, not too often, and follows pieces meanwhile", async (t) => {
  t.mock.timers.enable({ apis: ["Date"] });
  let [now, asked] = [0, 0];
  t.mock.method(performance, "now", () => now);
  const state = () => ({
    have: new Uint8Array(1),
    length: 25,
    pieceLength: 10,
    pieceCount: 3,
    verified: 0,
    selectedLength: 15,
    selectedVerified: 0,
  });
  const live = new Live(async () => {
    asked++;
    return state();
  });
  assert.equal(live.now, null);
  for (let i = 0; i < 100; i++) void live.now;
  await new Promise(setImmediate);
  assert.equal(asked, 1);
  live.piece(2, true);
  live.piece(2, true);
  live.piece(0, false);
  live.piece(7, true);
  const { verified, selectedVerified, have } = live.now;
  assert.deepEqual([verified, selectedVerified, have[0]], [15, 5, 0b1010_0000]);
  assert.deepEqual(
    [0, 1, 2].map((piece) => holds(live.now, piece)),
    [true, false, true],
  );
  live.done();
  assert.equal(live.now.selectedVerified, 15);
  now = 251;
  assert.equal(live.now.verified, 15, "the answer of before, until the next one is there");
  await new Promise(setImmediate);
  assert.deepEqual([asked, live.now.verified], [2, 0]);
});

test("of the pieces that come each file counts its own bytes, and tells when it has the last", async () => {
  const files = [
    ["it/a", 5],
    ["it/empty", 0],
    ["it/b", 25],
    ["", 10],
    ["it/c", 10],
    ["it/last", 1],
  ].map(([path, length]) => ({ path: path === "" ? [] : path.split("/"), length, priority: "normal" }));
  const snapshot = {
    name: "it",
    state: "downloading",
    files,
    length: 51,
    pieceLength: 10,
    pieceCount: 6,
    have: new Uint8Array(1),
    verified: 0,
    selectedLength: 51,
    selectedVerified: 0,
    peers: [],
  };
  const date = 1e30;
  const source = {
    torrent: new Uint8Array(2),
    trackers: [],
    webSeeds: [],
    comment: null,
    createdBy: null,
    created: date,
  };
  const torrent = new Torrent(HASH, {
    request: async (t) => ({ torrent: snapshot, source })[t],
    trackers: [],
    wishes: {},
  });
  await torrent.refresh();
  assert.equal(torrent.created, null, "a number that is no date's");
  const [a, empty, b, c, last] = torrent.files;
  assert.deepEqual(
    torrent.files.map((file) => [0, 1, 2, 3, 4, 5].filter((piece) => file.includes(piece)).join("")),
    ["0", "", "012", "4", "5"],
  );
  const done = [];
  for (const file of torrent.files) file.on("done", ({ name }) => done.push(name));
  const come = (piece) => torrent.handle({ t: "event", e: "piece", hash: HASH, piece });
  come(0);
  assert.deepEqual([a.progress, b.downloaded, empty.progress, torrent.downloaded], [1, 5, 1, 10]);
  for (const piece of [2, 1, 1, 4, 5, 99]) come(piece);
  assert.deepEqual(done, ["a", "b", "c", "last"]);
  assert.deepEqual(
    [b.progress, c.downloaded, last.downloaded, torrent.progress, torrent.done],
    [1, 10, 1, 41 / 51, false],
  );
  assert.deepEqual([torrent.has(3), torrent.has(4), torrent.lastPieceLength], [false, true, 1]);
  assert.equal(snapshot.have[0], 0, "an answer that somebody has is not changed");
});

test("a torrent is ready also where the engine keeps its .torrent file to itself", async () => {
  const files = [{ path: ["it"], length: 5, priority: "normal" }];
  const snapshot = { name: "it", files, length: 5, pieceLength: 16, pieceCount: 1, have: new Uint8Array(1), peers: [] };
  const torrent = new Torrent(HASH, {
    request: async (t) => {
      if (t === "torrent") return snapshot;
      throw new Error("it is refused");
    },
    trackers: ["wss://tracker.example"],
    wishes: {},
  });
  await torrent.refresh();
  await torrent.ready;
  assert.deepEqual([torrent.files.length, torrent.torrentFile], [1, null]);
  assert.equal(torrent.magnetURI, `${MAGNET}&dn=it&tr=wss%3A%2F%2Ftracker.example`);
});

test("a parsed torrent is its file, a file around its info dictionary, or a link", () => {
  const torrentFile = Uint8Array.of(1, 2);
  assert.deepEqual(sourceOf({ infoHash: HASH, torrentFile }), { torrent: torrentFile });
  const info = new TextEncoder().encode("d4:name4:filme");
  const trackers = ["wss://a.example", "wss://b.example/\u00e9"];
  const text = ({ torrent }) => new TextDecoder().decode(torrent);
  assert.equal(
    text(sourceOf({ infoHash: HASH, infoBuffer: info, announce: trackers, urlList: ["http://c.example/"] })),
    "d13:announce-listll15:wss://a.exampleel18:wss://b.example/\u00e9ee4:infod4:name4:filme8:url-listl17:http://c.example/ee",
  );
  assert.equal(text(sourceOf({ infoHash: HASH, infoBuffer: info })), "d4:infod4:name4:filmee");
  assert.deepEqual(sourceOf({ infoHash: HASH, name: "a film", announce: trackers, urlList: [5] }), {
    magnet: `${MAGNET}&dn=a%20film&tr=wss%3A%2F%2Fa.example&tr=wss%3A%2F%2Fb.example%2F%C3%A9`,
  });
  assert.deepEqual(recognise({ infoHash: HASH.toUpperCase() }).parsed.infoHash, HASH.toUpperCase());
  for (const wrong of [{ infoHash: "film" }, { infoHash: 5 }, { name: "film" }])
    assert.throws(() => recognise(wrong), /add takes a magnet link/);
});

test("an info hash is found in what names a torrent, and in nothing else", () => {
  const base32 = "CRNHHZHFNJ5VJ5RW76Z4ETVBAOWTCM5J";
  const hash = "145a73e4e56a7b54f636ffb3c24ea103ad3133a9";
  for (const source of [
    hash,
    hash.toUpperCase(),
    base32,
    base32.toLowerCase(),
    Uint8Array.from(Buffer.from(hash, "hex")),
    `magnet:?xt=urn:btih:${hash}&dn=film`,
    `magnet:?dn=film&xt.1=urn:btih:${base32}`,
    new URL(`magnet:?xt=urn:btih:${hash}`),
    { infoHash: hash.toUpperCase() },
  ])
    assert.equal(hashIn(source), hash, String(source));
  for (const source of ["film", "", `magnet:?dn=${hash}`, "magnet:?xt=urn:btih:ab", new Uint8Array(21), {}, null, 5])
    assert.equal(hashIn(source), null, String(source));
});

test("files to be seeded are named by themselves, with folders where all are in one", () => {
  const named = (name) => Object.assign(new Uint8Array(1), { name });
  const made = (...files) => {
    const { files: entries, name, isFolder } = fileEntries(files.length === 1 ? files[0] : files, refuse);
    return [name, isFolder, entries.map(({ path }) => path.join("/"))];
  };
  assert.deepEqual(made(named("film.mp4")), ["film.mp4", false, ["film.mp4"]]);
  assert.deepEqual(made(named("show/film.mp4")), ["show", true, ["film.mp4"]]);
  assert.deepEqual(made(named("show/a/1.ts"), named("/show//b.ts")), ["show", true, ["a/1.ts", "b.ts"]]);
  assert.deepEqual(made(named("show/1.ts"), named("other/1.ts")), [null, true, ["show/1.ts", "other/1.ts"]]);
  assert.deepEqual(made(named("show/1.ts"), new Uint8Array(1)), [null, true, ["show/1.ts", "file 2"]]);
});

test("streams to be seeded are read to their end, within a bound", async () => {
  const chunks = (...all) => ReadableStream.from(all);
  const other = new Uint8Array(1);
  const stream = Object.assign(chunks(Uint8Array.of(1), Uint8Array.of(2, 3)), { name: "a.ts" });
  const [first, second] = await spooled([stream, other], { refuse });
  assert.deepEqual([first.name, [...new Uint8Array(await first.arrayBuffer())]], ["a.ts", [1, 2, 3]]);
  assert.equal(second, other);
  let cancelled = false;
  const endless = new ReadableStream({
    pull: (controller) => controller.enqueue(new Uint8Array(400)),
    cancel: () => (cancelled = true),
  });
  await assert.rejects(spooled([endless], { refuse, most: 1_000 }), /longer than 1000 bytes together: give a File/);
  assert.equal(cancelled, true);
  await assert.rejects(spooled([chunks(Uint8Array.of(1)), chunks("text")], { refuse }), /chunks of type Uint8Array/);
  const fails = new ReadableStream({ pull: () => Promise.reject(new Error("the server is gone")) });
  await assert.rejects(spooled([fails], { refuse }), /the server is gone/);
});

test("limits are named as WebTorrent names them, and a client without torrents has nothing to do", async (t) => {
  const client = new Client({ trackers: ["wss://tracker.invalid"] });
  t.after(() => client.destroy());
  await client.throttleDownload(1_000);
  await client.throttleDownload(-1);
  await client.throttleUpload(0);
  await client.throttleUpload(-1);
  await client.setDownloadLimit(7.9);
  const limits = engines.at(-1).told.filter((message) => message.t === "limits");
  assert.deepEqual(
    limits.map(({ downloadLimit, uploadLimit }) => [downloadLimit, uploadLimit]),
    [
      [1_000, undefined],
      [null, undefined],
      [undefined, 0],
      [undefined, null],
      [7, undefined],
    ],
  );
  await assert.rejects(client.throttleDownload(-2), /downloadLimit must be null or a number of 0 or more/);
  assert.deepEqual([client.progress, client.ratio, client.downloadSpeed, client.uploadSpeed], [1, 0, 0, 0]);
  const torrent = await client.add(MAGNET);
  assert.equal(torrent.magnetURI, `${MAGNET}&tr=wss%3A%2F%2Ftracker.invalid`);
  assert.deepEqual(
    [torrent.torrentFile, torrent.torrentFileBlob, torrent.created, torrent.done],
    [null, null, null, false],
  );
  assert.equal(client.get(torrent), torrent);
});

test("the engine is asked for counters while somebody listens to them, and no longer", async (t) => {
  const client = new Client({ trackers: ["wss://tracker.invalid"] });
  t.after(() => client.destroy());
  await client.stats(); // an add before the engine is there makes offers that last half a minute
  const torrent = await client.add(MAGNET);
  const asked = () => engines.at(-1).told.filter(({ t }) => t === "torrent").length;
  t.mock.timers.enable({ apis: ["setTimeout"] });
  /** So many seconds pass; answers are waited for. */
  const pass = async (seconds) => {
    for (let second = 0; second < seconds; second++) {
      t.mock.timers.tick(1_000);
      await client.stats();
    }
  };
  const before = asked();
  torrent.on("piece", () => undefined);
  await pass(5);
  assert.equal(asked(), before, "a listener to what the engine says by itself");
  const offs = ["download", "upload", "noPeers"].map((name) => torrent.on(name, () => undefined));
  await pass(3);
  assert.equal(asked(), before + 3, "once a second for all of them");
  for (const off of offs) off();
  await pass(5);
  assert.equal(asked(), before + 3);
  torrent.on("upload", () => undefined);
  await pass(1);
  assert.equal(asked(), before + 4);
  await torrent.remove();
  await pass(5);
  assert.equal(asked(), before + 4, "nothing is asked about a torrent that is gone");
});

test("what only WebTorrent has is refused by a sentence that names the way", async (t) => {
  const client = new Client({ trackers: ["wss://tracker.invalid"] });
  t.after(() => client.destroy());
  const torrent = await client.add(MAGNET);
  const host = { trackers: [], wishes: {}, request: async () => undefined };
  const file = new TorrentFile({ hash: HASH, index: 0, offset: 0 }, { path: ["a"], length: 1 }, host);
  for (const [call, says] of [
    [() => file.getBlobURL(() => undefined), "there is no file.getBlobURL: use file.blob"],
    [() => file.getBuffer(() => undefined), "there is no file.getBuffer: use file.arrayBuffer"],
    [() => file.createReadStream({ start: 1 }), "there is no file.createReadStream: use file.stream"],
    [() => file.appendTo("body"), "there is no file.appendTo: use file.streamTo"],
    [() => torrent.destroy(), "there is no torrent.destroy: use torrent.remove"],
    [() => torrent.select(0, 5, 1), "there is no torrent.select: use file.select"],
    [() => client.createServer(), "there is no client.createServer: use file.url"],
    [() => torrent.on("wire", () => 0), "there is no event wire: use peer, peerclosed and torrent.stats"],
    [() => torrent.once("wire", () => 0), "there is no event wire: use peer, peerclosed and torrent.stats"],
    [
      () => new Client({ tracker: { rtcConfig: {} } }),
      "there is no option tracker: use trackers, useTorrentTrackers and iceServers",
    ],
  ])
    assert.throws(call, (error) => error instanceof PieceworkError && error.message === says, says);
  for (const [call, says] of [
    [() => client.add(MAGNET, { path: "/films" }), "there is no option path: the browser stores it"],
    [() => client.add(MAGNET, { store: class {} }), "there is no option store: the browser stores it"],
    [() => torrent.remove({ destroyStore: true }), "there is no option destroyStore: use deleteData"],
    [() => client.remove(MAGNET, { destroyStore: true }), "there is no option destroyStore: use deleteData"],
    [() => file.streamTo("video"), /^streamTo takes a video or audio element: document\.querySelector finds one$/],
    [() => file.streamTo(null), /^streamTo takes a video or audio element/],
  ])
    await assert.rejects(call, { name: "PieceworkError", message: says });
  assert.equal(client.get(MAGNET), torrent, "nothing was removed");
});

test("a torrent that was just made waits until the engine has looked at what it stored", async () => {
  const made = async (then) => {
    const file = { path: ["it"], length: 5, priority: "normal" };
    const known = { name: "it", files: [file], length: 5, pieceLength: 16, pieceCount: 1, peers: [] };
    let now = { ...known, state: "checking", have: new Uint8Array(1), selectedLength: 5, selectedVerified: 0 };
    const torrent = new Torrent(HASH, {
      request: async (t) => (t === "torrent" ? now : null),
      trackers: [],
      wishes: {},
    });
    assert.equal(await torrent.refresh(true), true);
    assert.deepEqual([torrent.files.length, torrent.done], [0, false]);
    now = { ...now, ...then.state };
    torrent.handle({ t: "event", hash: HASH, ...then.event });
    await torrent.ready;
    assert.equal(await torrent.refresh(true), false);
    return torrent.done;
  };
  const whole = { state: "seeding", have: Uint8Array.of(0x80), selectedVerified: 5 };
  assert.equal(await made({ state: whole, event: { e: "ready" } }), true);
  assert.equal(await made({ state: { state: "failed" }, event: { e: "error", text: "no room" } }), false);
});
