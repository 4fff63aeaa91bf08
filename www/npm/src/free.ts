/**
 * Piecework without payments: the same client with a smaller engine, for pages that neither pay nor are paid. It is a
 * plain BitTorrent peer: a seller that asks for money serves it no block. `payments` and the methods of the wallet are
 * refused with a {@link PieceworkError}.
 *
 * ```js
 * import { Client } from "piecework/free";
 * const client = new Client({ trackers: ["wss://tracker.example"] });
 * ```
 */
export { Client } from "./client.js";
export type { AddOptions, ClientEvents, ClientOptions, ClientStats, SeedOptions } from "./client.js";
export { Emitter } from "./emitter.js";
export { PieceworkError, PieceworkUnsupportedError, missing } from "./errors.js";
export type { MissingFeature } from "./errors.js";
export { DEFAULT_STUN, parseIceServers } from "./ice.js";
export type { FileSource, TorrentSource } from "./source.js";
export type { Signature, Title } from "./title.js";
export { Torrent, TorrentFile } from "./torrent.js";
export type { FilePriority, PeerStats, TorrentEvents, TorrentState, TorrentStats, WebSeedStats } from "./torrent.js";
