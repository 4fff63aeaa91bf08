/** What a torrent is given: what its .torrent file says, and the part of its client that it uses. */

import type { Playhead } from "./playhead.js";
import type { Decimal } from "./payments.js";
import type { Store } from "./stores.js";
import type { Titles } from "./titles.js";

/** @internal What a .torrent file says, and the file. */
export interface EngineSourceFile {
  torrent: Uint8Array;
  trackers: string[];
  webSeeds: string[];
  comment: string | null;
  createdBy: string | null;
  /** In seconds since 1970. */
  created: number | null;
  private: boolean;
}

/** @internal The page's wishes for a torrent at the moment. */
export interface Wishes {
  /** Only pieces that a reader wants are fetched; undefined leaves it to the engine. */
  onDemand: boolean | undefined;
  paused: boolean;
  /** Those that the page named. */
  webSeeds: string[];
}

/** @internal The part of the client that a torrent uses. */
export interface TorrentHost {
  /** The torrent is fetched whether somebody reads it or not. */
  fetchesWhole(): boolean;
  request<T>(t: string, fields?: object): Promise<T>;
  openStream(message: object, port: MessagePort): void;
  plays(head: Playhead): void;
  /** The page may pay for what it fetches. */
  pays(): boolean;
  /** The service worker's scope, and the store of the engine that has the torrent. Fails if there is none. */
  streaming(): Promise<{ scope: string; store: Store }>;
  /** The settings that a new engine gets. */
  readonly wishes: Wishes;
  price(perGB: Decimal): bigint;
  /** The most that is paid for it from now on, in fine units per block; null: as the site allows. */
  limits(maxPricePerBlock: bigint | null): void;
  /** It is sold at this price, in fine units per block, from now on. */
  sells(pricePerBlock: bigint): void;
  /** Announced to besides the trackers that the torrent names, unless it is private. */
  readonly trackers: readonly string[];
  /** Where the service worker answers, once it controls this page. */
  scope(): { scope: string; store: Store } | null;
  /** What titles have to do with a chain; fails without payments. */
  titled<T>(use: (titles: Titles) => Promise<T>): Promise<T>;
  removed(): void;
  /** Gives one {@link Client.add} back; `reason`: why nobody waits for it any more. */
  left(reason?: unknown): Promise<void>;
  again(): Promise<unknown>;
}
