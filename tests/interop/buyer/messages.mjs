// docs/protocol.md, "Messages": the bytes of the pw_pay messages. Addresses, tags and hashes are 0x texts, amounts are
// bigint.

const number = (name, size) => ({
  name,
  size,
  read: (bytes) => bytes.readUIntBE(0, size),
  write: (value, bytes) => bytes.writeUIntBE(value, 0, size),
});
const hex = (name, size) => ({
  name,
  size,
  read: (bytes) => `0x${bytes.toString("hex")}`,
  write: (value, bytes) => bytes.write(value.slice(2), "hex"),
});
const amount = (name) => ({
  name,
  size: 12,
  read: (bytes) => BigInt(`0x${bytes.toString("hex")}`),
  write: (value, bytes) => bytes.write(value.toString(16).padStart(24, "0"), "hex"),
});

/** COMMIT from offset 5, SEEN and STATE carry the same bytes. */
const VOUCHER_BODY = [
  hex("owner", 20),
  number("first", 4),
  number("count", 2),
  hex("content", 32),
  amount("base"),
  amount("unit"),
  number("steps", 2),
  hex("root", 32),
  hex("luck", 32),
  hex("r", 32),
  hex("vs", 32),
];

/** By type: the name, and the fields after the type byte. */
const TYPES = {
  1: [
    "TERMS",
    [
      number("version", 1),
      number("flags", 1),
      number("quoteId", 4),
      number("ttl", 2),
      hex("payee", 20),
      hex("content", 32),
      amount("unit"),
      amount("minRange"),
      number("maxSteps", 2),
      number("credit0", 2),
      number("creditMax", 2),
      number("ramp", 1),
      number("minBondPercent", 2),
      hex("luck", 32),
    ],
  ],
  2: ["COMMIT", [number("quoteId", 4), ...VOUCHER_BODY]],
  3: ["PAY", [number("first", 4), hex("tag", 4), number("k", 2), hex("w", 32)]],
  4: ["ACK", [number("first", 4), hex("tag", 4), number("k", 2), number("owedBlocks", 4), number("creditBlocks", 2)]],
  5: ["REJECT", [number("code", 1), number("first", 4), hex("tag", 4), number("aux", 4)]],
  6: ["NEED", [number("reason", 1), number("first", 4)]],
  7: ["SEEN", [hex("payee", 20), ...VOUCHER_BODY]],
  8: ["STATE", [hex("payee", 20), ...VOUCHER_BODY, number("k", 2), hex("w", 32)]],
  9: ["BYE", [number("reason", 1)]],
  10: ["HELD", [hex("payee", 20), ...VOUCHER_BODY, number("k", 2), hex("w", 32)]],
  11: ["RECONCILE", VOUCHER_BODY],
};

/** The size of a message of these fields, its type byte included. */
const sizeOf = (fields) => fields.reduce((sum, { size }) => sum + size, 1);

/** A message's payload: `{ type: "PAY", first, tag, k, w }` to bytes. */
export function encodeMessage(message) {
  const [type, [, fields]] = Object.entries(TYPES).find(([, [name]]) => name === message.type);
  const bytes = Buffer.alloc(sizeOf(fields));
  bytes[0] = Number(type);
  let at = 1;
  for (const { name, size, write } of fields) {
    write(message[name], bytes.subarray(at, at + size));
    at += size;
  }
  return bytes;
}

/** A payload's message; null where the type is not known. A wrong size throws: it closes the connection. */
export function decodeMessage(bytes) {
  if (bytes.length === 0) throw new Error("pw_pay: there is no type byte");
  if (!(bytes[0] in TYPES)) return null;
  const [type, fields] = TYPES[bytes[0]];
  if (bytes.length !== sizeOf(fields))
    throw new Error(`pw_pay: ${type} has ${sizeOf(fields)} bytes, not ${bytes.length}`);
  const message = { type };
  let at = 1;
  for (const { name, size, read } of fields) {
    message[name] = read(bytes.subarray(at, at + size));
    at += size;
  }
  return message;
}
