/**
 * Payments as a client has them: what the site set, and, once there is work for it, the part that speaks with wallets
 * and the chain. That part is a file of its own (`payments.js`), because a page that pays from an earlier visit's
 * deposit, or not at all, does without it.
 */

import { PieceworkError } from "./errors.js";
import type { HistoryEntry, Receipts } from "./history.js";
import { keepStorage } from "./lasting.js";
import type { PaymentHost, Payments } from "./payments.js";
import { Terms, type PaymentOptions } from "./terms.js";
import type { Titles } from "./titles.js";
import type { WalletInfo } from "./wallet.js";

/** Whether the engine beside this module can pay. In `nopaying.ts` it is false, and what asks it is left out there. */
export const PAYS: boolean = true;

type Part = typeof import("./payments.js");

let coming: Promise<Part> | null = null;

/** The part that speaks with wallets; a later try loads it again. */
async function part(): Promise<Part> {
  coming ??= import("./payments.js");
  try {
    return await coming;
  } catch (error) {
    coming = null;
    const why = error instanceof Error ? error.message : String(error);
    throw new PieceworkError(`payments.js could not be loaded: serve it beside piecework.js (${why})`);
  }
}

/** The wallets of this page (EIP-6963, else `window.ethereum`). */
export async function wallets(): Promise<WalletInfo[]> {
  return (await part()).discover();
}

/** The one wallet of this page answers; an engine outside the page asks it so. */
export async function askWallet(method: string, params: unknown): Promise<unknown> {
  const { discover, providerOf, requestOf } = await part();
  const [first, ...others] = await discover();
  if (!first || others.length > 0)
    throw new PieceworkError(`This page has ${first ? "several wallets" : "no wallet"}: open one that has one wallet.`);
  return requestOf(providerOf(first.id), method, params);
}

/** The payments of a client. */
export class Paying {
  readonly terms: Terms;
  readonly #host: PaymentHost;
  #payments: Payments | null = null;
  #keepsEarnings = false;
  #destroyed = false;

  /** @throws PieceworkError naming the option that is wrong. */
  constructor(options: PaymentOptions, host: PaymentHost) {
    this.terms = new Terms(options);
    this.#host = host;
  }

  /** What a connected wallet is for: loaded when it is asked for first. */
  async wallet(): Promise<Payments> {
    const { Payments } = this.#payments ? { Payments: null } : await part();
    if (this.#destroyed) throw new PieceworkError("this client was destroyed");
    if (Payments) this.#payments ??= new Payments(this.terms, this.#host);
    return this.#payments as Payments;
  }

  /** What has to do with titles on their chain: a file of its own, too. */
  async titles(): Promise<Titles> {
    const { Titles } = await import("./titles.js");
    return new Titles(this.terms, () => this.wallet());
  }

  /** The engine's receipts as a history. */
  async history(receipts: Receipts): Promise<HistoryEntry[]> {
    return (await part()).historyOf(receipts);
  }

  /** The connected account, or null. */
  get address(): string | null {
    return this.#payments?.address ?? null;
  }

  /** The slice of a deposit that is made now, in base units. */
  get slice(): bigint {
    return this.#payments?.slice ?? this.terms.slice(null);
  }

  /**
   * A title is sold at this price from now on, or, if it was just made, at the site's own. The buyers' payments for it
   * are nowhere but in this browser until they are redeemed. The page asks for lasting storage once: a browser that
   * asks its user would ask at each title.
   */
  sells(pricePerBlock: bigint | undefined, isMade: boolean): void {
    if (this.#keepsEarnings || !this.terms.isSold(pricePerBlock, isMade)) return;
    this.#keepsEarnings = true;
    keepStorage();
    this.#withGas((payments) => payments.sells());
  }

  /** Something is bought or sold: from now on the price of gas matters, where the site names `coinPrice`. */
  moneyMoves(): void {
    this.#withGas((payments) => payments.moneyMoves());
  }

  #withGas(work: (payments: Payments) => void): void {
    if (this.#payments) work(this.#payments);
    // Without the price of a coin nothing follows from the price of gas. A page that cannot load the part says so when
    // its user turns to the wallet.
    else if (this.terms.worth.isKnown && !this.#destroyed) void this.wallet().then(work, () => undefined);
  }

  /** A new engine must be told what the last one knew. */
  reconnected(): void {
    this.#payments?.reconnected();
  }

  /** A read of the chain by the connected wallet. */
  ethCall(to: string, data: string): Promise<string> {
    return this.#payments?.ethCall(to, data) ?? Promise.reject(new PieceworkError("no wallet is connected"));
  }

  /** Ends it: the user gets no prompt any more. */
  destroy(): void {
    this.#destroyed = true;
    this.#payments?.destroy();
  }
}
