// Storage that is full, refused or shared among many files.
import assert from "node:assert/strict";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { browser, folder, open, signaling, site } from "../support/harness.mjs";
import { film } from "../support/swarm.mjs";
import { test } from "../support/tests.mjs";

const MIB = 1 << 20;

/** Sets this origin's quota. It holds while the answer, a DevTools session, is attached. */
async function quota(context, page, bytes) {
  const session = await context.newCDPSession(page);
  await session.send("Storage.overrideQuotaForOrigin", { origin: new URL(page.url()).origin, quotaSize: bytes });
  return session;
}

const failure = `new Promise((resolve) => torrent.on("error", ({ error }) => resolve(error.message)))`;
/** Bytes in the folders of all torrents, the records' journal left out. */
const stored = `(async () => {
  let bytes = 0;
  // A file that is removed while this looks at it is not there.
  const gone = (error) => { if (error.name !== "NotFoundError") throw error; };
  const add = async (folder) => {
    for await (const entry of folder.values()) {
      if (entry.kind === "file") bytes += (await entry.getFile().catch(gone))?.size ?? 0;
    }
  };
  for await (const entry of (await (await navigator.storage.getDirectory()).getDirectoryHandle("piecework")).values()) {
    if (entry.kind === "directory") await add(entry).catch(gone);
  }
  return bytes;
})()`;

test("a download that fills the quota stops with a remedy, keeps its pieces, and goes on with room", async () => {
  const [url, tracker] = [await site(), await signaling()];
  const shared = await film(tracker, 12 * MIB);
  await shared.seed();
  const { context } = await browser();
  const page = await open(context, url);
  const small = await quota(context, page, 4 * MIB);
  await page.run("start({})");
  await page.run(`add("${shared.torrent}", { onDemand: true })`);
  const failed = page.run(failure);
  await page.run("torrent.keep()");
  assert.match(await failed, /free space/);
  const full = await page.run("stats()");
  assert.equal(full.state, "failed");
  assert.ok(full.verified < 4 * MIB, `${full.verified} bytes`);
  assert.deepEqual(
    (await page.run("said")).filter((text) => !/free space/.test(text)),
    [],
  );

  await small.detach();
  await page.run("torrent.resume()");
  await page.run("done()");
  assert.equal(await page.run("digest()"), shared.digest);
  // The stored pieces were not fetched again. Those under way at the stop may have been.
  const { downloaded } = await page.run("stats()");
  assert.ok(downloaded <= 12 * MIB + 6 * MIB, `${downloaded} bytes`);
});

test("files beyond the quota are not shared and leave nothing behind, and are shared when there is room", async () => {
  const url = await site();
  const { context } = await browser();
  const page = await open(context, url);
  await page.run("start({})");
  await page.run("client.stats().then(() => true)");
  const small = await quota(context, page, 4 * MIB);
  await assert.rejects(page.run(`seed(${12 * MIB}, 2)`), /free space on the device or remove torrents from this site/);
  assert.equal(await page.run(stored), 0);
  await small.detach();
  await page.run(`seed(${12 * MIB}, 2)`);
  await page.run("done()");
  assert.equal(await page.run("digest()"), await page.run(`patternDigest(${12 * MIB}, 2)`));
});

test("the leftovers of a page that was closed while it shared files go at the next visit, and no more", async () => {
  // The engine reads three times for the hash, and stores the fourth read. No further read ends.
  const at = folder("worker");
  writeFileSync(
    join(at, "stall.js"),
    `
    const read = Blob.prototype.arrayBuffer;
    let reads = 0;
    Blob.prototype.arrayBuffer = function () {
      return ++reads > 4 ? new Promise(() => {}) : read.call(this);
    };`,
  );
  writeFileSync(join(at, "worker.js"), 'import "./stall.js";\nimport "/dist/worker.js";\n');
  const url = await site({ mounts: { "/stall.js": join(at, "stall.js"), "/worker.js": join(at, "worker.js") } });
  const { context } = await browser();
  const before = await open(context, url);
  await before.run("start({})");
  await before.run(`seed(${2 * MIB}, 8)`);
  await before.run("done()");
  await before.run("client.destroy()");
  await before.close();
  const closed = await open(context, url);
  await closed.run(`start({ workerUrl: "/worker.js" })`);
  await closed.run(`(void seed(${3 * MIB}, 9), true)`);
  await closed.run(`new Promise((resolve) => {
    const look = async () => ((await ${stored}) === ${3 * MIB} ? resolve(true) : setTimeout(look, 20));
    look();
  })`);
  await closed.close();
  const page = await open(context, url);
  await page.run("start({})");
  await page.run("client.stats().then(() => true)");
  assert.equal(await page.run(stored), 2 * MIB);
  const [kept] = await page.run("client.stored()");
  await page.run(`add("${kept}")`);
  await page.run("done()");
  assert.equal(await page.run("digest()"), await page.run(`patternDigest(${2 * MIB}, 8)`));
  await page.run(`seed(${3 * MIB}, 9)`);
  await page.run("done()");
});

test("a torrent beyond the storage limit plays as far as it fits, and comes whole once there is room", async () => {
  const [url, tracker] = [await site(), await signaling()];
  const shared = await film(tracker, 12 * MIB);
  await shared.seed();
  const { context } = await browser();
  const page = await open(context, url);
  await page.run(`start({ storageLimit: ${14 * MIB} })`);
  // The page's own files count, too.
  await page.run(`seed(${8 * MIB}, 5, { trackers: ["${tracker}"] })`);
  await page.run("(window.made = torrent, true)");
  await page.run(`add("${shared.torrent}")`);
  await page.run(`new Promise((resolve) => {
    const look = async () => ((await torrent.stats()).state === "failed" ? resolve(true) : setTimeout(look, 20));
    look();
  })`);
  const refused = await page.run("stats()");
  assert.match(
    refused.failure,
    new RegExp(
      "^12582 kB of storage are needed, 6291 kB of the allowed 14680 kB are left: " +
        "remove torrents with their data, or raise",
    ),
  );
  assert.equal(refused.downloaded, 0);
  assert.deepEqual(await page.run("said"), [refused.failure]);

  // The reader gets the first three MiB, then as many as there is room for, then the reason why no more come.
  const read = (from, to) =>
    `new Response(torrent.files[0].stream(${from}, ${to})).arrayBuffer().then((bytes) => bytes.byteLength)`;
  assert.equal(await page.run(read(0, 3 * MIB)), 3 * MIB);
  const reason = await page.run(`(async () => {
    const reader = torrent.files[0].stream().getReader();
    try {
      for (window.given = 0; ; ) {
        const { done, value } = await reader.read();
        if (done) return "all of it";
        window.given += value.length;
      }
    } catch (error) {
      return error.message;
    }
  })()`);
  assert.match(
    reason,
    new RegExp(
      "of storage are needed, .* of the allowed 14680 kB are left: " +
        "remove torrents with their data, or raise the storage limit",
    ),
  );
  const given = await page.run("given");
  assert.ok(given >= 3 * MIB && given <= 6 * MIB, `${given} bytes`);
  // The scratch file holds the begun pieces, beside the torrents' bytes.
  const verified = await page.run(
    "Promise.all(client.torrents.map((one) => one.stats()))" +
      ".then((all) => all.reduce((sum, one) => sum + one.verified, 0))",
  );
  assert.ok(verified <= 14 * MIB, `${verified} bytes`);

  await assert.rejects(
    page.run(`client.seed(new File([new Uint8Array(${7 * MIB})], "more.bin"))`),
    /7340 kB of storage are needed, .* of the allowed 14680 kB are left/,
  );
  await page.run("made.remove({ deleteData: true })");
  await page.run("done()");
  assert.equal(await page.run("digest()"), shared.digest);
  // With a higher limit, the page shares the refused files.
  await page.run(`client.setStorageLimit(${20 * MIB})`);
  await page.run(
    `client.seed(new File([new Uint8Array(${7 * MIB})], "more.bin")).then((more) => more.ready).then(() => true)`,
  );
});

test("what an earlier visit stored counts against the storage limit of the next", async () => {
  const url = await site();
  const { context } = await browser();
  const page = await open(context, url);
  await page.run("start({})");
  await page.run(`seed(${3 * MIB}, 6)`);
  await page.run("done()");
  await page.run("client.destroy()");
  await page.reload();
  await page.run("window.loaded");
  await page.run(`start({ storageLimit: ${4 * MIB} })`);
  await assert.rejects(
    page.run(`seed(${2 * MIB}, 7)`),
    /2097 kB of storage are needed, 1048 kB of the allowed 4194 kB are left/,
  );
  const [kept] = await page.run("client.stored()");
  await page.run(`add("${kept}")`);
  await page.run("torrent.remove({ deleteData: true })");
  await page.run(`seed(${2 * MIB}, 7)`);
  await page.run("done()");
});

for (const [what, script, reason] of [
  [
    "refuses its private file storage",
    `StorageManager.prototype.getDirectory = () =>
      Promise.reject(new DOMException("It is not allowed here.", "SecurityError"));`,
    /It is not allowed here\./,
  ],
  [
    "lets nobody open a file in it",
    `FileSystemFileHandle.prototype.createSyncAccessHandle = () =>
      Promise.reject(new DOMException("Files are locked here.", "InvalidStateError"));`,
    /Files are locked here\./,
  ],
]) {
  test(`a browser that ${what} is told of, and nothing waits for it`, async () => {
    // The engine's own worker, in a browser that is made to refuse.
    const at = folder("worker");
    writeFileSync(join(at, "refuse.js"), script);
    writeFileSync(join(at, "worker.js"), 'import "./refuse.js";\nimport "/dist/worker.js";\n');
    const url = await site({ mounts: { "/refuse.js": join(at, "refuse.js"), "/worker.js": join(at, "worker.js") } });
    const { context } = await browser();
    const page = await open(context, url);
    await page.run(`start({ workerUrl: "/worker.js" })`);
    await assert.rejects(page.run(`seed(${MIB}, 4)`), reason);
  });
}

test("a folder of 60 files goes from page to page, each file bit-exact under its own path", async () => {
  const [url, other, tracker] = [await site(), await site(), await signaling()];
  const { context } = await browser();
  const options = JSON.stringify({ trackers: [tracker] });
  const seeder = await open(context, url);
  await seeder.run(`start(${options})`);
  // There are more files than the engine holds open at once, of lengths that no piece border meets, and an empty one.
  const torrent = await seeder.run(`(async () => {
    const files = Array.from({ length: 60 }, (_, at) => {
      const file = new File([new Uint8Array(at * 7_919).fill(at)], \`part \${at}.bin\`);
      Object.defineProperty(file, "webkitRelativePath", { value: \`Season 1/disc \${at % 3}/part \${at}.bin\` });
      return file;
    });
    window.torrent = await client.seed(files);
    return btoa(String.fromCharCode(...torrent.torrentFile));
  })()`);
  await seeder.run("done()");
  const viewer = await open(context, other);
  await viewer.run(`start(${options})`);
  await viewer.run(`add("${torrent}")`);
  await viewer.run("done()");
  const wanted = Array.from({ length: 60 }, (_, at) => ({
    path: `Season 1/disc ${at % 3}/part ${at}.bin`,
    length: at * 7_919,
  }));
  for (const page of [viewer, seeder]) {
    assert.equal(await page.run("torrent.name"), "Season 1");
    const files = await page.run(`Promise.all(torrent.files.map(async (file) => {
      const bytes = new Uint8Array(await file.arrayBuffer());
      const number = Number(/part (\\d+)/.exec(file.name)[1]);
      return { path: file.path.join("/"), length: bytes.length, exact: bytes.every((byte) => byte === number) };
    }))`);
    files.sort((a, b) => a.length - b.length);
    assert.deepEqual(
      files,
      wanted.map((file) => ({ ...file, exact: true })),
    );
  }
});

test("while an engine runs, nobody else can open the journal of its records", async () => {
  // A second engine does this, or the worker of a page that ends.
  const second = join(folder("worker"), "second.js");
  writeFileSync(
    second,
    `(async () => {
    const folder = await (await navigator.storage.getDirectory()).getDirectoryHandle("piecework");
    const opened = (await folder.getFileHandle("journal-0")).createSyncAccessHandle({ mode: "readwrite-unsafe" });
    postMessage(await opened.then(() => "opened", (error) => error.name));
  })();`,
  );
  const url = await site({ policy: null, mounts: { "/second.js": second } });
  const { context } = await browser();
  const page = await open(context, url);
  await page.run("start({})");
  await page.run("client.stats().then(() => true)");
  const said = await page.run(`new Promise((resolve, reject) => {
    const worker = new Worker("/second.js");
    worker.onerror = (event) => reject(new Error(event.message));
    worker.onmessage = ({ data }) => resolve(data);
  })`);
  assert.equal(said, "NoModificationAllowedError");
});

/** A page whose worker runs this script first. */
async function withWorker(script) {
  const dir = folder("worker");
  writeFileSync(join(dir, "first.js"), script);
  writeFileSync(join(dir, "worker.js"), 'import "./first.js";\nimport "/dist/worker.js";\n');
  const url = await site({ mounts: { "/first.js": join(dir, "first.js"), "/worker.js": join(dir, "worker.js") } });
  return open((await browser()).context, url);
}

/**
 * A page whose engine waits before that read of a shared file. The test then tells it to go on, or that the file is
 * gone.
 */
async function gated(at) {
  const page = await withWorker(`
    const [read, gate] = [Blob.prototype.arrayBuffer, new BroadcastChannel("gate")];
    const go = new Promise((resolve) => (gate.onmessage = ({ data }) => data !== "held" && resolve(data)));
    let reads = 0;
    Blob.prototype.arrayBuffer = async function () {
      if (++reads === ${at}) {
        gate.postMessage("held");
        if ((await go) === "gone") throw new Error("The file is gone.");
      }
      return read.call(this);
    };`);
  await page.run(`(window.gate = new BroadcastChannel("gate"), window.held = new Promise((resolve) => {
    gate.onmessage = ({ data }) => data === "held" && resolve(true);
  }), true)`);
  await page.run(`start({ workerUrl: "/worker.js" })`);
  return page;
}

/** Leaves the title. Resolves when its pieces are on record and nobody has it taken up any more. */
const left = `torrent.leave().then(() => new Promise((resolve) => {
  const look = async () => ((await client.stats()).torrents.length === 0 ? resolve(true) : setTimeout(look, 20));
  look();
}))`;

test("files shared again while their former title is removed get no holes, and can be shared once more", async () => {
  // The engine reads three times for the hash and three times to store. In the second round the second read to store
  // waits.
  const page = await gated(11);
  await page.run(`seed(${3 * MIB}, 9)`);
  await page.run("done()");
  await page.run(left);
  const made = page.run(
    `(window.former = torrent.infoHash, seed(${3 * MIB}, 9).then(() => "shared", (error) => error.message))`,
  );
  await page.run("held");
  await page.run("client.add(former).then((former) => former.remove({ deleteData: true })).then(() => true)");
  await page.run(`new Promise((resolve) => {
    const look = async () => ((await ${stored}) === 0 ? resolve(true) : setTimeout(look, 20));
    look();
  })`);
  await page.run(`gate.postMessage("go"), true`);
  assert.match(await made, /removed while its files were stored: share them again/);
  assert.equal(await page.run(stored), 0);
  await page.run(`seed(${3 * MIB}, 9)`);
  await page.run("done()");
  assert.equal(await page.run("digest()"), await page.run(`patternDigest(${3 * MIB}, 9)`));
});

test("a share that fails leaves alone what a title has that was opened meanwhile", async () => {
  const page = await gated(11);
  const torrent = await page.run(`seed(${3 * MIB}, 9)`);
  await page.run("torrent.remove({ deleteData: true }).then(() => true)");
  const made = page.run(`seed(${3 * MIB}, 9).then(() => "shared", (error) => error.message)`);
  await page.run("held");
  await page.run(`add("${torrent}", { onDemand: true })`);
  await page.run(`gate.postMessage("gone"), true`);
  assert.match(await made, /The file is gone/);
  assert.ok((await page.run(stored)) >= MIB);
});

/**
 * A page whose engine finds another first byte in that read of a shared file: Gecko reads on in a file that was changed
 * on disk.
 */
const changing = (at) =>
  withWorker(`
  const read = Blob.prototype.arrayBuffer;
  let reads = 0;
  Blob.prototype.arrayBuffer = async function () {
    const bytes = await read.call(this);
    if (++reads === ${at}) new Uint8Array(bytes)[0] ^= 1;
    return bytes;
  };`);
const shares = (seed) => `seed(${3 * MIB}, ${seed}).then(() => "shared", (error) => error.message)`;

test("a file that changes between its two reads is not shared as what it was", async () => {
  for (const at of [4, 6]) {
    const page = await changing(at);
    await page.run(`start({ workerUrl: "/worker.js" })`);
    assert.match(await page.run(shares(9)), /changed while it was read/);
    assert.equal(await page.run(stored), 0);
    assert.deepEqual(await page.run("client.stored()"), []);
    assert.equal(await page.run(shares(9)), "shared");
    await page.run("done()");
    assert.equal(await page.run("digest()"), await page.run(`patternDigest(${3 * MIB}, 9)`));
  }
});

test("a file that changes while an earlier visit's title is shared again makes no piece of it count", async () => {
  const page = await changing(10);
  await page.run(`start({ workerUrl: "/worker.js" })`);
  const torrent = await page.run(`seed(${3 * MIB}, 9)`);
  await page.run("done()");
  await page.run(left);
  assert.match(await page.run(shares(9)), /changed while it was read/);
  await page.run(`add("${torrent}", { onDemand: true })`);
  await page.run(`new Promise((resolve) => {
    const look = async () => ((await torrent.stats()).state !== "checking" ? resolve(true) : setTimeout(look, 20));
    look();
  })`);
  const { have, length, verified } = await page.run("stats()");
  assert.equal(have[0], "7", "the piece that was written over is not there, the others are");
  assert.ok(verified > 0 && verified < length, `${verified} of ${length}`);
});

test("files of a title that is open are shared where all of it is here, and else refused with what to do", async () => {
  const page = await open((await browser()).context, await site());
  await page.run("start({})");
  const torrent = await page.run(`seed(${3 * MIB}, 9)`);
  await page.run("done()");
  assert.equal(await page.run(shares(9)), "shared");
  await page.run("done()");
  await page.run("torrent.remove({ deleteData: true }).then(() => true)");
  for (const options of ["{ onDemand: true }", "{}"]) {
    await page.run(`add("${torrent}", ${options})`);
    assert.match(
      await page.run(shares(9)),
      /open here, and not all of it is there: remove it, then share the files again/,
    );
    await page.run("torrent.remove({ deleteData: true }).then(() => true)");
  }
  assert.equal(await page.run(shares(9)), "shared");
  await page.run("done()");
  assert.equal(await page.run("digest()"), await page.run(`patternDigest(${3 * MIB}, 9)`));
});
