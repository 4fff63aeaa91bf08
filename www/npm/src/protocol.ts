/**
 * Every message between page, worker and service worker. The engine's side is `crate/src/web`
 * (`engine.rs`: broker messages and start; `page.rs`: requests and events; `stream.rs`: readers).
 */

import type { PaymentLack } from "./lack.js";

/** The configuration that the engine starts with (`Engine.start`). */
export interface EngineConfig {
  trackers: string[];
  useTorrentTrackers: boolean;
  useTorrentWebSeeds: boolean;
  /** Web seeds help beside peers that suffice, too. */
  webSeedsAlways: boolean;
  maxConnections?: number;
  maxConnectionsPerTorrent?: number;
  /** Bytes per second; null: no cap; 0: no upload. */
  uploadLimit: number | null;
  downloadLimit: number | null;
  storageLimit: number | null;
  payment: EnginePayment | null;
  /** Names its database and folder; absent: the first ones of the origin. */
  store?: string;
}

/** The request `limits`: an absent field stays as it is. */
export type EngineLimits = Partial<Pick<EngineConfig, "uploadLimit" | "downloadLimit" | "storageLimit">>;

/** Amounts are base units; prices are fine units (2^-24 base units) per block of 16 KiB. */
export interface EnginePayment {
  vault: string;
  chainId: number;
  /** Less is neither sold nor redeemed at a time, until the request `dust` names other limits. */
  minRedeem: bigint;
  rpcUrl?: string;
  maxPricePerBlock: bigint;
  budget: bigint;
  lossPieces: number;
  /** A fixed selling price; absent: `resellPercent` of the price that was paid. */
  sellPricePerBlock?: bigint;
  resellPercent: number;
  minBondPercent: number;
  /** The greatest number of an engine's start that this page knows; absent: none. */
  generation?: number;
}

/** Page (the one that holds the peer connections) to worker. */
export type ToWorker =
  /** Null: the worker is to load it. */
  | { t: "module"; module: WebAssembly.Module | null }
  /** `rest`: where the part of the wasm is that is loaded when it is called. */
  | { t: "start"; config: EngineConfig; wasm: string; rest: string }
  /** `alive`: a lock that another page holds as long as it lives. */
  | { t: "page"; port: MessagePort; alive?: string | undefined }
  | { t: "shutdown" }
  | { t: "offer" | "answer"; c: number; sdp: string }
  | { t: "earlyChannel"; channel: RTCDataChannel | MessagePort }
  | { t: "noEarlyChannels" }
  /** Without a channel: the first of the early ones. */
  | { t: "channel"; c: number; channel?: RTCDataChannel | MessagePort }
  /** The address that the connection really leads to; null: the browser does not say. */
  | { t: "address"; c: number; address: string | null }
  | { t: "failed"; c: number; reason: string };

/** The worker's script to its engine, about a request `r` to a web seed: its head, its bytes, and its end. */
export type WebSeedAnswer = { t: "web"; r: number } & (
  | { status: number; range: string | null; encoding: string | null; retryAfter: string | null }
  | { bytes: Uint8Array }
  | { error: string | null }
);

/** Worker to the page that holds the peer connections. */
export type FromWorker =
  | { t: "started" }
  | { t: "failedStart"; text: string }
  | { t: "trap"; text: string }
  | { t: "stopped" }
  | { t: "createOffer"; c: number }
  | { t: "acceptOffer" | "applyAnswer"; c: number; sdp: string }
  | { t: "iceServers"; servers: { urls: string[]; username: string; credential: string }[] }
  | { t: "close"; c: number };

/** Engine to any page, on its port. */
export type FromEngine =
  | { t: "ok"; id: number; v: unknown }
  | { t: "err"; id: number; message: string }
  /** Of the request `seed`: bytes read so far, of all that are to be read. The message `stop` with its id ends it. */
  | { t: "progress"; id: number; done: number; total: number }
  | {
      t: "event";
      e: string;
      hash: string | null;
      piece?: number;
      peer?: number;
      text?: string;
      needed?: { pricePerBlock: bigint; why: PaymentLack };
    }
  | { t: "ethCall"; id: number; to: string; data: string };

/** Answer to the request `hello`. */
export interface Hello {
  stored: string[];
  vault: string | null;
  chainId: number | null;
  sessionKey: string | null;
  payee: string | null;
  /** Number of this engine's start, which pages keep; null without payments. */
  generation: number | null;
}

/**
 * Version of the messages between page and service worker. Each message has it, because a site's new scripts meet its
 * old service worker, and the other way round. `sw.ts` has the same number. The receiver of a message of another
 * version, or of a kind that it does not know, says so on the message's port.
 */
export const VERSION = 1;

/**
 * Page to service worker. `whoami` and `connect` carry one port, on which a service worker of another version answers
 * {@link Unlike}.
 */
export type ToServiceWorker = { version: typeof VERSION } & (
  | { piecework: "claim" }
  | { piecework: "whoami" }
  | { piecework: "connect"; to: string; alive: string }
);

export type Unlike = { t: "unlike" };

/** Service worker to page; both carry one port. */
export type FromServiceWorker = { version: typeof VERSION } & (
  | { piecework: "connect"; alive?: string }
  | {
      piecework: "read";
      /** Absent: an earlier version of the service worker, which does not look. */
      store?: string | null;
      hash: string;
      file: number;
      start?: number;
      end?: number;
      suffix?: number;
      longest?: number;
    }
);

/** Options that the page with the running engine decides for all, by name. */
export type Shared = Readonly<Record<string, unknown>>;

/** The most that is spent from a deposit in this vault, as a page set it last. */
export type Budget = Pick<EnginePayment, "vault" | "chainId"> & { total: bigint };

/** The most that is paid for a block of a title, in fine units, as a page set it last; null: as the site allows. */
export type Limit = Pick<Hello, "vault" | "chainId"> & { hash: string; maxPricePerBlock: bigint | null };

/** Between pages of one store (BroadcastChannel `piecework`, and for a further vault `piecework-CHAIN-VAULT`). */
export type Rendezvous =
  | { t: "who" }
  /**
   * Another `engine` is another run of the engine, and its pages must tell it again what they want. `budget`, `limits`:
   * the values that pages set, if they did.
   */
  | { t: "host"; client: string; engine?: string; shared?: Shared; budget?: Budget | null; limits?: Limit[] }
  /** The engine runs here, and no service worker hands a port to it. */
  | { t: "unreachable" }
  /** Any of them may run the next engine, which goes by it too. */
  | { t: "budget"; budget: Budget }
  | { t: "limit"; limit: Limit }
  /** To an engine without payments: it takes these. */
  | { t: "pay"; payment: EnginePayment; shared: Shared };

/** First message of a reader's port. */
export type StreamHead =
  | { length: number; start: number; end: number }
  | { error: string; status: number; length?: number };

/**
 * Path of a file under the service worker's scope: `__piecework/<info hash>/<file index>/<name>`, with `?store=<store>`
 * where the engine that reads it is not the one of the first store. A service worker of an earlier version passes the
 * query over.
 */
export const STREAM_PATH = "__piecework";
