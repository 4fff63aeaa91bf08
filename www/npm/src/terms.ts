/** What a site set about money: checked, and in the engine's units. It asks nobody anything. */

import { PieceworkError } from "./errors.js";
import type { EnginePayment } from "./protocol.js";
import { formatAmount, parseAmount, priceOf, sliceFor, sliceOf } from "./units.js";
import type { ChainParams } from "./wallet.js";
import { Worth, type Least } from "./worth.js";

/** An amount as decimal text in whole tokens, e.g. `"10"` or `"0.25"`. */
export type Decimal = string | number;

/**
 * Where money moves and how much. It comes from the embedding page alone, never from a torrent or a peer.
 * `deploymentFrom` of `piecework/deployment` makes vault, chain and token of the file that `piecework vault deploy`
 * writes.
 */
export interface PaymentOptions {
  /** The vault contract. */
  vault: string;
  /** EIP-155 id of its chain. */
  chainId: number;
  /** For wallets that do not know the chain (EIP-3085). */
  chainParams?: ChainParams;
  /** Reads go here when no wallet is connected. */
  rpcUrl?: string;
  /** The vault's ERC-20 token; checked against the chain before a deposit. */
  token: { address: string; decimals: number; symbol: string };
  /** Never pays more than this per 10^9 bytes. */
  maxPricePerGB: Decimal;
  /**
   * Hard cap on the spending from one deposit account, over all visits. It can be raised; a new account after `exit`
   * begins at 0. Without it the deposit is the cap.
   */
  budget?: Decimal;
  /** Block of the vault's deployment: where "recover deposits" begins to look. */
  deployBlock?: number;
  /** The registry of titles that the vault asks; it is an error if the vault asks another one. Default: not checked. */
  registry?: { address: string };
  /**
   * The price that this peer asks, in percent of the price that it paid itself, up to 255. Default 50. A title keeps
   * the price that was paid for it over later visits.
   */
  resellPercent?: number;
  /** A fixed selling price per 10^9 bytes instead. */
  sellPricePerGB?: Decimal;
  /**
   * The slice of the deposit promised at once. Default: as much as `minRedeem`, but enough for ten blocks
   * at `maxPricePerGB`.
   */
  tranche?: Decimal;
  /**
   * The least that is sold to a buyer at a time, and that is redeemed without being asked for. Default: where
   * `coinPrice` is known, what the gas of a claim costs may be `maxGasPercent` of it, at the lowest price of gas of the
   * visit, looked at every ten minutes while something is bought or sold; else 0.01, or ten of the smallest units of a
   * token with few decimals. Name it, or `coinPrice`, where a token is not worth about a dollar.
   */
  minRedeem?: Decimal;
  /**
   * The price of a whole coin of the chain, in which gas is paid, in tokens: `"3000"`. With it `redemptionCost` says
   * what gas costs in tokens, and `redeem({ due: true })` sends nothing at a loss. Gas is asked of `rpcUrl`, else of
   * the wallet, and not before something is paid or sold.
   */
  coinPrice?: Decimal;
  /** The part of a redemption that its gas may cost, in percent, unless the user redeems. Default 10. */
  maxGasPercent?: number;
  /**
   * Pieces of an old-style torrent that may be paid and turn out corrupt: each counts for 4 MiB at most, but two whole
   * ones may. Default 4.
   */
  lossPieces?: number;
  /** Least collateral of a buyer, in percent of its balance. Default 125. */
  minBondPercent?: number;
}

/** The engine's own bound. */
const MOST_DECIMALS = 36;
/** Base units: a budget that no deposit reaches, and that the engine can write in fine units (2^-24) in 128 bits. */
const ABOVE_EVERY_DEPOSIT = 1n << 100n;

/** The payment options of a client. */
export class Terms {
  readonly options: PaymentOptions;
  readonly worth: Worth;

  /** @throws PieceworkError naming the option that is wrong. */
  constructor(options: PaymentOptions) {
    if (!/^0x[0-9a-fA-F]{40}$/.test(options.vault)) throw new PieceworkError("payments.vault is not an address");
    if (!/^0x[0-9a-fA-F]{40}$/.test(options.token?.address))
      throw new PieceworkError("payments.token.address is not an address");
    if (!Number.isSafeInteger(options.chainId)) throw new PieceworkError("payments.chainId is not a chain id");
    if (
      !(
        Number.isInteger(options.token.decimals) &&
        options.token.decimals >= 0 &&
        options.token.decimals <= MOST_DECIMALS
      )
    ) {
      throw new PieceworkError(`payments.token.decimals must be a whole number from 0 to ${MOST_DECIMALS}`);
    }
    if (options.rpcUrl && !URL.canParse(options.rpcUrl, document.baseURI))
      throw new PieceworkError("payments.rpcUrl is not a URL");
    this.worth = new Worth(options);
    this.options = options;
    if (options.minRedeem !== undefined && this.minRedeem === 0n)
      throw new PieceworkError("payments.minRedeem must be above 0");
  }

  /** Decimal text to base units. */
  parse(amount: Decimal): bigint {
    return parseAmount(amount, this.options.token.decimals);
  }

  /** A price in whole tokens per 10^9 bytes to fine units per block. */
  price(amount: Decimal): bigint {
    return priceOf(amount, this.options.token.decimals);
  }

  /** The slice of a deposit in base units, while a claim is worth at least so much; null: the gas is not known. */
  slice(least: Least | null): bigint {
    const { tranche, maxPricePerGB } = this.options;
    return tranche === undefined
      ? sliceFor(least?.redeemed ?? this.minRedeem, this.parse(maxPricePerGB))
      : this.parse(tranche);
  }

  /** The least worth of a claim where the price of gas is not looked at. */
  get minRedeem(): bigint {
    const { minRedeem, token } = this.options;
    return minRedeem === undefined ? sliceOf(token.decimals) : this.parse(minRedeem);
  }

  /** Base units to decimal text. */
  format(units: bigint): string {
    return formatAmount(units, this.options.token.decimals);
  }

  /** What the engine starts with. */
  engineConfig(): EnginePayment {
    const { vault, chainId, rpcUrl, maxPricePerGB, budget, lossPieces, sellPricePerGB, resellPercent, minBondPercent } =
      this.options;
    return {
      vault,
      chainId,
      minRedeem: this.minRedeem,
      ...(rpcUrl ? { rpcUrl: new URL(rpcUrl, document.baseURI).href } : {}),
      maxPricePerBlock: this.price(maxPricePerGB),
      budget: budget === undefined ? ABOVE_EVERY_DEPOSIT : this.parse(budget),
      lossPieces: lossPieces ?? 4,
      ...(sellPricePerGB === undefined ? {} : { sellPricePerBlock: this.price(sellPricePerGB) }),
      resellPercent: resellPercent ?? 50,
      minBondPercent: minBondPercent ?? 125,
    };
  }

  /** Whether a title is sold at this price, or, if it was just made, at the site's own. */
  isSold(pricePerBlock: bigint | undefined, isMade: boolean): boolean {
    const { sellPricePerBlock } = this.engineConfig();
    return (pricePerBlock ?? (isMade ? sellPricePerBlock : undefined) ?? 0n) !== 0n;
  }
}
