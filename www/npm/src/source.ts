import { PieceworkError } from "./errors.js";
import { bytesOf, kindOf } from "./kinds.js";

/** A torrent as `parse-torrent` describes it, as far as it is read; also a {@link Torrent}. */
export interface ParsedTorrent {
  readonly infoHash: string;
  /** The whole .torrent file. */
  readonly torrentFile?: Uint8Array | null;
  /** The info dictionary as it stands in the .torrent file. */
  readonly infoBuffer?: Uint8Array;
  readonly name?: string;
  readonly announce?: readonly string[];
  readonly urlList?: readonly string[];
}
/** A source that {@link Client.add} takes. */
export type TorrentSource = string | URL | Blob | ArrayBuffer | ArrayBufferView | ParsedTorrent;
/**
 * A source of one file that {@link Client.seed} takes. Its name is that of the File, or its property `name`, which may
 * be a path with `/`. Streams give chunks of type Uint8Array, 1 GiB in all at the most.
 */
export type FileSource = (Blob | ArrayBuffer | ArrayBufferView | ReadableStream) & { readonly name?: string };

/**
 * A source as it was read: a magnet link, an info hash, the address of a .torrent file, the file's bytes, or a parsed
 * torrent.
 */
export type Recognised =
  | { magnet: string }
  | { hash: string }
  | { url: string }
  | { torrent: Uint8Array }
  | { file: Blob }
  | { parsed: ParsedTorrent };

const TAKES =
  "add takes a magnet link, an info hash, the address of a .torrent file, or such a file's bytes (Blob, " +
  "ArrayBuffer or Uint8Array)";
/** Characters around a pasted link; those that \s leaves out are invisible. */
const AROUND = /^[\s\u200b-\u200f\u2060\ufeff]+|[\s\u200b-\u200f\u2060\ufeff]+$/g;
/** The marks that text is quoted with, first and last. */
const QUOTES = ["<>", '""', "''", "``", "\u201c\u201d", "\u2018\u2019", "\u00ab\u00bb"];
/** The beginning of a magnet link, with slashes as some programs write them: `magnet:/?` and `magnet://?`. */
const MAGNET = /^magnet:(?:\/{1,2}(?=\?))?/i;
/** A link that was broken into lines, as in a URL. */
const BREAKS = /[\t\r\n]+/g;
/** Info hashes as people write them (BEP 9). */
const HEX = /^[0-9a-f]{40}$/i;
const BASE32 = /^[a-z2-7]{32}$/i;
const HASH_BYTES = 20;
/** RFC 4648, section 6. */
const DIGITS_32 = "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";

/** Reads a torrent's source as the caller gave it; throws a sentence that lists the accepted sources. */
export function recognise(source: unknown): Recognised {
  if (source instanceof Blob) return { file: source };
  const bytes = bytesOf(source);
  if (bytes?.length === HASH_BYTES) return { hash: hexOf(bytes) };
  if (bytes) return { torrent: bytes };
  if (isParsed(source)) return { parsed: source };
  const text = source instanceof URL ? source.href : typeof source === "string" ? plainLink(source) : null;
  if (text === null) throw new PieceworkError(`${TAKES}; this is ${kindOf(source)}`);
  if (HEX.test(text)) return { hash: text.toLowerCase() };
  if (BASE32.test(text)) return { magnet: `magnet:?xt=urn:btih:${text.toUpperCase()}` };
  if (/^magnet:/i.test(text)) return { magnet: text.replace(MAGNET, "magnet:") };
  if (/^(https?|blob|data):/i.test(text)) return { url: text };
  throw new PieceworkError(`${TAKES}; this is none of them: ${text.slice(0, 80)}`);
}

function isParsed(source: unknown): source is ParsedTorrent {
  const hash: unknown = typeof source === "object" && source !== null && "infoHash" in source ? source.infoHash : null;
  return typeof hash === "string" && HEX.test(hash);
}

/** The info hash of what {@link Client.get} takes, if it shows: not of a .torrent file. */
export function hashIn(source: unknown): string | null {
  if (isParsed(source)) return source.infoHash.toLowerCase();
  const bytes = bytesOf(source);
  if (bytes) return bytes.length === HASH_BYTES ? hexOf(bytes) : null;
  const text = plainLink(String(source));
  const hash = MAGNET.test(text) ? (/[?&]xt(?:\.\d+)?=urn:btih:(\w+)/i.exec(text)?.[1] ?? "") : text;
  if (HEX.test(hash)) return hash.toLowerCase();
  return BASE32.test(hash) ? base32(hash.toUpperCase()) : null;
}

/** Hexadecimal digits of the same bits. */
function base32(text: string): string {
  const bits = [...text].reduce((sum, letter) => sum * 32n + BigInt(DIGITS_32.indexOf(letter)), 0n);
  return bits.toString(16).padStart(2 * HASH_BYTES, "0");
}

function hexOf(bytes: Uint8Array): string {
  return [...bytes].map((byte) => byte.toString(16).padStart(2, "0")).join("");
}

/** A link as it was pasted, without what surrounds or breaks it. */
export function plainLink(text: string): string {
  const bare = text.replace(AROUND, "").replace(BREAKS, "");
  const isQuoted = bare.length > 1 && QUOTES.includes(`${bare.at(0)}${bare.at(-1)}`);
  return isQuoted ? bare.slice(1, -1).replace(AROUND, "") : bare;
}
