// ---- index
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
export type { AddOptions, ClientEvents, ClientOptions, ClientStats, MoneyStats, SeedOptions, WalletChoice, } from "./client.js";
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
export type { FileEvents, FilePriority, PeerPaymentStats, PeerStats, TorrentEvents, TorrentState, TorrentStats, WebSeedStats, } from "./torrent.js";
export { FINE_BITS, bondFor, formatAmount, parseAmount, parseTypedAmount } from "./units.js";
export type { AmountStyle } from "./units.js";
export type { ChainParams, Eip1193Provider, WalletInfo } from "./wallet.js";
export type { EngineChoice } from "./way.js";
export type { RedemptionCost } from "./worth.js";

// ---- client
import { Emitter } from "./emitter.js";
import { missing } from "./errors.js";
import type { HistoryEntry } from "./history.js";
import type { PaymentLack } from "./lack.js";
import type { AccountInfo, Decimal, PaymentOptions, RecoverableDeposit } from "./payments.js";
import { type FileSource, type TorrentSource } from "./source.js";
import type { PublishOptions, PublishedTorrent } from "./titles.js";
import { Torrent } from "./torrent.js";
import { type EngineChoice } from "./way.js";
import type { Eip1193Provider, WalletInfo } from "./wallet.js";
import type { RedemptionCost } from "./worth.js";
/**
 * How a client behaves. Without `payments` it is a plain, free BitTorrent peer that contacts no chain and no wallet.
 * Clients of one origin share an engine, and the page that runs the engine decides by its options. Another client warns
 * which of its own options have no effect. Where the pages of an origin pay by several vaults, each vault has an engine
 * with torrents, limits and keys of its own; clients without payments share that of the first vault.
 */
export interface ClientOptions {
    /** Signaling servers (`wss://`), announced to besides those a torrent names. */
    trackers?: string[];
    /** Announce to the trackers that torrents and magnet links name. Default true. */
    useTorrentTrackers?: boolean;
    /** Fetch from the web seeds that torrents and magnet links name (BEP 19). Default true. */
    useTorrentWebSeeds?: boolean;
    /**
     * When web seeds are asked for something. "fallback" (default): for what is read or played and peers would bring too
     * late, and for everything while peers bring next to nothing. "always": as peers that have everything and ask for no
     * money, so that sellers are asked only for what would come too late otherwise.
     */
    webSeedUse?: "fallback" | "always";
    /**
     * STUN and TURN servers. Default: public STUN servers ({@link DEFAULT_STUN}), which see the visitor's address; an
     * empty list asks none. Servers that the signaling servers in `trackers` name are used besides.
     */
    iceServers?: RTCIceServer[];
    /** Connect through TURN only, so that peers never see the visitor's address. */
    relayOnly?: boolean;
    /** Bytes per second; null: no cap; 0: no upload. Default 2.5 MB/s. */
    uploadLimit?: number | null;
    /** Bytes per second; null: no cap. */
    downloadLimit?: number | null;
    /** Peer connections at once, from 1 to 100, for one torrent or over all. Default 55, 30 of them for one torrent. */
    maxConnections?: number;
    /**
     * Bytes that all torrents stored here may take, those of earlier visits included; null leaves it to the browser's
     * quota. A torrent that does not fit fails with an error that says so; the parts of it that are read or played are
     * fetched as far as they fit. Files that do not fit are not seeded. Nothing is deleted: see {@link Torrent.remove}
     * and {@link Client.setStorageLimit}.
     */
    storageLimit?: number | null;
    payments?: PaymentOptions;
    /** Where `worker.js` is; same origin. Default: beside this module. */
    workerUrl?: string | URL;
    /** Where `piecework_bg.wasm` is. Default: beside this module. */
    wasmUrl?: string | URL;
    /**
     * Where `piecework_rest.wasm` is, the part of the engine that few visits need. Default: beside the wasm, if `wasmUrl`
     * says where that is, else beside this module.
     */
    restUrl?: string | URL;
    /** Where a copy of `sw.js` is, at or above the page. Default `piecework-sw.js` beside the page. */
    serviceWorkerUrl?: string | URL;
    /** The service worker's scope. Default: its folder. */
    serviceWorkerScope?: string | URL;
    /**
     * Whose engine it uses. Default "auto": that of the Piecework extension where its user allowed it to this site, else
     * one in the site's own pages. See {@link EngineChoice}.
     */
    engine?: EngineChoice;
    /** Carry channels over ports instead of transferring them. Default: `?bridge=1` in the page's URL. */
    bridge?: boolean;
}
/** How one torrent is taken up. */
export interface AddOptions {
    /** More trackers for this torrent. */
    trackers?: string[];
    /**
     * Web servers with the torrent's files, `http(s)://` (BEP 19), besides those that the torrent names: the address of
     * its file, or of the folder that holds what the torrent is named after. A server of another origin must send
     * `Access-Control-Allow-Origin`. Every byte is checked, as those of peers are.
     */
    webSeeds?: string[];
    /**
     * Fetch only the parts that are played or read, until {@link Torrent.keep}. Default: true if the client, or another
     * page of the same engine, has `payments`, so that nobody buys what nobody watches; else false.
     */
    onDemand?: boolean;
    /**
     * Fetch these files alone, by index ({@link TorrentFile.index}) or path ({@link TorrentFile.path}, with `/` between
     * its parts). Default: as at the last visit, else those that the link names (`so=`, BEP 53), else all. A list that
     * is empty, or has only indices that the torrent has not, selects none. Also {@link Torrent.selectOnly}.
     */
    files?: readonly (number | string)[];
    /** Hash again the bytes that are already stored. Default false. */
    recheck?: boolean;
    /**
     * The most paid per 10^9 bytes for this torrent; 0 takes only free peers. Default: the last value that a page of this
     * site set for it, else the site's.
     */
    maxPricePerGB?: Decimal;
    /** Selling price per 10^9 bytes for this torrent, kept for later visits; 0 gives it away. */
    sellPricePerGB?: Decimal;
    /**
     * Gives it up until {@link Torrent.ready}: what waits for the torrent ends with the signal's reason, and what nobody
     * else uses of it is fetched no more.
     */
    signal?: AbortSignal | null;
}
/** How a new torrent is made. Trackers and web seeds are written into its .torrent file. */
export interface SeedOptions extends AddOptions {
    /** Default: the name of the file or of the chosen folder, or "files". */
    name?: string;
    /** Bytes of a piece, 1 to 2^26. Default: by the length, a power of two from 16 KiB to 4 MiB. */
    pieceLength?: number;
    /** Peers come from its own trackers alone (BEP 27): name some in `trackers`. */
    private?: boolean;
    /** A text for whoever reads the .torrent file. */
    comment?: string;
    /** The program that makes it. */
    createdBy?: string;
    /** When it is made. Default: the file does not say. */
    created?: Date;
    /** Hears how far it is, in bytes. The files are read twice, so `total` is twice their length. */
    onProgress?: (done: number, total: number) => void;
    /** Takes it back: nothing of it stays, if it aborts before the last {@link onProgress}. */
    signal?: AbortSignal | null;
}
/** A wallet that the page has a provider of. */
export interface WalletChoice {
    provider: Eip1193Provider;
    /** Ask only for an account that the wallet shows this site anyway. */
    silent?: boolean;
}
/** Amounts are base units of the token; `client.format` writes them out. */
export interface MoneyStats {
    /** The account is open and its balance was read. */
    readonly accountReady: boolean;
    /**
     * Why the account buys nothing more, if so. A fault of the account itself shows at once; a used-up deposit or budget
     * shows when the next range is needed.
     */
    readonly lack: PaymentLack | null;
    /** On the chain, as it was read last: what was paid and is not redeemed yet is in it. */
    readonly balance: bigint;
    /** Promised to sellers in ranges, and not paid. */
    readonly locked: bigint;
    /** Can still be promised. */
    readonly free: bigint;
    readonly spent: bigint;
    /** Without one of the page's own, more than any deposit. */
    readonly budget: bigint;
    /** Earned and not yet redeemed. */
    readonly redeemable: bigint;
    readonly redeemed: bigint;
    readonly redeemableRanges: number;
    readonly vouchersSigned: number;
    readonly preimagesReleased: number;
    readonly preimagesReceived: number;
    /** `spent` and `redeemable` with their sub-unit rests, in 2^-24 base units. */
    readonly spentFine: bigint;
    readonly redeemableFine: bigint;
}
/** Everything at a glance. Rates are bytes per second. */
export interface ClientStats {
    readonly downloadRate: number;
    readonly uploadRate: number;
    readonly trackers: readonly {
        readonly url: string;
        readonly connected: boolean;
        readonly error: string | null;
    }[];
    readonly money: MoneyStats;
    /** This page runs the origin's engine; else another tab does. */
    readonly isHost: boolean;
}
/** The events of a client. `text` is always a full sentence. */
export interface ClientEvents {
    /** A torrent was taken up by this client. */
    add: Torrent;
    /** Name and files of a torrent are known. */
    torrent: Torrent;
    /** A torrent is this client's no more. */
    remove: Torrent;
    warning: {
        readonly text: string;
        readonly torrent: Torrent | null;
    };
    error: {
        readonly error: Error;
        readonly torrent: Torrent | null;
    };
    /** A line for the payment log. */
    payment: {
        readonly text: string;
        readonly torrent: Torrent | null;
    };
    /**
     * A peer asks for money and no account covers it: offer a deposit. `pricePerGB` is in base units. The event comes
     * again when an account that covered it does so no longer: `reason` says why.
     */
    paymentneeded: {
        readonly torrent: Torrent;
        readonly pricePerGB: bigint;
        readonly reason: PaymentLack;
    };
    /** The connected account, or null. */
    wallet: {
        readonly address: string | null;
    };
}
/**
 * A BitTorrent peer for this page.
 *
 * One engine runs per origin and vault; clients in several tabs share it. Nothing asks the wallet for anything
 * before `connectWallet`, `deposit`, `redeem`, `exit`, `withdraw` or `recoverDeposits` is called: call
 * them from a click.
 */
export declare class Client extends Emitter<ClientEvents> {
    #private;
    /** The features that this browser or page lacks; empty if a client can be made. */
    static missing: typeof missing;
    /** @throws PieceworkUnsupportedError naming everything that is missing, and what to do. */
    constructor(options?: ClientOptions);
    /** The torrents of this client, in the order they were added. */
    get torrents(): Torrent[];
    /**
     * Takes up a magnet link, a .torrent file (its bytes or its address), a parsed torrent, or an info hash (40
     * hexadecimal digits, 32 of base32, or 20 bytes). An info hash alone takes up a torrent that is stored here, with its
     * own trackers, else a torrent to be found by the trackers that are given.
     */
    add(source: TorrentSource, options?: AddOptions, ...callback: []): Promise<Torrent>;
    /**
     * The torrent of this client that an info hash, a magnet link or a parsed torrent means; null if there is none. Of a
     * .torrent file look for its `infoHash` in {@link torrents}.
     */
    get(source: string | URL | ArrayBuffer | ArrayBufferView | {
        readonly infoHash: string;
    }): Torrent | null;
    /** {@link Torrent.remove} of the torrent that {@link get} gives. */
    remove(source: Parameters<Client["get"]>[0], options?: {
        deleteData?: boolean;
    }, ...callback: []): Promise<void>;
    /** Bytes per second that the engine gets for all torrents. */
    get downloadSpeed(): number;
    /** Bytes per second that the engine gives. */
    get uploadSpeed(): number;
    /** The verified part of what is selected in all torrents of this client, from 0 to 1; 1 if nothing is. */
    get progress(): number;
    /** Bytes that went to peers for each that came, over this client's torrents; 0 while none came. */
    get ratio(): number;
    /**
     * Makes a torrent from files and seeds it. Files chosen as a folder keep their paths; a file without a name is called
     * "file 1" and so on. Files that change meanwhile are refused, and so are those of a torrent that is in use and not
     * all here.
     */
    seed(files: FileSource | Iterable<FileSource>, options?: SeedOptions, ...callback: []): Promise<Torrent>;
    /** Info hashes of torrents stored here by earlier visits, for {@link add}. */
    stored(): Promise<string[]>;
    /**
     * Takes up every torrent that is stored here and in use nowhere, on demand: what is here of it is served from now on,
     * at its price, and nothing is fetched. Gives those that could be taken up; the others are named by warnings. Call it
     * at the start of a visit, once the visitor agreed to uploading.
     */
    seedLibrary(): Promise<Torrent[]>;
    /** Everything at a glance. */
    stats(): Promise<ClientStats>;
    /** Bytes per second over all torrents; null: no cap; 0: no upload. */
    setUploadLimit(bytesPerSecond: number | null): Promise<void>;
    /** Bytes per second over all torrents; null: no cap; 0: nothing is fetched. */
    setDownloadLimit(bytesPerSecond: number | null): Promise<void>;
    /** {@link setDownloadLimit} as WebTorrent names it: -1 is no cap. */
    throttleDownload(rate: number): Promise<void>;
    /** {@link setUploadLimit} as WebTorrent names it: -1 is no cap. */
    throttleUpload(rate: number): Promise<void>;
    /**
     * Bytes that all torrents may take, see {@link ClientOptions.storageLimit}; null leaves it to the browser's quota.
     */
    setStorageLimit(bytes: number | null): Promise<void>;
    /** The off switch for uploading; switching it on again brings the cap back. */
    setUploading(on: boolean): Promise<void>;
    /** Uploading is on. */
    get uploading(): boolean;
    /** The wallets of this page (EIP-6963, else `window.ethereum`). Asks none of them anything. */
    wallets(): Promise<WalletInfo[]>;
    /**
     * Connects a wallet; call from a click. `wallet` is an id of {@link wallets}, which may be left out where there is
     * one wallet, or a provider of the page's own, as wagmi, viem or WalletConnect make it. `silent` asks only for an
     * account that the wallet shows this site anyway, without a prompt. Answers the account. The provider must do the
     * account's `eth_sendTransaction`; it need not know the chain if {@link PaymentOptions.chainParams} describe it.
     * After the signal aborted, an answer of the wallet connects nothing.
     */
    connectWallet(wallet?: string | WalletChoice, options?: {
        silent?: boolean;
        signal?: AbortSignal | null;
    }): Promise<string>;
    /** The connected account, or null. */
    get walletAddress(): string | null;
    /**
     * Puts money and a bond (default 1.25 times as much) into the vault: one prompt with EIP-5792, else two.
     * Both come back by {@link exit} and {@link withdraw}, less what was spent. With `ifBelow` nothing is deposited where
     * the wallet's account of an earlier visit can pay that much already. The signal ends the waiting, and no
     * prompt comes after it; a prompt that the wallet shows, and a transaction that was sent, are not taken back, and the
     * next call takes up what came of them.
     */
    deposit({ amount, bond, ifBelow, signal, }: {
        amount: Decimal;
        bond?: Decimal;
        ifBelow?: Decimal;
        signal?: AbortSignal | null;
    }): Promise<AccountInfo>;
    /** The connected wallet's account, as the chain has it. */
    account(): Promise<AccountInfo>;
    /** Replaces the hard cap on the spending from this deposit account, see {@link PaymentOptions.budget}. */
    setBudget(total: Decimal): Promise<void>;
    /**
     * Redeems the earnings to the connected wallet: one transaction for every 128 ranges. `due` leaves out ranges that
     * are not worth their gas; where the site names {@link PaymentOptions.coinPrice}, it sends nothing whose gas costs
     * more than {@link PaymentOptions.maxGasPercent} of what it brings. The signal is as that of {@link deposit}.
     */
    redeem(options?: {
        due?: boolean;
        signal?: AbortSignal | null;
    }): Promise<{
        paid: bigint;
        batches: number;
    }>;
    /**
     * What {@link redeem} would bring and cost now. Asks the site's node, else the wallet's, what gas costs, if there is
     * something to redeem.
     */
    redemptionCost(): Promise<RedemptionCost>;
    /**
     * What an address is credited with in the vault and has not claimed, in base units: a creator's shares of what was
     * redeemed. Default: the connected wallet's. Asks the site's node, else the wallet.
     */
    credit(address?: string | null): Promise<bigint>;
    /**
     * Sends the connected wallet all that {@link credit} says, and gives the sum. Where nothing is credited it is 0n, and
     * the wallet is asked for nothing. The signal is as that of {@link exit}.
     */
    claimCredit(options?: {
        signal?: AbortSignal | null;
    }): Promise<bigint>;
    /**
     * Has the connected wallet sign what a torrent is (one prompt), and registers it if that is wished (one transaction).
     * Gives the .torrent file with the title and the link that names its publisher; from then on the torrent is served
     * with its title. Words that were signed before are not signed again. The signal is as that of {@link deposit}.
     */
    publish(torrent: Torrent, options?: PublishOptions & {
        signal?: AbortSignal | null;
    }): Promise<PublishedTorrent>;
    /**
     * About what registering a title costs now, in the smallest unit of the chain's coin; null: no node says what gas
     * costs.
     */
    registrationFee(): Promise<bigint | null>;
    /** The slice of a deposit that is made now, for {@link proposedDeposit}; in base units. */
    get depositSlice(): bigint;
    /**
     * Starts the waiting time after which {@link withdraw} works. It cannot be cancelled: the signal ends the waiting for
     * the transaction alone.
     */
    exit(options?: {
        signal?: AbortSignal | null;
    }): Promise<AccountInfo>;
    /**
     * Takes back the rest of deposit and bond, once the waiting time is over: before that it is refused with the time,
     * and nothing is sent. The signal is as that of {@link exit}.
     */
    withdraw(options?: {
        signal?: AbortSignal | null;
    }): Promise<void>;
    /** Every deposit of the connected wallet, also ones whose session key is lost. */
    recoverDeposits(): Promise<RecoverableDeposit[]>;
    /**
     * What was bought, sold, redeemed and paid for gas at this vault, the newest first; also by earlier visits, and for
     * titles that were removed. {@link historyCSV} makes a table of it.
     */
    history(): Promise<HistoryEntry[]>;
    /**
     * Deletes the history for ever, and with it what {@link TorrentStats} says of titles' sums. What is owed, held and
     * earned stays as it is.
     */
    clearHistory(): Promise<void>;
    /** Decimal text to base units of the token. */
    parse(amount: Decimal): bigint;
    /** Base units of the token to decimal text. */
    format(units: bigint): string;
    /** The address that this browser is paid at; null without payments or before the engine runs. */
    get payee(): string | null;
    /** Ends this client. If this client runs the engine, the engine says goodbye and makes everything durable first. */
    destroy(...callback: []): Promise<void>;
}

// ---- source
/** A torrent as `parse-torrent` describes it, as far as it is read; also a {@link Torrent}. */
export interface ParsedTorrent {
    readonly infoHash: string;
    /** The whole .torrent file. */
    readonly torrentFile?: Uint8Array | null;
    /** The info dictionary as it stands in the .torrent file. */
    readonly infoBuffer?: Uint8Array;
    readonly name?: string;
    readonly announce?: readonly string[];
    readonly urlList?: readonly string[];
}
/** A source that {@link Client.add} takes. */
export type TorrentSource = string | URL | Blob | ArrayBuffer | ArrayBufferView | ParsedTorrent;
/**
 * A source of one file that {@link Client.seed} takes. Its name is that of the File, or its property `name`, which may
 * be a path with `/`. Streams give chunks of type Uint8Array, 1 GiB in all at the most.
 */
export type FileSource = (Blob | ArrayBuffer | ArrayBufferView | ReadableStream) & {
    readonly name?: string;
};
/**
 * A source as it was read: a magnet link, an info hash, the address of a .torrent file, the file's bytes, or a parsed
 * torrent.
 */
export type Recognised = {
    magnet: string;
} | {
    hash: string;
} | {
    url: string;
} | {
    torrent: Uint8Array;
} | {
    file: Blob;
} | {
    parsed: ParsedTorrent;
};
/** Reads a torrent's source as the caller gave it; throws a sentence that lists the accepted sources. */
export declare function recognise(source: unknown): Recognised;
/** The info hash of what {@link Client.get} takes, if it shows: not of a .torrent file. */
export declare function hashIn(source: unknown): string | null;
/** A link as it was pasted, without what surrounds or breaks it. */
export declare function plainLink(text: string): string;

// ---- torrent
import { Emitter } from "./emitter.js";
import type { FetchOptions } from "./fetching.js";
import type { PaymentLack } from "./lack.js";
import type { Decimal } from "./payments.js";
import { type ReadOptions } from "./reading.js";
import { type Signature, type Title } from "./title.js";
import type { Registration } from "./titles.js";
/** Where a torrent stands. */
export type TorrentState = "metadata" | "checking" | "downloading" | "seeding" | "paused" | "failed";
/** Money with one peer in one direction. Amounts are base units, `paidFine` 2^-24 of them. */
export interface PeerPaymentStats {
    /** Per 10^9 bytes; null: none was named, or one that leaves the title's creator out, at which nothing is bought. */
    readonly pricePerGB: bigint | null;
    readonly active: boolean;
    readonly paid: bigint;
    readonly paidFine: bigint;
    readonly blocks: number;
    /** Why nothing is paid; empty if there is no reason to name. */
    readonly note: string;
}
/** One peer. Its `client` name comes from it: show it as text only. */
export interface PeerStats {
    readonly id: number;
    readonly client: string;
    readonly haveCount: number;
    readonly downloaded: number;
    readonly uploaded: number;
    readonly downloadRate: number;
    readonly uploadRate: number;
    readonly peerChoking: boolean;
    readonly amChoking: boolean;
    readonly requestsOut: number;
    readonly requestsIn: number;
    /** Our payments to it. */
    readonly buying: PeerPaymentStats;
    /** Its payments to us. */
    readonly selling: PeerPaymentStats;
}
/** One web seed: a web server that has the torrent's files (BEP 19). */
export interface WebSeedStats {
    /** As the torrent or the page names it: show it as text only. */
    readonly url: string;
    /** "waiting": it failed and is tried again; "dropped" and "banned": it is not asked any more. */
    readonly state: "idle" | "downloading" | "waiting" | "dropped" | "banned";
    /** Why it waits, was dropped or banned; else empty. */
    readonly note: string;
    readonly downloaded: number;
    readonly downloadRate: number;
}
/** How much a file is wanted: not at all, as other files, or before them. */
export type FilePriority = "skip" | "normal" | "high";
/** One torrent at a glance. Lengths are bytes, rates bytes per second, amounts base units. */
export interface TorrentStats {
    readonly infoHash: string;
    readonly name: string;
    readonly state: TorrentState;
    /** Only the parts that are played or read are fetched: see {@link Torrent.keep}. */
    readonly onDemand: boolean;
    /** {@link Torrent.keep} was called for it, at this visit or an earlier one, and not taken back. */
    readonly kept: boolean;
    /** The reason why it cannot go on, and the way out, while `state` is "failed". */
    readonly failure: string | null;
    readonly length: number;
    readonly pieceLength: number;
    readonly pieceCount: number;
    /** Verified pieces, first piece in the highest bit of the first byte. */
    readonly have: Uint8Array;
    readonly verified: number;
    /** Bytes of the pieces of the files that are selected; {@link length} if all are. */
    readonly selectedLength: number;
    /** The verified bytes among them. */
    readonly selectedVerified: number;
    /**
     * Of this run of the engine, which ends with the page that runs it; {@link MoneyStats} has a client's earnings and
     * spending in all.
     */
    readonly downloaded: number;
    /** Of this run. */
    readonly uploaded: number;
    /** Received more than once or thrown away. */
    readonly wasted: number;
    readonly downloadRate: number;
    readonly uploadRate: number;
    /** The most paid per 10^9 bytes. */
    readonly maxPricePerGB: bigint;
    /** Our price per 10^9 bytes. */
    readonly sellPricePerGB: bigint;
    /** Paid for this title, earlier visits included, as far as it is on record: within half a second. */
    readonly spent: bigint;
    readonly spentFine: bigint;
    /** Earned with this title, earlier visits included, as far as it is on record. */
    readonly earned: bigint;
    readonly earnedFine: bigint;
    /** The most that the missing pieces of the files that are selected can still cost, rounded up. */
    readonly maxCost: bigint;
    readonly peers: readonly PeerStats[];
    readonly webSeeds: readonly WebSeedStats[];
    readonly swarm: {
        readonly seeders: number;
        readonly leechers: number;
    } | null;
}
/** The events of a torrent. */
export interface TorrentEvents {
    /** Name and files are known. */
    ready: Torrent;
    /** The same as `ready`, as WebTorrent names it. */
    metadata: Torrent;
    /** Bytes that came from peers and web seeds since the last one of these events; each second in which some came. */
    download: number;
    /** Bytes that went to peers since the last one; each second in which some went. */
    upload: number;
    /** It lacks something and nobody is connected, at first and then every 30 seconds. Peers come from trackers alone. */
    noPeers: "tracker";
    /** {@link Torrent.title} and {@link Torrent.signature} are others than before. */
    title: Torrent;
    /** Everything that is selected is verified and stored. */
    done: Torrent;
    piece: {
        readonly piece: number;
    };
    peer: {
        readonly peer: number;
    };
    peerclosed: {
        readonly text: string;
    };
    warning: {
        readonly text: string;
    };
    /** It cannot go on until the user does something. */
    error: {
        readonly error: Error;
    };
    payment: {
        readonly text: string;
    };
    paymentneeded: {
        readonly pricePerGB: bigint;
        readonly reason: PaymentLack;
    };
}
/** The events of a file. */
export interface FileEvents {
    /** The last of its bytes was verified, while somebody listened. */
    done: TorrentFile;
    /** This page, or a player by the service worker, begins to read these bytes of it; `end` is one past the last. */
    stream: {
        readonly start: number;
        readonly end: number;
    };
}
/**
 * One torrent of a {@link Client}. Its properties are as the engine said last: while they are looked at, they are asked
 * for anew four times a second at the most; {@link stats} waits for the answer.
 */
export declare class Torrent extends Emitter<TorrentEvents> {
    #private;
    /** 40 hexadecimal digits. */
    readonly infoHash: string;
    /** Resolves when name and files are known. */
    readonly ready: Promise<Torrent>;
    /** Comes from strangers: show it as text only. Empty until {@link ready}. */
    name: string;
    /** Bytes in all; 0 until {@link ready}. */
    length: number;
    /** Empty until {@link ready}. Padding is left out, so an index here is not one in the torrent. */
    files: TorrentFile[];
    /** Its .torrent file; null until {@link ready}. */
    torrentFile: Uint8Array<ArrayBuffer> | null;
    /** Bytes of every piece but the last; 0 until {@link ready}. */
    pieceLength: number;
    /** Pieces in all; 0 until {@link ready}. */
    pieceCount: number;
    /** Peers come from its own trackers alone (BEP 27). */
    private: boolean;
    /** A text of its author, if a .torrent file brought one: show it as text only. */
    comment: string | null;
    /** The program that made it, likewise. */
    createdBy: string | null;
    /** When it was made, likewise. */
    created: Date | null;
    /** What its publisher signed; null unless {@link signature} is "fits". The event `title` tells of a change. */
    title: Title | null;
    /** Whether {@link title} is there, and why not. Known with {@link ready}. */
    signature: Signature;
    /** Where it stands now. */
    stats(): Promise<TorrentStats>;
    /** Bytes per second from peers and web seeds. */
    get downloadSpeed(): number;
    /** Bytes per second to peers. */
    get uploadSpeed(): number;
    /** Verified bytes, those of earlier visits included. (`stats().downloaded` counts what came, as {@link received}.) */
    get downloaded(): number;
    /** Bytes that came in this run of the engine, bad and doubled ones included. */
    get received(): number;
    /** Bytes that went to peers in this run of the engine. */
    get uploaded(): number;
    /** {@link uploaded} for each byte {@link received}, or for each of the torrent's if none came. */
    get ratio(): number;
    /** The verified part of what is selected, from 0 to 1. */
    get progress(): number;
    /** Milliseconds until everything that is selected is here, at the present speed; Infinity if nothing comes. */
    get timeRemaining(): number;
    /** Connected peers. */
    get numPeers(): number;
    /** Everything that is selected is verified. */
    get done(): boolean;
    /** {@link pause} was called, here or on another page. */
    get paused(): boolean;
    /** Bytes of the last piece; 0 until {@link ready}. */
    get lastPieceLength(): number;
    /** A piece is verified. */
    has(piece: number): boolean;
    /** The trackers that it is announced to. */
    get announce(): string[];
    /** A link to it, with its name, publisher, trackers and web seeds as far as they are known (BEP 9, BEP 19). */
    get magnetURI(): string;
    /** {@link torrentFile} as a file to be saved; null until {@link ready}. */
    get torrentFileBlob(): Blob | null;
    /**
     * What the registry of the site's vault says of it, by the site's node, else by the connected wallet: since when it
     * is registered, with which creator and share now, and who registered the same content before. Null: the vault asks
     * no registry. Wait for {@link ready} first.
     *
     * @throws an error that names the part that does not fit, as where the vault asks another registry than
     * {@link PaymentOptions.registry}, or where a node's answer agrees with no registry.
     */
    registration(): Promise<Registration | null>;
    /** Closes its connections and fetches nothing. */
    pause(): Promise<void>;
    /** Undoes {@link pause}. */
    resume(): Promise<void>;
    /** Closes the connection with a peer, by its {@link PeerStats.id}. The peer may come again. */
    removePeer(peer: number): Promise<void>;
    /** Stops and forgets it, and deletes its data if asked. */
    remove(options?: {
        deleteData?: boolean;
    }): Promise<void>;
    /**
     * Fetches all of it from now on (true), and pays for all of it, or only the parts that are played or read (false).
     * `stats().maxCost` is the most that the rest can cost. Later visits know it by `stats().kept`, and fetch nothing
     * because of it: show the price, and call this again when the visitor plays it.
     */
    keep(whole?: boolean): Promise<void>;
    /**
     * Fetches these files alone, by index ({@link TorrentFile.index}) or path ({@link TorrentFile.path}, with `/` between
     * its parts), from now on and at later visits. A file that is not selected is neither fetched nor paid, but for the
     * pieces that it shares with one that is, and for what is played or read of it. Wait for {@link ready} first.
     */
    selectOnly(files: readonly (number | string)[]): Promise<void>;
    /**
     * Answers as a web server that has the files would, and needs no service worker. `path` is a file's path, as a list
     * ({@link TorrentFile.path}) or with `/` between its parts (plain or as in a URL, with or without the torrent's name
     * before it), or its index.
     *
     * Statuses are 200, 206 for one range of bytes, 304 (`If-None-Match`), 404, 405 for methods other than GET and HEAD,
     * 412 (`If-Match`) and 416. A `Range` header of several ranges is answered with the whole file, as RFC 9110, section
     * 14.2 allows. The body is checked like everything else, opens its reader when it is first read, fetches and pays
     * what is read and a little ahead of it, and stops with `body.cancel()` or the signal. Waits for {@link ready}.
     *
     * @throws the signal's reason, or an error if the torrent is removed before its files are known. What goes wrong
     * later is the body's error: `body.getReader()` gives it, where `arrayBuffer()` may say only that it failed.
     */
    fetch(path: string | number | readonly string[], options?: FetchOptions): Promise<Response>;
    /**
     * Fetches it also from this web server, `http(s)://`: the address of its file, or of the folder that holds what the
     * torrent is named after. See {@link AddOptions.webSeeds}.
     */
    addWebSeed(url: string | URL): Promise<void>;
    /** The most paid per 10^9 bytes from now on; 0 takes only free peers. */
    setMaxPricePerGB(price: Decimal): Promise<void>;
    /** The selling price per 10^9 bytes from now on, later visits included; 0 gives it away. */
    setSellPricePerGB(price: Decimal): Promise<void>;
}
/** One file of a torrent. Reading it fetches the missing pieces, in the order in which they are read. */
export declare class TorrentFile extends Emitter<FileEvents> {
    #private;
    /** Components of its path; from strangers: show as text only. */
    readonly path: readonly string[];
    /** Bytes. */
    readonly length: number;
    /** In the torrent's own list, as links name it (BEP 53); padding counts. */
    readonly index: number;
    /** How much it is wanted; as it was at the last look, where another page changed it. */
    get priority(): FilePriority;
    /** It is fetched, unless the torrent is on demand. */
    get selected(): boolean;
    /** Fetches it, before others with "high"; later visits do so too. {@link Torrent.stats} says when it is complete. */
    select(priority?: "normal" | "high"): Promise<void>;
    /** Fetches it no more, at later visits too. What is here of it stays. */
    deselect(): Promise<void>;
    /** Its verified bytes. */
    get downloaded(): number;
    /** The verified part of it, from 0 to 1. */
    get progress(): number;
    /** A piece of the torrent has bytes of it. */
    includes(piece: number): boolean;
    /** Its last path component. */
    get name(): string;
    /** {@link length}, as a `File` names it. */
    get size(): number;
    /** Its media type, by the ending of its name. */
    get type(): string;
    /** What {@link url} gives, where the service worker controls this page already; else null: wait for `url()`. */
    get streamURL(): string | null;
    /**
     * A URL that the service worker answers, with ranges, while this page is open. A player that is given it without
     * {@link streamTo} or {@link follow} makes the engine fetch as far ahead as the browser likes.
     *
     * Without a service worker it is the URL of a Blob, until the torrent is removed: of a file that is all here, up to
     * 512 MiB; or of one up to 32 MiB, which is fetched whole first, unless the page has `payments`.
     *
     * @throws an error that names what is missing, and the way out, for other files without a service worker.
     */
    url({ signal }?: {
        signal?: AbortSignal;
    }): Promise<string>;
    /**
     * Plays it: sets `src` as soon as the service worker controls this page, and follows the player. Without a service
     * worker as {@link url} says.
     */
    streamTo(video: HTMLMediaElement, options?: {
        signal?: AbortSignal;
    }): Promise<void>;
    /**
     * Holds what is fetched for a player whose source is {@link url} to what it needs: 30 seconds of the film ahead of
     * the picture, at most an eighth of the file, at least 1 MiB. Ends when the player's source changes, or by the
     * answer.
     */
    follow(video: HTMLMediaElement): () => void;
    /**
     * Its bytes from `start` to before `end`, as `Blob.slice` counts, pulled a chunk at a time; cancelling it stops the
     * reader.
     */
    stream(options?: ReadOptions): ReadableStream<Uint8Array<ArrayBuffer>>;
    stream(start?: number, end?: number): ReadableStream<Uint8Array<ArrayBuffer>>;
    /** Its bytes, or a part of them, a chunk at a time: `for await (const chunk of file)`. */
    [Symbol.asyncIterator](options?: ReadOptions): AsyncGenerator<Uint8Array<ArrayBuffer>, void, undefined>;
    /** All of it, or a part. */
    arrayBuffer(options?: ReadOptions): Promise<ArrayBuffer>;
    /**
     * All of it, or a part, with its media type: but `application/octet-stream` for what a browser makes a document of
     * (SVG and other XML), because the URL of a Blob is of the page's own origin, and the bytes are a stranger's.
     */
    blob(options?: ReadOptions): Promise<Blob>;
    /** All of it, or a part, as UTF-8. */
    text(options?: ReadOptions): Promise<string>;
}

// ---- title
/** What a publisher says of a torrent and signed (docs/titles.md). */
/**
 * A title that fits its torrent: its publisher signed these words about this content. Whether it is registered on a
 * chain, the chain alone says. `name` and `licence` are the publisher's words: show them as text only. Addresses and
 * words are `0x` and lower-case digits.
 */
export interface Title {
    readonly name: string;
    /** Who signed. */
    readonly publisher: string;
    /** Who is credited with the share. */
    readonly creator: string;
    /** The creator's part of every sale, in percent, from 0 to 100. */
    readonly share: number;
    /** An SPDX identifier or a URL; empty: none is granted. */
    readonly licence: string;
    /** When it was signed, by the publisher's word; null: it does not say, or says no date. */
    readonly created: Date | null;
    /** Id of its registration, if it is registered. */
    readonly id: string;
    /** With publisher and info hash it makes the id. */
    readonly salt: string;
    /** EIP-712 hash of these words, which a registry keeps. */
    readonly hash: string;
    /** EIP-155 id of the chain that it was signed for. */
    readonly chainId: number;
    /** The contract that it was signed for; null: it is signed only. */
    readonly registry: string | null;
    /** The content is encrypted. */
    readonly encrypted: boolean;
    /** Id of the edition that it follows. */
    readonly previous: string | null;
}
/**
 * Whether a torrent has a title: "unknown" until {@link Torrent.ready}, and always where only engines without payments
 * run; "unsigned": nobody says who published it, which is allowed; "awaited": its link names who must have signed it
 * (`pw.by`), and no peer has brought that title yet; "fits"; or why it is `wrong`: not of this content, not signed by
 * its publisher, not by whom the link names, or not the one under whose id it is sold. While it is awaited or wrong,
 * nothing is paid for.
 */
export type Signature = "unknown" | "unsigned" | "awaited" | "fits" | {
    readonly wrong: string;
};

// ---- fetching
/** What is asked of a file, as `fetch` takes it. */
export type FetchOptions = Pick<RequestInit, "method" | "headers" | "signal">;

// ---- reading
/** A part of a file, and what ends its reading. */
export interface ReadOptions {
    /** The first byte; default 0. */
    start?: number;
    /** One past the last byte, as in `Blob.slice`; default: the file's length. */
    end?: number;
    /** Ends the reading: what is not fetched by then is neither fetched nor paid. */
    signal?: AbortSignal | null;
}

// ---- payments
import type { Terms } from "./terms.js";
import { type RedemptionCost } from "./worth.js";
import { discover, providerOf, requestOf } from "./wallet.js";
export { discover, providerOf, requestOf };
export type { Decimal, PaymentOptions } from "./terms.js";
/** A deposit as the chain has it. Amounts are token base units. */
export interface AccountInfo {
    readonly owner: string;
    readonly sessionKey: string;
    readonly balance: bigint;
    readonly bond: bigint;
    /** Opened at some time. */
    readonly known: boolean;
    /** When `withdraw` becomes possible; null: no exit was asked for. */
    readonly exitAt: Date | null;
    /** Withdrawn: this account is dead for ever. */
    readonly withdrawn: boolean;
}
/** A deposit of this wallet found on the chain, also one whose session key is lost. */
export interface RecoverableDeposit extends AccountInfo {
    /** Starts the waiting time; cannot be cancelled. */
    exit(): Promise<void>;
    /** After `exitAt`: the rest goes to the wallet. */
    withdraw(): Promise<void>;
}
export interface PaymentHost {
    request<T>(t: string, fields?: object): Promise<T>;
    tell(message: {
        t: string;
        [field: string]: unknown;
    }): void;
    walletChanged(address: string | null): void;
    /** A line for the payment log. */
    say?(text: string): void;
    /** This page runs the engine, and decides its limits. */
    isHost?(): boolean;
}
/**
 * The page's side of payments: the wallet, the deposit and its return, and what gas costs. A file of its own, which
 * `paying.ts` loads when there is work for it. No wallet is asked before a gesture.
 */
export declare class Payments {
    #private;
    constructor(terms: Terms, host: PaymentHost);
    /** The slice of a deposit that is made now, in base units. */
    get slice(): bigint;
    /** A title is sold from now on. */
    sells(): void;
    /** Something is bought or sold: from now on the price of gas matters. */
    moneyMoves(): void;
    /** What the redemption of so many claims brings and costs now. */
    redemptionCost(amount: bigint, claims: number): Promise<RedemptionCost>;
    /** The connected account, or null. */
    get address(): string | null;
    /** A new engine must be told whether it may read through us. */
    reconnected(): void;
    ethCall(to: string, data: string): Promise<string>;
    /** Connects a wallet of {@link discover} by its id, the only one, or a provider of the page's own. */
    connect(wallet: string | {
        provider: unknown;
    } | undefined, silent: boolean, signal?: AbortSignal | null): Promise<string>;
    /** Ends it: the user gets no prompt any more. */
    destroy(): void;
    /**
     * Deposits with as few prompts as the wallet allows: one with EIP-5792, else two. A deposit that was sent earlier,
     * and whose end nobody saw, is followed first. If it was the same and has arrived, or if the account can pay
     * `ifBelow` already, the wallet is asked for nothing.
     */
    deposit(amount: bigint, bond: bigint, signal?: AbortSignal | null, ifBelow?: bigint | null): Promise<AccountInfo>;
    /** This wallet's account with this browser's session key. */
    account(): Promise<AccountInfo>;
    redeem(due: boolean, signal?: AbortSignal | null): Promise<{
        paid: bigint;
        batches: number;
    }>;
    exit(of?: {
        id: string;
        sessionKey: string;
    }): Promise<AccountInfo>;
    withdraw(of?: {
        id: string;
        sessionKey: string;
    }): Promise<void>;
    /** Every deposit of this wallet, found in the vault's log. */
    recover(): Promise<RecoverableDeposit[]>;
}

// ---- terms
/** What a site set about money: checked, and in the engine's units. It asks nobody anything. */
import type { EnginePayment } from "./protocol.js";
import type { ChainParams } from "./wallet.js";
import { Worth, type Least } from "./worth.js";
/** An amount as decimal text in whole tokens, e.g. `"10"` or `"0.25"`. */
export type Decimal = string | number;
/**
 * Where money moves and how much. It comes from the embedding page alone, never from a torrent or a peer.
 * `deploymentFrom` of `piecework/deployment` makes vault, chain and token of the file that `piecework vault deploy`
 * writes.
 */
export interface PaymentOptions {
    /** The vault contract. */
    vault: string;
    /** EIP-155 id of its chain. */
    chainId: number;
    /** For wallets that do not know the chain (EIP-3085). */
    chainParams?: ChainParams;
    /** Reads go here when no wallet is connected. */
    rpcUrl?: string;
    /** The vault's ERC-20 token; checked against the chain before a deposit. */
    token: {
        address: string;
        decimals: number;
        symbol: string;
    };
    /** Never pays more than this per 10^9 bytes. */
    maxPricePerGB: Decimal;
    /**
     * Hard cap on the spending from one deposit account, over all visits. It can be raised; a new account after `exit`
     * begins at 0. Without it the deposit is the cap.
     */
    budget?: Decimal;
    /** Block of the vault's deployment: where "recover deposits" begins to look. */
    deployBlock?: number;
    /** The registry of titles that the vault asks; it is an error if the vault asks another one. Default: not checked. */
    registry?: {
        address: string;
    };
    /**
     * The price that this peer asks, in percent of the price that it paid itself, up to 255. Default 50. A title keeps
     * the price that was paid for it over later visits.
     */
    resellPercent?: number;
    /** A fixed selling price per 10^9 bytes instead. */
    sellPricePerGB?: Decimal;
    /**
     * The slice of the deposit promised at once. Default: as much as `minRedeem`, but enough for ten blocks
     * at `maxPricePerGB`.
     */
    tranche?: Decimal;
    /**
     * The least that is sold to a buyer at a time, and that is redeemed without being asked for. Default: where
     * `coinPrice` is known, what the gas of a claim costs may be `maxGasPercent` of it, at the lowest price of gas of the
     * visit, looked at every ten minutes while something is bought or sold; else 0.01, or ten of the smallest units of a
     * token with few decimals. Name it, or `coinPrice`, where a token is not worth about a dollar.
     */
    minRedeem?: Decimal;
    /**
     * The price of a whole coin of the chain, in which gas is paid, in tokens: `"3000"`. With it `redemptionCost` says
     * what gas costs in tokens, and `redeem({ due: true })` sends nothing at a loss. Gas is asked of `rpcUrl`, else of
     * the wallet, and not before something is paid or sold.
     */
    coinPrice?: Decimal;
    /** The part of a redemption that its gas may cost, in percent, unless the user redeems. Default 10. */
    maxGasPercent?: number;
    /**
     * Pieces of an old-style torrent that may be paid and turn out corrupt: each counts for 4 MiB at most, but two whole
     * ones may. Default 4.
     */
    lossPieces?: number;
    /** Least collateral of a buyer, in percent of its balance. Default 125. */
    minBondPercent?: number;
}
/** The payment options of a client. */
export declare class Terms {
    readonly options: PaymentOptions;
    readonly worth: Worth;
    /** @throws PieceworkError naming the option that is wrong. */
    constructor(options: PaymentOptions);
    /** Decimal text to base units. */
    parse(amount: Decimal): bigint;
    /** A price in whole tokens per 10^9 bytes to fine units per block. */
    price(amount: Decimal): bigint;
    /** The slice of a deposit in base units, while a claim is worth at least so much; null: the gas is not known. */
    slice(least: Least | null): bigint;
    /** The least worth of a claim where the price of gas is not looked at. */
    get minRedeem(): bigint;
    /** Base units to decimal text. */
    format(units: bigint): string;
    /** What the engine starts with. */
    engineConfig(): EnginePayment;
    /** Whether a title is sold at this price, or, if it was just made, at the site's own. */
    isSold(pricePerBlock: bigint | undefined, isMade: boolean): boolean;
}

// ---- free
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

// ---- deployment
import type { PaymentOptions } from "./payments.js";
/** What a deployment file says of a vault, as a part of {@link PaymentOptions}. */
export interface Deployment extends Pick<PaymentOptions, "vault" | "chainId" | "token" | "rpcUrl"> {
    /** Where "recover deposits" begins to look. */
    deployBlock: number;
    /** Seconds between an exit and the withdrawal. */
    exitDelaySeconds: number;
    /** The registry of titles that the vault asks (docs/titles.md); none: it pays no royalties. */
    registry?: DeployedContract;
    /** What makes splitters there. */
    splitters?: DeployedContract;
}
/** A contract beside the vault. */
export interface DeployedContract {
    address: string;
    /** Where a search of its events begins. */
    block: number;
}
/**
 * Checks a deployment, given as the file's text or as parsed JSON. Throws a RangeError that names the field and what it
 * should be.
 */
export declare function deploymentFrom(file: unknown): Deployment;
/**
 * Fetches a deployment file of the page's own origin, and checks it. `base`: what a relative URL is relative to;
 * default the page.
 */
export declare function loadDeployment(url: string | URL, base?: string | URL): Promise<Deployment>;

// ---- history
/**
 * The account of what was bought, sold, redeemed and paid for gas: a line for each day, title and peer. After two
 * months a line is a month's, and after ten years all are one.
 */
/** One line of the account. */
export interface HistoryEntry {
    /** `"day"` (`date` is `"2026-11-30"`), `"month"` (`"2026-11"`), or `"earlier"` (empty): by the calendar of UTC. */
    readonly period: "day" | "month" | "earlier";
    readonly date: string;
    /** Bought or sold blocks, redeemed earnings, or gas that the wallet paid. */
    readonly kind: "bought" | "sold" | "redeemed" | "gas";
    /** The title; null: of none, or of several that share a line. */
    readonly infoHash: string | null;
    /** Its name when it was first bought or sold, for display as text only; null: not known. */
    readonly name: string | null;
    /** The address that was paid, or whose deposit paid; null: of none, or of several that share a line. */
    readonly peer: string | null;
    /** Blocks of 16 KiB, ranges that were redeemed, or transactions. */
    readonly count: number;
    /** Base units of the token, rounded down; for gas the smallest units of the chain's coin. */
    readonly amount: bigint;
    /** The same in fine units (2^-24 base units), not rounded; null for gas and redemptions, which are whole. */
    readonly amountFine: bigint | null;
}
/**
 * The account as comma-separated values (RFC 4180) for a spreadsheet, with a heading. Amounts are decimal, in the token
 * or, for gas, in the chain's coin. A name that a spreadsheet would take for a formula gets an apostrophe before it.
 */
export declare function historyCSV(entries: readonly HistoryEntry[], token: {
    decimals: number;
    symbol: string;
}): string;

// ---- ice
/**
 * STUN and TURN servers: those that are asked if a page names none, and the form of an attribute that names some.
 */
/**
 * Public STUN servers of two operators. They see a visitor's address and the time, and nothing of what it watches. The
 * native peer has the same list, in `crate/src/native/ice_server.rs`.
 */
export declare const DEFAULT_STUN: string[];
/** The default of {@link ClientOptions.iceServers}. */
export declare function defaultIceServers(): RTCIceServer[];
/**
 * Servers as an attribute or a command line names them, with blanks between: `stun:HOST[:PORT]`,
 * `turn:USER:PASSWORD@HOST[:PORT][?transport=udp|tcp]`, `turns:...`. User and password may be percent-encoded; the user
 * may hold colons, and a colon or an `@` in the password is written `%3A` or `%40`. Nothing, or the word `none`: no
 * server at all.
 *
 * @throws TypeError naming the server that was not understood, without its password.
 */
export declare function parseIceServers(text: string): RTCIceServer[];
/** Whether any of these servers has an address that begins so. */
export declare function asks(servers: RTCIceServer[], scheme: "stun" | "turn"): boolean;
/** Those of these servers that this browser takes: one that it does not know would stop every connection. */
export declare function usable(servers: RTCIceServer[]): RTCIceServer[];

// ---- lack
/**
 * What the account lacks. It is not there; every part of it is promised; the budget is used up (`Client.setBudget`
 * raises it); it is on its way back or went back; or more was promised from it than is recorded here (a restored or
 * copied profile), so nothing more is. `Client.deposit` helps in each case except the budget.
 */
export type PaymentLack = "none" | "usedup" | "budget" | "exiting" | "withdrawn" | "held";

// ---- wallet
import { type CallsFate, type Fate, type Sent } from "./following.js";
/**
 * A wallet's provider (EIP-1193): injected by an extension, or made by the page with wagmi, viem or WalletConnect.
 * Methods and parameters are those of the Ethereum JSON-RPC.
 */
export interface Eip1193Provider {
    request(arguments_: {
        method: string;
        params?: unknown;
    }): Promise<unknown>;
    on?(event: string, listener: (value: unknown) => void): unknown;
    removeListener?(event: string, listener: (value: unknown) => void): unknown;
}
/**
 * A wallet found in this page (EIP-6963), or `window.ethereum`. Name and icon come from it: show them as text and image
 * only.
 */
export interface WalletInfo {
    readonly id: string;
    readonly name: string;
    /** A data URL, or empty. */
    readonly icon: string;
}
/** Parameters of `wallet_addEthereumChain` (EIP-3085). */
export interface ChainParams {
    chainId?: string;
    chainName: string;
    nativeCurrency: {
        name: string;
        symbol: string;
        decimals: number;
    };
    rpcUrls: string[];
    blockExplorerUrls?: string[];
}
/** Finds wallets without asking any of them anything. */
export declare function discover(): Promise<WalletInfo[]>;
/** The provider behind an id of {@link discover}. */
export declare function providerOf(id: string): Eip1193Provider;
/** A provider that the page gave. It is asked nothing. */
export declare function ownProvider(given: unknown): Eip1193Provider;
/**
 * Hears a provider's events, and answers the way to stop. A provider that lacks events, or fails at them, is heard no
 * events of; one that goes on after it was asked to stop is heard no longer.
 */
export declare function listen(provider: Eip1193Provider, listeners: Record<string, (value: unknown) => void>): () => void;
/** Whether a provider's event `disconnect` means that the wallet is gone. */
export declare function isGone(error: unknown): boolean;
/** The account that a wallet shows this site in its list, in lower case; null where it shows none. */
export declare function accountIn(list: unknown): string | null;
/** A connected wallet: one account on one chain. */
export declare class Wallet {
    #private;
    readonly address: string;
    constructor(provider: Eip1193Provider, address: string, chainId: number, chain: ChainParams | undefined);
    /**
     * Asks the wallet. Any failure becomes a {@link PieceworkError}, and the user's refusal a
     * {@link PieceworkRejectedError}.
     */
    request<T = unknown>(method: string, params?: unknown): Promise<T>;
    /** `eth_call` at the latest block, only while the wallet is on our chain. */
    call(to: string, data: string): Promise<string>;
    /** Asks the wallet's node something without parameters, only while the wallet is on our chain. */
    ask(method: string): Promise<unknown>;
    /** The user is asked for nothing any more. A transaction that is out is still followed to its end. */
    leave(): void;
    /** Moves the wallet to our chain, adding it if the wallet does not know it. Only after a gesture. */
    switchChain(): Promise<void>;
    /** Chain and account, checked right before anything is sent or signed. */
    check(): Promise<void>;
    /** Sends a transaction, after {@link check}. A transaction that is out is not done yet: {@link follow} it. */
    send(to: string, data: string): Promise<Sent>;
    /** Sends a transaction right after {@link check}. */
    submit(to: string, data: string): Promise<Sent>;
    /** The end of a transaction that is out. */
    follow(sent: Sent, unknownFor?: number): Promise<Fate>;
    /**
     * Sends calls as one (EIP-5792): their id, or null if this wallet cannot. Then nobody was asked anything.
     */
    sendTogether(calls: {
        to: string;
        data: string;
    }[]): Promise<string | null>;
    /** The end of calls that were sent as one. */
    followCalls(id: string, unknownFor?: number): Promise<CallsFate>;
    /** Tells what this wallet paid for the transactions that such an end shows. */
    tellFees(hash: string, fate: Fate | CallsFate, paid: Paid): void;
}
/** Hears what a wallet paid for the transaction with a hash, in the smallest unit of the chain's coin. */
export type Paid = (hash: string, fee: bigint) => void;
/** A request to a wallet; see {@link Wallet.request}. */
export declare function requestOf<T>(provider: Eip1193Provider, method: string, params: unknown): Promise<T>;

// ---- way
import { type LinkEvents, type LinkOptions } from "./link.js";
import { type Way } from "./provider.js";
/**
 * Which engine a client uses. "own": one in the pages of this site. "extension": that of the Piecework extension, which
 * asks its user if this site is new to it; without the extension the client cannot be made. "auto": the extension's
 * where its user allowed it to this site before, else an own one. A port: the one of a provider that the page has.
 */
export type EngineChoice = "auto" | "own" | "extension" | MessagePort;
/** The way by this choice. Where it is not known at once, requests wait. */
export declare function wayBy(choice: EngineChoice, options: LinkOptions, events: LinkEvents): Way;

// ---- errors
/** An error whose message is a full sentence and says what to do. */
export declare class PieceworkError extends Error {
    name: string;
    /** The code that the wallet or the chain's node gave, if one did. `cause` has its whole answer. */
    readonly code: number | string | undefined;
    constructor(message?: string, options?: {
        cause?: unknown;
        code?: number | string | undefined;
    });
}
/** The browser, or the way this page was opened, lacks something Piecework cannot do without. */
export declare class PieceworkUnsupportedError extends PieceworkError {
    name: string;
    /** The missing features. */
    readonly missing: readonly MissingFeature[];
    constructor(missing: readonly MissingFeature[]);
}
/** The user said no in the wallet. */
export declare class PieceworkRejectedError extends PieceworkError {
    name: string;
}
/** A missing feature, and the way out. */
export interface MissingFeature {
    readonly feature: "secure-context" | "webrtc" | "opfs" | "web-locks" | "wasm";
    /** A full sentence: the missing feature and the way out. */
    readonly text: string;
}
/** Every feature that is missing here; empty if Piecework can run. Asks nobody and starts nothing. */
export declare function missing(): MissingFeature[];

// ---- emitter
/** Typed events. A listener that throws does not keep the others from hearing. */
export declare class Emitter<Events extends object> {
    #private;
    /** Listens, until the returned function is called, {@link off}, or the signal aborts. */
    on<Name extends keyof Events>(name: Name, listener: (event: Events[Name]) => void, options?: {
        signal?: AbortSignal;
    }): () => void;
    /** Listens to the next event of this name alone. */
    once<Name extends keyof Events>(name: Name, listener: (event: Events[Name]) => void, options?: {
        signal?: AbortSignal;
    }): () => void;
    /** Listens no more. */
    off<Name extends keyof Events>(name: Name, listener: (event: Events[Name]) => void): void;
}

// ---- units
/**
 * Amounts of a token are parsed and printed only here, and prices are rounded only here. "Units" are the token's
 * smallest units, "fine" is 2^-24 of one (docs/protocol.md, "Fine units").
 */
/** How an amount is printed. */
export interface AmountStyle {
    /** Zeros fill up so many decimal places. Default 0. */
    leastPlaces?: number;
    /** With commas between thousands. */
    grouped?: boolean;
}
/**
 * Decimal text ("1.5") to base units of a token with this many decimals; refuses an amount that it cannot hold exactly.
 */
export declare function parseAmount(text: string | number | bigint, decimals: number): bigint;
/**
 * The same for an amount that a person typed: with commas between thousands, or one as the decimal point. `null` if it
 * is no amount, has too many places or digits, or is a thousand times as much to some people as to others ("1,500").
 */
export declare function parseTypedAmount(text: string, decimals: number): bigint | null;
/** Base units to decimal text, without zeros at the end, except those that the style asks for. */
export declare function formatAmount(units: bigint, decimals: number, { leastPlaces, grouped }?: AmountStyle): string;
/**
 * The bond, in the same units, that goes with a deposit where the page does not say: the least that sellers accept by
 * default.
 */
export declare function bondFor(deposit: bigint): bigint;
/** 2^24 fine units are one base unit. */
export declare const FINE_BITS = 24n;

// ---- deposit
/**
 * The deposit that a page proposes for a title: what the title can cost, with room for the slices that sellers hold
 * open, in a round number. The page and `<piecework-player>` propose by it alike.
 */
/** The state of a title from which its cost follows, as `Torrent.stats()` has it. */
export interface TitleToPay {
    readonly length: number;
    readonly verified: number;
    /** Base units: the most that the missing pieces can cost at `maxPricePerGB`. */
    readonly maxCost: bigint;
    readonly maxPricePerGB: bigint;
    readonly peers: readonly {
        readonly buying: {
            readonly pricePerGB: bigint | null;
        };
    }[];
}
/**
 * The most that the rest of a title can cost at its sellers' prices: at the highest price that one of them asks and
 * that is within `ceiling` (default: the title's own limit), in base units. Where no such price is known, at the
 * ceiling. `heard` is a price that was named by a peer that is not in the list.
 */
export declare function titleCost(title: TitleToPay, ceiling?: bigint, heard?: bigint | null): bigint;
/** What a deposit is proposed for. Amounts are base units of the token. */
export interface DepositWish {
    /** The sum that the deposit must be able to pay, see {@link titleCost}. */
    cost: bigint;
    /** The token's. */
    decimals: number;
    /** The slice that is promised at once, see `PaymentOptions.tranche`. Default: 0.01 of a token, or ten units. */
    tranche?: bigint;
    /** The least sum that the site proposes. */
    least?: bigint | null;
    /** The most that the site proposes. */
    most?: bigint | null;
    /** So many times what is enough, for more titles than one. Default 1. */
    times?: bigint;
}
/** A deposit and the bond that goes with it, for `Client.deposit`. Amounts are base units of the token. */
export interface ProposedDeposit {
    readonly amount: bigint;
    readonly bond: bigint;
    /** It pays all that the wish names; false: the site's most is below that. */
    readonly isEnough: boolean;
}
/**
 * The deposit to propose: the cost and 5 % or four slices more, rounded up to two significant digits; at least ten
 * slices and the site's least, at most the site's most. The bond is 125 % of it, the least that sellers accept by
 * default, rounded up alike.
 */
export declare function proposedDeposit(wish: DepositWish): ProposedDeposit;
/** What the bond is for, that it comes back, and when it does not. */
export declare const BOND_EXPLAINED: string;

// ---- player
import { Client, type Eip1193Provider, type Torrent } from "./index.js";
/** On a server, where pages are made ahead, there are no elements, and the module may be loaded all the same. */
declare const Base: typeof HTMLElement;
/**
 * `<piecework-player src|magnet|torrent="...">`: plays the largest file of a torrent that looks playable by its name,
 * else the largest.
 *
 * The attributes stand in docs/page.md: the title (`src`, `magnet`, `torrent`), what a video takes (`poster`, `muted`,
 * `loop`, `autoplay`, `crossorigin`; `controls="none"` for a page with controls of its own), uploading (`consent`,
 * `upload-agreed`, `upload-limit`, `seed-library`), the network (`trackers`, `web-seeds`, `ice-servers`), `keep`,
 * payments, `engine`, and where the package's files are (`worker-url`, `wasm-url`, `service-worker-url`). `<track>`
 * children are the video's, and so are the torrent's `.vtt` files that are named as the film is. A page that has a
 * client of its own sets the property `client` before the element is connected.
 *
 * Events, none of which bubbles: those of the video but `error`; `torrent` (its `detail` is the {@link Torrent}, which
 * is ready), `done` (all that was wanted is here), `paymentneeded` (`{ pricePerGB, cost, reason }`, in base units;
 * the element shows its offer), `pricetoohigh` (`{ pricePerGB, maxPricePerGB, cost }`, in base units: every price
 * that is asked is above the page's limit, and nothing is offered), `funded` (a deposit pays for the title), `warning`
 * (a sentence) and `error` (the error; the element shows its message).
 *
 * The element says that watching uploads, with a switch, and uploads nothing before the visitor presses play (or, with
 * `autoplay`, sets the switch), unless `upload-agreed` says that the page has asked. With `consent` it asks, and plays
 * without uploading until it has an answer, which it keeps for the site. A client of the page's own uploads as the page
 * says. The element asks for a deposit only by a button. When its source changes or it leaves the page, the
 * torrent that it played is fetched, paid and served no longer, unless another user of the client uses it; the data
 * stays. The element reports an error once, to a screen reader too. It does not report numbers that change all the
 * time.
 */
export declare class PieceworkPlayer extends Base {
    #private;
    static readonly observedAttributes: readonly string[];
    /** Use this client instead of one made from the attributes. */
    client: Client | null;
    /** Pay by this wallet, which the page connected itself, instead of one that announces itself in the page. */
    provider: Eip1193Provider | null;
    /** The torrent that plays, or is about to; null where there is none, or while the element looks for it. */
    torrent: Torrent | null;
    constructor();
    /** The video element inside, with its time, volume and tracks. */
    get video(): HTMLVideoElement;
    /** Plays, as the video does. */
    play(): Promise<void>;
    /** Pauses, as the video does. */
    pause(): void;
}
declare global {
    interface HTMLElementTagNameMap {
        "piecework-player": PieceworkPlayer;
    }
}
export {};

// ---- streams
import type { Torrent } from "./torrent.js";
/** As much of a torrent as a player of a stream needs. */
export type Streamed = Pick<Torrent, "infoHash" | "fetch">;
/** Addresses are `piecework://INFOHASH/path/in/the/torrent`; a relative one in a playlist leads to the same torrent. */
export declare const SCHEME = "piecework";
/** Bytes of one answer; a larger one is refused, because players hold a segment in memory as a whole. */
export declare const MAX_ANSWER: number;
/** An address that is not answered, or an answer that broke off. */
export declare class Unanswered extends Error {
    /** As a web server would say it: players try 0 again while the browser is offline, so an address elsewhere is 403. */
    readonly status: number;
    constructor(status: number, message: string);
}
/**
 * The address of a torrent's file for a player: `path` is as `torrent.fetch` takes it, plain, with `/` between its
 * parts.
 *
 * @throws RangeError for a path that leads out of the torrent, or nowhere.
 */
export declare function urlOf(torrent: Pick<Torrent, "infoHash">, path: string): string;
/** The info hash that an address names; null if it is no address of a torrent's file. */
export declare function hashIn(url: string): string | null;
/** The path that an address of this torrent names, without query and fragment. */
export declare function pathIn({ infoHash }: Pick<Torrent, "infoHash">, url: string): string;
/** What is asked beside the address. */
export interface Asking {
    readonly method?: string | undefined;
    readonly headers: Record<string, string>;
    readonly signal: AbortSignal;
}
/** The answer to an address, and the bytes of its body. Nothing is fetched or paid before the body is read. */
export declare function answer(torrent: Streamed, url: string, { method, headers, signal }: Asking): Promise<{
    response: Response;
    length: number;
}>;
/** The body's chunks as they come, each of verified bytes. Who stops early ends the fetching. */
export declare function chunksIn({ body }: Response): AsyncGenerator<Uint8Array<ArrayBuffer>, void, undefined>;
/** Chunks as one buffer. */
export declare function joined(chunks: readonly Uint8Array<ArrayBuffer>[]): ArrayBuffer;

// ---- hls
/**
 * HLS out of a torrent, played by hls.js. A script of its own: a page that plays none does not load it.
 *
 * ```js
 * import Hls from "hls.js";
 * import { settings, urlOf } from "piecework/hls";
 *
 * const torrent = await client.add(magnet, { onDemand: true });
 * const hls = new Hls(settings(torrent));
 * hls.loadSource(urlOf(torrent, "master.m3u8"));
 * hls.attachMedia(video);
 * ```
 */
import type { HlsConfig } from "hls.js";
import { type Streamed } from "./streams.js";
export { type Streamed, urlOf } from "./streams.js";
/**
 * What hls.js is told so that a viewer pays for what is watched: {@link piecework} as its loader, `ahead` seconds of
 * the stream fetched ahead of the picture (30 if not said), and no segment fetched for a measurement alone. By itself
 * hls.js fetches up to 60 MB ahead. No load ends because it takes long: hls.js would ask the same peers again, and give
 * up after a while. Spread it to add settings of your own.
 */
export declare function settings(torrent: Streamed, { ahead }?: {
    ahead?: number;
}): Partial<HlsConfig>;
/**
 * The class that hls.js takes as `loader`, without the other {@link settings}: everything that hls.js loads comes out
 * of this torrent, and an address that leads elsewhere is refused. Begin with an address of {@link urlOf}.
 *
 * hls.js decides what is fetched, and so what is bought: the segments that it loads, and of the torrent's pieces all
 * that these lie in.
 */
export declare function piecework(torrent: Streamed): HlsConfig["loader"];

// ---- shaka
/**
 * DASH and HLS out of a torrent, played by Shaka Player. A script of its own: a page that plays none does not load it.
 *
 * ```js
 * import shaka from "shaka-player";
 * import { piecework, settings, urlOf } from "piecework/shaka";
 *
 * const torrent = await client.add(magnet, { onDemand: true });
 * const player = new shaka.Player();
 * await player.attach(video);
 * player.configure(settings());
 * piecework(shaka, player, torrent);
 * await player.load(urlOf(torrent, "manifest.mpd"));
 * ```
 */
import { type Streamed } from "./streams.js";
export { type Streamed, urlOf } from "./streams.js";
/** A request of Shaka's, as far as it is answered here. */
export interface ShakaRequest {
    readonly uris: readonly string[];
    readonly method: string;
    readonly headers: Record<string, string>;
    readonly retryParameters: {
        readonly timeout: number;
    };
    readonly streamDataCallback: ((data: BufferSource) => Promise<unknown>) | null;
}
/** What Shaka calls a request filter. */
export type ShakaFilter = (type: number, request: ShakaRequest) => void;
/** `shaka.Player`, as far as it is used here. */
export interface ShakaPlayer {
    getNetworkingEngine(): {
        registerRequestFilter(filter: ShakaFilter): void;
        unregisterRequestFilter(filter: ShakaFilter): void;
    } | null;
}
/** The namespace `shaka`, as far as it is used here: the module's default export, of any of its builds. */
export interface Shaka {
    readonly net: {
        readonly NetworkingEngine: {
            registerScheme(scheme: string, plugin: unknown, priority?: number, progressSupport?: boolean): void;
        };
    };
    readonly util: {
        readonly AbortableOperation: new (promise: Promise<never>, onAbort: () => Promise<never>) => object;
        readonly Error: (new (severity: number, category: number, code: number, ...data: never[]) => object) & {
            readonly Severity: {
                readonly RECOVERABLE: number;
                readonly CRITICAL: number;
            };
            readonly Category: {
                readonly NETWORK: number;
            };
            readonly Code: {
                readonly BAD_HTTP_STATUS: number;
                readonly HTTP_ERROR: number;
                readonly TIMEOUT: number;
                readonly OPERATION_ABORTED: number;
            };
        };
    };
}
/** What {@link piecework} may be told. */
export interface ShakaOptions {
    /**
     * Whether the player may ask this address, which lies in no torrent: a licence server of the site's own, say.
     * Default: none but `data:`.
     */
    allow?: (url: string) => boolean;
}
/** What {@link settings} sets of Shaka's configuration. */
export interface ShakaSettings {
    readonly streaming: {
        readonly bufferingGoal: number;
        readonly segmentPrefetchLimit: number;
        readonly retryParameters: ShakaLimits;
    };
    readonly manifest: {
        readonly hls: {
            readonly disableClosedCaptionsDetection: boolean;
        };
        readonly retryParameters: ShakaLimits;
    };
}
/** Milliseconds; 0 is no limit. */
export interface ShakaLimits {
    readonly timeout: number;
    readonly connectionTimeout: number;
    readonly stallTimeout: number;
}
/**
 * What Shaka is told, by `player.configure`, so that a viewer pays for what is watched: `ahead` seconds of the stream
 * are fetched ahead of the picture (30 if not said), and no segment only to find captions in it. By itself Shaka loads
 * three segments of an HLS stream for that; captions that the playlist names are shown in any case. No load ends
 * because it takes long: Shaka would ask the same peers again, and give up after a while.
 */
export declare function settings({ ahead }?: {
    ahead?: number;
}): ShakaSettings;
/**
 * Lets this player load from the torrent, by addresses of {@link urlOf}, and from nowhere else: what a manifest out of
 * a torrent names is a stranger's word. The answer undoes it.
 *
 * Shaka decides what is fetched, and so what is bought: the segments that it loads, and of the torrent's pieces all
 * that these lie in. See {@link settings}.
 */
export declare function piecework(shaka: Shaka, player: ShakaPlayer, torrent: Streamed, { allow }?: ShakaOptions): () => void;
