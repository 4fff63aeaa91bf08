// One connection of the buyer: the byte stream, the payments, and the download between them. Bytes come in by `read`
// and go out by `send`.
import { decodeMessage, encodeMessage } from "./messages.mjs";
import { Payments } from "./payments.mjs";
import {
  Decoder,
  ID,
  decodeExtendedHandshake,
  encodeExtendedHandshake,
  extended,
  handshake,
  message,
  request,
} from "./wire.mjs";

/** Flags of `pay`: the sender sells, the sender understands prices. */
const SELLS = 1;
const BUYS = 2;
const VERSION = 1;
/** Longer than anything takes here; reaching it is a failure. */
const PATIENCE_MS = 60_000;
/** The ids that messages to us must carry. */
const OUR_PW_PAY = 7;
const OUR_METADATA = 3;

/** A buyer on one connection. */
export class Peer {
  #decoder = new Decoder();
  #send;
  #config;
  #pwPay = null;
  #interested = false;
  #choked = true;
  #waiting = new Set();
  /** The seller's peer id, once it came. */
  remote = null;
  /** The payment fields of the seller's handshake. */
  pay = null;

  /**
   * `config`: `{ peerId, account, records, limits, longestChain }` and the other options of Payments; `download` is the
   * title to buy.
   */
  constructor({ send, download, ...config }) {
    this.#send = send;
    this.#config = config;
    this.download = download;
    this.payments = new Payments({
      ...config,
      changed: () => this.#goOn(),
      send: (pwPay) => send(extended(this.#pwPay, encodeMessage(pwPay))),
    });
  }

  /** Sends the handshake; the channel is open. */
  begin() {
    this.#send(handshake(this.download.torrent.infoHash, this.#config.peerId));
  }

  /** Takes bytes of the seller. Bytes outside the protocol end buying. */
  read(bytes) {
    try {
      for (const found of this.#decoder.push(bytes)) {
        if (found.infoHash) this.#shaken(found);
        else this.#message(found);
      }
    } catch (error) {
      this.payments.close(String(error));
    }
    this.#goOn();
  }

  /** Wants the first pieces of the torrent, and resolves when they are here and paid. */
  async fetch(until) {
    this.download.until = until;
    this.#goOn();
    await this.until("the pieces are here and paid", () => this.download.done && this.payments.settled);
  }

  /**
   * Resolves when the condition holds; rejects when buying or the connection ended, or after a time that nothing takes.
   */
  until(what, holds) {
    return new Promise((resolve, reject) => {
      const fail = (why) =>
        reject(new Error(`never: ${what}: ${why}; ${JSON.stringify(this.payments.log.slice(-12))}`));
      const timer = setTimeout(fail, PATIENCE_MS, "not in time");
      const look = () => {
        if (holds()) resolve();
        else if (this.payments.ended !== null) fail(this.payments.ended);
        else return;
        clearTimeout(timer);
        this.#waiting.delete(look);
      };
      this.#waiting.add(look);
      look();
    });
  }

  /** Stops buying. */
  leave() {
    this.payments.leave();
    this.#look();
  }

  /** The channel is gone. */
  close() {
    this.payments.close();
    this.#look();
  }

  #look() {
    for (const look of [...this.#waiting]) look();
  }

  #shaken({ infoHash, peerId, reserved }) {
    if (!infoHash.equals(this.download.torrent.infoHash)) throw new Error("another torrent");
    if ((reserved[5] & 0x10) === 0) throw new Error("a peer without extensions");
    this.remote = peerId;
    const { vault, chainId } = this.#config.account;
    const ours = {
      pwPay: OUR_PW_PAY,
      utMetadata: OUR_METADATA,
      vault,
      chainId,
      flags: BUYS,
      version: VERSION,
      reqq: 64,
      client: "buyer",
    };
    this.#send(extended(0, encodeExtendedHandshake(ours)));
    this.#send(message(ID.haveNone));
  }

  #message({ id, payload }) {
    if (id === ID.extended) this.#extended(payload[0], payload.subarray(1));
    else if (id === ID.choke || id === ID.unchoke) this.#choked = id === ID.choke;
    else if (id === ID.piece)
      this.#block({ piece: payload.readUInt32BE(0), begin: payload.readUInt32BE(4), bytes: payload.subarray(8) });
    else if (
      id === ID.reject &&
      this.download.refuse({ piece: payload.readUInt32BE(0), begin: payload.readUInt32BE(4) })
    )
      this.payments.inFlight--;
    // have, have all, bitfield: this buyer looks only for a seller of everything.
  }

  #extended(id, payload) {
    if (id === 0) return this.#negotiate(payload);
    if (id !== OUR_PW_PAY || !this.#deal()) return;
    const pwPay = decodeMessage(payload);
    if (pwPay === null) return;
    if (pwPay.type === "TERMS" && !this.#interested) {
      this.#interested = true;
      this.#send(message(ID.interested));
    }
    this.payments.read(pwPay);
  }

  /** The first handshake with `pw_pay` and `pay` decides about money; a later one can change the id. */
  #negotiate(payload) {
    const said = decodeExtendedHandshake(payload);
    this.pay ??= said;
    this.#pwPay = said?.pwPay ?? this.#pwPay;
  }

  /** Whether the remote sells here, for the money that we have. */
  #deal() {
    const { vault, chainId } = this.#config.account;
    return (
      this.pay !== null &&
      this.pay.version === VERSION &&
      this.pay.vault === vault &&
      this.pay.chainId === BigInt(chainId) &&
      (this.pay.flags & SELLS) !== 0
    );
  }

  #block(block) {
    const put = this.download.put(block);
    if (put === null) return; // nobody asked for it, and nobody pays
    this.payments.inFlight--;
    this.payments.unverified++;
    if (!put.complete) return;
    this.payments.unverified -= put.blocks;
    // One sender sent all of it: the buyer owes nothing for it, and buys nothing more.
    if (!put.good) return this.payments.close("a piece is wrong");
    this.payments.payable += put.blocks;
  }

  /** After each batch of input: pays for the verified blocks, then requests as many as there is room for. */
  #goOn() {
    const missing = this.download.missing();
    this.payments.wanted = missing.length;
    this.payments.settle();
    const room = this.#choked ? 0 : this.payments.allowance();
    for (const block of missing.slice(0, room)) {
      this.download.ask(block);
      this.payments.inFlight++;
      this.#send(request(block));
    }
    this.payments.wanted = Math.max(0, missing.length - room);
    this.#look();
  }
}
