import assert from "node:assert/strict";
import { test } from "node:test";
import { MOST_TORRENT_BYTES, torrentBytes } from "./build/loading.js";
import { fileEntries } from "./build/seeding.js";
import { recognise } from "./build/source.js";

const refuse = (text) => new Error(text);

const HASH = "145a73e4e56a7b54f636ffb3c24ea103ad3133a9";
const LINK = `magnet:?xt=urn:btih:${HASH}&dn=a%20film`;

test("a magnet link is read in any case and however it was pasted", () => {
  for (const text of [
    LINK,
    ` ${LINK}\n`,
    `\u00a0${LINK}`,
    `\u200b${LINK}\ufeff`,
    `\r\n\t${LINK}`,
    LINK.replace("magnet", "MAGNET"),
    LINK.replace("&dn", "\n    &dn").replaceAll(" ", ""),
    new URL(LINK),
    LINK.replace("magnet:?", "magnet:/?"),
    LINK.replace("magnet:?", "MAGNET://?"),
    new URL(LINK.replace("magnet:?", "magnet://?")),
    `<${LINK}>`,
    `"${LINK}"`,
    `'${LINK}'`,
    ` \u201c ${LINK}\n\u201d `,
    `\u00ab\u00a0${LINK}\u00a0\u00bb`,
  ]) {
    assert.deepEqual(recognise(text), { magnet: LINK }, JSON.stringify(String(text)));
  }
});

test("an info hash is read as digits, as base32 and as bytes", () => {
  for (const hash of [
    HASH,
    HASH.toUpperCase(),
    ` ${HASH}\n`,
    Uint8Array.from(Buffer.from(HASH, "hex")),
    Buffer.from(HASH, "hex"),
  ])
    assert.deepEqual(recognise(hash), { hash: HASH });
  const base32 = "CRNHHZHFNJ5VJ5RW76Z4ETVBAOWTCM5J";
  for (const hash of [base32, base32.toLowerCase()])
    assert.deepEqual(recognise(hash), { magnet: `magnet:?xt=urn:btih:${base32}` });
});

test("an address is one of a .torrent file, and bytes are one, whatever carries them", () => {
  for (const url of [
    "https://site.example/film.torrent",
    new URL("https://site.example/film.torrent"),
    " https://site.example/film.torrent\n",
  ])
    assert.deepEqual(recognise(url), { url: "https://site.example/film.torrent" });
  const bytes = new TextEncoder().encode("d4:infod4:name4:filmee and so on");
  for (const torrent of [bytes, bytes.buffer, new DataView(bytes.buffer), Buffer.from(bytes)])
    assert.deepEqual(recognise(torrent), { torrent: bytes });
  // A part of a larger buffer is that part.
  assert.deepEqual(recognise(new Uint8Array(bytes.buffer, 3, 24)).torrent, bytes.slice(3, 27));
  const blob = new Blob([bytes]);
  assert.equal(recognise(blob).file, blob);
});

test("what is no torrent is refused by a sentence that says what is taken", () => {
  for (const wrong of [
    5,
    0,
    null,
    undefined,
    true,
    {},
    [],
    () => 0,
    Symbol("film"),
    10n,
    Object.create(null),
    "",
    "film.mp4",
    "magnet",
    `"${LINK}`,
    `"${LINK}>`,
    '""',
    '"',
    "<>",
    "ftp://site.example/film.torrent",
    HASH.slice(1),
  ]) {
    assert.throws(
      () => recognise(wrong),
      /add takes a magnet link, an info hash, the address of a \.torrent file, or such a file's bytes/,
    );
  }
});

const file = (name, path) => Object.defineProperty(new File(["x"], name), "webkitRelativePath", { value: path ?? "" });
const paths = (made) => made.files.map(({ path }) => path.join("/"));

test("files, blobs and bytes are seeded, alone and mixed", async () => {
  const bytes = Uint8Array.of(1, 2, 3, 4);
  const one = fileEntries(file("film.mp4"), refuse);
  assert.deepEqual([one.name, one.isFolder, paths(one)], ["film.mp4", false, ["film.mp4"]]);
  for (const source of [
    new Blob([bytes]),
    bytes,
    bytes.buffer,
    new DataView(bytes.buffer),
    [bytes],
    Buffer.from(bytes),
  ]) {
    const made = fileEntries(source, refuse);
    assert.deepEqual([made.name, made.isFolder, paths(made)], [null, false, ["file 1"]]);
    assert.deepEqual(new Uint8Array(await made.files[0].blob.arrayBuffer()), bytes);
  }
  const mixed = fileEntries(new Set([file("film.mp4"), bytes, new Blob(["subtitles"])]), refuse);
  assert.deepEqual([mixed.name, mixed.isFolder, paths(mixed)], [null, true, ["film.mp4", "file 2", "file 3"]]);
  const folder = fileEntries([file("a.mp4", "films/a.mp4"), file("b.mp4", "films/new/b.mp4")], refuse);
  assert.deepEqual([folder.name, folder.isFolder, paths(folder)], ["films", true, ["a.mp4", "new/b.mp4"]]);
});

test("what is no file is refused by a sentence that says what is taken", () => {
  for (const wrong of [
    5,
    null,
    undefined,
    "film.mp4",
    {},
    ["film.mp4"],
    [null],
    [file("film.mp4"), 5],
    new ReadableStream(),
    Promise.resolve(),
  ]) {
    assert.throws(
      () => fileEntries(wrong, refuse),
      /seed takes a File, a Blob, an ArrayBuffer, a Uint8Array or a ReadableStream, or several of them in a list/,
    );
  }
  assert.throws(() => fileEntries([], refuse), /there are no files to seed/);
});

test("what is far too long for a .torrent file is not read to its end", async () => {
  const endless = (chunk) => {
    let given = 0;
    let cancelled = false;
    const stream = new ReadableStream({
      pull: (controller) => {
        given += chunk;
        controller.enqueue(new Uint8Array(chunk));
      },
      cancel: () => {
        cancelled = true;
      },
    });
    return { stream, given: () => given, cancelled: () => cancelled };
  };
  for (const chunk of [1 << 16, 5 << 20]) {
    const source = endless(chunk);
    await assert.rejects(torrentBytes(source.stream, refuse), /no \.torrent file: it is longer than 16 MiB/);
    assert.ok(source.given() <= MOST_TORRENT_BYTES + 2 * chunk, `${source.given()}`);
    assert.ok(source.cancelled());
  }
  const longest = new Blob([new Uint8Array(MOST_TORRENT_BYTES - 1), new Uint8Array([7])]);
  const bytes = await torrentBytes(longest.stream(), refuse);
  assert.deepEqual([bytes.length, bytes.at(-1)], [MOST_TORRENT_BYTES, 7]);
});
