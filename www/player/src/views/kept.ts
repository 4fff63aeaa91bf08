/** What it costs to keep the whole of a title, and the choice of a visitor who kept it at an earlier visit. */

import { byId, setText, show } from "../dom.ts";
import { bytes, costFine, fine, units, type Token } from "../format.ts";
import type { Look } from "../model.ts";

/** What is missing of the selected files, and what it costs; no `token`: nothing is paid here. */
export function restOf(look: Look, token: Token | null): string {
  const missing = look.selectedLength - look.selectedVerified;
  const prices = look.peers.flatMap(({ buying }) => (buying.pricePerGB ? [buying.pricePerGB] : []));
  if (!token || look.maxPerGB === 0n) return `The rest is ${bytes(missing)}, for nothing.`;
  const most = `at most ${units(look.maxCost, token)}`;
  if (prices.length === 0) return `The rest is ${bytes(missing)}: ${most}.`;
  const low = prices.reduce((low, price) => (price < low ? price : low));
  return `The rest is ${bytes(missing)}: ${fine(costFine(missing, low), token)} at the lowest price, ${most}.`;
}

/** In the offer: the switch by which a title that was kept is kept again. Titles that were not have none there. */
export class KeptChoice {
  readonly #switch = byId<HTMLInputElement>("offer-keep");
  #is = false;

  /** A title was opened. */
  begin(): void {
    this.#is = false;
    show(byId("offer-kept"), false);
  }

  /** Another look at the title. */
  update(look: Look, token: Token | null): void {
    if (look.kept && !this.#is) this.#switch.checked = true;
    this.#is ||= look.kept;
    show(byId("offer-kept"), this.#is && look.selectedVerified < look.selectedLength);
    if (this.#is) setText(byId("offer-keep-hint"), `You chose so before. ${restOf(look, token)}`);
  }

  /** What the visitor wants; null: that was not asked. */
  get choice(): boolean | null {
    return this.#is ? this.#switch.checked : null;
  }
}
