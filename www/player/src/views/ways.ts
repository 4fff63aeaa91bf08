/** Free or paid: the peers that give a title, those that sell it, and the visitor's choice where both are there. */

import { byId, setText, show } from "../dom.ts";
import { plural, pricePerGB, type Token } from "../format.ts";
import type { Look } from "../model.ts";

/** A peer counts as free only when it has had this long to name a price. */
const PRICE_PATIENCE_MS = 1500;

/** How a title is taken: from free peers alone, or from all within the visitor's limits. */
type Way = "free" | "paid";

/** The peers that ask for money. `perGB`, in token units, is the lowest price. */
interface Selling {
  perGB: bigint;
  sellers: number;
}

/** The peers that ask nothing, and whether one of them has all of the title. */
interface Giving {
  peers: number;
  whole: boolean;
}

/**
 * How the page classes a title: not known yet, all here, free though others sell it, or paid though others give it.
 */
export type Asking =
  | { kind: "unknown" }
  | { kind: "here" }
  | ({ kind: "free"; selling: Selling | null } & Giving)
  | ({ kind: "paid" } & Giving & Selling);

/** The choice, and the offers that it is between. */
export class Ways {
  readonly #box = byId("ways");
  /** The time at which each peer was seen first. */
  #seen = new Map<number, number>();
  #hinted: bigint | null = null;
  /** The visitor's choice; no peer that comes or goes changes it. */
  #picked: Way | null = null;

  constructor(changed: () => void) {
    for (const radio of this.#radios()) {
      radio.addEventListener("change", () => {
        this.#picked = radio.value === "paid" ? "paid" : "free";
        changed();
      });
    }
  }

  /** A title was opened; the price may have been heard before. */
  begin(hint: bigint | null): void {
    this.#seen.clear();
    this.#hinted = hint;
    this.#picked = null;
    show(this.#box, false);
  }

  /** Somebody asked for this price before any peer was in the list. */
  hear(hint: bigint): void {
    this.#hinted = hint;
  }

  /**
   * The visitor wants to see the price. As long as somebody sells the title, no peer that only claims to give it hides
   * the price.
   */
  pickPaid(): void {
    this.#picked = "paid";
  }

  /** Classes the title now; without a token nothing can be paid. */
  update(look: Look, token: Token | null): Asking {
    const asking = this.#ask(look, token !== null);
    const selling = asking.kind === "paid" ? asking : asking.kind === "free" ? asking.selling : null;
    const giving = asking.kind === "paid" || asking.kind === "free" ? asking : null;
    show(
      this.#box,
      token !== null && selling !== null && giving !== null && (giving.peers > 0 || this.#picked !== null),
    );
    if (!token || !selling || !giving) return asking;
    for (const radio of this.#radios()) radio.checked = radio.value === asking.kind;
    setText(
      byId("way-free"),
      giving.peers === 0 ? "nobody now" : `${plural(giving.peers, "peer")}${giving.whole ? "" : ", in part"}`,
    );
    setText(byId("way-paid"), `from ${pricePerGB(selling.perGB, token)}`);
    return asking;
  }

  #radios(): NodeListOf<HTMLInputElement> {
    return this.#box.querySelectorAll<HTMLInputElement>("input");
  }

  #ask(look: Look, canPay: boolean): Asking {
    if (look.length > 0 && look.selectedVerified === look.selectedLength) return { kind: "here" };
    const selling = this.#selling(look);
    const giving = this.#giving(look, selling !== null);
    if (!selling) return giving.peers > 0 ? { kind: "free", selling, ...giving } : { kind: "unknown" };
    const usual = giving.whole ? "free" : "paid";
    const way = canPay && this.#picked ? this.#picked : usual;
    return way === "free" ? { kind: "free", selling, ...giving } : { kind: "paid", ...selling, ...giving };
  }

  #selling(look: Look): Selling | null {
    const prices = look.peers.flatMap((peer) => (peer.buying.pricePerGB ? [peer.buying.pricePerGB] : []));
    if (prices.length > 0)
      return { perGB: prices.reduce((low, price) => (price < low ? price : low)), sellers: prices.length };
    return this.#hinted ? { perGB: this.#hinted, sellers: 1 } : null;
  }

  /** Beside sellers, a peer that has nothing yet counts as giving nothing. */
  #giving(look: Look, isSold: boolean): Giving {
    const now = performance.now();
    for (const peer of look.peers) if (!this.#seen.has(peer.id)) this.#seen.set(peer.id, now);
    // One without a price, and with a note why nothing is paid to it, is a seller that is not bought from.
    const free = look.peers.filter(
      (peer) =>
        (peer.buying.pricePerGB === 0n || (peer.buying.pricePerGB === null && peer.buying.note === "")) &&
        now - (this.#seen.get(peer.id) ?? now) >= PRICE_PATIENCE_MS &&
        !(isSold && peer.haveCount === 0),
    );
    return { peers: free.length, whole: free.some((peer) => peer.haveCount === look.pieceCount) };
  }
}
