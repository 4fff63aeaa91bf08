/**
 * Amounts of a token are parsed and printed only here, and prices are rounded only here. "Units" are the token's
 * smallest units, "fine" is 2^-24 of one (docs/protocol.md, "Fine units").
 */

/** An amount with more digits before the point is a typing error. */
const TYPED = /^\d{1,12}(?!\d)/;

/** How an amount is printed. */
export interface AmountStyle {
  /** Zeros fill up so many decimal places. Default 0. */
  leastPlaces?: number;
  /** With commas between thousands. */
  grouped?: boolean;
}

/**
 * Decimal text ("1.5") to base units of a token with this many decimals; refuses an amount that it cannot hold exactly.
 */
export function parseAmount(text: string | number | bigint, decimals: number): bigint {
  const units = unitsIn(String(text).trim(), decimals);
  if (units === null) throw new RangeError(`"${text}" is not an amount with at most ${decimals} decimals`);
  return units;
}

/**
 * The same for an amount that a person typed: with commas between thousands, or one as the decimal point. `null` if it
 * is no amount, has too many places or digits, or is a thousand times as much to some people as to others ("1,500").
 */
export function parseTypedAmount(text: string, decimals: number): bigint | null {
  const typed = text.trim();
  if (/^[1-9]\d{0,2},\d{3}$/.test(typed)) return null;
  const grouped = /^[1-9]\d{0,2}(?:,\d{3})+(?:\.\d+)?$/.test(typed);
  const plain = grouped ? typed.replaceAll(",", "") : typed.replace(",", ".");
  return TYPED.test(plain) ? unitsIn(plain, decimals) : null;
}

/** Base units to decimal text, without zeros at the end, except those that the style asks for. */
export function formatAmount(
  units: bigint,
  decimals: number,
  { leastPlaces = 0, grouped = false }: AmountStyle = {},
): string {
  const digits = units.toString().padStart(decimals + 1, "0");
  const point = digits.length - decimals;
  const whole = digits.slice(0, point);
  const places = digits.slice(point).replace(/0+$/, "").padEnd(leastPlaces, "0");
  return (grouped ? whole.replace(/\B(?=(?:\d{3})+$)/g, ",") : whole) + (places && `.${places}`);
}

function unitsIn(text: string, decimals: number): bigint | null {
  const [, whole, fraction = ""] = /^(\d+)(?:\.(\d+))?$/.exec(text) ?? [];
  if (whole === undefined || fraction.replace(/0+$/, "").length > decimals) return null;
  return BigInt(whole + fraction.slice(0, decimals).padEnd(decimals, "0"));
}

/** Percent of the deposit: the least bond that a seller asks for by default (docs/protocol.md, "Constants"). */
const BOND_PERCENT = 125n;

/**
 * The bond, in the same units, that goes with a deposit where the page does not say: the least that sellers accept by
 * default.
 */
export function bondFor(deposit: bigint): bigint {
  return (deposit * BOND_PERCENT + 99n) / 100n;
}

/**
 * @internal A claim pays whole units, and of fewer than these the part that is cut off would be more than a tenth
 * (`LEAST_UNITS` in `crate/src/io/config.rs`).
 */
export const LEAST_UNITS = 10n;

/** @internal 0.01 of a token, or ten units: the least that is sold at a time where nothing else is known. */
export function sliceOf(decimals: number): bigint {
  return decimals > 3 ? 10n ** BigInt(decimals - 2) : LEAST_UNITS;
}

/** A slice pays at least for ten blocks at the highest price. */
const SLICES_OF_GB = 6_000n;
/**
 * The largest amount of a voucher is four such slices (docs/protocol.md, "Fine units"): what is more than that in a
 * range would be locked for nothing.
 */
const MOST_SLICE = (1n << 70n) - 1n;

/**
 * @internal The slice of a deposit that is promised at once: the least that is worth redeeming, and enough for some
 * blocks at the highest price, in base units.
 */
export function sliceFor(least: bigint, maxPricePerGB: bigint): bigint {
  const blocks = (maxPricePerGB + SLICES_OF_GB - 1n) / SLICES_OF_GB;
  const slice = least > blocks ? least : blocks;
  return slice < MOST_SLICE ? slice : MOST_SLICE;
}

/** 2^24 fine units are one base unit. */
export const FINE_BITS = 24n;
const BLOCK = 16_384n;
const GB = 1_000_000_000n;

/** The largest price of a block, in fine units: what a voucher can hold (docs/protocol.md, "Fine units"). */
const MOST_FINE = (1n << 96n) - 1n;

/**
 * @internal A price in whole tokens per 10^9 bytes to fine units per block. Throws a RangeError that names the smallest
 * or the largest price where it is none.
 */
export function priceOf(text: string | number, decimals: number): bigint {
  let units: bigint;
  try {
    units = parseAmount(text, decimals);
  } catch (error) {
    if (!/^\s*\d+\.\d+\s*$/.test(String(text))) throw error;
    throw new RangeError(
      `"${text}" is no price of a token with ${decimals} decimals: the smallest is ${formatAmount(1n, decimals)} ` +
        "per GB. Name a price with fewer places, or a vault of a token with more decimals.",
    );
  }
  const fine = finePerBlock(units);
  if (fine > MOST_FINE)
    throw new RangeError(
      `"${text}" is too high a price: the largest of a token with ${decimals} decimals is ` +
        `${formatAmount(unitsPerGB(MOST_FINE), decimals)} per GB.`,
    );
  return fine;
}

/** @internal Token base units per 10^9 bytes to fine units (2^-24 base units) per block of 16 KiB, rounded up. */
export function finePerBlock(unitsPerGB: bigint): bigint {
  return ((unitsPerGB << FINE_BITS) * BLOCK + GB - 1n) / GB;
}

/** @internal Fine units per block to token base units per 10^9 bytes, rounded down. */
export function unitsPerGB(finePerBlockPrice: bigint): bigint {
  return (finePerBlockPrice * GB) / (BLOCK << FINE_BITS);
}

/** @internal The cost of the blocks of so many bytes at a price per 10^9 bytes, in base units, rounded up. */
export function unitsPerBlocks(unitsPerGB: bigint, bytes: number): bigint {
  const blocks = (BigInt(Math.max(0, Math.ceil(bytes))) + BLOCK - 1n) / BLOCK;
  return (blocks * BLOCK * unitsPerGB + GB - 1n) / GB;
}

/** @internal Fine units to whole base units, rounded down. */
export function floorFine(fine: bigint): bigint {
  return fine >> FINE_BITS;
}

/** @internal Fine units to whole base units, rounded up. */
export function ceilFine(fine: bigint): bigint {
  return (fine + (1n << FINE_BITS) - 1n) >> FINE_BITS;
}
