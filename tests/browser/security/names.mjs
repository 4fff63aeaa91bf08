// Torrents whose names mean harm, written out by hand: v1, and a hybrid of v1 and v2 (BEP 52).
import { createHash } from "node:crypto";
import { mkdirSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";

const PIECE = 65_536;
const sha1 = (bytes) => createHash("sha1").update(bytes).digest();
const sha256 = (bytes) => createHash("sha256").update(bytes).digest();

/**
 * The script that a name runs if anything takes it for more than text. The page's address bar, a request and a variable
 * would show it.
 */
const MARKUP = "<img src=/pwned onerror=pwned=1>";
export const NAMES = {
  torrent: ["../../etc/passwd", ".._.._etc_passwd"],
  film: [[`${MARKUP}.mp4`], ["_img src=_pwned onerror=pwned=1_.mp4"]],
  /** The components as the torrent has them, and the names of the files here. */
  files: [
    [
      ["..", "..", "outside.bin"],
      ["_", "_", "outside.bin"],
    ],
    [
      ["..", "again.bin"],
      ["_", "again.bin"],
    ],
    [[".."], ["_ (2)"]],
    [["/abs.bin"], ["_abs.bin"]],
    [["C:\\x.bin"], ["C__x.bin"]],
    [["a\0b.bin"], ["a_b.bin"]],
    [["a_b.bin"], ["a_b (2).bin"]],
    [["A_B.BIN"], ["A_B (3).BIN"]],
    [['"><script>pwned=1</script>.bin'], ["___script_pwned=1__script_.bin"]],
    [["\u202egpj.exe"], ["_gpj.exe"]],
    [["con"], ["_con"]],
    [["x".repeat(4096)], ["x".repeat(255)]],
    [["javascript:pwned=1"], ["javascript_pwned=1"]],
    [["%2e%2e%2fescape.bin"], ["%2e%2e%2fescape.bin"]],
  ],
};

/** A torrent of these files with the film among them. `at` is a folder that gets the seeder's files. */
export function hostileTorrent({ tracker, at, film }) {
  const [name, safeName] = NAMES.torrent;
  const wanted = [...NAMES.files, NAMES.film];
  const files = wanted.map(([raw, safe], index) => ({
    raw,
    safe: [safeName, ...safe],
    bytes: index === wanted.length - 1 ? film : Buffer.alloc(700 * index + 5, index),
  }));
  for (const { safe, bytes } of files) put(at, safe, bytes);
  const info = {
    files: files.map(({ raw, bytes }) => ({ length: bytes.length, path: raw })),
    name,
    "piece length": PIECE,
    pieces: pieces(Buffer.concat(files.map(({ bytes }) => bytes))),
  };
  return { files, ...written(at, "hostile.torrent", { announce: tracker, info }) };
}

/** The same names in a hybrid. Each of its files is one block, with a piece of its own. */
export function hybridTorrent({ tracker, at }) {
  const [name, safeName] = NAMES.torrent;
  const length = 16_384;
  const files = NAMES.files
    .filter(([raw]) => raw.length === 1) // v2 has one tree: the same folder under two names is not in it
    .map(([raw, safe], index) => ({ raw, safe: [safeName, ...safe], bytes: Buffer.alloc(length, 100 + index) }))
    .sort((a, b) => Buffer.compare(Buffer.from(a.raw[0]), Buffer.from(b.raw[0])));
  // Names that meet are numbered in the order in which the torrent has them.
  files.find(({ raw }) => raw[0] === "..").safe = [safeName, "_"];
  files.find(({ raw }) => raw[0] === "A_B.BIN").safe = [safeName, "A_B.BIN"];
  files.find(({ raw }) => raw[0] === "a\0b.bin").safe = [safeName, "a_b (2).bin"];
  files.find(({ raw }) => raw[0] === "a_b.bin").safe = [safeName, "a_b (3).bin"];
  for (const { safe, bytes } of files) put(at, safe, bytes);
  const info = {
    "file tree": Object.fromEntries(
      files.map(({ raw, bytes }) => [raw[0], { "": { length, "pieces root": sha256(bytes) } }]),
    ),
    files: files.map(({ raw, bytes }) => ({ length: bytes.length, path: raw })),
    "meta version": 2,
    name,
    "piece length": length,
    pieces: Buffer.concat(files.map(({ bytes }) => sha1(bytes))),
  };
  return { files, ...written(at, "hybrid.torrent", { announce: tracker, info, "piece layers": {} }) };
}

/** A torrent of a single file, whose name is the torrent's. */
export function singleTorrent({ tracker, at }) {
  const bytes = Buffer.alloc(12_345, 7);
  const files = [{ raw: ["..\\..\\<b>x</b>"], safe: [".._..__b_x__b_"], bytes }];
  put(at, files[0].safe, bytes);
  return {
    files,
    ...written(at, "single.torrent", {
      announce: tracker,
      info: { length: bytes.length, name: files[0].raw[0], "piece length": PIECE, pieces: pieces(bytes) },
    }),
  };
}

function written(at, name, torrent) {
  const bytes = bencode(torrent);
  const path = join(dirname(at), name);
  writeFileSync(path, bytes);
  return { path, base64: bytes.toString("base64"), infoHash: sha1(bencode(torrent.info)).toString("hex") };
}

function put(at, components, bytes) {
  const path = join(at, ...components);
  mkdirSync(dirname(path), { recursive: true });
  writeFileSync(path, bytes);
}

function pieces(bytes) {
  const hashes = [];
  for (let at = 0; at < bytes.length; at += PIECE) hashes.push(sha1(bytes.subarray(at, at + PIECE)));
  return Buffer.concat(hashes);
}

function bencode(value) {
  if (typeof value === "number") return Buffer.from(`i${value}e`);
  if (typeof value === "string") return bencode(Buffer.from(value));
  if (Buffer.isBuffer(value)) return Buffer.concat([Buffer.from(`${value.length}:`), value]);
  if (Array.isArray(value)) return Buffer.concat([Buffer.from("l"), ...value.map(bencode), Buffer.from("e")]);
  const keys = Object.keys(value).sort((a, b) => Buffer.compare(Buffer.from(a), Buffer.from(b)));
  return Buffer.concat([
    Buffer.from("d"),
    ...keys.flatMap((key) => [bencode(key), bencode(value[key])]),
    Buffer.from("e"),
  ]);
}
