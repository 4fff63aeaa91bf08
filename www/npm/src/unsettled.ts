/**
 * Transactions that were sent and whose end nobody saw. They are kept over reloads, so that the next try follows such a
 * transaction and asks for nothing twice.
 */

import { PieceworkError } from "./errors.js";
import type { Sent } from "./following.js";
import type { Paid, Wallet } from "./wallet.js";

/** A transaction that is out. Amounts are decimal base units. */
export interface Unsettled extends Sent {
  /** It was sent as calls (EIP-5792), and `hash` is their id. */
  calls?: boolean;
  /** The network did not know it any more. */
  gone?: boolean;
  /** For a deposit: its account, the sums to be added, and the sums that the account held before. */
  deposit?: { id: string; amount: string; bond: string; balanceBefore: string; bondBefore: string };
}

/** Whether the chain shows that the work was done, by whichever transaction. */
export type Done = (sent: Unsettled) => Promise<boolean>;

/** After this time the page says that it waits for the chain. */
const SAY_AFTER_MS = 15_000;

type Kept = Map<string, Unsettled>;

/**
 * Transactions that are out, where the page may store nothing: remembered until the page is left, by owner and vault,
 * then by purpose.
 */
const remembered = new Map<string, Kept>();

/** Does things on chain through one wallet at one vault, each of them once. */
export class Sender {
  readonly #wallet: Wallet;
  readonly #say: (text: string) => void;
  readonly #paid: Paid;
  readonly #name: string;

  constructor(wallet: Wallet, chainId: number, vault: string, say: (text: string) => void, paid: Paid) {
    this.#wallet = wallet;
    this.#say = say;
    this.#paid = paid;
    this.#name = `piecework sent ${chainId} ${vault.toLowerCase()} ${wallet.address}`;
  }

  /**
   * Follows a transaction that was sent earlier for this purpose; gives it if it came to be, null if the caller must
   * send (again).
   */
  async earlier(purpose: string, done: Done): Promise<Unsettled | null> {
    const sent = this.#kept().get(purpose);
    return sent && (await this.#end(purpose, sent, done)) === "done" ? sent : null;
  }

  /**
   * Sends for the first time, or after {@link earlier} gave null, and follows the transaction to its end. Throws unless
   * it is done.
   */
  async send(purpose: string, done: Done, send: () => Promise<Unsettled>): Promise<void> {
    const sent = await send();
    this.#keep(purpose, sent);
    const end = await this.#end(purpose, sent, done);
    if (end !== "done") throw new PieceworkError(undone(end, sent.hash));
  }

  /** Follows a transaction to its end and forgets it, unless its end is not seen. */
  async #end(purpose: string, sent: Unsettled, done: Done): Promise<"done" | Undone> {
    const timer = setTimeout(
      () => this.#say(`The chain has not confirmed ${sent.hash} yet: it is looked for until it does.`),
      SAY_AFTER_MS,
    );
    try {
      const patience = sent.gone ? 0 : undefined;
      const fate = sent.calls
        ? await this.#wallet.followCalls(sent.hash, patience)
        : await this.#wallet.follow(sent, patience);
      // Another tab that followed it too has said what it cost, if it saw the end before.
      if (this.#kept().get(purpose)?.hash === sent.hash) this.#wallet.tellFees(sent.hash, fate, this.#paid);
      const { kind } = fate;
      if (kind === "open")
        throw new PieceworkError(
          `The chain has not confirmed ${sent.hash} after ten minutes. It may still come: try again to go on ` +
            "waiting, and nothing is asked a second time.",
        );
      if (kind === "reverted" || kind === "refused") return this.#ended(purpose, kind);
      if (kind === "mined") return this.#ended(purpose, "done");
      // Another transaction may have done the same, as when the user speeds it up: the chain's state decides.
      if (await done(sent)) {
        if (kind === "replaced")
          this.#say(`${sent.hash} was replaced in the wallet by another transaction, which did the same.`);
        return this.#ended(purpose, "done");
      }
      if (kind === "replaced" || sent.gone) return this.#ended(purpose, kind);
      this.#keep(purpose, { ...sent, gone: true });
      return kind;
    } finally {
      clearTimeout(timer);
    }
  }

  #ended<T>(purpose: string, end: T): T {
    this.#change((kept) => kept.delete(purpose));
    return end;
  }

  #keep(purpose: string, sent: Unsettled): void {
    this.#change((kept) => kept.set(purpose, sent));
  }

  /** The transactions that are out now. Other tabs send too, and see the end of them. */
  #kept(): Kept {
    try {
      const read: unknown = JSON.parse(localStorage.getItem(this.#name) ?? "[]");
      const whole = ([, one]: [string, Unsettled]) => typeof one?.hash === "string" && typeof one.from === "string";
      return new Map(Array.isArray(read) ? (read as [string, Unsettled][]).filter(whole) : []);
    } catch {
      return remembered.get(this.#name) ?? new Map<string, Unsettled>();
    }
  }

  #change(change: (kept: Kept) => void): void {
    const kept = this.#kept();
    change(kept);
    try {
      if (kept.size > 0) localStorage.setItem(this.#name, JSON.stringify([...kept]));
      else localStorage.removeItem(this.#name);
    } catch {
      remembered.set(this.#name, kept);
    }
  }
}

/** Ends that leave the work undone. */
export type Undone = "reverted" | "refused" | "replaced" | "dropped";

/** A sentence for each. */
export function undone(end: Undone, hash: string): string {
  switch (end) {
    case "reverted":
      return (
        `The contract refused ${hash}, and nothing was changed: try again, or look the transaction up in a ` +
        "block explorer."
      );
    case "refused":
      return "The wallet could not carry it out, and nothing was taken: open your wallet to see why.";
    case "replaced":
      return (
        `${hash} was cancelled in the wallet, or replaced by a transaction that did something else: nothing was ` +
        "changed."
      );
    case "dropped":
      return (
        `The network does not know ${hash} any more, and the chain shows nothing of it: look into your wallet, ` +
        "then try again."
      );
  }
}
