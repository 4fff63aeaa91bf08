import assert from "node:assert/strict";
import { test } from "node:test";
import { abortable } from "./build/aborting.js";
import { asked, tagOf } from "./build/answering.js";
import { respond } from "./build/fetching.js";
import { typeOf, typeOfBytes } from "./build/mime.js";
import { chunksOf } from "./build/reading.js";

const HASH = "ab".repeat(20);
const BYTES = Uint8Array.from({ length: 10 }, (_, i) => i);
const CHUNK = 4;

/** A file whose reader is on a port, as the engine's are. `opened`: how often, `asked`: what came on the ports. */
function file(index, path, bytes = BYTES) {
  const log = { opened: [], messages: [] };
  const engine = (start, end) => (port) => {
    let at = start;
    log.opened.push([start, end]);
    port.onmessage = ({ data }) => {
      log.messages.push(data);
      if (data !== "pull") return port.close();
      const part = bytes.slice(at, Math.min(at + CHUNK, end));
      at += part.length;
      port.postMessage(part.buffer);
      if (at >= end) port.postMessage("end");
    };
    port.postMessage({ length: bytes.length, start, end });
  };
  return {
    log,
    index,
    length: bytes.length,
    name: path.split("/").at(-1),
    isNamed: (name) => name === index || name === path,
    late: (start, end, signal) => chunksOf(engine(start, end), { signal, late: true }),
    early: (start, end, signal) => chunksOf(engine(start, end), { signal }),
  };
}

function torrent() {
  const paths = {
    0: "film/a b.txt",
    1: "film/film/a b.txt",
    4: "film/x/y.mp4",
    5: "film/100% \u00fc.txt",
    6: "film/a%20c.txt",
    7: "film/caf%E9 1.txt",
  };
  const files = Object.entries(paths).map(([index, path]) => file(Number(index), path));
  files.splice(2, 0, file(2, "film/empty.bin", new Uint8Array()));
  return { infoHash: HASH, name: "film", files };
}
const shown = async (answer) => [
  answer.status,
  answer.headers.get("content-range"),
  [...new Uint8Array(await answer.arrayBuffer())],
];

test("a file is found by its index or its path, plain or as in a URL, with the torrent's name or without", async () => {
  const of = torrent();
  const tagOfAnswer = (path) => respond(of, path, {}).headers.get("etag");
  for (const [path, index] of [
    ["a b.txt", 0],
    ["/a b.txt", 0],
    ["a%20b.txt", 0],
    [0, 0],
    ["film/a b.txt", 0],
    ["film/film/a b.txt", 1],
    ["film/x/y.mp4", 4],
    ["x/y.mp4", 4],
    ["/x%2Fy.mp4", 4],
    [4, 4],
    ["100% \u00fc.txt", 5],
    ["100% %C3%BC.txt", 5],
    ["100%25%20%c3%bc.txt", 5],
    ["a%20c.txt", 6],
    ["a%2520c.txt", 6],
    ["caf%E9%201.txt", 7],
    [["film", "a b.txt"], 0],
    [["x", "y.mp4"], 4],
    [["film", "100% \u00fc.txt"], 5],
  ])
    assert.equal(tagOfAnswer(path), tagOf(HASH, index), String(path));
  for (const path of [null, undefined, {}, new URL("https://site.example/a%20b.txt")])
    assert.throws(() => respond(of, path, {}), {
      name: "TypeError",
      message: /^fetch takes a file's path or its index/,
    });
  for (const path of ["", "/", "y.mp4", "x", "X/y.mp4", "../x/y.mp4", "%", "__proto__", 3, -1, NaN, []]) {
    const answer = respond(of, path, {});
    assert.equal(answer.status, 404, String(path));
    assert.match(await answer.text(), /^there is no file .* in film: see torrent\.files$/);
  }
});

test("one range is answered with a part, none or several with the whole file, one outside it with 416", async () => {
  const of = torrent();
  const answered = (range, path = 0) => shown(respond(of, path, { headers: range === null ? {} : { range } }));
  const all = [...BYTES];
  assert.deepEqual(await answered(null), [200, null, all]);
  assert.deepEqual(await answered("bytes=2-4"), [206, "bytes 2-4/10", [2, 3, 4]]);
  assert.deepEqual(await answered("bytes=7-"), [206, "bytes 7-9/10", [7, 8, 9]]);
  assert.deepEqual(await answered("bytes=-2"), [206, "bytes 8-9/10", [8, 9]]);
  assert.deepEqual(await answered("bytes=-99"), [206, "bytes 0-9/10", all]);
  assert.deepEqual(await answered("bytes=9-99999999999999999999"), [206, "bytes 9-9/10", [9]]);
  for (const range of ["bytes=0-0,2-3", "bytes=5-2", "items=0-5", "bytes=a-b"])
    assert.deepEqual(await answered(range), [200, null, all], range);
  for (const range of ["bytes=10-", "bytes=-0", "bytes=99999999999999999999-"])
    assert.deepEqual((await answered(range)).slice(0, 2), [416, "bytes */10"], range);
  assert.deepEqual(await answered(null, 2), [200, null, []]);
  assert.deepEqual((await answered("bytes=0-", 2)).slice(0, 2), [416, "bytes */0"]);
});

test("conditions are judged in the order of RFC 9110, and HEAD opens no reader", async () => {
  const of = torrent();
  const tag = tagOf(HASH, 0);
  const status = (headers, method = "GET") => respond(of, 0, { method, headers }).status;
  for (const match of [tag, `W/${tag}`, `"x", ${tag}`, "*"])
    assert.equal(status({ "if-none-match": match }), 304, match);
  assert.equal(status({ "if-none-match": '"x"' }), 200);
  assert.equal(status({ "if-none-match": tag, range: "bytes=0-1" }, "HEAD"), 304);
  for (const match of [tag, "*"]) assert.equal(status({ "if-match": match }), 200, match);
  for (const match of ['"x"', `W/${tag}`])
    assert.equal(status({ "if-match": match, "if-none-match": tag }), 412, match);
  assert.equal(status({ range: "bytes=0-1", "if-range": tag }), 206);
  for (const other of ['"x"', `W/${tag}`, "Sat, 29 Oct 1994 19:43:31 GMT"])
    assert.equal(status({ range: "bytes=0-1", "if-range": other }), 200, other);
  assert.deepEqual(asked("GET", new Headers({ range: "bytes=0-1" }), tag).range, { start: 0, end: 2 });

  const unchanged = respond(of, 0, { headers: { "if-none-match": tag } });
  assert.deepEqual([unchanged.headers.get("etag"), unchanged.body], [tag, null]);
  const head = respond(of, "x/y.mp4", { method: "head", headers: { range: "bytes=0-1" } });
  assert.deepEqual(
    [
      head.status,
      head.body,
      ...["content-length", "content-type", "accept-ranges"].map((name) => head.headers.get(name)),
    ],
    [200, null, "10", "video/mp4", "bytes"],
  );
  const post = respond(of, 0, { method: "POST" });
  assert.deepEqual([post.status, post.headers.get("allow")], [405, "GET, HEAD"]);
  assert.deepEqual(
    of.files.flatMap(({ log }) => log.opened),
    [],
  );
});

test("a body opens its reader when it is read, pulls no more, and its cancel or the signal stops it", async () => {
  const of = torrent();
  const [{ log }] = of.files;
  const { body } = respond(of, 0, { headers: { range: "bytes=1-8" } });
  await new Promise(setImmediate);
  assert.deepEqual(log.opened, []);
  const reader = body.getReader();
  assert.deepEqual([...(await reader.read()).value], [1, 2, 3, 4]);
  assert.deepEqual(log, { opened: [[1, 9]], messages: ["pull"] });
  await reader.cancel();
  while (log.messages.length < 2) await new Promise(setImmediate);
  assert.deepEqual(log.messages, ["pull", "cancel"]);

  const reason = new Error("enough");
  for (const open of ["late", "early"]) {
    log.messages.length = 0;
    const stop = new AbortController();
    const reader = of.files[0][open](0, 10, stop.signal).getReader();
    assert.deepEqual([...(await reader.read()).value], [0, 1, 2, 3]);
    stop.abort(reason);
    await assert.rejects(reader.read(), reason);
    while (log.messages.at(-1) !== "cancel") await new Promise(setImmediate);
    const opened = log.opened.length;
    await assert.rejects(of.files[0][open](0, 10, stop.signal).getReader().read(), reason);
    assert.equal(log.opened.length, opened, "an aborted read opens nothing");
  }
});

test("what is waited for ends with its result or with the signal's reason", async () => {
  const reason = new Error("enough");
  assert.equal(await abortable(Promise.resolve(5), undefined), 5);
  const stop = new AbortController();
  assert.equal(await abortable(Promise.resolve(5), stop.signal), 5);
  const waits = abortable(new Promise(() => undefined), stop.signal);
  stop.abort(reason);
  await assert.rejects(waits, reason);
  await assert.rejects(abortable(Promise.reject(new Error("later")), stop.signal), reason);
  await assert.rejects(abortable(Promise.reject(new Error("first")), new AbortController().signal), /first/);
});

test("a type goes by the ending of a name alone", () => {
  for (const [name, type] of [
    ["film.MP4", "video/mp4"],
    ["a.b.vtt", "text/vtt"],
    ["list.m3u8", "application/vnd.apple.mpegurl"],
    ["part.m4s", "video/iso.segment"],
    ["notes", "application/octet-stream"],
    ["x.constructor", "application/octet-stream"],
    ["x.__proto__", "application/octet-stream"],
    ["", "application/octet-stream"],
  ])
    assert.equal(typeOf(name), type, name);
});

test("no type of bytes without their headers is one that a browser makes a document of", async () => {
  const names = ["a.svg", "a.SVG", "a.mpd", "a.html", "a.xhtml", "a.xml", "a.htm", "a.xsl", "a.mht", "a", "svg"];
  for (const name of names) assert.equal(typeOfBytes(name), "application/octet-stream", name);
  for (const name of ["a.mp4", "a.vtt", "a.png", "a.svg.jpg", "a.m3u8"]) assert.equal(typeOfBytes(name), typeOf(name));
  // The service worker sends headers that keep it apart, and a picture is one only by its type.
  assert.equal(typeOf("a.svg"), "image/svg+xml");
  const answer = respond({ infoHash: HASH, name: "a.svg", files: [file(0, "a.svg")] }, 0, {});
  assert.equal((await answer.blob()).type, "application/octet-stream");
});
