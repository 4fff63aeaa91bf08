// The byte stream of a BitTorrent connection: BEP 3, the messages of BEP 6, and BEP 10 with docs/protocol.md's
// "Negotiation".
import { decodeAt, encode } from "./bencode.mjs";

const PROTOCOL = Buffer.from("\x13BitTorrent protocol", "latin1");
const HANDSHAKE_BYTES = 68;
/** Longer than any message to a buyer: a block, or a bitfield. */
const LONGEST = 1 << 20;

/** Ids of messages. */
export const ID = {
  choke: 0,
  unchoke: 1,
  interested: 2,
  have: 4,
  bitfield: 5,
  request: 6,
  piece: 7,
  haveAll: 14,
  haveNone: 15,
  reject: 16,
  extended: 20,
};

/** Our handshake: the extension protocol (BEP 10) and the fast extension (BEP 6). */
export const handshake = (infoHash, peerId) =>
  Buffer.concat([PROTOCOL, Buffer.from("0000000000100004", "hex"), infoHash, peerId]);

/** A message with its length. */
export function message(id, ...parts) {
  const payload = Buffer.concat(parts);
  const head = Buffer.alloc(5);
  head.writeUInt32BE(payload.length + 1);
  head[4] = id;
  return Buffer.concat([head, payload]);
}

/** Asks for a block. */
export function request({ piece, begin, length }) {
  const payload = Buffer.alloc(12);
  for (const [i, value] of [piece, begin, length].entries()) payload.writeUInt32BE(value, 4 * i);
  return message(ID.request, payload);
}

/** A message of an extension; id 0 is the extended handshake. */
export const extended = (id, payload) => message(ID.extended, Buffer.from([id]), payload);

/** The payload of an extended handshake. */
export function encodeExtendedHandshake({
  pwPay,
  utMetadata,
  vault,
  chainId,
  flags,
  version,
  reqq,
  client,
  metadataSize,
}) {
  return encode({
    m: { pw_pay: pwPay, ut_metadata: utMetadata },
    metadata_size: metadataSize,
    pay: { a: Buffer.from(vault.slice(2), "hex"), c: chainId, f: flags, v: version },
    reqq,
    v: client,
  });
}

const integer = (value, most) =>
  (typeof value === "number" || typeof value === "bigint") && value >= 0 && value <= most;

/** The payment fields of an extended handshake: `{ pwPay, vault, chainId, flags, version }`, or null. */
export function decodeExtendedHandshake(payload) {
  const { m, pay } = decodeAt(payload, 0).value;
  if (!integer(m?.pw_pay, 255) || m.pw_pay < 1) return null;
  if (!(pay?.a instanceof Uint8Array) || pay.a.length !== 20) return null;
  if (!integer(pay.c, 2n ** 64n - 1n) || !integer(pay.f, 255) || !integer(pay.v, 255)) return null;
  return { pwPay: m.pw_pay, vault: `0x${pay.a.toString("hex")}`, chainId: BigInt(pay.c), flags: pay.f, version: pay.v };
}

/** Cuts the stream into the handshake and messages. */
export class Decoder {
  #bytes = Buffer.alloc(0);
  #shaken = false;

  /**
   * The messages that are complete with these bytes: `{ infoHash, peerId, reserved }` once, then `{ id, payload }`.
   * Keep-alives are left out.
   */
  *push(bytes) {
    this.#bytes = Buffer.concat([this.#bytes, bytes]);
    for (;;) {
      const found = this.#shaken ? this.#message() : this.#handshake();
      if (found === undefined) return;
      if (found !== null) yield found;
    }
  }

  #take(count) {
    const taken = this.#bytes.subarray(0, count);
    this.#bytes = this.#bytes.subarray(count);
    return taken;
  }

  #handshake() {
    if (this.#bytes.length < HANDSHAKE_BYTES) return undefined;
    const bytes = this.#take(HANDSHAKE_BYTES);
    if (!bytes.subarray(0, 20).equals(PROTOCOL)) throw new Error("no BitTorrent handshake");
    this.#shaken = true;
    return { reserved: bytes.subarray(20, 28), infoHash: bytes.subarray(28, 48), peerId: bytes.subarray(48) };
  }

  /** Undefined: not complete. Null: a keep-alive. */
  #message() {
    if (this.#bytes.length < 4) return undefined;
    const length = this.#bytes.readUInt32BE();
    if (length > LONGEST) throw new Error(`a message of ${length} bytes`);
    if (this.#bytes.length < 4 + length) return undefined;
    const body = this.#take(4 + length).subarray(4);
    return length === 0 ? null : { id: body[0], payload: body.subarray(1) };
  }
}
