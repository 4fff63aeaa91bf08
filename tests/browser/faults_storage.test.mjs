// Storage that is full, refused or shared among many files.
import assert from "node:assert/strict";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { browser, folder, open, signaling, site } from "./harness.mjs";
import { film } from "./ice/swarm.mjs";
import { test } from "./tests.mjs";

const MIB = 1 << 20;

/** Sets this origin's quota; it holds while the answer, a DevTools session, is attached. */
async function quota(context, page, bytes) {
  const session = await context.newCDPSession(page);
  await session.send("Storage.overrideQuotaForOrigin", { origin: new URL(page.url()).origin, quotaSize: bytes });
  return session;
}

const failure = `new Promise((resolve) => torrent.on("error", ({ error }) => resolve(error.message)))`;
/** Bytes in all files below the engine's folder. */
const stored = `(async () => {
  const sum = async (folder) => {
    let bytes = 0;
    for await (const entry of folder.values()) bytes += entry.kind === "file" ? (await entry.getFile()).size : await sum(entry);
    return bytes;
  };
  return sum(await (await navigator.storage.getDirectory()).getDirectoryHandle("piecework"));
})()`;

test("a download that fills the quota stops and says what to do, keeps what it has, and goes on when there is room", async () => {
  const [url, tracker] = [await site(), await signaling()];
  const shared = await film(tracker, 12 * MIB);
  await shared.seed();
  const { context } = await browser();
  const page = await open(context, url);
  const small = await quota(context, page, 4 * MIB);
  await page.run("start({})");
  await page.run(`add("${shared.torrent}", { onDemand: true })`);
  const failed = page.run(failure);
  await page.run("torrent.setOnDemand(false)");
  assert.match(await failed, /free space/);
  const full = await page.run("stats()");
  assert.equal(full.state, "failed");
  assert.ok(full.verified < 4 * MIB, `${full.verified} bytes`);
  assert.deepEqual((await page.run("said")).filter((text) => !/free space/.test(text)), []);

  await small.detach();
  await page.run("torrent.resume()");
  await page.run("done()");
  assert.equal(await page.run("digest()"), shared.digest);
  // What was there was not fetched again; what was under way when it stopped may have been.
  const { downloaded } = await page.run("stats()");
  assert.ok(downloaded <= 12 * MIB + 6 * MIB, `${downloaded} bytes`);
});

test("files that do not fit the quota cannot be shared, leave nothing behind, and can be shared when there is room", async () => {
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

for (const [what, script, reason] of [
  ["refuses its private file storage", `StorageManager.prototype.getDirectory = () => Promise.reject(new DOMException("It is not allowed here.", "SecurityError"));`, /It is not allowed here\./],
  ["lets nobody open a file in it", `FileSystemFileHandle.prototype.createSyncAccessHandle = () => Promise.reject(new DOMException("Files are locked here.", "InvalidStateError"));`, /Files are locked here\./],
]) {
  test(`a browser that ${what} is told of, and nothing waits for it`, async () => {
    // The engine's own worker, in a browser made to refuse.
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
  // More than the engine holds open at once, of lengths that no piece border meets, and an empty one.
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
  const wanted = Array.from({ length: 60 }, (_, at) => ({ path: `Season 1/disc ${at % 3}/part ${at}.bin`, length: at * 7_919 }));
  for (const page of [viewer, seeder]) {
    assert.equal(await page.run("torrent.name"), "Season 1");
    const files = await page.run(`Promise.all(torrent.files.map(async (file) => {
      const bytes = new Uint8Array(await file.arrayBuffer());
      const number = Number(/part (\\d+)/.exec(file.name)[1]);
      return { path: file.path.join("/"), length: bytes.length, exact: bytes.every((byte) => byte === number) };
    }))`);
    files.sort((a, b) => a.length - b.length);
    assert.deepEqual(files, wanted.map((file) => ({ ...file, exact: true })));
  }
});
