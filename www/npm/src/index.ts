/**
 * Piecework: a BitTorrent peer for web pages that pays for every block it receives and is paid for every
 * block it serves.
 *
 * ```js
 * import { Client } from "piecework";
 * const client = new Client({ trackers: ["wss://tracker.example"] });
 * const torrent = await client.add("magnet:?xt=urn:btih:...");
 * await torrent.ready;
 * await torrent.files[0].streamTo(document.querySelector("video"));
 * ```
 */
export { Client } from "./client.js";
export type {
  AddOptions,
  ClientEvents,
  ClientOptions,
  ClientStats,
  MoneyStats,
  SeedOptions,
  WalletChoice,
} from "./client.js";
export { BOND_EXPLAINED, proposedDeposit, titleCost } from "./deposit.js";
export type { DepositWish, ProposedDeposit, TitleToPay } from "./deposit.js";
export { Emitter } from "./emitter.js";
export { PieceworkError, PieceworkRejectedError, PieceworkUnsupportedError, missing } from "./errors.js";
export type { MissingFeature } from "./errors.js";
export type { FetchOptions } from "./fetching.js";
export { historyCSV } from "./history.js";
export type { HistoryEntry } from "./history.js";
export { DEFAULT_STUN, parseIceServers } from "./ice.js";
export type { PaymentLack } from "./lack.js";
export type { AccountInfo, Decimal, PaymentOptions, RecoverableDeposit } from "./payments.js";
export { whyNotBought } from "./refusal.js";
export type { ReadOptions } from "./reading.js";
export type { FileSource, ParsedTorrent, TorrentSource } from "./source.js";
export type { Signature, Title } from "./title.js";
export type { PublishOptions, PublishedTorrent, Registration, TitleRecord } from "./titles.js";
export { Torrent, TorrentFile } from "./torrent.js";
export type {
  FileEvents,
  FilePriority,
  PeerPaymentStats,
  PeerStats,
  TorrentEvents,
  TorrentState,
  TorrentStats,
  WebSeedStats,
} from "./torrent.js";
export { FINE_BITS, bondFor, formatAmount, parseAmount, parseTypedAmount } from "./units.js";
export type { AmountStyle } from "./units.js";
export type { ChainParams, Eip1193Provider, WalletInfo } from "./wallet.js";
export type { EngineChoice } from "./way.js";
export type { RedemptionCost } from "./worth.js";
