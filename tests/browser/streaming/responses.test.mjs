// `torrent.fetch`: a torrent's files as the answers of a web server, on a site whose service worker is not there.
import assert from "node:assert/strict";
import { browser, open, signaling, site } from "../support/harness.mjs";
import { Scene, UNIT_FINE } from "../support/paid/scene.mjs";
import { deposit, look, settled, viewer } from "../support/paid/viewer.mjs";
import { RemoteWallet } from "../support/paid/wallet.mjs";
import { test } from "../support/tests.mjs";

const KIB = 1 << 10;
const MIB = 1 << 20;
const BLOCK = 16 * KIB;
/** As `Scene.title` cuts them. */
const PIECE = 64 * KIB;
/** What a reader has ahead of it in a file of this size on demand (`READ_AHEAD_SHARE` in torrent/streams.rs). */
const AHEAD = MIB;
/** A site without `piecework-sw.js`. */
const bareSite = () => site({ mounts: { "/piecework-sw.js": "/nowhere/sw.js" } });

/** Defines in the page how answers are shown: status, headers and the body's digest. */
const ASKED = `(() => {
  const hex = (bytes) => [...new Uint8Array(bytes)].map((byte) => byte.toString(16).padStart(2, "0")).join("");
  window.asked = async (path, options) => {
    const answer = await torrent.fetch(path, options);
    const body = await answer.arrayBuffer();
    const isText = (answer.headers.get("content-type") ?? "").startsWith("text/plain") && answer.status >= 400;
    return {
      isResponse: answer instanceof Response,
      status: answer.status,
      headers: Object.fromEntries(answer.headers),
      length: body.byteLength,
      digest: hex(await crypto.subtle.digest("SHA-256", body)),
      text: isText ? new TextDecoder().decode(body) : null,
    };
  };
  return true;
})()`;

test("every file of a torrent is answered as RFC 9110 says, without a service worker", async () => {
  const { context } = await browser();
  const page = await open(context, await bareSite());
  await page.run("start({})");
  await page.run(`(async () => {
    const file = (name, path, bytes) =>
      Object.defineProperty(new File([bytes], name), "webkitRelativePath", { value: path });
    window.torrent = await client.seed([
      file("master.m3u8", "show/master.m3u8", "#EXTM3U"),
      file("a part.m4s", "show/low/a part.m4s", "0123456789"),
      file("empty.txt", "show/empty.txt", ""),
    ]);
  })()`);
  await page.run(ASKED);
  const asked = (path, options = {}) => page.run(`asked(${JSON.stringify(path)}, ${JSON.stringify(options)})`);

  const whole = await asked("low/a part.m4s");
  assert.equal(whole.isResponse, true, whole.text);
  assert.deepEqual([whole.status, whole.length], [200, 10]);
  const { etag, ...headers } = whole.headers;
  assert.match(etag, /^"[^"]+"$/);
  assert.deepEqual(headers, {
    "accept-ranges": "bytes",
    "cache-control": "no-store",
    "content-length": "10",
    "content-security-policy": "default-src 'none'; sandbox",
    "content-type": "video/iso.segment",
    "x-content-type-options": "nosniff",
  });
  for (const path of ["show/low/a part.m4s", "/show/low/a%20part.m4s", "low/a%20part.m4s"])
    assert.equal((await asked(path)).digest, whole.digest, path);
  assert.equal((await asked("master.m3u8")).headers["content-type"], "application/vnd.apple.mpegurl");

  const ranged = async (range, more = {}) => {
    const { status, headers, length } = await asked("low/a part.m4s", { headers: { range, ...more } });
    return [status, headers["content-range"], length];
  };
  assert.deepEqual(await ranged("bytes=2-4"), [206, "bytes 2-4/10", 3]);
  assert.deepEqual(await ranged("bytes=-3"), [206, "bytes 7-9/10", 3]);
  assert.deepEqual(await ranged("bytes=0-0,2-3"), [200, undefined, 10]);
  assert.deepEqual((await ranged("bytes=10-")).slice(0, 2), [416, "bytes */10"]);
  assert.deepEqual(await ranged("bytes=0-1", { "if-range": etag }), [206, "bytes 0-1/10", 2]);
  assert.deepEqual(await ranged("bytes=0-1", { "if-range": '"another"' }), [200, undefined, 10]);
  const unchanged = await asked("low/a part.m4s", { headers: { "if-none-match": etag } });
  assert.deepEqual([unchanged.status, unchanged.length, unchanged.headers.etag], [304, 0, etag]);
  const head = await asked("low/a part.m4s", { method: "HEAD" });
  assert.deepEqual([head.status, head.length, head.headers["content-length"]], [200, 0, "10"]);
  assert.deepEqual([(await asked("low/a part.m4s", { method: "PUT" })).status], [405]);
  const empty = await asked("empty.txt");
  assert.deepEqual([empty.status, empty.length, empty.headers["content-length"]], [200, 0, "0"]);
  const missing = await asked("low/another.m4s");
  assert.equal(missing.status, 404);
  assert.equal(missing.text, "there is no file low/another.m4s in show: see torrent.files");
});

test("an answer's body fetches what is read of it; its cancel and the signal stop that", async () => {
  const tracker = await signaling();
  const length = 16 * MIB;
  const a = await browser();
  const seeder = await open(a.context, await bareSite());
  await seeder.run(`start(${JSON.stringify({ trackers: [tracker] })})`);
  const made = await seeder.run(`seed(${length}, 21)`);
  const b = await browser();
  const page = await open(b.context, await bareSite());
  await page.run(`start(${JSON.stringify({ trackers: [tracker] })})`);
  await page.run(`add("${made}", { onDemand: true })`);
  await page.run(ASKED);
  const { pieceLength } = await page.run("stats()");
  const verified = async () => (await page.run("stats()")).verified;

  // Nobody reads the body, so there is nothing to fetch for.
  const refused = await page.run(`(async () => {
    const answer = await torrent.fetch(0);
    await torrent.fetch(0, { method: "HEAD" });
    const stop = new AbortController();
    const held = await torrent.fetch(0, { signal: stop.signal });
    stop.abort(new Error("enough"));
    const refused = (work) => work.then(() => "it was answered", (error) => error.message);
    return [
      answer.status,
      await refused(held.body.getReader().read()),
      await refused(torrent.fetch(0, { signal: stop.signal })),
      await refused(client.add("ab".repeat(20), { trackers: ["ws://127.0.0.1:9/"] }).then(async (unknown) => {
        const stop = new AbortController();
        const waits = unknown.fetch("film.mp4", { signal: stop.signal });
        stop.abort(new Error("it takes too long"));
        return waits;
      })),
    ];
  })()`);
  assert.deepEqual(refused, [200, "enough", "enough", "it takes too long"]);
  assert.equal(await verified(), 0);

  // A range in the middle: its pieces, and no others.
  const [start, end] = [5 * MIB + 100, 5 * MIB + 200 * KIB];
  const part = await page.run(`asked("pattern.bin", { headers: { range: "bytes=${start}-${end - 1}" } })`);
  assert.deepEqual([part.status, part.length], [206, end - start]);
  assert.equal(part.digest, await page.run(`patternRange(${length}, 21, ${start}, ${end})`));
  const pieces = Math.ceil(end / pieceLength) - Math.floor(start / pieceLength);
  assert.equal(await verified(), pieces * pieceLength);

  // One chunk of a whole file, then no more: the window ahead may come, the rest does not.
  await page.run(`(async () => {
    const reader = (await torrent.fetch(0)).body.getReader();
    const { value } = await reader.read();
    await reader.cancel();
    return value.length;
  })()`);
  // A range far off comes whole after that: whatever was under way for the cancelled reader has been decided by then.
  const far = await page.run(`asked(0, { headers: { range: "bytes=-${pieceLength}" } })`);
  assert.deepEqual([far.status, far.length], [206, pieceLength]);
  const most = (pieces + 1) * pieceLength + AHEAD + 256 * KIB + 2 * pieceLength;
  assert.ok((await verified()) <= most, `${await verified()} of at most ${most}`);
});

test("of a paid title an answer buys the pieces of its range alone, and what is here costs nothing", async () => {
  const [url, scene] = [await bareSite(), await Scene.open()];
  const wallet = await RemoteWallet.start(scene.chain, scene.payer);
  const title = await scene.title("film.bin", 400 * BLOCK);
  const seeder = await scene.seeder([title], 20_000_000);
  const page = await viewer(url, wallet, scene.options());
  await deposit(page, "2");
  await page.run(`(async () => {
    window.fetched = [];
    window.torrent = await client.add(Uint8Array.from(atob("${title.torrent}"), (c) => c.charCodeAt(0)));
    await torrent.ready;
  })()`);
  await page.run(ASKED);
  const range = { headers: { range: `bytes=${10 * PIECE}-${14 * PIECE - 1}` } };
  const part = await page.run(`asked("film.bin", ${JSON.stringify(range)})`);
  assert.deepEqual([part.status, part.length], [206, 4 * PIECE]);
  const blocks = (4 * PIECE) / BLOCK;
  const now = await settled(page, seeder, blocks);
  assert.equal(now.verified, 4 * PIECE);
  assert.equal(now.spent, UNIT_FINE * BigInt(blocks));

  const again = await page.run(`asked("film.bin", ${JSON.stringify(range)})`);
  assert.equal(again.digest, part.digest);
  assert.equal((await page.run(`asked("film.bin", { method: "HEAD" })`)).status, 200);
  assert.equal((await look(page)).spent, now.spent);
});
