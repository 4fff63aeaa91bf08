// docs/protocol.md, "Numbers", "The worth of a claim" and "Credit". Fine units and token units are bigint, counts are
// numbers.

/** A fine unit is 2^-24 of a token unit. */
const FRACTION_BITS = 24n;
/** Fine units have 96 bits. */
const MOST_TOKEN_UNITS = (1n << (96n - FRACTION_BITS)) - 1n;
/** Serials of a word, and of a range at most. */
const WORD = 256;
/** Serials are below this. */
const SERIALS = 2 ** 32;
/** Steps of a chain at most. */
export const MAX_STEPS = 256;
/** Bytes of a block at most. */
export const BLOCK = 16_384;

const least = (...values) => values.reduce((a, b) => (b < a ? b : a));

/** Price of a block in fine units, for a price in token units per 10^9 bytes. */
export function unitOf(tokenUnitsPerGb) {
  return ((tokenUnitsPerGb << FRACTION_BITS) * BigInt(BLOCK) + 999_999_999n) / 1_000_000_000n;
}

/** Token units of an amount in fine units; the rest is cut off. */
export const toTokenUnits = (fine) => fine >> FRACTION_BITS;

/** The fine units that `count` serials of `q` token units are worth, as far as 96 bits hold them. */
export const cap = (count, q) => least(BigInt(count) * q, MOST_TOKEN_UNITS) << FRACTION_BITS;

/** Whole steps that still fit under the cap of a range with `paid` revealed. */
export function usableSteps({ count, q, paid, unit }) {
  const left = cap(count, q) - paid;
  return unit > 0n && left > 0n ? left / unit : 0n;
}

/** The number of steps that a fresh chain of this range may have. */
export function chainSteps({ count, q, base, unit, maxSteps }) {
  return Number(least(BigInt(MAX_STEPS), BigInt(maxSteps), usableSteps({ count, q, paid: base, unit })));
}

/** Fine units owed at step `k`. */
export const owed = ({ base, unit }, k) => base + unit * BigInt(k);

/** Token units that the vault pays for step `k` of a voucher. */
export const due = (voucher, k, q) => least(toTokenUnits(owed(voucher, k)), BigInt(voucher.count) * q);

/** The vault covers serials below this. */
export function bound({ consumed, balance, tranche }) {
  return tranche === 0n ? 0 : Number(BigInt(consumed) + balance / tranche);
}

/** Whether a range stays inside one word of serials, without serial 0. */
export const wellFormed = ({ first, count }) =>
  first >= 1 && count >= 1 && count <= WORD && (first % WORD) + count <= WORD;

/** The next range of an account: `{ first, count }`, or null when the deposit is used up. */
export function allocate({ next, bound, needed, wanted }) {
  let first = Math.max(next, 1);
  if (WORD - (first % WORD) < needed) first += WORD - (first % WORD);
  const count = Math.min(wanted, WORD - (first % WORD), Math.min(bound, SERIALS) - first);
  return count < needed ? null : { first, count };
}

/** Blocks that a seller gives on credit. */
export function credit({ paidHere, credit0, creditMax, ramp, walkedAway }) {
  const most = Math.max(creditMax, credit0);
  if (ramp === 0) return credit0;
  return Math.min(Math.max(Math.floor(paidHere / (walkedAway ? Math.max(ramp, 16) : ramp)), credit0), most);
}
