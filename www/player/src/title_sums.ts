/** Sums of a title's redemptions: by day or month, by receiver, and all of them for a spreadsheet. */

import { formatAmount } from "piecework";
import { label, type Token } from "./format.ts";
import type { Redemption } from "./title_record.ts";

/** A title that sold over more days than these is shown by months. */
const MOST_DAYS = 92;
const DAY_MS = 86_400_000;
/** A spreadsheet takes a cell that begins so for a formula, and titles come from strangers. */
const FORMULA = /^[=+\-@\t\r]/;

/** What was redeemed, in token units. `gross` is what the buyers paid: `cut` of it went to creators. */
export interface Sum {
  count: number;
  gross: bigint;
  cut: bigint;
}

/** A day or a month. */
export interface Span extends Sum {
  /** By the calendar of UTC: `2026-11-30` or `2026-11`. */
  date: string;
  /** Its place on the axis, counted from the first one. */
  at: number;
}

/** What a title brought in its time. */
export interface Spans {
  unit: "day" | "month";
  spans: Span[];
  /** Days or months from the first to the last, also those without a redemption. */
  length: number;
}

/** Somebody who got a part. */
export interface Receiver {
  address: string;
  as: "creator" | "seller";
  count: number;
  amount: bigint;
}

export function total(redemptions: readonly Redemption[]): Sum {
  const sum = { count: 0, gross: 0n, cut: 0n };
  for (const redemption of redemptions) add(sum, redemption);
  return sum;
}

function add(sum: Sum, { gross, cut }: Redemption): void {
  sum.count += 1;
  sum.gross += gross;
  sum.cut += cut;
}

/** The sums day by day, or month by month, in their order. Days without a redemption have none. */
export function spansOf(redemptions: readonly Redemption[]): Spans {
  const [first, last] = [redemptions[0]?.day ?? 0, redemptions.at(-1)?.day ?? 0];
  const unit = last - first < MOST_DAYS ? "day" : "month";
  const placeOf = unit === "day" ? (day: number) => day : monthOf;
  const spans = new Map<number, Span>();
  for (const redemption of redemptions) {
    const at = placeOf(redemption.day) - placeOf(first);
    const span = spans.get(at) ?? { date: dateOf(redemption.day, unit), at, count: 0, gross: 0n, cut: 0n };
    spans.set(at, span);
    add(span, redemption);
  }
  return { unit, spans: [...spans.values()], length: placeOf(last) - placeOf(first) + 1 };
}

function monthOf(day: number): number {
  const date = new Date(day * DAY_MS);
  return date.getUTCFullYear() * 12 + date.getUTCMonth();
}

/** A day as text, by the calendar of UTC. */
export function dateOf(day: number, unit: Spans["unit"] = "day"): string {
  const text = new Date(day * DAY_MS).toISOString();
  return text.slice(0, text.indexOf("T") - (unit === "day" ? 0 : 3));
}

/** Who got how much: the creators first, then the sellers, each with the largest amount first. */
export function receiversOf(redemptions: readonly Redemption[]): Receiver[] {
  const receivers = new Map<string, Receiver>();
  const gets = (address: string, as: Receiver["as"], amount: bigint) => {
    const receiver = receivers.get(`${as} ${address}`) ?? { address, as, count: 0, amount: 0n };
    receivers.set(`${as} ${address}`, receiver);
    receiver.count += 1;
    receiver.amount += amount;
  };
  for (const { payee, creator, gross, cut } of redemptions) {
    if (creator !== null) gets(creator, "creator", cut);
    gets(payee, "seller", gross - cut);
  }
  const order = (one: Receiver, other: Receiver) =>
    one.as === other.as
      ? Number(other.amount > one.amount) - Number(other.amount < one.amount)
      : one.as < other.as
        ? -1
        : 1;
  return [...receivers.values()].sort(order);
}

/** Each redemption as comma-separated values (RFC 4180), with a heading. Amounts are decimal, in the token. */
export function titleCSV(name: string, redemptions: readonly Redemption[], token: Token): string {
  const amount = (units: bigint) => formatAmount(units, token.decimals);
  const rows = redemptions.map(({ day, block, transaction, payee, creator, gross, cut }) => [
    dateOf(day),
    label(name),
    String(block),
    transaction,
    payee,
    creator ?? "",
    amount(gross),
    amount(cut),
    amount(gross - cut),
    token.symbol,
  ]);
  const heading = [
    "date",
    "title",
    "block",
    "transaction",
    "seller",
    "creator",
    "paid by buyers",
    "to the creator",
    "to the seller",
    "unit",
  ];
  return [heading, ...rows].map((row) => `${row.map(cell).join(",")}\r\n`).join("");
}

function cell(text: string): string {
  const safe = FORMULA.test(text) ? `'${text}` : text;
  return /[",\r\n]/.test(safe) ? `"${safe.replaceAll('"', '""')}"` : safe;
}
