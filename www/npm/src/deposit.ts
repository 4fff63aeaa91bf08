/**
 * The deposit that a page proposes for a title: what the title can cost, with room for the slices that sellers hold
 * open, in a round number. The page and `<piecework-player>` propose by it alike.
 */

import { bondFor, sliceOf, unitsPerBlocks } from "./units.js";

/** Slices that a seller's first ranges may hold open while others are paid (`PayerConfig::max_count`). */
const OPEN_SLICES = 4n;
/** Percent of the cost that are added where that is more than the open slices. */
const HEADROOM_PERCENT = 5n;
/**
 * No deposit of fewer slices is proposed. A seller sells no less than a slice, and several sellers are dealt with; and
 * with the bond it is more than twenty times the smallest sum that a seller redeems for the gas that it takes.
 */
const LEAST_SLICES = 10n;

/** The state of a title from which its cost follows, as `Torrent.stats()` has it. */
export interface TitleToPay {
  readonly length: number;
  readonly verified: number;
  /** Base units: the most that the missing pieces can cost at `maxPricePerGB`. */
  readonly maxCost: bigint;
  readonly maxPricePerGB: bigint;
  readonly peers: readonly { readonly buying: { readonly pricePerGB: bigint | null } }[];
}

/**
 * The most that the rest of a title can cost at its sellers' prices: at the highest price that one of them asks and
 * that is within `ceiling` (default: the title's own limit), in base units. Where no such price is known, at the
 * ceiling. `heard` is a price that was named by a peer that is not in the list.
 */
export function titleCost(title: TitleToPay, ceiling = title.maxPricePerGB, heard: bigint | null = null): bigint {
  const asked = [heard, ...title.peers.map(({ buying }) => buying.pricePerGB)].filter(
    (price): price is bigint => price !== null && price > 0n && price <= ceiling,
  );
  const price = asked.length > 0 ? asked.reduce((high, one) => (one > high ? one : high)) : ceiling;
  const { maxCost, maxPricePerGB } = title;
  // A title that is limited to free peers costs nothing at its limit.
  if (maxPricePerGB <= 0n) return unitsPerBlocks(price, title.length - title.verified);
  return (maxCost * price + maxPricePerGB - 1n) / maxPricePerGB;
}

/** What a deposit is proposed for. Amounts are base units of the token. */
export interface DepositWish {
  /** The sum that the deposit must be able to pay, see {@link titleCost}. */
  cost: bigint;
  /** The token's. */
  decimals: number;
  /** The slice that is promised at once, see `PaymentOptions.tranche`. Default: 0.01 of a token, or ten units. */
  tranche?: bigint;
  /** The least sum that the site proposes. */
  least?: bigint | null;
  /** The most that the site proposes. */
  most?: bigint | null;
  /** So many times what is enough, for more titles than one. Default 1. */
  times?: bigint;
}

/** A deposit and the bond that goes with it, for `Client.deposit`. Amounts are base units of the token. */
export interface ProposedDeposit {
  readonly amount: bigint;
  readonly bond: bigint;
  /** It pays all that the wish names; false: the site's most is below that. */
  readonly isEnough: boolean;
}

/**
 * The deposit to propose: the cost and 5 % or four slices more, rounded up to two significant digits; at least ten
 * slices and the site's least, at most the site's most. The bond is 125 % of it, the least that sellers accept by
 * default, rounded up alike.
 */
export function proposedDeposit(wish: DepositWish): ProposedDeposit {
  const { cost, decimals, least, most, times = 1n } = wish;
  const slice = wish.tranche ?? sliceOf(decimals);
  const headroom = larger(OPEN_SLICES * slice, (cost * HEADROOM_PERCENT + 99n) / 100n);
  const enough = larger(tidy(cost + headroom), tidy(LEAST_SLICES * slice), least ?? 0n);
  const amount = times > 1n ? tidy(enough * times) : enough;
  const capped = most !== null && most !== undefined && most < amount ? most : amount;
  return { amount: capped, bond: tidy(bondFor(capped)), isEnough: capped >= cost };
}

/** What the bond is for, that it comes back, and when it does not. */
export const BOND_EXPLAINED =
  "The bond assures the sellers that your deposit is promised to nobody twice: it comes back whole, together with " +
  "what is left of the deposit, and is lost only if the same money is promised to two sellers, as by a copied or " +
  "restored browser profile.";

/** Rounded up to two significant digits. */
function tidy(units: bigint): bigint {
  const step = 10n ** BigInt(Math.max(0, units.toString().length - 2));
  return ((units + step - 1n) / step) * step;
}

function larger(...units: [bigint, ...bigint[]]): bigint {
  return units.reduce((high, one) => (one > high ? one : high));
}
