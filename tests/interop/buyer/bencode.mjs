// Bencoding (BEP 3), as much of it as handshakes and .torrent files need.

/** Bytes of a value: integers (number or bigint), text, bytes, lists, and dictionaries (plain objects). */
export function encode(value) {
  if (typeof value === "number" || typeof value === "bigint") return Buffer.from(`i${value}e`);
  if (typeof value === "string") return encode(Buffer.from(value));
  if (value instanceof Uint8Array) return Buffer.concat([Buffer.from(`${value.length}:`), value]);
  if (Array.isArray(value)) return Buffer.concat([Buffer.from("l"), ...value.map(encode), Buffer.from("e")]);
  // Keys stand in the order of their bytes; ours are ASCII.
  const keys = Object.keys(value)
    .filter((key) => value[key] !== undefined)
    .sort();
  return Buffer.concat([
    Buffer.from("d"),
    ...keys.flatMap((key) => [encode(key), encode(value[key])]),
    Buffer.from("e"),
  ]);
}

/**
 * The value that the bytes begin with, and where it ends. Strings are Buffers; integers are bigint where a number is
 * inexact.
 */
export function decodeAt(bytes, at) {
  const kind = String.fromCharCode(bytes[at]);
  if (kind === "i") return decodeInteger(bytes, at);
  if (kind === "l") return decodeItems(bytes, at + 1, []);
  if (kind === "d") return decodeDictionary(bytes, at);
  const colon = bytes.indexOf(":", at);
  const digits = colon < 0 ? "" : bytes.toString("latin1", at, colon);
  if (!/^(0|[1-9]\d{0,9})$/.test(digits)) throw new Error(`bencoding: no value at byte ${at}`);
  const end = colon + 1 + Number(digits);
  if (end > bytes.length) throw new Error(`bencoding: the string at byte ${at} is cut off`);
  return { value: bytes.subarray(colon + 1, end), end };
}

/** The value of all the bytes. */
export function decode(bytes) {
  const { value, end } = decodeAt(bytes, 0);
  if (end !== bytes.length) throw new Error(`bencoding: ${bytes.length - end} bytes too many`);
  return value;
}

function decodeInteger(bytes, at) {
  const end = bytes.indexOf("e", at);
  const digits = end < 0 ? "" : bytes.toString("latin1", at + 1, end);
  if (!/^(0|-?[1-9]\d*)$/.test(digits)) throw new Error(`bencoding: no integer at byte ${at}`);
  const value = Number(digits);
  return { value: Number.isSafeInteger(value) ? value : BigInt(digits), end: end + 1 };
}

function decodeItems(bytes, at, items) {
  while (bytes[at] !== 0x65) {
    if (at >= bytes.length) throw new Error("bencoding: a list has no end");
    const { value, end } = decodeAt(bytes, at);
    items.push(value);
    at = end;
  }
  return { value: items, end: at + 1 };
}

function decodeDictionary(bytes, at) {
  const { value: items, end } = decodeItems(bytes, at + 1, []);
  const value = {};
  for (let i = 0; i < items.length; i += 2) value[items[i].toString("latin1")] = items[i + 1];
  return { value, end };
}
