import assert from "node:assert/strict";
import { mock, test } from "node:test";
import Hls from "hls.js";
import { respond } from "./build/fetching.js";
import { piecework, settings } from "./build/hls.js";
import { chunksOf } from "./build/reading.js";
import { answer, chunksIn, joined, MAX_ANSWER, pathIn, Unanswered, urlOf } from "./build/streams.js";

const HASH = "ab".repeat(20);
const CHUNK = 4;
const BYTES = Uint8Array.from({ length: 10 }, (_, i) => i);
const turn = () => new Promise(setImmediate);

/**
 * A torrent with the real answers over a scripted engine: `script` says what happens at each pull: undefined gives a
 * chunk, "hold" nothing, any other word is an error.
 */
function torrent(files, script = () => undefined) {
  const log = { asked: [], cancelled: 0 };
  const engine = (bytes, start, end) => (port) => {
    let at = start;
    port.onmessage = ({ data }) => {
      if (data === "cancel") {
        log.cancelled++;
        return port.close();
      }
      const says = script();
      if (says === "hold") return;
      if (says) return port.postMessage({ error: says });
      const part = bytes.slice(at, Math.min(at + CHUNK, end));
      at += part.length;
      port.postMessage(part.buffer);
      if (at >= end) port.postMessage("end");
    };
    port.postMessage({ length: bytes.length, start, end });
  };
  const list = Object.entries(files).map(([path, bytes], index) => ({
    index,
    length: bytes.length,
    name: path.split("/").at(-1),
    isNamed: (name) => name === index || name === path,
    late: (start, end, signal) => chunksOf(engine(bytes, start, end), { signal, late: true }),
  }));
  const fetch = async (path, options) => {
    log.asked.push([path, options.headers]);
    return respond({ infoHash: HASH, name: "show", files: list }, path, options);
  };
  return { infoHash: HASH, fetch, log };
}

const utf8 = (text) => new TextEncoder().encode(text);
const files = {
  "show/master.m3u8": utf8("#EXTM3U"),
  "show/low/a part#1.m4s": BYTES,
  "show/100%.json": utf8('{"a":1}'),
  "show/empty.txt": new Uint8Array(),
};

/** What hls.js tells a loader about limits and tries, with these changes. */
const config = (policy = {}, more = {}) => {
  const loadPolicy = { ...Hls.DefaultConfig.manifestLoadPolicy.default, ...policy };
  return { loadPolicy, timeout: 0, maxRetry: 0, retryDelay: 0, maxRetryDelay: 0, ...more };
};

/** Loads, and says how it ended. `onProgress`: what it is called with, as an array. */
function load(of, url, { context = {}, policy, more, progress, loader = new (piecework(of))({}) } = {}) {
  const asked = { url, responseType: "arraybuffer", ...context };
  let calls = 0;
  const ended = new Promise((resolve) => {
    const end = (how) => (given) => resolve({ how, given, calls: ++calls, stats: loader.stats });
    loader.load(asked, config(policy, more), {
      onSuccess: (response) => end("success")(response),
      onError: (error) => end("error")(error),
      onTimeout: () => end("timeout")(null),
      onAbort: () => end("abort")(null),
      ...(progress && { onProgress: (...given) => progress.push(given) }),
    });
  });
  return Object.assign(ended, { loader, calls: () => calls });
}

test("an address names a file of one torrent, and a relative one a file beside it", () => {
  const of = torrent(files);
  assert.equal(urlOf(of, "low/a part#1.m4s"), `piecework://${HASH}/low/a%20part%231.m4s`);
  assert.equal(urlOf(of, "/master.m3u8"), `piecework://${HASH}/master.m3u8`);
  for (const path of ["low/a part#1.m4s", "100%.json", "ü/?.ts", "a%20b"])
    assert.equal(pathIn(of, urlOf(of, path)), path);
  // As playlists write it, and as players resolve it.
  for (const [written, path] of [
    ["a b.ts", "a b.ts"],
    ["100%.ts", "100%.ts"],
    ["100% a%20b.ts", "100% a b.ts"],
    ["caf%E9%20%C3%BC%ED%A0%80.ts", "caf%E9 \u00fc%ED%A0%80.ts"],
    ["%zz/%C3%BC%.ts", "%zz/\u00fc%.ts"],
    ["a.m3u8?_HLS_msn=1#x", "a.m3u8"],
    ["low/a.ts?q=/../b", "low/a.ts"],
  ])
    assert.equal(pathIn(of, `piecework://${HASH}/${written}`), path);
  assert.equal(pathIn(of, `PIECEWORK://${HASH.toUpperCase()}/a.ts`), "a.ts");
});

test("an address that leads out of the torrent is refused, however it is written", () => {
  const of = torrent(files);
  for (const path of ["", "/", "../x", "low/../../x", "low//x", "./x", "low/", "a\\b", "a\0b"])
    assert.throws(() => urlOf(of, path), RangeError, path);
  for (const rest of [
    "",
    "../x",
    "low/../x",
    "%2e%2e/x",
    "low/%2E%2E%2Fx",
    "a%2fb",
    "a%5Cb",
    "a%00b",
    ".",
    "a//b",
    "?a",
  ])
    assert.throws(() => pathIn(of, `piecework://${HASH}/${rest}`), { status: 400 }, rest);
  for (const url of [
    "https://elsewhere.example/a.ts",
    "http://127.0.0.1/",
    "//elsewhere.example/a.ts",
    "data:text/plain,a",
    "blob:null/1",
    "low/a.ts",
    `piecework://${"cd".repeat(20)}/a.ts`,
    `piecework://${HASH}.elsewhere.example/a.ts`,
    `https://elsewhere.example/piecework://${HASH}/a.ts`,
    `piecework:/${HASH}/a.ts`,
    ` piecework://${HASH}/a.ts`,
    "",
  ])
    assert.throws(() => pathIn(of, url), { status: 403 }, url);
});

test("an answer has a bound, says its status, and opens no reader before it is read", async () => {
  const asking = { headers: {}, signal: new AbortController().signal };
  const of = torrent({ ...files, "show/large.mp4": { length: MAX_ANSWER + 1, slice: () => new Uint8Array(CHUNK) } });
  await assert.rejects(answer(of, urlOf(of, "large.mp4"), asking), { status: 413 });
  const head = await answer(of, urlOf(of, "large.mp4"), { ...asking, method: "HEAD" });
  assert.equal(head.length, MAX_ANSWER + 1);
  const part = await answer(of, urlOf(of, "large.mp4"), { ...asking, headers: { range: "bytes=8-11" } });
  assert.equal(part.length, 4);
  await assert.rejects(answer(of, urlOf(of, "none.ts"), asking), (error) => {
    assert.ok(error instanceof Unanswered);
    assert.equal(error.status, 404);
    assert.match(error.message, /there is no file none\.ts in show/);
    return true;
  });
  for (const range of ["bytes=5-4", "bytes=0-1e+30", "bytes=0-1,3-4", "bytes=10-11"])
    for (const name of ["range", "Range"])
      await assert.rejects(answer(of, urlOf(of, "low/a part#1.m4s"), { ...asking, headers: { [name]: range } }), {
        status: 416,
      });
  const { response } = await answer(of, urlOf(of, "low/a part#1.m4s"), asking);
  const chunks = [];
  for await (const chunk of chunksIn(response)) chunks.push(chunk);
  assert.deepEqual(
    chunks.map((chunk) => chunk.length),
    [4, 4, 2],
  );
  assert.deepEqual(new Uint8Array(joined(chunks)), BYTES);
  // Who stops early ends the fetching.
  const again = await answer(of, urlOf(of, "low/a part#1.m4s"), asking);
  for await (const _ of chunksIn(again.response)) break;
  while (of.log.cancelled === 0) await turn();
});

test("hls.js gets files whole or in part, as bytes, text or JSON, with true numbers", async () => {
  const of = torrent(files);
  const url = urlOf(of, "low/a part#1.m4s");
  const whole = await load(of, url);
  assert.equal(whole.how, "success");
  assert.deepEqual([...new Uint8Array(whole.given.data)], [...BYTES]);
  assert.deepEqual([whole.given.code, whole.given.url], [200, url]);
  const { loading, ...stats } = whole.stats;
  assert.deepEqual([stats.loaded, stats.total, stats.aborted, stats.retry], [10, 10, false, 0]);
  assert.ok(
    loading.start > 0 && loading.start <= loading.first && loading.first <= loading.end,
    JSON.stringify(loading),
  );

  const part = await load(of, url, { context: { rangeStart: 3, rangeEnd: 7, headers: { "x-a": "b" } } });
  assert.deepEqual([...new Uint8Array(part.given.data)], [3, 4, 5, 6]);
  assert.deepEqual([part.given.code, part.stats.loaded, part.stats.total], [206, 4, 4]);
  const none = await load(of, url, { context: { rangeStart: 5, rangeEnd: 5 } });
  assert.deepEqual([none.how, none.given.code, none.stats.retry, none.stats.loaded], ["error", 416, 0, 0]);
  of.log.asked.pop();
  assert.deepEqual(of.log.asked.at(-1), ["low/a part#1.m4s", { "x-a": "b", range: "bytes=3-6" }]);

  const text = load(of, urlOf(of, "master.m3u8"), { context: { responseType: "text" } });
  assert.equal((await text).given.data, "#EXTM3U");
  assert.equal(text.loader.getResponseHeader("content-type"), "application/vnd.apple.mpegurl");
  assert.equal(text.loader.getCacheAge(), null);
  assert.deepEqual((await load(of, urlOf(of, "100%.json"), { context: { responseType: "json" } })).given.data, {
    a: 1,
  });
  const wrong = await load(of, urlOf(of, "master.m3u8"), { context: { responseType: "json" } });
  assert.deepEqual([wrong.how, wrong.given.code, wrong.stats.retry], ["error", 422, 0]);
  const empty = await load(of, urlOf(of, "empty.txt"));
  assert.deepEqual([empty.how, empty.given.data.byteLength], ["success", 0]);
  assert.throws(() => text.loader.load({ url }, config(), {}), /loads once/);
});

test("hls.js gets chunks of the size that it asks for, or all as one", async () => {
  const of = torrent(files);
  const url = urlOf(of, "low/a part#1.m4s");
  const shown = (progress) => progress.map(([stats, , data]) => [...new Uint8Array(data), stats.loaded].slice(0, -1));
  const small = [];
  const asChunks = await load(of, url, { progress: small, more: { highWaterMark: 6 } });
  assert.deepEqual(shown(small), [
    [0, 1, 2, 3, 4, 5, 6, 7],
    [8, 9],
  ]);
  assert.deepEqual([asChunks.given.data.byteLength, asChunks.stats.loaded], [0, 10]);
  const one = [];
  const asOne = await load(of, url, { progress: one, more: { highWaterMark: Number.POSITIVE_INFINITY } });
  assert.deepEqual(shown(one), [[...BYTES]]);
  assert.equal(asOne.given.data.byteLength, 10);
});

test("an abort stops the reading and is told once; a destroyed loader says nothing", async () => {
  const of = torrent(files, () => "hold");
  const aborted = load(of, urlOf(of, "master.m3u8"), { policy: { maxTimeToFirstByteMs: 50 } });
  for (let i = 0; i < 5; i++) await turn();
  aborted.loader.abort();
  assert.deepEqual([(await aborted).how, (await aborted).stats.aborted], ["abort", true]);
  while (of.log.cancelled < 1) await turn();
  const destroyed = load(of, urlOf(of, "master.m3u8"), { policy: { maxTimeToFirstByteMs: 50 } });
  for (let i = 0; i < 5; i++) await turn();
  destroyed.loader.destroy();
  while (of.log.cancelled < 2) await turn();
  // A third one that is late comes after whatever the two had still to say.
  assert.equal(
    (await load(of, urlOf(of, "master.m3u8"), { policy: { maxTimeToFirstByteMs: 60, timeoutRetry: null } })).how,
    "timeout",
  );
  assert.deepEqual([aborted.calls(), destroyed.calls()], [1, 0]);
});

test("what is late or broke off is tried again as the policy says; what is not there is not", async () => {
  const retry = { maxNumRetry: 2, retryDelayMs: 1, maxRetryDelayMs: 1 };
  const none = { timeoutRetry: null, errorRetry: null };
  const once = (word, then) => {
    let pulls = 0;
    return () => (pulls++ === 0 ? word : then);
  };
  const late = torrent(files, once("hold"));
  const limited = { ...none, maxTimeToFirstByteMs: 500, timeoutRetry: retry };
  const recovered = await load(late, urlOf(late, "master.m3u8"), { policy: limited });
  assert.deepEqual([recovered.how, recovered.stats.retry, recovered.stats.aborted], ["success", 1, false]);

  const broken = torrent(files, once("the engine ended"));
  const again = await load(broken, urlOf(broken, "master.m3u8"), { policy: { ...none, errorRetry: retry } });
  assert.deepEqual([again.how, again.stats.retry, again.stats.loaded], ["success", 1, 7]);

  const dead = torrent(files, () => "the engine ended");
  const failed = await load(dead, urlOf(dead, "master.m3u8"), { policy: { ...none, errorRetry: retry } });
  assert.deepEqual(
    [failed.how, failed.given, failed.stats.retry],
    ["error", { code: 500, text: "the engine ended" }, 2],
  );
  assert.equal(dead.log.asked.length, 3);

  const missing = await load(dead, urlOf(dead, "none.ts"), { policy: { ...none, errorRetry: retry } });
  assert.deepEqual([missing.how, missing.given.code, missing.stats.retry], ["error", 404, 0]);
  const foreign = await load(dead, "https://elsewhere.example/a.ts", { policy: { ...none, errorRetry: retry } });
  assert.deepEqual([foreign.how, foreign.given.code, foreign.stats.retry], ["error", 403, 0]);

  // The site has the last word, and a body that stops in the middle is late, too.
  const stubborn = {
    ...retry,
    shouldRetry: (_, count, isTimeout, response) => !isTimeout && response.code === 404 && count < 1,
  };
  const wanted = await load(dead, urlOf(dead, "none.ts"), { policy: { ...none, errorRetry: stubborn } });
  assert.deepEqual([wanted.how, wanted.stats.retry], ["error", 1]);
  const slow = torrent(files, once(undefined, "hold"));
  const whole = await load(slow, urlOf(slow, "low/a part#1.m4s"), { policy: { ...none, maxLoadTimeMs: 500 } });
  assert.deepEqual([whole.how, whole.stats.loaded], ["timeout", 4]);
});

test("by the settings for hls.js a load waits for as long as it takes, and reads ahead as far as is said", async () => {
  const of = torrent(files, () => "hold");
  const told = settings(of, { ahead: 7 });
  assert.deepEqual([told.maxBufferLength, told.maxMaxBufferLength, told.testBandwidth], [7, 7, false]);
  assert.deepEqual([settings(of).maxBufferLength, settings(of).maxMaxBufferLength], [30, 30]);
  for (const kind of ["manifest", "playlist", "frag", "key"]) {
    mock.timers.enable({ apis: ["setTimeout"] });
    const loader = new told.loader({});
    const waits = load(of, urlOf(of, "master.m3u8"), { policy: told[`${kind}LoadPolicy`].default, loader });
    for (let i = 0; i < 5; i++) await turn();
    mock.timers.tick(86_400_000);
    for (let i = 0; i < 5; i++) await turn();
    assert.equal(waits.calls(), 0, kind);
    loader.abort();
    mock.timers.reset();
    assert.equal((await waits).how, "abort");
  }
});
