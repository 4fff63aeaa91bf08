// The records that a buyer must not lose: the payee of each promised serial, and the amount revealed on each range.
import { closeSync, existsSync, fsyncSync, openSync, readFileSync, renameSync, writeSync } from "node:fs";
import { dirname } from "node:path";

/** Revealed steps are on record after this many at the latest (policy); bases and serials before they are signed. */
const STEPS_UNRECORDED = 64;

/** The durable records of one session key. Two programs must never use one key with different records. */
export class Records {
  #path;
  #unrecorded = 0;
  /** The lowest serial that was never promised. */
  next = 1;
  /** By first serial: `{ first, count, payee, content, revealed, closed }`. */
  ranges = new Map();
  /** Nothing new is promised any more: the records turned out to be old. */
  held = false;

  constructor(path) {
    this.#path = path;
    if (!existsSync(path)) return;
    const { next, held, ranges } = JSON.parse(readFileSync(path, "utf8"));
    this.next = next;
    this.held = held;
    for (const range of ranges) this.ranges.set(range.first, { ...range, revealed: BigInt(range.revealed) });
  }

  /** Promises serials to a payee: `next` is past them before anything is signed. */
  reserve({ first, count, payee, content }) {
    this.next = Math.max(this.next, first + count);
    this.ranges.set(first, { first, count, payee, content, revealed: 0n, closed: false });
    this.save();
  }

  /** Stores the amount that a voucher is about to name as its base. */
  base(first, amount) {
    this.ranges.get(first).revealed = amount;
    this.save();
  }

  /** Notes revealed steps; a crash may forget the last ones, and the seller then shows them in a STATE. */
  reveal(first, amount, steps) {
    this.ranges.get(first).revealed = amount;
    this.#unrecorded += steps;
    if (this.#unrecorded >= STEPS_UNRECORDED) this.save();
  }

  /** The buyer uses the range no more. */
  close(first) {
    this.ranges.get(first).closed = true;
    this.save();
  }

  /** The records are old: the buyer promises nothing new from this account. */
  hold() {
    this.held = true;
    this.save();
  }

  /** Fine units revealed on all ranges. */
  revealed() {
    return [...this.ranges.values()].reduce((sum, { revealed }) => sum + revealed, 0n);
  }

  /** Whether some range on record has this serial. */
  names(serial) {
    return [...this.ranges.values()].some(({ first, count }) => serial >= first && serial < first + count);
  }

  /** Writes everything; it survives a loss of power once this returns. */
  save() {
    const ranges = [...this.ranges.values()].map((range) => ({ ...range, revealed: String(range.revealed) }));
    const fresh = `${this.#path}.new`;
    const file = openSync(fresh, "w", 0o600);
    writeSync(file, JSON.stringify({ next: this.next, held: this.held, ranges }, null, 1));
    fsyncSync(file);
    closeSync(file);
    renameSync(fresh, this.#path);
    const folder = openSync(dirname(this.#path), "r");
    fsyncSync(folder);
    closeSync(folder);
    this.#unrecorded = 0;
  }
}
