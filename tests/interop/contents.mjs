// The contents of the exchanges: a small folder and a large file of random bytes, and the torrents of
// webtorrent-fixtures.
import { createHash, randomBytes } from "node:crypto";
import { createReadStream, mkdirSync, readdirSync, statSync, writeFileSync } from "node:fs";
import { basename, dirname, join, relative, sep } from "node:path";
import { pipeline } from "node:stream/promises";
import fixtures from "webtorrent-fixtures";
import { folder } from "../browser/support/harness.mjs";

/** Bytes of a small folder's files: empty, one byte, a block less one, a block, pieces and a rest. */
const SMALL = {
  "a/one.bin": 1,
  "a/b/block less one.bin": 16383,
  "a/block.bin": 16384,
  "grüße.txt": 12,
  "odd.bin": 300_001,
};

/** A file or folder: its path, and SHA-256 of every file by its path in the torrent. */
async function content(path) {
  return {
    path,
    name: basename(path),
    isFolder: statSync(path).isDirectory(),
    digests: await digestsOf(dirname(path), path),
  };
}

/** SHA-256 of every file below `folder` (or below `path` in it), by its path from `folder`. */
export async function digestsOf(folder, path = folder) {
  const digests = {};
  for (const entry of statSync(path).isDirectory()
    ? readdirSync(path, { recursive: true, withFileTypes: true })
    : [{ isFile: () => true, parentPath: dirname(path), name: basename(path) }]) {
    if (!entry.isFile()) continue;
    const file = join(entry.parentPath ?? entry.path, entry.name);
    const hash = createHash("sha256");
    await pipeline(createReadStream(file), hash);
    digests[relative(folder, file).split(sep).join("/")] = hash.digest("hex");
  }
  return digests;
}

/** A folder with a few small files of random bytes: no two have the same info hash. */
export function smallFolder() {
  const path = join(folder("content"), "small folder");
  for (const [name, length] of Object.entries(SMALL)) {
    mkdirSync(dirname(join(path, name)), { recursive: true });
    writeFileSync(join(path, name), randomBytes(length));
  }
  return content(path);
}

/** A folder of so many tiny files that its metadata takes several messages. */
export function manyFiles() {
  const path = join(folder("content"), "many files");
  for (let i = 0; i < 800; i++) {
    const file = join(path, `part ${i % 7}`, `${i}.txt`);
    mkdirSync(dirname(file), { recursive: true });
    writeFileSync(file, `${i}: ${randomBytes(i % 40).toString("hex")}\n`);
  }
  return content(path);
}

/** A file of random bytes. */
export function file(name, length) {
  const path = join(folder("content"), name);
  writeFileSync(path, randomBytes(length));
  return content(path);
}

/** Torrents of webtorrent-fixtures that cannot be exchanged, and why. A new one of these stops the run. */
const WITHOUT_FILES = {
  bunny: "434 MB that the package does not carry",
  sintel: "5.5 GB that the package does not carry",
  corrupt: "not a torrent: no `name`; refusing it is a test of its own",
  blocklist: "not a torrent",
};

/** Every torrent of webtorrent-fixtures whose files are in the package. All are v1; none is a hybrid or v2 alone. */
export async function fixtureTorrents() {
  const found = [];
  for (const [name, { contentPath, torrent }] of Object.entries(fixtures)) {
    if (contentPath === undefined) {
      if (!(name in WITHOUT_FILES))
        throw new Error(`webtorrent-fixtures has a torrent without files that nobody has looked at: ${name}`);
      continue;
    }
    // `meta version` stands in the info dictionary of v2 torrents and hybrids, `pieces` in that of v1 and hybrids.
    if (torrent.includes("12:meta versioni2e") || !torrent.includes("6:pieces"))
      throw new Error(`webtorrent-fixtures has a v2 torrent that nobody has looked at: ${name}`);
    found.push({ name, torrentFile: Buffer.from(torrent), content: await content(contentPath) });
  }
  return found;
}

/** A .torrent that lacks its name: every client has to refuse it. */
export const corruptTorrent = Buffer.from(fixtures.corrupt.torrent);
