/**
 * What the user allowed to each site, and what each spent. Amounts are base units of the token, or fine ones (2^-24 of
 * them); prices are fine units per block of 16 KiB.
 */

/** Sites that the user decided about; beyond that the one that was denied longest ago is forgotten first. */
const MAX_SITES = 512;
/** Sites that only asked; the first one is forgotten first. They displace no decision. */
const MAX_UNDECIDED = 64;
/** Titles that one site is known to have; the first one is forgotten first. */
const MAX_TITLES = 256;
/** Signaling servers that titles of one site name at once: the engine has room for 64, over all titles. */
export const MAX_TRACKERS_OF_SITE = 16;
/** Pieces of an origin that are shown and kept. */
const LONGEST_ORIGIN = 256;

export interface Site {
  origin: string;
  /** `null`: the user has not decided. */
  allowed: boolean | null;
  /** All that it may ever spend. */
  budget: bigint;
  spentFine: bigint;
  /** The most that it may pay for a block. */
  ceiling: bigint;
  /** Those that it took up, the last one last, with what it spent for each, and the trackers that it named for it. */
  titles: { hash: string; spentFine: bigint; trackers?: string[] }[];
}

/** The origin of a page that may ask; null: none that is kept apart from others. */
export function originOf(url: string | undefined): string | null {
  if (!url || !URL.canParse(url)) return null;
  const { origin, protocol } = new URL(url);
  const isKnown = (protocol === "https:" || protocol === "http:") && origin.length <= LONGEST_ORIGIN;
  return isKnown ? origin : null;
}

/** All sites. `changed` keeps them. */
export class Sites {
  readonly #all: Map<string, Site>;
  readonly #changed: () => void;

  constructor(before: Site[], changed: () => void) {
    this.#all = new Map(before.map((site) => [site.origin, site]));
    this.#changed = changed;
  }

  list(): Site[] {
    return [...this.#all.values()];
  }

  /** The site; one that nobody decided about, if it is new. */
  of(origin: string): Site {
    return this.#all.get(origin) ?? { origin, allowed: null, budget: 0n, spentFine: 0n, ceiling: 0n, titles: [] };
  }

  /** The user's word. What it spent stays. */
  decide(origin: string, decision: Pick<Site, "budget" | "ceiling"> & { allowed: boolean }): void {
    this.#put({ ...this.of(origin), ...decision });
  }

  /** It asked, and nobody answered yet. */
  asked(origin: string): void {
    if (!this.#all.has(origin)) this.#put(this.of(origin));
  }

  /** Money of another vault: what was allowed and spent was of the last one. */
  newVault(): void {
    for (const [origin, site] of this.#all)
      this.#all.set(origin, {
        ...site,
        budget: 0n,
        spentFine: 0n,
        ceiling: 0n,
        titles: site.titles.map((title) => ({ ...title, spentFine: 0n })),
      });
    this.#changed();
  }

  /** Nothing is allowed to it, and nothing is known of it any more. */
  forget(origin: string): void {
    this.#all.delete(origin);
    this.#changed();
  }

  took(origin: string, hash: string, trackers: readonly string[] = []): void {
    this.#title(origin, hash, 0n, trackers);
  }

  spent(origin: string, hash: string, fine: bigint): void {
    if (fine > 0n && this.#all.has(origin)) this.#title(origin, hash, fine);
  }

  /** It may have spent this; nobody knows for which title. */
  spentForSome(origin: string, fine: bigint): void {
    const site = this.#all.get(origin);
    if (site && fine > 0n) this.#put({ ...site, spentFine: site.spentFine + fine });
  }

  #title(origin: string, hash: string, fine: bigint, more: readonly string[] = []): void {
    const site = this.of(origin);
    const before = site.titles.find((one) => one.hash === hash);
    const others = site.titles.filter((one) => one.hash !== hash);
    // Beyond that they are of a time when the title was not here.
    const trackers = [...new Set([...(before?.trackers ?? []), ...more])].slice(-MAX_TRACKERS_OF_SITE);
    const title = { hash, spentFine: (before?.spentFine ?? 0n) + fine, ...(trackers.length > 0 ? { trackers } : {}) };
    const titles = [...others, title].slice(-MAX_TITLES);
    this.#put({ ...site, titles, spentFine: site.spentFine + fine });
  }

  #put(site: Site): void {
    this.#all.delete(site.origin);
    this.#all.set(site.origin, site);
    const undecided = this.list().filter(({ allowed }) => allowed === null);
    const [first] = undecided;
    if (first && undecided.length > MAX_UNDECIDED) this.#all.delete(first.origin);
    if (this.#all.size - undecided.length > MAX_SITES) {
      const denied = this.list().find(({ allowed }) => allowed === false);
      this.#all.delete((denied ?? site).origin);
    }
    this.#changed();
  }
}

/** Base units that it may still spend, rounded down. */
export function left({ budget, spentFine }: Site): bigint {
  const fine = (budget << 24n) - spentFine;
  return fine > 0n ? fine >> 24n : 0n;
}
