// A v1 torrent of one file, and the parts of it that are here.
import { createHash } from "node:crypto";
import { encode } from "./bencode.mjs";
import { BLOCK } from "./numbers.mjs";

const HASH_BYTES = 20;
const sha1 = (bytes) => createHash("sha1").update(bytes).digest();

/** A torrent of these bytes: `{ infoHash, torrentFile, pieceLength, length, hashes }`. */
export function torrentOf({ name, bytes, pieceLength, tracker }) {
  const hashes = [];
  for (let at = 0; at < bytes.length; at += pieceLength) hashes.push(sha1(bytes.subarray(at, at + pieceLength)));
  const info = { length: bytes.length, name, "piece length": pieceLength, pieces: Buffer.concat(hashes) };
  return { ...torrentFrom(info), torrentFile: encode({ announce: tracker, info }) };
}

/** The fields of an info dictionary that a download needs. */
export function torrentFrom(info) {
  const hashes = Array.from({ length: info.pieces.length / HASH_BYTES }, (_, i) =>
    info.pieces.subarray(i * HASH_BYTES, (i + 1) * HASH_BYTES),
  );
  return { infoHash: sha1(encode(info)), pieceLength: info["piece length"], length: info.length, hashes };
}

/** The blocks of a piece. */
export function blocksOf({ pieceLength, length }, piece) {
  const size = Math.min(pieceLength, length - piece * pieceLength);
  return Array.from({ length: Math.ceil(size / BLOCK) }, (_, i) => ({
    piece,
    begin: i * BLOCK,
    length: Math.min(BLOCK, size - i * BLOCK),
  }));
}

const nameOf = ({ piece, begin }) => `${piece}/${begin}`;

/**
 * The parts of a torrent that are here, those that are asked for, and those that are wanted: its first pieces, in
 * order.
 */
export class Download {
  #asked = new Map();
  #arrived = new Map();
  /** The verified pieces, by number. */
  pieces = new Map();
  /** Pieces below this are wanted now. */
  until = 0;

  constructor(torrent, pieces = new Map()) {
    this.torrent = torrent;
    this.pieces = pieces;
  }

  /** Wanted blocks that are neither here nor asked for. */
  missing() {
    const wanted = Array.from({ length: this.until }, (_, piece) => piece).filter((piece) => !this.pieces.has(piece));
    return wanted
      .flatMap((piece) => blocksOf(this.torrent, piece))
      .filter((block) => !this.#asked.has(nameOf(block)) && !this.#arrived.has(nameOf(block)));
  }

  /** Notes that the block is asked for. */
  ask(block) {
    this.#asked.set(nameOf(block), block);
  }

  /** The block will not come; gives whether it was asked for. */
  refuse(block) {
    return this.#asked.delete(nameOf(block));
  }

  /**
   * Takes a block. Gives null where it was not asked for, else whether its piece is complete now, and good, and its
   * blocks.
   */
  put({ piece, begin, bytes }) {
    const name = nameOf({ piece, begin });
    if (this.#asked.get(name)?.length !== bytes.length) return null;
    this.#asked.delete(name);
    this.#arrived.set(name, bytes);
    const blocks = blocksOf(this.torrent, piece);
    if (!blocks.every((block) => this.#arrived.has(nameOf(block))))
      return { complete: false, good: false, blocks: blocks.length };
    const whole = Buffer.concat(blocks.map((block) => this.#arrived.get(nameOf(block))));
    for (const block of blocks) this.#arrived.delete(nameOf(block));
    const good = sha1(whole).equals(this.torrent.hashes[piece]);
    if (good) this.pieces.set(piece, whole);
    return { complete: true, good, blocks: blocks.length };
  }

  /** Whether all wanted pieces are here. */
  get done() {
    return Array.from({ length: this.until }, (_, piece) => piece).every((piece) => this.pieces.has(piece));
  }
}
