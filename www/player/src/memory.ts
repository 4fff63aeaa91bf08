/**
 * The page's memory between visits besides the engine's records: names of titles for the first view, whether the
 * visitor shares, and the date of an exit, which must stay visible. Nothing important is lost with it.
 */

import type { Sharing, Stored } from "./model.ts";

const TITLES = "piecework titles";
const SHARING = "piecework sharing";
/** Older ones are forgotten; the engine still has them. */
const MOST_TITLES = 200;

/** The page's own notes, in local storage. */
export class Memory {
  readonly #exitKey: string;
  #titles: Map<string, Stored>;
  #written = "";

  /** `money` names chain and vault. */
  constructor(money: string) {
    this.#exitKey = `piecework exit ${money}`;
    this.#titles = new Map();
    try {
      const list: unknown = JSON.parse(localStorage.getItem(TITLES) ?? "[]");
      for (const title of Array.isArray(list) ? (list as Partial<Stored>[]) : []) {
        if (typeof title.infoHash !== "string" || typeof title.name !== "string") continue;
        const trackers = Array.isArray(title.trackers) ? title.trackers.filter((url) => typeof url === "string") : [];
        this.#titles.set(title.infoHash, {
          infoHash: title.infoHash,
          name: title.name,
          length: Number(title.length) || 0,
          verified: Number(title.verified) || 0,
          trackers,
        });
      }
    } catch {
      // Unreadable notes are no notes.
    }
  }

  /** A title as last seen; by its hash alone if it was never. */
  title(infoHash: string): Stored {
    return this.#titles.get(infoHash) ?? { infoHash, name: "", length: 0, verified: 0, trackers: [] };
  }

  /** Notes how a title stands. */
  remember(title: Stored): void {
    this.#titles.delete(title.infoHash);
    this.#titles.set(title.infoHash, title);
    for (const [oldest] of this.#titles) {
      if (this.#titles.size <= MOST_TITLES) break;
      this.#titles.delete(oldest);
    }
    this.#write();
  }

  /** Forgets a title. */
  forget(infoHash: string): void {
    this.#titles.delete(infoHash);
    this.#write();
  }

  /** What the visitor decided last about uploading; `null`: nothing yet. */
  get sharing(): Sharing | null {
    try {
      const { on, cap } = JSON.parse(localStorage.getItem(SHARING) ?? "null") as Partial<Sharing>;
      const isCap = cap === null || (Number.isSafeInteger(cap) && (cap as number) > 0);
      return typeof on === "boolean" && isCap ? { on, cap: cap as number | null } : null;
    } catch {
      return null;
    }
  }

  set sharing(sharing: Sharing) {
    try {
      localStorage.setItem(SHARING, JSON.stringify(sharing));
    } catch {
      // The next visit asks again.
    }
  }

  /** Unix seconds from which the deposit can be withdrawn; `null`: no exit was asked for. */
  get exitAt(): number | null {
    const value = Number(localStorage.getItem(this.#exitKey));
    return value > 0 ? value : null;
  }

  set exitAt(at: number | null) {
    if (at === null) localStorage.removeItem(this.#exitKey);
    else localStorage.setItem(this.#exitKey, String(at));
  }

  #write(): void {
    const text = JSON.stringify([...this.#titles.values()]);
    if (text === this.#written) return;
    this.#written = text;
    try {
      localStorage.setItem(TITLES, text);
    } catch {
      // Full or refused: the next visit shows hashes instead of names.
    }
  }
}
