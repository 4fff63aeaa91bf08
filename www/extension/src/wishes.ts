/**
 * What one page wants of one title. The engine has one price, one selection and one mode for a title, so the host sends
 * it what all pages together want: no page's wish changes what another site pays, or takes a file from it.
 */

import type { FilePriority } from "../../npm/src/torrent.ts";

/** Files that are chosen while the title's files are not known yet. */
const MAX_EARLY = 4_096;
const PRIORITIES: readonly FilePriority[] = ["skip", "normal", "high"];

/** What a page was told of a title's pieces. */
export interface Seen {
  have: Uint8Array;
  verified: number;
  selectedVerified: number;
  downloaded: number;
  wasted: number;
}

export class Wish {
  onDemand: boolean;
  paused = false;
  /** Fine units per block; null: up to the site's ceiling. */
  price: bigint | null;
  /** Those that the page named. */
  readonly webSeeds: Set<string>;
  /** Null: it asked nothing yet. */
  seen: Seen | null = null;
  readonly #only: number[] | null;
  #early: { files: number[]; priority: number }[] = [];
  #chosen: Uint8Array | null = null;

  /** The signaling servers that it named. */
  readonly trackers: readonly string[];

  constructor(
    onDemand: boolean,
    price: bigint | null,
    only: number[] | null,
    webSeeds: string[],
    trackers: readonly string[] = [],
  ) {
    this.trackers = trackers;
    this.onDemand = onDemand;
    this.price = price;
    this.webSeeds = new Set(webSeeds);
    this.#only = only;
  }

  /** It fetches whether somebody reads or not. */
  get whole(): boolean {
    return !this.onDemand && !this.paused;
  }

  /** Gives why not; null: it is chosen. */
  select(files: number[], word: unknown): string | null {
    const priority = PRIORITIES.indexOf(word as FilePriority);
    if (priority < 0) return "`priority` is skip, normal or high";
    if (this.#chosen) put(this.#chosen, files, priority);
    else if (this.#early.reduce((sum, early) => sum + early.files.length, files.length) > MAX_EARLY)
      return "The title\u2019s files are not known yet: choose them later";
    else this.#early.push({ files, priority });
    return null;
  }

  /** The title's files are known, and are chosen so on record; `isAlone`: no other site uses it. */
  learn(onRecord: readonly FilePriority[], isAlone: boolean): void {
    if (this.#chosen) return;
    const normal = PRIORITIES.indexOf("normal");
    const chosen = Uint8Array.from(onRecord, (one) => (isAlone ? PRIORITIES.indexOf(one) : normal));
    if (this.#only) put(chosen.fill(0), this.#only, normal);
    for (const { files, priority } of this.#early) put(chosen, files, priority);
    this.#early = [];
    this.#chosen = chosen;
  }

  priority(file: number): FilePriority {
    return PRIORITIES[this.#chosen?.[file] ?? 1] ?? "normal";
  }
}

function put(chosen: Uint8Array, files: number[], priority: number): void {
  for (const file of files) if (file >= 0 && file < chosen.length) chosen[file] = priority;
}

/** The files whose priority has to change, so that each is wanted as much as the page that wants it most does. */
export function choices(wishes: readonly Wish[], now: readonly FilePriority[]): Map<FilePriority, number[]> {
  const changes = new Map<FilePriority, number[]>();
  if (wishes.length === 0) return changes;
  for (const [file, before] of now.entries()) {
    const most = wishes.reduce((sum, wish) => Math.max(sum, PRIORITIES.indexOf(wish.priority(file))), 0);
    const priority = PRIORITIES[most] ?? "normal";
    if (priority === before) continue;
    const files = changes.get(priority) ?? [];
    files.push(file);
    changes.set(priority, files);
  }
  return changes;
}

/** What is paid for a block: by the payer's ceiling and the wishes of its own pages alone. */
export function price(ceiling: bigint, wishes: readonly Wish[]): bigint {
  return wishes.reduce((least, wish) => (wish.price !== null && wish.price < least ? wish.price : least), ceiling);
}

/**
 * The site that pays for a title, of those that can: the one that paid before while it asks for bytes, else the first
 * that asks.
 */
export function payerOf(before: string | undefined, could: readonly { site: string; asks: boolean }[]) {
  const asking = could.filter(({ asks }) => asks);
  const among = asking.length > 0 ? asking : could;
  return among.some(({ site }) => site === before) ? before : among[0]?.site;
}
