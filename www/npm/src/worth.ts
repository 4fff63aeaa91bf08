/**
 * What a redemption costs, and the least that is worth redeeming: one rule for pages and for the native peer
 * (`crate/src/native/cli/worth.rs`, docs/decisions/059-redemption-follows-the-price-of-gas.md). Gas is paid in the
 * chain's coin, and claims pay tokens, so they are compared by the price of the coin that the site names.
 */

import { PieceworkError } from "./errors.js";
import { LEAST_UNITS, parseAmount } from "./units.js";

/** Gas of one further claim of a batch (`contracts/test/Gas.t.sol`). */
const GAS_OF_CLAIM = 27_000n;
/** Gas of a redemption besides: with one claim it takes 63,400 to 92,900. */
const GAS_OF_TRANSACTION = 60_000n;
/** Claims that the vault takes in one transaction. */
const MOST_CLAIMS = 128n;
/** Wei of a whole coin. */
const COIN = 10n ** 18n;
/** Decimal places of a coin's price below the token's smallest unit: a coin may cost less than one. */
const PRICE_PLACES = 18;
const ONE_PRICE = 10n ** BigInt(PRICE_PLACES);
const DEFAULT_PERCENT = 10;
/** Wei for one gas. A node that says more is not believed. */
const MOST_GAS_PRICE = 1n << 80n;
/** Milliseconds that a node has to say what gas costs. */
const RPC_TIMEOUT = 15_000;

/** The fields of `PaymentOptions` that it follows from. */
export interface WorthOptions {
  token: { decimals: number };
  coinPrice?: string | number;
  maxGasPercent?: number;
}

/** The least worth of a claim, in base units. */
export interface Least {
  /** Of one that is redeemed by itself. */
  readonly redeemed: bigint;
  /** Of the gas that one further claim takes. Nothing smaller is sold. */
  readonly gas: bigint;
}

/** What redeeming would bring and cost now. Amounts of tokens are base units. */
export interface RedemptionCost {
  /** What the claims pay. */
  readonly amount: bigint;
  readonly transactions: number;
  /** About, in the smallest unit of the chain's coin; null: no node says what gas costs. */
  readonly fee: bigint | null;
  /** The same in tokens, rounded up; null: not known, or the site names no `coinPrice`. */
  readonly cost: bigint | null;
  /** The fee is a larger part of the amount than `maxGasPercent` allows; null: not known. */
  readonly isDear: boolean | null;
  /** The fee is more than the amount; null: not known. */
  readonly isLoss: boolean | null;
}

/** Compares gas with what a redemption brings, by the site's word on the coin's price. */
export class Worth {
  /** Of a whole coin, in 10^-18 base units; null: the site names no price. */
  readonly #coinPrice: bigint | null;
  readonly #percent: bigint;

  constructor({ token, coinPrice, maxGasPercent = DEFAULT_PERCENT }: WorthOptions) {
    this.#coinPrice = coinPrice === undefined ? null : priceIn(coinPrice, token.decimals);
    if (!Number.isInteger(maxGasPercent) || maxGasPercent < 1 || maxGasPercent > 100)
      throw new PieceworkError("payments.maxGasPercent must be a whole number from 1 to 100");
    this.#percent = BigInt(maxGasPercent);
  }

  /** The site names the coin's price. */
  get isKnown(): boolean {
    return this.#coinPrice !== null;
  }

  /** Wei in base units, rounded up. */
  #tokens(wei: bigint): bigint | null {
    if (this.#coinPrice === null) return null;
    return ceil(wei * this.#coinPrice, COIN * ONE_PRICE);
  }

  /** Whether so many wei are more than a part of an amount. Nothing is rounded. */
  #isMore(wei: bigint, amount: bigint, part: bigint): boolean | null {
    return this.#coinPrice === null ? null : wei * this.#coinPrice * part > amount * ONE_PRICE * COIN;
  }

  /** The least worth of a claim at so many wei for one gas; null: the coin's price is not known. */
  least(gasPrice: bigint): Least | null {
    const gas = this.#tokens(gasPrice * GAS_OF_CLAIM);
    if (gas === null) return null;
    return {
      redeemed: largerOf(LEAST_UNITS, ceil(gas * 100n, this.#percent)),
      gas: largerOf(1n, gas),
    };
  }

  /** Whether so much gas is more than the allowed part of what it brings; null: the coin's price is not known. */
  isDear(fee: bigint, amount: bigint): boolean | null {
    return this.#isMore(fee, amount * this.#percent, 100n);
  }

  /** Whether so much gas is more than what it brings; null: the coin's price is not known. */
  isLoss(fee: bigint, amount: bigint): boolean | null {
    return this.#isMore(fee, amount, 1n);
  }

  /** Judges the redemption of so many claims at so many wei for one gas. */
  cost(amount: bigint, claims: number, gasPrice: bigint | null): RedemptionCost {
    const count = BigInt(claims);
    const transactions = ceil(count, MOST_CLAIMS);
    const fee = gasPrice === null ? null : gasPrice * (transactions * GAS_OF_TRANSACTION + count * GAS_OF_CLAIM);
    const cost = fee === null ? null : this.#tokens(fee);
    return {
      amount,
      transactions: Number(transactions),
      fee,
      cost,
      isDear: fee === null ? null : this.isDear(fee, amount),
      isLoss: fee === null ? null : this.isLoss(fee, amount),
    };
  }
}

/** Gas of a redemption that no node estimates. */
export function gasOf(claims: number): bigint {
  return GAS_OF_TRANSACTION + BigInt(claims) * GAS_OF_CLAIM;
}

/** A quantity of an answer (0x and hexadecimal digits); null where it is none. */
export function quantityIn(answer: unknown): bigint | null {
  return typeof answer === "string" && /^0x[0-9a-fA-F]{1,64}$/.test(answer) ? BigInt(answer) : null;
}

/** Wei for one gas, of a node's answer to `eth_gasPrice`; null where that cannot be. */
export function gasPriceIn(answer: unknown): bigint | null {
  const price = quantityIn(answer);
  return price !== null && price <= MOST_GAS_PRICE ? price : null;
}

/** What a node of the site's asks for one gas, in wei; null: it does not say. */
export async function gasPriceAt(rpcUrl: string): Promise<bigint | null> {
  const request = { jsonrpc: "2.0", id: 1, method: "eth_gasPrice", params: [] };
  try {
    const answer = await fetch(rpcUrl, {
      method: "POST",
      headers: { "content-type": "application/json" },
      body: JSON.stringify(request),
      signal: AbortSignal.timeout(RPC_TIMEOUT),
    });
    return gasPriceIn(((await answer.json()) as { result?: unknown } | null)?.result);
  } catch {
    return null;
  }
}

function priceIn(coinPrice: string | number, decimals: number): bigint {
  try {
    const price = parseAmount(coinPrice, decimals + PRICE_PLACES);
    if (price > 0n) return price;
  } catch {
    // It is no number.
  }
  throw new PieceworkError(`payments.coinPrice "${coinPrice}" is not a price: write tokens above 0, such as "3000"`);
}

function ceil(dividend: bigint, divisor: bigint): bigint {
  return (dividend + divisor - 1n) / divisor;
}

function largerOf(one: bigint, other: bigint): bigint {
  return one > other ? one : other;
}
