/**
 * Numbers as people read them. Money goes in as whole numbers and comes out as text with its unit; nothing here decides
 * anything. The package reads and writes the digits of an amount.
 *
 * "Units" are the token's smallest units, "fine" is 2^-24 of one (docs/protocol.md, "Fine units"), a GB has 10^9 bytes.
 */

import { FINE_BITS, formatAmount } from "piecework";

const BLOCK_BYTES = 16_384;
const GB = 1_000_000_000n;

/** A token, as amounts of it are written. */
export interface Token {
  decimals: number;
  symbol: string;
}

/** The chain's coin, in which gas is paid. */
export const COIN: Token = { decimals: 18, symbol: "of the chain\u2019s coin" };

/** Bytes with a decimal prefix, as the price per GB counts them. */
export function bytes(count: number): string {
  const names = ["B", "kB", "MB", "GB", "TB"];
  let value = count;
  let at = 0;
  while (value >= 999.5 && at < names.length - 1) {
    value /= 1000;
    at += 1;
  }
  const digits = at === 0 || value >= 100 ? 0 : 1;
  return `${value.toFixed(digits)} ${names[at] ?? "B"}`;
}

/** Bytes per second. */
export function rate(bytesPerSecond: number): string {
  return `${bytes(bytesPerSecond)}/s`;
}

/** Longer names of strangers are cut. */
const LONGEST_NAME = 160;

/**
 * A stranger's name as it is shown: on one line, cut to a bound, without characters that turn the direction of writing.
 */
export function label(name: string): string {
  const plain = name.replace(/[\p{Cc}\p{Zl}\p{Zp}\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069]/gu, "\u{fffd}");
  const letters = [...plain.slice(0, LONGEST_NAME * 4)];
  return letters.length > LONGEST_NAME ? `${letters.slice(0, LONGEST_NAME - 1).join("")}\u2026` : plain;
}

/** `count` with its noun: `plural(2, "peer")` is `2 peers`. */
export function plural(count: number, noun: string): string {
  return `${count.toLocaleString("en")} ${noun}${count === 1 ? "" : "s"}`;
}

/** A share of the whole, rounded down, so that 100 % means all. */
export function percent(part: number, whole: number): number {
  return whole > 0 ? Math.min(100, Math.floor((part / whole) * 100)) : 0;
}

/** Token units as a decimal number: at least two places where the token has them, no zeros after that. */
export function units(amount: bigint, token: Token): string {
  return withSymbol(decimal(amount, token.decimals, leastPlaces(token)), token);
}

/** Fine units, cut (never rounded up) to `places` decimal places, or as {@link about} where that would be nothing. */
export function fine(amount: bigint, token: Token, places = 4): string {
  const cut = cutTo(amount, token, places);
  return cut === 0n && amount > 0n ? about(amount, token) : withSymbol(decimal(cut, places, places), token);
}

/**
 * Fine units at a glance: cut to six places, no zeros after the second; a smaller amount to two digits. Of a token with
 * few decimals parts of a unit are shown.
 */
export function about(amount: bigint, token: Token): string {
  const digits = (amount >> FINE_BITS).toString().length;
  const places = Math.max(4, Math.min(token.decimals, Math.max(6, token.decimals - digits + 2)));
  return withSymbol(decimal(cutTo(amount, token, places), places, leastPlaces(token)), token);
}

function leastPlaces({ decimals }: Token): number {
  return Math.min(2, decimals);
}

function cutTo(amount: bigint, token: Token, places: number): bigint {
  return (amount * 10n ** BigInt(places)) / ((10n ** BigInt(token.decimals)) << FINE_BITS);
}

/** Fine units to the last digit: whole token units, and the rest of one. */
export function exact(amount: bigint, token: Token): string {
  const whole = withSymbol(decimal(amount >> FINE_BITS, token.decimals, token.decimals), token);
  const rest = amount & ((1n << FINE_BITS) - 1n);
  return rest === 0n ? whole : `${whole} and ${subUnit(rest)}`;
}

/** The rest of one smallest unit, to four places. */
export function subUnit(rest: bigint): string {
  const tenThousandths = (rest * 10_000n) >> FINE_BITS;
  return `0.${tenThousandths.toString().padStart(4, "0")} of the smallest unit`;
}

/** Token units per GB as a price, rounded to three places, or to three digits if it is below one. */
export function pricePerGB(unitsPerGB: bigint, token: Token): string {
  return `${units(rounded(unitsPerGB, token), token)} per GB`;
}

/** The same, for a table. */
export function priceShort(unitsPerGB: bigint, token: Token): string {
  return `${units(rounded(unitsPerGB, token), token)}/GB`;
}

/** The cost of `length` bytes at a price in token units per GB, in fine units; whole blocks of 16 KiB are paid. */
export function costFine(length: number, unitsPerGB: bigint): bigint {
  const blocks = BigInt(Math.ceil(length / BLOCK_BYTES));
  return ((blocks * BigInt(BLOCK_BYTES) * unitsPerGB) << FINE_BITS) / GB;
}

/** An amount for an input field, without the symbol and as it can be typed. */
export function forField(amount: bigint, token: Token): string {
  return formatAmount(amount, token.decimals, { leastPlaces: leastPlaces(token) });
}

/** Seconds as the one or two largest words that describe them. */
export function duration(seconds: number): string {
  const hours = Math.round(seconds / 3600);
  if (hours >= 96 && hours % 24 === 0) return plural(hours / 24, "day");
  if (hours >= 1) return plural(hours, "hour");
  return plural(Math.max(1, Math.round(seconds / 60)), "minute");
}

/** A moment, in the visitor's own way of writing dates. */
export function moment(unixSeconds: number): string {
  return new Intl.DateTimeFormat(undefined, { dateStyle: "full", timeStyle: "short" }).format(unixSeconds * 1000);
}

/** The time of day, for a log. */
export function clock(milliseconds: number): string {
  return new Intl.DateTimeFormat(undefined, { timeStyle: "medium", hour12: false }).format(milliseconds);
}

/** An address, short enough to recognise. */
export function shortAddress(address: string): string {
  return address.length > 14 ? `${address.slice(0, 8)}\u2026${address.slice(-4)}` : address;
}

function rounded(unitsPerGB: bigint, token: Token): bigint {
  const places = Math.max(3, token.decimals - unitsPerGB.toString().length + 3);
  const step = 10n ** BigInt(Math.max(0, token.decimals - places));
  return ((unitsPerGB + step / 2n) / step) * step;
}

function decimal(amount: bigint, decimals: number, leastPlaces: number): string {
  return formatAmount(amount, decimals, { leastPlaces, grouped: true });
}

function withSymbol(number: string, token: Token): string {
  return `${number}\u00a0${token.symbol}`;
}
