/**
 * Which site spent what. The engine's sum of an account is exact and is never cleared, so its growth is what was spent.
 * The titles' records say which site that was, a moment later and as far as the user's history has them. What they do
 * not explain in time counts for every site that paid: a site never spends more than it may.
 */

/** Titles whose costs are known. What an earlier one costs counts as explained by none. */
const MAX_TITLES = 1_024;
/** Milliseconds until the records show what was spent, however slow the browser stores them. */
const EXPLAINED_WITHIN = 30_000;

/** As it is kept. Amounts are fine units. */
export interface Kept {
  /** Of the account, when it was looked at last; null: none was. */
  counted: bigint | null;
  /** Spent, and not counted for a site yet. */
  pending: bigint;
  /** What each title had cost. */
  costs: Map<string, bigint>;
  /** The site that pays for a title. */
  payers: Map<string, string>;
  /** The sites that could pay last. */
  could: string[];
  /** Whose account it is; null: no owner was named; undefined: as in {@link Book}. */
  owner: string | null | undefined;
}

export class Book {
  counted: bigint | null;
  readonly costs: Map<string, bigint>;
  readonly payers: Map<string, string>;
  #could: string[];
  /** Undefined: it was kept by a version that did not say. */
  #owner: string | null | undefined;
  #pending: { fine: bigint; since: number }[] = [];

  constructor(before: Partial<Kept> = {}, now = 0) {
    this.counted = before.counted ?? null;
    this.costs = before.costs ?? new Map();
    this.payers = before.payers ?? new Map();
    this.#could = before.could ?? [];
    this.#owner = before.owner;
    if (before.pending) this.#pending.push({ fine: before.pending, since: now });
  }

  kept(): Kept {
    const { counted, pending, costs, payers } = this;
    return {
      counted,
      pending,
      costs: new Map(costs),
      payers: new Map(payers),
      could: this.#could,
      owner: this.#owner,
    };
  }

  /** Spent, and not counted for a site yet. */
  get pending(): bigint {
    return this.#pending.reduce((sum, { fine }) => sum + fine, 0n);
  }

  /** This owner's account is paid from. What another one still has pending stays. */
  countsFor(owner: string | null): void {
    if (this.#owner !== undefined && this.#owner !== owner) this.counted = null;
    this.#owner = owner;
  }

  /** The account has spent this in all. After a crash that may be less than was counted. */
  sum(spentFine: bigint, now: number): void {
    const more = spentFine - (this.counted ?? spentFine);
    if (this.counted === null || more > 0n) this.counted = spentFine;
    if (more > 0n) this.#pending.push({ fine: more, since: now });
  }

  /**
   * What the account may spend in all, if its sites may spend `more` than they did. Nothing, before it is known what it
   * has spent by now: that would count for no site.
   */
  most(spentFine: bigint, more: bigint): bigint {
    const total = this.counted === null ? 0n : spentFine + more - this.pending;
    return total > 0n ? total : 0n;
  }

  /** The site pays for the title, whose records show this in all. */
  pays(hash: string, site: string, spentFine: bigint): void {
    if (!this.costs.has(hash)) this.costs.set(hash, spentFine);
    if (this.payers.get(hash) === site) return;
    this.payers.delete(hash);
    this.payers.set(hash, site);
    for (const map of [this.costs, this.payers])
      for (const [first] of map) {
        if (map.size <= MAX_TITLES) break;
        map.delete(first);
      }
  }

  /** The title's records show this in all; gives what its payer spent of what is pending. */
  title(hash: string, spentFine: bigint): bigint {
    const before = this.costs.get(hash) ?? 0n;
    // It falls where the user deletes the history.
    if (spentFine !== before) this.costs.set(hash, spentFine);
    let wanted = spentFine - before;
    let found = 0n;
    while (wanted > 0n) {
      const [first] = this.#pending;
      if (!first) break;
      const part = first.fine < wanted ? first.fine : wanted;
      first.fine -= part;
      wanted -= part;
      found += part;
      if (first.fine === 0n) this.#pending.shift();
    }
    return found;
  }

  /** What no title explained in time, and the sites that it counts for; `could`: those that can pay now. */
  unexplained(could: string[], now: number): { fine: bigint; sites: string[] } {
    if (could.length > 0) this.#could = could;
    let fine = 0n;
    while (this.#pending[0] && now - this.#pending[0].since > EXPLAINED_WITHIN)
      fine += this.#pending.shift()?.fine ?? 0n;
    return { fine, sites: this.#could };
  }
}
