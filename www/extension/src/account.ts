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

/** Nothing more is promised from it: it is used up, or its user ended it. */
const OVER: readonly (PaymentLack | null)[] = ["usedup", "exiting", "withdrawn", "held"];

/** The owner whose deposit is paid from, as it is kept. */
export interface Payer {
  owner: string;
  /** Something of the deposit can still be spent, as it was seen last; null: it was not read yet. */
  funded: boolean | null;
}

export function isSame(one: string, other: string): boolean {
  return one.toLowerCase() === other.toLowerCase();
}

/**
 * Whether something of the deposit can still be spent. Where all of it is promised, what was seen before counts: a rest
 * of what was promised may stay unpaid for ever, and that it is used up shows while something is wanted.
 */
export function isFunded(before: boolean | null, { accountReady, balance, locked, free, lack }: AccountNow) {
  if (!accountReady) return before;
  if (balance === 0n || OVER.includes(lack) || (free === 0n && locked === 0n)) return false;
  return free > 0n || (before ?? true);
}

/**
 * A deposit that is not used up is not left because a site says so. Where the chain was not read yet, what was seen
 * before counts.
 */
export function mayPayFrom(before: Payer | null, owner: string, now: AccountNow): boolean {
  return !before || isSame(before.owner, owner) || !isFunded(before.funded, now);
}
