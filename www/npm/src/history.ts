/**
 * The account of what was bought, sold, redeemed and paid for gas: a line for each day, title and peer. After two
 * months a line is a month's, and after ten years all are one.
 */

import { floorFine, formatAmount } from "./units.js";

/** One line of the account. */
export interface HistoryEntry {
  /** `"day"` (`date` is `"2026-11-30"`), `"month"` (`"2026-11"`), or `"earlier"` (empty): by the calendar of UTC. */
  readonly period: "day" | "month" | "earlier";
  readonly date: string;
  /** Bought or sold blocks, redeemed earnings, or gas that the wallet paid. */
  readonly kind: "bought" | "sold" | "redeemed" | "gas";
  /** The title; null: of none, or of several that share a line. */
  readonly infoHash: string | null;
  /** Its name when it was first bought or sold, for display as text only; null: not known. */
  readonly name: string | null;
  /** The address that was paid, or whose deposit paid; null: of none, or of several that share a line. */
  readonly peer: string | null;
  /** Blocks of 16 KiB, ranges that were redeemed, or transactions. */
  readonly count: number;
  /** Base units of the token, rounded down; for gas the smallest units of the chain's coin. */
  readonly amount: bigint;
  /** The same in fine units (2^-24 base units), not rounded; null for gas and redemptions, which are whole. */
  readonly amountFine: bigint | null;
}

/** @internal The engine's answer to `receipts`. */
export interface Receipts {
  lines: {
    day: number | null;
    month: number | null;
    kind: "bought" | "sold" | "redeemed" | "fees";
    hash: string | null;
    peer: string | null;
    count: number;
    amount: bigint;
  }[];
  names: { hash: string; name: string }[];
}

/** @internal The engine's lines as a page reads them, the newest first. */
export function historyOf({ lines, names }: Receipts): HistoryEntry[] {
  const nameOf = new Map(names.map(({ hash, name }) => [hash, name]));
  const entries = lines.map(({ day, month, kind, hash, peer, count, amount }): HistoryEntry => {
    const fine = kind === "bought" || kind === "sold";
    const period = day !== null ? "day" : month !== null ? "month" : "earlier";
    return {
      period,
      date: day !== null ? dateOf(day) : month !== null ? monthOf(month) : "",
      kind: kind === "fees" ? "gas" : kind,
      infoHash: hash,
      name: (hash !== null && nameOf.get(hash)) || null,
      peer,
      count,
      amount: fine ? floorFine(amount) : amount,
      amountFine: fine ? amount : null,
    };
  });
  // Dates sort as text, but for years from 10000 on.
  return entries.sort((a, b) => (a.date < b.date ? 1 : a.date > b.date ? -1 : 0));
}

const DAY_MS = 86_400_000;
/** The last day that `Date` knows. */
const LAST_DAY = 100_000_000;

function dateOf(day: number): string {
  return new Date(Math.min(day, LAST_DAY) * DAY_MS).toISOString().slice(0, -14);
}

function monthOf(month: number): string {
  return `${Math.floor(month / 12)}-${String((month % 12) + 1).padStart(2, "0")}`;
}

/** Decimal places of the coin that gas is paid in. */
const COIN_DECIMALS = 18;
/** A spreadsheet takes a cell that begins so for a formula, and titles come from strangers. */
const FORMULA = /^[=+\-@\t\r]/;

/**
 * The account as comma-separated values (RFC 4180) for a spreadsheet, with a heading. Amounts are decimal, in the token
 * or, for gas, in the chain's coin. A name that a spreadsheet would take for a formula gets an apostrophe before it.
 */
export function historyCSV(entries: readonly HistoryEntry[], token: { decimals: number; symbol: string }): string {
  const rows = entries.map((entry) => {
    const gas = entry.kind === "gas";
    return [
      entry.date || "earlier",
      entry.kind,
      entry.name ?? "",
      entry.infoHash ?? "",
      entry.peer ?? "",
      String(entry.count),
      formatAmount(entry.amount, gas ? COIN_DECIMALS : token.decimals),
      gas ? "coin" : token.symbol,
    ];
  });
  const heading = ["date", "kind", "title", "info hash", "peer", "count", "amount", "unit"];
  return [heading, ...rows].map((row) => `${row.map(cell).join(",")}\r\n`).join("");
}

function cell(text: string): string {
  const safe = FORMULA.test(text) ? `'${text}` : text;
  return /[",\r\n]/.test(safe) ? `"${safe.replaceAll('"', '""')}"` : safe;
}
