/** Why nothing plays, or is bought, although nothing failed: what `<piecework-player>` says of its own accord. */

import type { ClientStats } from "./client.js";
import type { TorrentStats } from "./torrent.js";

/** Milliseconds after which a peer that gave nothing, to a player that has nothing, gives nothing. */
const GIVES_NOTHING_AFTER = 10_000;
/** Letters of a tracker's address and of its error that are shown. */
const LONGEST_WORDS = 120;

/** What is looked at. */
export interface Situation {
  readonly torrent: TorrentStats;
  readonly client: ClientStats;
  /** The page names a vault. */
  readonly pays: boolean;
  /** Milliseconds since somebody is connected, while the player has nothing. */
  readonly waited: number;
  /** Base units of the token as text, with its symbol. */
  readonly format: (units: bigint) => string;
}

/** The prices that peers ask, and a price that was heard besides; base units per 10^9 bytes. */
export function askedPrices({ peers }: TorrentStats, heard: bigint | null = null): bigint[] {
  return [heard, ...peers.map(({ buying }) => buying.pricePerGB)].filter(
    (price): price is bigint => price !== null && price > 0n,
  );
}

/** The lowest of these prices, where all are above the limit of the page; null: one is not, or none is asked. */
export function aboveLimit(asked: readonly bigint[], { maxPricePerGB }: TorrentStats): bigint | null {
  if (asked.some((price) => price <= maxPricePerGB)) return null;
  return asked.reduce<bigint | null>((low, price) => (low === null || price < low ? price : low), null);
}

/** What is asked, and what the page pays. */
export function tooDear(lowest: bigint, limit: bigint, format: (units: bigint) => string): string {
  return `Sellers ask ${format(lowest)} per GB; this page pays at most ${format(limit)}: nothing is bought from them.`;
}

/** A sentence, with the way out; empty: nothing is wrong, as far as can be seen. */
export function diagnose({ torrent, client, pays, waited, format }: Situation): string {
  if (torrent.length > 0 && torrent.selectedVerified === torrent.selectedLength) return "";
  if (torrent.downloadRate > 0 || torrent.webSeeds.some(({ state }) => state === "idle" || state === "downloading"))
    return "";
  const lowest = pays ? aboveLimit(askedPrices(torrent), torrent) : null;
  if (lowest !== null) return tooDear(lowest, torrent.maxPricePerGB, format);
  if (torrent.peers.length > 0) {
    if (pays || waited < GIVES_NOTHING_AFTER || torrent.peers.some(({ downloaded }) => downloaded > 0)) return "";
    return (
      "The peers that are connected give nothing. If this title costs money, the page has to name the vault that it " +
      "pays by: see the attribute deployment."
    );
  }
  const { trackers, isHost } = client;
  // Another page's engine, or the extension's, need not say what it asks.
  if (trackers.length === 0)
    return isHost ? "No tracker is named, so nobody can be found who has this title: see the attribute trackers." : "";
  const [first] = trackers;
  if (!first || trackers.some(({ connected, error }) => connected || error === null)) return "";
  const short = (text: string) => text.slice(0, LONGEST_WORDS);
  const why = `${short(first.url)}: ${short(first.error ?? "")}`;
  return `No tracker can be reached, so nobody is found who has this title: ${why}`;
}
