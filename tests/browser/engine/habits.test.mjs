// What a user of WebTorrent expects of a client, a torrent and a file (docs/webtorrent.md), in a real engine.
import assert from "node:assert/strict";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { browser, folder, open, signaling, site } from "../support/harness.mjs";
import { test } from "../support/tests.mjs";

const KIB = 1 << 10;
const MIB = 1 << 20;

/** A page with a client in a browser of its own. */
async function peer(url, options = {}) {
  const { context } = await browser();
  const page = await open(context, url);
  await page.run(`start(${JSON.stringify(options)})`);
  return page;
}

test("a torrent is made of streams, buffers and blobs with names, and says what its maker said", async () => {
  const [url, tracker] = [await site(), await signaling()];
  const a = await peer(url);
  const made = await a.run(`(async () => {
    const named = (name, data) => Object.assign(data, { name });
    const stream = new ReadableStream({
      start: (controller) => {
        for (const part of ["strea", "med"]) controller.enqueue(new TextEncoder().encode(part));
        controller.close();
      },
    });
    const heard = [];
    window.torrent = await client.seed(
      [
        named("show/low/a.ts", new TextEncoder().encode("a buffer")),
        named("show/b.ts", new Blob(["a blob"])),
        named("show/c.ts", stream),
        new File([new Uint8Array(${3 * MIB})], "show/d.bin"),
      ],
      {
        trackers: ["${tracker}"],
        webSeeds: ["http://127.0.0.1:9/films/"],
        pieceLength: ${32 * KIB},
        comment: "two lines\\nof text",
        createdBy: "a test",
        created: new Date("2026-02-03T04:05:06.789Z"),
        private: true,
        onProgress: (done, total) => heard.push([done, total]),
      },
    );
    const { name, files, pieceLength, pieceCount, lastPieceLength, length } = torrent;
    return {
      name, pieceLength, pieceCount, lastPieceLength, length, heard,
      paths: files.map(({ path }) => path.join("/")),
      texts: await Promise.all(files.slice(0, 3).map((file) => file.text())),
      file: btoa(String.fromCharCode(...torrent.torrentFile)),
      blob: [torrent.torrentFileBlob.size, torrent.torrentFileBlob.type],
      done: torrent.done, progress: torrent.progress, left: torrent.timeRemaining,
    };
  })()`);
  assert.equal(made.name, "show");
  assert.deepEqual(made.paths, ["show/low/a.ts", "show/b.ts", "show/c.ts", "show/d.bin"]);
  assert.deepEqual(made.texts, ["a buffer", "a blob", "streamed"]);
  assert.equal(made.length, 3 * MIB + 22);
  assert.deepEqual([made.pieceLength, made.pieceCount, made.lastPieceLength], [32 * KIB, 97, 22]);
  assert.deepEqual([made.done, made.progress, made.left], [true, 1, 0]);
  assert.deepEqual(made.blob, [atob(made.file).length, "application/x-bittorrent"]);
  const total = 2 * made.length;
  assert.deepEqual(made.heard[0], [0, total]);
  assert.ok(made.heard.every(([done, all], at) => all === total && done >= (made.heard[at - 1]?.[0] ?? 0)));
  assert.ok(made.heard.at(-1)[0] > made.length, "the second read is heard of too");

  // Another page reads the same out of the file.
  const b = await peer(url, { useTorrentWebSeeds: false, useTorrentTrackers: false });
  await b.run(`add("${made.file}")`);
  const read = await b.run(`(() => {
    const { comment, createdBy, created, announce, magnetURI, infoHash } = torrent;
    return {
      comment, createdBy, announce, magnetURI, infoHash, created: created.toISOString(), isPrivate: torrent.private,
      file: btoa(String.fromCharCode(...torrent.torrentFile)),
    };
  })()`);
  assert.deepEqual(read, {
    comment: "two lines\nof text",
    createdBy: "a test",
    created: "2026-02-03T04:05:06.000Z",
    announce: [tracker],
    isPrivate: true,
    infoHash: read.infoHash,
    magnetURI:
      `magnet:?xt=urn:btih:${read.infoHash}&dn=show&tr=${encodeURIComponent(tracker)}` +
      `&ws=${encodeURIComponent("http://127.0.0.1:9/films/")}`,
    file: made.file,
  });
});

test("a torrent is added by every form that names one, found by them, and removed", async () => {
  const tracker = await signaling();
  const a = await peer(await site());
  const bytes = Buffer.from(await a.run(`seed(${MIB}, 3, { trackers: ["${tracker}"] })`), "base64");
  const path = join(folder("torrent"), "film.torrent");
  writeFileSync(path, bytes);
  const url = await site({ mounts: { "/film.torrent": path } });
  const page = await peer(url, { trackers: [tracker] });
  const hash = await a.run("torrent.infoHash");
  const took = await page.run(`(async () => {
    const bytes = Uint8Array.from(atob("${bytes.toString("base64")}"), (c) => c.charCodeAt(0));
    // What parse-torrent gives has the info dictionary's bytes.
    const info = bytes.slice(new TextDecoder("latin1").decode(bytes).indexOf("4:info") + 6, -1);
    const hash = "${hash}";
    const raw = Uint8Array.from(hash.match(/../g), (digits) => parseInt(digits, 16));
    const bits = [...raw].map((byte) => byte.toString(2).padStart(8, "0")).join("");
    const base32 = bits.match(/.{5}/g).map((five) => "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567"[parseInt(five, 2)]).join("");
    const heard = [];
    for (const name of ["add", "torrent", "remove"])
      client.on(name, ({ infoHash }) => heard.push([name, infoHash === hash]));
    const forms = {
      url: location.origin + "/film.torrent", bytes, blob: new Blob([bytes]), hash, raw, base32,
      link: "magnet:?xt=urn:btih:" + hash, base32Link: "magnet:?dn=film&xt=urn:btih:" + base32,
      parsed: { infoHash: hash, infoBuffer: info, announce: ["${tracker}"], urlList: [] },
      hashAlone: { infoHash: hash, name: "film", announce: ["${tracker}"] },
      whole: { infoHash: hash, torrentFile: bytes },
    };
    const took = {};
    for (const [name, form] of Object.entries(forms)) {
      const torrent = await client.add(form, { onDemand: true });
      await torrent.ready;
      took[name] = torrent.infoHash === hash && torrent.files.length === 1;
      const { raw, base32, link, base32Link } = forms;
      const names = [hash, hash.toUpperCase(), raw, base32, link, base32Link, torrent];
      took[name] &&= names.every((id) => client.get(id) === torrent);
      // Those that name it alone find it by what is stored of it, or by peers.
      await client.remove(hash, { deleteData: true });
      took[name] &&= client.get(hash) === null && client.torrents.length === 0;
    }
    const refused = await client.remove(hash).catch((error) => error.message);
    took.unknown = [client.get("ab".repeat(20)), client.get("a word"), refused];
    took.events = new Set(heard.map(([, known]) => known)).size === 1 && heard.map(([name]) => name).join();
    took.count = Object.keys(forms).length;
    return took;
  })()`);
  const { unknown, events, count, ...forms } = took;
  assert.deepEqual(
    Object.entries(forms).filter(([, isRight]) => !isRight),
    [],
  );
  assert.equal(events, Array(count).fill("add,torrent,remove").join());
  assert.deepEqual(unknown, [null, null, "this client has no such torrent: see client.torrents"]);

  for (const [call, says] of [
    ["client.add('x', () => 0)", /^add\(source\) gives a promise in place of a callback: await client\.add\(source\)$/],
    ["client.add('x', {}, () => 0)", /^add\(source\) gives a promise in place of a callback/],
    ["client.seed([new Uint8Array(1)], {}, () => 0)", /^seed\(files\) gives a promise in place of a callback/],
    ["client.remove('x', () => 0)", /^remove\(source\) gives a promise in place of a callback/],
    ["client.remove('x', {}, () => 0)", /^remove\(source\) gives a promise in place of a callback/],
    ["client.destroy(() => 0)", /^destroy\(\) gives a promise in place of a callback/],
    ["client.seed(new Blob(['x']), () => 0)", /^seed\(files\) gives a promise/],
    ["client.add('x', { announce: [] })", /^there is no option announce: use trackers$/],
    ["client.seed(new Blob(['x']), { urlList: [] })", /^there is no option urlList: use webSeeds$/],
    ["(async () => new Client({ maxConns: 5 }))()", /^there is no option maxConns: use maxConnections$/],
    ["client.seed(new Blob(['x']), { pieceLength: 0.5 })", /^pieceLength must be a whole number of bytes/],
  ])
    assert.match(
      await page.run(`import("/dist/piecework.js").then(({ Client }) => ${call}).then(String, (e) => e.message)`),
      says,
      call,
    );
});

test("properties and events follow a download", async () => {
  const [url, tracker] = [await site(), await signaling()];
  const a = await peer(url, { trackers: [tracker] });
  const made = await a.run(`seed(${8 * MIB}, 5)`);
  await a.run(
    "(window.went = 0, torrent.on('upload', (bytes) => (went += bytes)), client.throttleUpload(2_000_000).then(() => true))",
  );
  const b = await peer(url, { trackers: [] });
  const before = await b.run(`(async () => {
    window.torrent = await client.add(Uint8Array.from(atob("${made}"), (c) => c.charCodeAt(0)));
    await torrent.ready;
    const nobody = await new Promise((resolve) => torrent.once("noPeers", resolve));
    const { done, progress, downloaded, numPeers, timeRemaining, downloadSpeed, paused, received, ratio } = torrent;
    return { nobody, done, progress, downloaded, numPeers, isForever: timeRemaining === Infinity, downloadSpeed, paused,
      received, ratio, of: client.progress };
  })()`);
  assert.deepEqual(before, {
    nobody: "tracker",
    done: false,
    progress: 0,
    downloaded: 0,
    numPeers: 0,
    isForever: true,
    downloadSpeed: 0,
    paused: false,
    received: 0,
    ratio: 0,
    of: 0,
  });
  const during = await b.run(`(async () => {
    const [file] = torrent.files;
    window.came = 0;
    window.ended = new Promise((resolve) => file.once("done", (it) => resolve(it === file)));
    torrent.on("download", (bytes) => (came += bytes));
    // The tracker that the client was not told of: peers come from now on.
    await client.add(torrent.infoHash, { trackers: ["${tracker}"] });
    await new Promise((resolve) => {
      const off = torrent.on("download", () => {
        if (torrent.progress < 0.3) return;
        off();
        resolve();
      });
    });
    await torrent.stats();
    await client.stats();
    const { done, progress, downloaded, numPeers, timeRemaining, downloadSpeed, received } = torrent;
    return { done, progress, downloaded, numPeers, timeRemaining, downloadSpeed, received, length: torrent.length,
      file: [file.progress, file.downloaded], of: client.progress, speed: client.downloadSpeed,
      has: [...Array(torrent.pieceCount).keys()].filter((piece) => torrent.has(piece)).length * torrent.pieceLength };
  })()`);
  assert.equal(during.done, false);
  assert.equal(during.numPeers, 1);
  assert.ok(during.progress >= 0.3 && during.progress < 1, `${during.progress}`);
  assert.equal(during.downloaded, during.progress * during.length);
  assert.equal(during.has, during.downloaded);
  assert.deepEqual(during.file, [during.progress, during.downloaded]);
  assert.equal(during.of, during.progress);
  assert.ok(during.speed > 0);
  // Pieces count at once, and what was received is of the last look.
  assert.ok(during.received > 0);
  assert.ok(during.downloadSpeed > 0);
  const left = ((during.length - during.downloaded) / during.downloadSpeed) * 1000;
  assert.ok(Math.abs(during.timeRemaining - left) < 1, `${during.timeRemaining}, ${left}`);

  assert.equal(await b.run("ended"), true);
  await b.run("done()");
  const after = await b.run(`(async () => {
    while (came < torrent.length) await new Promise((resolve) => torrent.once("download", resolve));
    const { done, progress, timeRemaining } = torrent;
    const pieces = [0, torrent.pieceCount].map((piece) => torrent.files[0].includes(piece));
    return { done, progress, timeRemaining, came, pieces };
  })()`);
  assert.deepEqual(after, {
    done: true,
    progress: 1,
    timeRemaining: 0,
    came: 8 * MIB,
    pieces: [true, false],
  });
  assert.equal(
    await a.run(
      "(async () => { while (went < torrent.length) await new Promise((resolve) => torrent.once('upload', resolve)); " +
        "return went === torrent.uploaded && torrent.ratio === torrent.uploaded / torrent.length; })()",
    ),
    true,
  );
  await b.run("torrent.pause()");
  assert.equal(await b.run("torrent.paused"), true);
  await b.run("torrent.resume()");
  assert.equal(await b.run("torrent.paused"), false);
});

test("a peer is closed by hand", async () => {
  const [url, tracker] = [await site(), await signaling()];
  const a = await peer(url, { trackers: [tracker] });
  const made = await a.run(`seed(${MIB}, 5)`);
  const b = await peer(url, { trackers: [tracker] });
  const closed = await b.run(`(async () => {
    window.torrent = await client.add(Uint8Array.from(atob("${made}"), (c) => c.charCodeAt(0)), { onDemand: true });
    const { peer } = await new Promise((resolve) => torrent.once("peer", resolve));
    const [{ id }] = (await torrent.stats()).peers;
    const closed = new Promise((resolve) => torrent.once("peerclosed", ({ text }) => resolve(text)));
    await torrent.removePeer(id);
    return [peer === id, await closed];
  })()`);
  assert.deepEqual(closed, [true, "not needed: closed by hand"]);
});

test("a file is read in parts and chunk by chunk, and tells of its readers", async () => {
  const page = await peer(await site());
  await page.run(`seed(${2 * MIB}, 7)`);
  const read = await page.run(`(async () => {
    const [file] = torrent.files;
    const began = [];
    file.on("stream", ({ start, end }) => began.push([start, end]));
    const part = await file.arrayBuffer({ start: 100, end: 200 });
    const typed = await file.blob({ end: 0 });
    let bytes = 0;
    for await (const chunk of file) bytes += chunk.length;
    let some = 0;
    for await (const chunk of file[Symbol.asyncIterator]({ start: 10, end: 300_000 })) {
      some = chunk.length;
      break;
    }
    const url = await file.url();
    await (await fetch(url, { headers: { Range: "bytes=5-9" } })).arrayBuffer();
    const stop = new AbortController();
    const reader = file.stream({ signal: stop.signal }).getReader();
    await reader.read();
    stop.abort(new Error("enough"));
    const ended = await reader.read().then(() => "it was read", (error) => error.message);
    return { part: part.byteLength, typed: [typed.size, typed.type], bytes, some, began, ended,
      sync: file.streamURL === url, size: file.size, type: file.type };
  })()`);
  assert.equal(read.part, 100, "`end` is one past the last byte, as in Blob.slice");
  assert.deepEqual(read.typed, [0, "application/octet-stream"]);
  assert.equal(read.bytes, 2 * MIB);
  assert.equal(read.some, 256 * KIB);
  assert.deepEqual(read.began, [
    [100, 200],
    [0, 0],
    [0, 2 * MIB],
    [10, 300_000],
    [5, 10],
    [0, 2 * MIB],
  ]);
  assert.equal(read.ended, "enough");
  assert.deepEqual([read.sync, read.size, read.type], [true, 2 * MIB, "application/octet-stream"]);
});

test("a signal ends what waits, and what nobody else uses is given up", async () => {
  const [url, tracker] = [await site(), await signaling()];
  const page = await peer(url, { trackers: [tracker] });
  const ended = await page.run(`(async () => {
    const refused = (work) => work.then(() => "it came", (error) => error.message);
    const aborted = AbortSignal.abort(new Error("too late"));
    const hash = "cd".repeat(20);
    const [add, seed] = [client.add(hash, { signal: aborted }), client.seed(new Blob(["x"]), { signal: aborted })];
    const first = [await refused(add), await refused(seed), client.torrents.length];
    // Nobody has it, so it waits for its files until the signal.
    const stop = new AbortController();
    const waiting = await client.add(hash, { signal: stop.signal });
    const removed = new Promise((resolve) => client.once("remove", (it) => resolve(it === waiting)));
    stop.abort(new Error("no peers"));
    const second = [await refused(waiting.ready), await removed, client.get(hash)];
    // Who else waits for it goes on.
    const stopOne = new AbortController();
    const [one, other] = [await client.add(hash, { signal: stopOne.signal }), await client.add(hash)];
    stopOne.abort(new Error("no more"));
    await client.stats();
    const third = [one === other, client.get(hash) === other];
    await other.remove();
    return [first, second, third];
  })()`);
  assert.deepEqual(ended, [
    ["too late", "too late", 0],
    ["no peers", true, null],
    [true, true],
  ]);

  const seeded = await page.run(`(async () => {
    const stop = new AbortController();
    let heard = 0;
    const file = new File([new Uint8Array(${64 * MIB})], "long.bin");
    const onProgress = (done) => {
      heard = done;
      if (done > ${80 * MIB}) stop.abort(new Error("enough"));
    };
    const refused = (work) => work.then(() => "it was made", (error) => error.message);
    const why = await refused(client.seed(file, { signal: stop.signal, onProgress }));
    const streams = new AbortController();
    let [cancelled, pulls] = [null, 0];
    const endless = new ReadableStream({
      pull: (controller) => {
        controller.enqueue(new Uint8Array(1 << 16));
        if (++pulls === 100) streams.abort(new Error("enough of it"));
      },
      cancel: (reason) => { cancelled = reason.message; },
    });
    const of = await refused(client.seed(endless, { signal: streams.signal }));
    const start = (controller) => {
      controller.enqueue("text");
      controller.close();
    };
    const wrong = await refused(client.seed(new ReadableStream({ start })));
    // The engine has let go of it: the same file is made anew, with all of its bytes.
    const stored = (await client.stored()).length;
    const torrent = await client.seed(file);
    const atOnce = [torrent.done, torrent.progress, (await client.seed(file)) === torrent];
    const { byteLength } = await torrent.files[0].arrayBuffer();
    return { why, heard, of, cancelled, wrong, stored, byteLength, atOnce, all: client.torrents.length };
  })()`);
  assert.deepEqual(
    { ...seeded, heard: null },
    {
      why: "enough",
      of: "enough of it",
      cancelled: "enough of it",
      wrong: "a stream to be seeded gives chunks of type Uint8Array",
      stored: 0,
      byteLength: 64 * MIB,
      atOnce: [true, 1, true],
      all: 1,
      heard: null,
    },
  );
  assert.ok(seeded.heard > 80 * MIB && seeded.heard < 128 * MIB, `${seeded.heard}`);
});
