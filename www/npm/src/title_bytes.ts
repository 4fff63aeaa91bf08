/**
 * A publisher's signed title (docs/titles.md): its bytes, its id, and the hash of its words. `crate/src/title` has the
 * same, and `tests/vectors/titles.json` holds both to it. The engine judges what comes from strangers; this file checks
 * no signature.
 */
import { keccak256 } from "./keccak.js";

/** What a publisher says of a content. Hashes and addresses are `0x` and small hexadecimal digits. */
export interface TitleWords {
  name: string;
  infoHash: string;
  infoHashV2: string;
  length: bigint;
  publisher: string;
  creator: string;
  /** Hundredths of a percent. */
  bps: number;
  licence: string;
  keyHash: string;
  previous: string;
  salt: string;
  /** Seconds since 1970. */
  created: number;
}

/** The same with its signature (`r` and `vs`, EIP-2098), and what it was signed for. */
export interface SignedTitle {
  words: TitleWords;
  /** The zero address: it is not to be registered. */
  registry: string;
  chainId: number;
  signature: string;
}

export const NO_ADDRESS = `0x${"0".repeat(40)}`;
export const NO_WORD = `0x${"0".repeat(64)}`;
/** Longest title that is read, in bytes. */
const MOST_BYTES = 16_384;
/** Lists in lists that are read. */
const DEEPEST = 64;
const VERSION = 1n;

/** The fields as the wallet shows and signs them, in their order. */
export const TITLE_TYPE = [
  { name: "name", type: "string" },
  { name: "infoHash", type: "bytes20" },
  { name: "infoHashV2", type: "bytes32" },
  { name: "length", type: "uint64" },
  { name: "publisher", type: "address" },
  { name: "creator", type: "address" },
  { name: "bps", type: "uint16" },
  { name: "licence", type: "string" },
  { name: "keyHash", type: "bytes32" },
  { name: "previous", type: "bytes32" },
  { name: "salt", type: "bytes32" },
  { name: "created", type: "uint64" },
] as const;

/** The key of each field in the dictionary, where it is not the field's own name. */
const KEYS: Partial<Record<keyof TitleWords, string>> = { infoHash: "hash", infoHashV2: "hash2", keyHash: "key" };
/** Keys that a title always has; others are left out where they are zero or empty. */
const ALWAYS = ["chain", "creator", "hash", "length", "name", "publisher", "sig", "v"];

const encoder = new TextEncoder();

/** Bytes of hexadecimal digits. */
export function bytesOfHex(hex: string): Uint8Array<ArrayBuffer> {
  return Uint8Array.from(hex.replace(/^0x/, "").match(/../g) ?? [], (pair) => parseInt(pair, 16));
}

function hexOf(bytes: Uint8Array): string {
  return `0x${Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("")}`;
}

/** A word of the ABI: numbers and addresses stand at its right, short bytes at its left. */
export function abiWord(type: string, value: string | number | bigint): string {
  if (typeof value !== "string") return value.toString(16).padStart(64, "0");
  const digits = value.replace(/^0x/, "").toLowerCase();
  return type.startsWith("bytes") ? digits.padEnd(64, "0") : digits.padStart(64, "0");
}

/** The id of a registration: `keccak256(abi.encode(publisher, infoHash, salt))`. */
export function titleId({ publisher, infoHash, salt }: Pick<TitleWords, "publisher" | "infoHash" | "salt">): string {
  const words = abiWord("address", publisher) + abiWord("bytes20", infoHash) + abiWord("bytes32", salt);
  return `0x${keccak256(bytesOfHex(words))}`;
}

/** The EIP-712 struct hash, which the registry keeps of the title as it was registered. */
export function titleHash(words: TitleWords): string {
  const type = `Title(${TITLE_TYPE.map((field) => `${field.type} ${field.name}`).join(",")})`;
  const fields = TITLE_TYPE.map(({ name, type }) =>
    type === "string" ? keccak256(encoder.encode(words[name])) : abiWord(type, words[name]),
  );
  return `0x${keccak256(bytesOfHex(keccak256(type) + fields.join("")))}`;
}

/** The call by which a publisher registers a title: what a wallet sends. */
export function registerCall(words: TitleWords): string {
  // The head has a word for each field, and for a text the place of its tail.
  const heads: string[] = [];
  let tail = "";
  for (const { name, type } of TITLE_TYPE) {
    if (type !== "string") heads.push(abiWord(type, words[name]));
    else {
      heads.push(abiWord("uint256", TITLE_TYPE.length * 32 + tail.length / 2));
      const text = encoder.encode(words[name]);
      const digits = hexOf(text).slice(2);
      tail += abiWord("uint256", text.length) + digits.padEnd(Math.ceil(digits.length / 64) * 64, "0");
    }
  }
  return REGISTER + abiWord("uint256", 32) + heads.join("") + tail;
}

/** Of `register((…))`. */
const REGISTER = "0xacb2e3cb";

/** A torrent's hash by BEP 52, where its info dictionary is of that version, too; else zero. */
export async function infoV2Of(torrent: Uint8Array): Promise<string> {
  const info = entriesIn(torrent).find(([key]) => key === "info")?.[1];
  const version = info && entriesIn(info).find(([key]) => key === "meta version")?.[1];
  if (!info || !version || new TextDecoder().decode(version) !== "i2e") return NO_WORD;
  return hexOf(new Uint8Array(await crypto.subtle.digest("SHA-256", info as Uint8Array<ArrayBuffer>)));
}

/** A title as it travels: a bencoded dictionary (BEP 3). */
export function titleBytes({ words, registry, chainId, signature }: SignedTitle): Uint8Array<ArrayBuffer> {
  const entries: [string, bigint | Uint8Array][] = TITLE_TYPE.map(({ name, type }) => {
    const value = words[name];
    const isText = type === "string";
    return [
      KEYS[name] ?? name,
      typeof value !== "string" ? BigInt(value) : isText ? encoder.encode(value) : bytesOfHex(value),
    ];
  });
  entries.push(
    ["chain", BigInt(chainId)],
    ["registry", bytesOfHex(registry)],
    ["sig", bytesOfHex(signature)],
    ["v", VERSION],
  );
  const said = entries.filter(
    ([key, value]) => ALWAYS.includes(key) || (typeof value === "bigint" ? value !== 0n : value.some(Boolean)),
  );
  return dictionary(
    said.map(([key, value]) => [key, typeof value === "bigint" ? encoder.encode(`i${value}e`) : textOf(value)]),
  );
}

/** Reads a title; null where the bytes are none. */
export function titleIn(bytes: Uint8Array): SignedTitle | null {
  if (bytes.length > MOST_BYTES) return null;
  try {
    const entries = new Map(entriesIn(bytes));
    const of = (key: string, size: number, isThere = false): string => {
      const value = entries.get(key);
      if (!value && !isThere) return `0x${"0".repeat(size * 2)}`;
      const read = value && stringIn(value);
      if (read?.length !== size) throw new RangeError(key);
      return hexOf(read);
    };
    const text = (key: string): string => {
      const value = entries.get(key);
      const read = value ? stringIn(value) : new Uint8Array();
      if (!read) throw new RangeError(key);
      return new TextDecoder("utf-8", { fatal: true }).decode(read);
    };
    const number = (key: string, isThere = false): bigint => {
      const value = entries.get(key);
      const digits = value ? /^i(\d{1,20})e$/.exec(new TextDecoder().decode(value))?.[1] : isThere ? undefined : "0";
      if (digits === undefined || BigInt(digits) >> 64n !== 0n) throw new RangeError(key);
      return BigInt(digits);
    };
    if (number("v", true) !== VERSION) return null;
    return {
      words: {
        name: text("name"),
        infoHash: of("hash", 20, true),
        infoHashV2: of("hash2", 32),
        length: number("length", true),
        publisher: of("publisher", 20, true),
        creator: of("creator", 20, true),
        bps: Number(number("bps")),
        licence: text("licence"),
        keyHash: of("key", 32),
        previous: of("previous", 32),
        salt: of("salt", 32),
        created: Number(number("created")),
      },
      registry: of("registry", 20),
      chainId: Number(number("chain", true)),
      signature: of("sig", 64, true),
    };
  } catch {
    return null;
  }
}

/** The title of a .torrent file; null: it has none that can be read. */
export function titleOf(torrent: Uint8Array): SignedTitle | null {
  try {
    const value = entriesIn(torrent).find(([key]) => key === "pw.title")?.[1];
    return value ? titleIn(value) : null;
  } catch {
    return null;
  }
}

/** A .torrent file with other values of these top-level keys; null: without the key. Its info hash stays. */
export function torrentWith(torrent: Uint8Array, values: Record<string, Uint8Array | null>): Uint8Array<ArrayBuffer> {
  const kept = entriesIn(torrent).filter(([key]) => !(key in values));
  const added = Object.entries(values).filter((entry): entry is [string, Uint8Array] => entry[1] !== null);
  return dictionary([...kept, ...added]);
}

/** Bytes as a bencoded string. */
export function textOf(bytes: Uint8Array): Uint8Array<ArrayBuffer> {
  return joined([encoder.encode(`${bytes.length}:`), bytes]);
}

function dictionary(entries: [string, Uint8Array][]): Uint8Array<ArrayBuffer> {
  const sorted = [...entries].sort(([one], [other]) => (one < other ? -1 : 1));
  const inside = sorted.flatMap(([key, value]) => [
    textOf(Uint8Array.from(key, (letter) => letter.charCodeAt(0))),
    value,
  ]);
  return joined([encoder.encode("d"), ...inside, encoder.encode("e")]);
}

function joined(parts: Uint8Array[]): Uint8Array<ArrayBuffer> {
  const all = new Uint8Array(parts.reduce((sum, { length }) => sum + length, 0));
  let at = 0;
  for (const part of parts) {
    all.set(part, at);
    at += part.length;
  }
  return all;
}

/** The keys of a bencoded dictionary, and the bytes of their values. */
function entriesIn(bytes: Uint8Array): [string, Uint8Array][] {
  if (bytes[0] !== 0x64) throw new RangeError("no dictionary");
  const entries: [string, Uint8Array][] = [];
  let at = 1;
  while (bytes[at] !== 0x65) {
    const end = valueEnd(bytes, at);
    const key = stringIn(bytes.subarray(at, end));
    if (!key) throw new RangeError("a key is no string");
    at = valueEnd(bytes, end);
    // Keys are bytes: a letter for each keeps those that are not ASCII, and their order.
    entries.push([Array.from(key, (byte) => String.fromCharCode(byte)).join(""), bytes.subarray(end, at)]);
  }
  return entries;
}

/** Where the value that begins here ends. */
function valueEnd(bytes: Uint8Array, start: number): number {
  let at = start;
  let depth = 0;
  do {
    const kind = bytes[at];
    if (kind === 0x64 || kind === 0x6c) {
      if (++depth > DEEPEST) throw new RangeError("too deep");
      at += 1;
    } else if (kind === 0x65) {
      depth -= 1;
      at += 1;
    } else if (kind === 0x69) {
      at = indexOf(bytes, 0x65, at) + 1;
    } else {
      const colon = indexOf(bytes, 0x3a, at);
      const digits = new TextDecoder().decode(bytes.subarray(at, Math.min(colon, at + 12)));
      if (!/^\d{1,11}$/.test(digits)) throw new RangeError("no length");
      at = colon + 1 + Number(digits);
      if (at > bytes.length) throw new RangeError("cut off");
    }
  } while (depth > 0);
  return at;
}

function indexOf(bytes: Uint8Array, byte: number, from: number): number {
  const at = bytes.indexOf(byte, from);
  if (at < 0) throw new RangeError("cut off");
  return at;
}

/** The bytes of a bencoded string; null: it is another value. */
function stringIn(value: Uint8Array): Uint8Array | null {
  const colon = value.indexOf(0x3a);
  return value[0] !== undefined && value[0] >= 0x30 && value[0] <= 0x39 ? value.subarray(colon + 1) : null;
}
