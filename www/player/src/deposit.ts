/** The sum that this browser's deposit can pay, and why it cannot pay more. */

import type { Lack, Money } from "./model.ts";

/** Why nothing more is bought from a deposit, as a sentence. */
export const LACKS: Record<Lack, string> = {
  none: "There is no deposit in this browser.",
  usedup: "Your deposit is used up.",
  budget: "What you allowed to be spent is spent.",
  exiting: "Your deposit is on its way back, and no seller accepts it any more.",
  withdrawn: "Your deposit went back to your wallet.",
  held:
    "More was promised from your deposit than this browser knows, as after a restored profile: it stays yours, " +
    "and nothing more is bought from it.",
};

/** The deposit is of no use any more, and only another one helps. */
export function isLost(money: Money): boolean {
  return money.lack === "exiting" || money.lack === "withdrawn" || money.lack === "held";
}

/** Token units that can still be promised; `null`: there is no deposit, or none that a seller accepts. */
export function spendable(money: Money | null): bigint | null {
  if (!money?.accountReady || isLost(money)) return null;
  return money.free;
}
