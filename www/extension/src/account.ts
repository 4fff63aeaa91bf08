/** Whose deposit the extension pays from, and when a site may name another one. */

import type { PaymentLack } from "../../npm/src/lack.ts";

/** What the engine says of the account that is paid from. */
export interface AccountNow {
  /** It was read from the chain. */
  accountReady: boolean;
  lack: PaymentLack | null;
  balance: bigint;
  /** Promised to sellers, and not paid. */
  locked: bigint;
  /** Can still be promised. */
  free: bigint;
}

/** Nothing more is promised from it, mostly because its user ended it. */
const OVER: readonly (PaymentLack | null)[] = ["exiting", "withdrawn", "held"];

/** The owner whose deposit is paid from, as it is kept. */
export interface Payer {
  owner: string;
  /** Something of the deposit can still be spent, as it was seen last; null: it was not read yet. */
  funded: boolean | null;
  /** Sites that named it. */
  sites?: string[];
}

export function isSame(one: string, other: string): boolean {
  return one.toLowerCase() === other.toLowerCase();
}

/**
 * Whether something of the deposit can still be spent. Where all of it is promised, what was seen before counts: a rest
 * of what was promised may stay unpaid for ever, and that it is used up shows while something is wanted. A rest that is
 * too small for a seller's least promise is no reason: any seller may name one.
 */
export function isFunded(before: boolean | null, { accountReady, balance, locked, free, lack }: AccountNow) {
  if (!accountReady) return before;
  if (balance === 0n || OVER.includes(lack) || (free === 0n && (locked === 0n || lack === "usedup"))) return false;
  return free > 0n || (before ?? true);
}

/** Milliseconds before a site may name another owner again: the account of one has to be read from the chain first. */
const NAMES_EVERY = 60_000;

export interface AccountHost {
  /** Milliseconds. */
  time(): number;
  /** The user lets this site spend. */
  maySpend(site: string): boolean;
  /** What the engine says. Rejects where none runs. */
  now(): Promise<AccountNow>;
  /** Counts what was spent, and lets nothing more be spent while {@link Account.isChanging}. */
  settle(): Promise<void>;
  /** The engine pays from this owner's deposit from now on. Rejects where it does not. */
  payFrom(owner: string): Promise<void>;
  keep(payer: Payer | null): Promise<void>;
}

/** The owner whose deposit is paid from. Its methods are called one after the other, but for {@link saw}. */
export class Account {
  readonly #host: AccountHost;
  #payer: Payer | null;
  /** The engine of the moment was told. */
  #isTold = false;
  #isChanging = false;
  /** By site, when it named another owner last. */
  readonly #named = new Map<string, number>();

  constructor(before: Payer | null, host: AccountHost) {
    this.#payer = before;
    this.#host = host;
  }

  /** Null: none was named yet. */
  get owner(): string | null {
    return this.#payer?.owner ?? null;
  }

  /** Another one is about to be paid from: until it is, nothing is spent. */
  get isChanging(): boolean {
    return this.#isChanging;
  }

  /** It may have ended before it heard who pays, or after that and before this was kept. */
  engineIsNew(): void {
    this.#isTold = false;
  }

  /** The engine pays from this owner's deposit. Rejects where it does not: then nothing is to be spent. */
  async assure(): Promise<void> {
    if (this.#isTold) return;
    if (this.#payer) await this.#host.payFrom(this.#payer.owner);
    this.#isTold = true;
  }

  /** Whether it may be paid from this owner's deposit, by this site's word. Rejects where it may be in a moment. */
  async mayPayFrom(site: string, owner: string): Promise<boolean> {
    const before = this.#payer;
    if (before && isSame(before.owner, owner)) return true;
    if (!(await this.#isLeft())) return false;
    const last = this.#named.get(site);
    if (last !== undefined && this.#host.time() - last < NAMES_EVERY)
      throw new Error("This site named another account a moment ago: it may do so again in a minute");
    return true;
  }

  /**
   * A deposit that is not used up is not left because a site says so. Where the chain was not read yet, what was seen
   * before counts.
   */
  async #isLeft(): Promise<boolean> {
    const before = this.#payer;
    // Its user took back the sites that named it, so none of them holds the others up.
    if (before?.sites && !before.sites.some((site) => this.#host.maySpend(site))) return true;
    return !before || !isFunded(before.funded, await this.#host.now());
  }

  /** It is paid from this owner's deposit from now on, by this site's word; gives whether it is. */
  async payFrom(site: string, owner: string): Promise<boolean> {
    if (!(await this.mayPayFrom(site, owner))) return false;
    const before = this.#payer;
    if (before && isSame(before.owner, owner)) {
      if (!before.sites?.includes(site)) await this.#keep({ ...before, sites: [...(before.sites ?? []), site] });
      await this.assure();
      return true;
    }
    this.#isChanging = true;
    try {
      await this.#host.settle();
      await this.#change({ owner, funded: null, sites: [site] });
      this.#named.set(site, this.#host.time());
      return true;
    } finally {
      this.#isChanging = false;
    }
  }

  /** All of it, or all is as it was. */
  async #change(next: Payer): Promise<void> {
    const before = this.#payer;
    this.#isTold = false;
    try {
      await this.#keep(next);
      await this.assure();
    } catch (error) {
      await this.#keep(before).catch(() => undefined); // it is told all the same
      throw error;
    }
  }

  /** The engine says so of the account. What is left of the deposit is known when the next owner is named. */
  async saw(now: AccountNow): Promise<void> {
    const before = this.#payer;
    if (!before || this.#isChanging || !this.#isTold) return;
    const funded = isFunded(before.funded, now);
    if (before.funded !== funded) await this.#keep({ ...before, funded });
  }

  /** Another vault has other accounts. */
  forget(): void {
    this.#payer = null;
  }

  async #keep(payer: Payer | null): Promise<void> {
    this.#payer = payer;
    await this.#host.keep(payer);
  }
}
