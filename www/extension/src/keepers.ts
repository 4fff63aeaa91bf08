/**
 * The titles that stay because a site fetched them, and which site that was. The others of the library are the user's
 * own.
 */

import type { Site } from "./sites.ts";

/** Titles of one site that stay when its pages are closed. */
export const MAX_KEPT_OF_SITE = 64;

export class Keepers {
  readonly #by: Map<string, string>;

  constructor(before = new Map<string, string>()) {
    this.#by = before;
  }

  /** As it is kept. */
  kept(): Map<string, string> {
    return new Map(this.#by);
  }

  hasRoom(origin: string): boolean {
    return this.of(origin).length < MAX_KEPT_OF_SITE;
  }

  /** Those that this site brought. */
  of(origin: string): string[] {
    return [...this.#by].flatMap(([hash, one]) => (one === origin ? [hash] : []));
  }

  /** How many each site brought. */
  counts(): Record<string, number> {
    return Object.fromEntries([...new Set(this.#by.values())].map((origin) => [origin, this.of(origin).length]));
  }

  keep(hash: string, origin: string): void {
    this.#by.set(hash, origin);
  }

  /** It is gone, or the user's own; gives whether a site had brought it. */
  drop(hash: string): boolean {
    return this.#by.delete(hash);
  }

  /** Only these are in the library. */
  limit(library: ReadonlySet<string>): void {
    for (const hash of this.#by.keys()) if (!library.has(hash)) this.#by.delete(hash);
  }

  /** Titles of this site that another one has too stay by that one; gives those that no other site keeps. */
  handOver(origin: string, sites: readonly Site[]): string[] {
    return this.of(origin).filter((hash) => {
      const next = sites.find(
        (site) =>
          site.allowed &&
          site.origin !== origin &&
          site.titles.some((title) => title.hash === hash) &&
          this.hasRoom(site.origin),
      );
      if (next) this.#by.set(hash, next.origin);
      return !next;
    });
  }
}
