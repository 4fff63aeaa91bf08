/** What the view of money says about a redemption: what it costs, what it brings, and whether it is a loss. */

import { FINE_BITS, type RedemptionCost } from "piecework";
import { COIN, about, plural, units } from "../format.ts";
import type { PaymentSetup } from "../config.ts";
import type { Money } from "../model.ts";

/** Claims that one transaction redeems. */
const CLAIMS_PER_TRANSACTION = 128;

/** A sentence or two, and whether they warn. */
export interface RedemptionHint {
  text: string;
  warns: boolean;
}

/** `cost`: null before it is known. */
export function redemptionHint(
  money: Pick<Money, "redeemable" | "redeemableRanges">,
  cost: RedemptionCost | null,
  { token, maxGasPercent }: Pick<PaymentSetup, "token" | "maxGasPercent">,
): RedemptionHint {
  const transactions = plural(Math.ceil(money.redeemableRanges / CLAIMS_PER_TRANSACTION), "transaction");
  const public_ = "The chain shows everybody what was paid to it.";
  const pays = `${transactions} through your wallet, which pays the network\u2019s fee`;
  if (cost === null || cost.fee === null) return { text: `${pays}. ${public_}`, warns: false };
  if (cost.cost === null) {
    const fee = about(cost.fee << FINE_BITS, COIN);
    return {
      text: `${pays}, about ${fee} now. What that is in ${token.symbol} is not known here. ${public_}`,
      warns: false,
    };
  }
  const fee = about(cost.cost << FINE_BITS, token);
  const wait = "It may pay to wait for more earnings or for a cheaper network.";
  if (cost.isLoss)
    return {
      text:
        `A loss as the network is now: its fee is about ${fee}, and the redemption brings ` +
        `${units(cost.amount, token)}. ${wait}`,
      warns: true,
    };
  if (cost.isDear)
    return { text: `${pays}, about ${fee} now: more than ${maxGasPercent} % of what it brings. ${wait}`, warns: true };
  return { text: `${pays}, about ${fee} now. ${public_}`, warns: false };
}
