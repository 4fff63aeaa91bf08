import { PieceworkError } from "./errors.js";

/** A source that {@link Client.add} takes. */
export type TorrentSource = string | URL | Blob | ArrayBuffer | ArrayBufferView;
/** A source of one file that {@link Client.seed} takes. */
export type FileSource = Blob | ArrayBuffer | ArrayBufferView;

/** A source as it was read: a magnet link, an info hash, the address of a .torrent file, or the file's bytes. */
export type Recognised = { magnet: string } | { hash: string } | { url: string } | { torrent: Blob | Uint8Array };

/** One file of a torrent to be made. */
export interface FileEntry {
  blob: Blob;
  /** Below the torrent's name. */
  path: string[];
}

const TAKES =
  "add takes a magnet link, an info hash, the address of a .torrent file, or such a file's bytes (Blob, " +
  "ArrayBuffer or Uint8Array)";
const SEEDS = "seed takes a File, a Blob, an ArrayBuffer or a Uint8Array, or several of them in a list";
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

/** Reads a torrent's source as the caller gave it; throws a sentence that lists the accepted sources. */
export function recognise(source: unknown): Recognised {
  if (source instanceof Blob) return { torrent: source };
  const bytes = bytesOf(source);
  if (bytes?.length === HASH_BYTES)
    return { hash: [...bytes].map((byte) => byte.toString(16).padStart(2, "0")).join("") };
  if (bytes) return { torrent: bytes };
  const text = source instanceof URL ? source.href : typeof source === "string" ? plainLink(source) : null;
  if (text === null) throw new PieceworkError(`${TAKES}; this is ${kindOf(source)}`);
  if (HEX.test(text)) return { hash: text.toLowerCase() };
  if (BASE32.test(text)) return { magnet: `magnet:?xt=urn:btih:${text.toUpperCase()}` };
  if (/^magnet:/i.test(text)) return { magnet: text.replace(MAGNET, "magnet:") };
  if (/^(https?|blob|data):/i.test(text)) return { url: text };
  throw new PieceworkError(`${TAKES}; this is none of them: ${text.slice(0, 80)}`);
}

/** A link as it was pasted, without what surrounds or breaks it. */
export function plainLink(text: string): string {
  const bare = text.replace(AROUND, "").replace(BREAKS, "");
  const isQuoted = bare.length > 1 && QUOTES.includes(`${bare.at(0)}${bare.at(-1)}`);
  return isQuoted ? bare.slice(1, -1).replace(AROUND, "") : bare;
}

/** No .torrent file is longer. A longer file was taken for one by mistake, and would fill the memory. */
export const MOST_TORRENT_BYTES = 16 << 20;

/** The bytes of a .torrent file; throws as soon as there are too many. */
export async function torrentBytes(stream: ReadableStream<Uint8Array>): Promise<Uint8Array> {
  const chunks: Uint8Array<ArrayBuffer>[] = [];
  let left = MOST_TORRENT_BYTES;
  const reader = stream.getReader();
  for (let chunk = await reader.read(); !chunk.done; chunk = await reader.read()) {
    left -= chunk.value.length;
    if (left < 0) {
      void reader.cancel().catch(() => undefined);
      throw new PieceworkError("this is no .torrent file: it is longer than 16 MiB");
    }
    chunks.push(chunk.value as Uint8Array<ArrayBuffer>);
  }
  return new Uint8Array(await new Blob(chunks).arrayBuffer());
}

/** Reads files to be seeded; throws a sentence that lists the accepted sources. */
export function fileEntries(source: unknown): { files: FileEntry[]; name: string | null; isFolder: boolean } {
  const list = blobOf(source) ? [source] : isIterable(source) ? [...source] : null;
  if (!list) throw new PieceworkError(`${SEEDS}; this is ${kindOf(source)}`);
  const blobs = list.map((one) => {
    const blob = blobOf(one);
    if (!blob) throw new PieceworkError(`${SEEDS}; in it is ${kindOf(one)}`);
    return blob;
  });
  const first = blobs[0];
  if (!first) throw new PieceworkError("there are no files to seed");
  const folder = pathOf(first)[0];
  const isFolder = blobs.length > 1 || Boolean(folder);
  const files = blobs.map((blob, index) => {
    const path = pathOf(blob).slice(1);
    return { blob, path: path.length > 0 ? path : [nameOfFile(blob) ?? `file ${index + 1}`] };
  });
  return { files, name: isFolder ? folder || null : nameOfFile(first), isFolder };
}

function bytesOf(source: unknown): Uint8Array | null {
  if (source instanceof ArrayBuffer) return new Uint8Array(source);
  return ArrayBuffer.isView(source) ? new Uint8Array(source.buffer, source.byteOffset, source.byteLength) : null;
}

function blobOf(source: unknown): Blob | null {
  if (source instanceof Blob) return source;
  const bytes = bytesOf(source);
  return bytes ? new Blob([bytes as Uint8Array<ArrayBuffer>]) : null;
}

/** With the folder that was chosen, if it was one. */
function pathOf(blob: Blob): string[] {
  return blob instanceof File && blob.webkitRelativePath ? blob.webkitRelativePath.split("/") : [];
}

function nameOfFile(blob: Blob): string | null {
  return (blob instanceof File && blob.name) || null;
}

function isIterable(source: unknown): source is Iterable<unknown> {
  return typeof source === "object" && source !== null && Symbol.iterator in source;
}

function kindOf(value: unknown): string {
  if (typeof value !== "object" || value === null)
    return `${value === null || value === undefined ? value : `a ${typeof value}`}`;
  return `an object of type ${value.constructor?.name ?? "Object"}`;
}
