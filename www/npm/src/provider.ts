/**
 * How a page finds an engine outside of it, that of the browser extension, and what the two say to each other before
 * the page's requests (`protocol.ts`) go through. The extension's side is `www/extension/src`.
 *
 * A page dispatches {@link REQUEST} on its window. An extension that hears it prevents the event's default at once, so
 * the page knows without waiting, and posts {@link Announcement} to the window, with a port. There is no global to
 * fight over. The extension tells nothing but its presence before its user allowed the site.
 */

import type { EngineLimits, FromEngine } from "./protocol.js";
import type { Store } from "./stores.js";

/** The event by which a page asks; cancelable. */
export const REQUEST = "piecework:requestProvider";

/** Version of these messages. A page of another version uses an engine of its own. */
export const PROVIDER_VERSION = 1;

/** To the window, with one port. */
export interface Announcement {
  piecework: "provider";
  version: number;
}

/** Page to provider: its first message, and then the requests of a page to an engine. */
export interface Open {
  t: "open";
  version: number;
  /** What the page pays by; null: it pays nothing. */
  payment: { vault: string; chainId: number } | null;
  /** The page cannot do without: the extension may ask its user. */
  ask: boolean;
}

/** What the page's wallet said; `message` and `code` if it failed (EIP-1193). */
export interface WalletAnswer {
  t: "walletAnswer";
  id: number;
  v?: unknown;
  message?: string;
  code?: number | string | undefined;
}

/** Provider to page, besides an engine's messages. */
export type FromProvider =
  /** Requests may come. A second one: another engine runs, and knows nothing of this page. */
  | { t: "opened" }
  | { t: "refused"; message: string }
  /** The extension's user wants the page's wallet asked; the page answers with {@link WalletAnswer}. */
  | { t: "wallet"; id: number; method: string; params: unknown }
  /** No more comes on this port. */
  | { t: "gone"; message: string }
  | FromEngine;

/** Hears how far a request is. */
export type Progress = (done: number, total: number) => void;

/** Of a request that takes long. */
export interface Asked {
  progress?: Progress | undefined;
  signal?: AbortSignal | null | undefined;
}

/** The way to an engine, whoever runs it. */
export interface Way {
  /** This page runs the engine. */
  readonly isHost: boolean;
  /** Of a `seed` `progress` hears how far it is, and `signal` takes it back. */
  request<T>(t: string, fields?: object, more?: Asked): Promise<T>;
  tell(message: { t: string; [field: string]: unknown }): void;
  read(message: { t: "stream"; [field: string]: unknown }, port: MessagePort): void;
  setLimits(limits: EngineLimits): Promise<void>;
  setBudget(total: bigint): Promise<void>;
  setTitleLimit(hash: string, maxPricePerBlock: bigint | null): void;
  titleLimit(hash: string): bigint | undefined;
  streaming(): Promise<{ scope: string; store: Store }>;
  /** What {@link streaming} gives; null: the service worker does not control this page yet. */
  readonly scope: { scope: string; store: Store } | null;
  destroy(): Promise<void>;
}
