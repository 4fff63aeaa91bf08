import { abortable } from "./aborting.js";
import { Emitter } from "./emitter.js";
import { PieceworkError, PieceworkUnsupportedError, missing } from "./errors.js";
import { refuse, renamed } from "./habits.js";
import type { HistoryEntry, Receipts } from "./history.js";
import { defaultIceServers } from "./ice.js";
import type { PaymentLack } from "./lack.js";
import { isIterable, type Refusal } from "./kinds.js";
import { Fresh } from "./live.js";
import { filesOf, iceServersOf, trackersOf, webSeedsOf } from "./lists.js";
import { PAYS, Paying, wallets } from "./paying.js";
import type { AccountInfo, Decimal, PaymentOptions, Payments, RecoverableDeposit } from "./payments.js";
import type { EngineConfig, FromEngine, Hello } from "./protocol.js";
import type { Way } from "./provider.js";
import { hashIn, recognise, type FileSource, type Recognised, type TorrentSource } from "./source.js";
import type { PublishOptions, PublishedTorrent, Titles } from "./titles.js";
import { Torrent } from "./torrent.js";
import type { Wishes } from "./torrent_host.js";
import { bondFor, floorFine } from "./units.js";
import { wayBy, type EngineChoice } from "./way.js";
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
  readonly trackers: readonly { readonly url: string; readonly connected: boolean; readonly error: string | null }[];
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
  warning: { readonly text: string; readonly torrent: Torrent | null };
  error: { readonly error: Error; readonly torrent: Torrent | null };
  /** A line for the payment log. */
  payment: { readonly text: string; readonly torrent: Torrent | null };
  /**
   * A peer asks for money and no account covers it: offer a deposit. `pricePerGB` is in base units. The event comes
   * again when an account that covered it does so no longer: `reason` says why.
   */
  paymentneeded: { readonly torrent: Torrent; readonly pricePerGB: bigint; readonly reason: PaymentLack };
  /** The connected account, or null. */
  wallet: { readonly address: string | null };
}

const DEFAULT_UPLOAD = 2_500_000;

/**
 * A BitTorrent peer for this page.
 *
 * One engine runs per origin and vault; clients in several tabs share it. Nothing asks the wallet for anything
 * before `connectWallet`, `deposit`, `redeem`, `exit`, `withdraw` or `recoverDeposits` is called: call
 * them from a click.
 */
export class Client extends Emitter<ClientEvents> {
  readonly #link: Way;
  readonly #payments: Paying | null;
  /** By info hash: how many adds of each were not given back. */
  readonly #torrents = new Map<string, { torrent: Torrent; wishes: Wishes; uses: number }>();
  /** Adds that are not counted yet. */
  readonly #adding = new Set<Promise<unknown>>();
  readonly #trackers: readonly string[];
  readonly #rates = new Fresh<ClientStats>(() => this.stats());
  #uploadLimit: number | null;
  #hello: Hello | null = null;

  /** The features that this browser or page lacks; empty if a client can be made. */
  static missing = missing;

  /** @throws PieceworkUnsupportedError naming everything that is missing, and what to do. */
  constructor(options: ClientOptions = {}) {
    super();
    const lacking = missing();
    if (lacking.length > 0 && !(options.engine instanceof MessagePort)) throw new PieceworkUnsupportedError(lacking);
    renamed(options);
    this.#trackers = trackersOf(options.trackers);
    const iceServers = iceServersOf(options.iceServers) ?? defaultIceServers();
    this.#uploadLimit = limit("uploadLimit", options.uploadLimit === undefined ? DEFAULT_UPLOAD : options.uploadLimit);
    this.#payments = options.payments
      ? new Paying(options.payments, {
          request: (t, fields) => this.#link.request(t, fields),
          tell: (message) => this.#link.tell(message),
          walletChanged: (address) => this.emit("wallet", { address }),
          say: (text) => this.emit("payment", { text, torrent: null }),
          isHost: () => this.#link.isHost,
        })
      : null;
    const page = (url: string | URL) => new URL(url, document.baseURI);
    this.#link = wayBy(
      options.engine ?? "auto",
      {
        config: {
          trackers: [...this.#trackers],
          useTorrentTrackers: options.useTorrentTrackers ?? true,
          useTorrentWebSeeds: options.useTorrentWebSeeds ?? true,
          webSeedsAlways: options.webSeedUse === "always",
          ...connections(options.maxConnections),
          uploadLimit: this.#uploadLimit,
          downloadLimit: limit("downloadLimit", options.downloadLimit ?? null),
          storageLimit: limit("storageLimit", options.storageLimit ?? null),
          payment: this.#payments?.terms.engineConfig() ?? null,
        },
        broker: {
          iceServers,
          relayOnly: options.relayOnly ?? false,
          bridge: options.bridge ?? new URLSearchParams(location.search).get("bridge") === "1",
        },
        shared: shared(options),
        worker: options.workerUrl ? page(options.workerUrl) : new URL("./worker.js", import.meta.url),
        wasm: options.wasmUrl ? page(options.wasmUrl) : new URL("./piecework_bg.wasm", import.meta.url),
        rest: options.restUrl
          ? page(options.restUrl)
          : options.wasmUrl
            ? new URL("piecework_rest.wasm", page(options.wasmUrl))
            : new URL("./piecework_rest.wasm", import.meta.url),
        serviceWorker: page(options.serviceWorkerUrl ?? "piecework-sw.js"),
        serviceWorkerScope: options.serviceWorkerScope ? page(options.serviceWorkerScope) : null,
      },
      {
        event: (message) => this.#onEvent(message),
        uses: (hash) => this.#torrents.has(hash),
        reads: (wanted) => this.#torrents.get(wanted.hash)?.torrent.reading(wanted),
        connected: (hello, again) => this.#onConnected(hello, again),
        ethCall: (to, data) =>
          this.#payments?.ethCall(to, data) ?? Promise.reject(new PieceworkError("no wallet is connected")),
        warning: (text) => this.emit("warning", { text, torrent: null }),
        failed: (error) => this.emit("error", { error, torrent: null }),
      },
    );
    addEventListener("online", this.#online);
    addEventListener("offline", this.#online);
  }

  /** The torrents of this client, in the order they were added. */
  get torrents(): Torrent[] {
    return [...this.#torrents.values()].map(({ torrent }) => torrent);
  }

  /**
   * Takes up a magnet link, a .torrent file (its bytes or its address), a parsed torrent, or an info hash (40
   * hexadecimal digits, 32 of base32, or 20 bytes). An info hash alone takes up a torrent that is stored here, with its
   * own trackers, else a torrent to be found by the trackers that are given.
   */
  async add(source: TorrentSource, options: AddOptions = {}, ...callback: []): Promise<Torrent> {
    renamed(options, "add(source)", callback);
    const { signal } = options;
    signal?.throwIfAborted();
    const lists = listsOf(options);
    const fields = await abortable(this.#engineSource(recognise(source), lists.trackers, signal), signal);
    return this.#add(fields, options, lists, options.recheck ? "recheck" : "resume");
  }

  /**
   * The torrent of this client that an info hash, a magnet link or a parsed torrent means; null if there is none. Of a
   * .torrent file look for its `infoHash` in {@link torrents}.
   */
  get(source: string | URL | ArrayBuffer | ArrayBufferView | { readonly infoHash: string }): Torrent | null {
    return this.#torrents.get(hashIn(source) ?? "")?.torrent ?? null;
  }

  /** {@link Torrent.remove} of the torrent that {@link get} gives. */
  async remove(
    source: Parameters<Client["get"]>[0],
    options: { deleteData?: boolean } = {},
    ...callback: []
  ): Promise<void> {
    renamed(options, "remove(source)", callback);
    const torrent = this.get(source);
    if (!torrent) throw new PieceworkError("this client has no such torrent: see client.torrents");
    await torrent.remove(options);
  }

  /** Bytes per second that the engine gets for all torrents. */
  get downloadSpeed(): number {
    return this.#rates.now?.downloadRate ?? 0;
  }

  /** Bytes per second that the engine gives. */
  get uploadSpeed(): number {
    return this.#rates.now?.uploadRate ?? 0;
  }

  /** The verified part of what is selected in all torrents of this client, from 0 to 1; 1 if nothing is. */
  get progress(): number {
    const shares = this.torrents.map(({ share }) => share);
    const [verified, selected] = [0, 1].map((at) => shares.reduce((sum, share) => sum + (share[at] ?? 0), 0));
    return selected ? (verified ?? 0) / selected : 1;
  }

  /** Bytes that went to peers for each that came, over this client's torrents; 0 while none came. */
  get ratio(): number {
    const [uploaded, received] = (["uploaded", "received"] as const).map((key) =>
      this.torrents.reduce((sum, torrent) => sum + torrent[key], 0),
    );
    return received ? (uploaded ?? 0) / received : 0;
  }

  /**
   * Makes a torrent from files and seeds it. Files chosen as a folder keep their paths; a file without a name is called
   * "file 1" and so on. Files that change meanwhile are refused, and so are those of a torrent that is in use and not
   * all here.
   */
  async seed(files: FileSource | Iterable<FileSource>, options: SeedOptions = {}, ...callback: []): Promise<Torrent> {
    renamed(options, "seed(files)", callback);
    const { signal, onProgress: progress } = options;
    signal?.throwIfAborted();
    const lists = listsOf(options);
    // As they are now: a page may empty its list of chosen files meanwhile.
    const given = isIterable(files) && !ArrayBuffer.isView(files) ? [...files] : files;
    const { seedRequest } = await import("./seeding.js");
    const fields = await seedRequest(given, options, lists, refusal);
    const torrent = await this.#link.request<Uint8Array<ArrayBuffer>>("seed", fields, { progress, signal });
    const added = await this.#add({ torrent }, options, lists, "complete");
    added.torrentFile = torrent;
    return added;
  }

  /** Info hashes of torrents stored here by earlier visits, for {@link add}. */
  async stored(): Promise<string[]> {
    return (await this.#link.request<Hello>("hello")).stored;
  }

  /**
   * Takes up every torrent that is stored here and in use nowhere, on demand: what is here of it is served from now on,
   * at its price, and nothing is fetched. Gives those that could be taken up; the others are named by warnings. Call it
   * at the start of a visit, once the visitor agreed to uploading.
   */
  async seedLibrary(): Promise<Torrent[]> {
    const taken: Torrent[] = [];
    for (const hash of (await this.stored()).slice(-MOST_OF_LIBRARY)) {
      if (this.#torrents.has(hash)) continue;
      try {
        taken.push(await this.add(hash, { onDemand: true }));
      } catch (error) {
        const why = error instanceof Error ? error.message : String(error);
        this.emit("warning", { text: `The stored torrent ${hash} could not be taken up: ${why}`, torrent: null });
      }
    }
    return taken;
  }

  /** Everything at a glance. */
  async stats(): Promise<ClientStats> {
    const { money, ...rest } = await this.#link.request<ClientStats & { money: Omit<MoneyStats, "spent"> }>("snapshot");
    const stats = { ...rest, money: { ...money, spent: floorFine(money.spentFine) }, isHost: this.#link.isHost };
    this.#rates.last = stats;
    return stats;
  }

  /** Bytes per second over all torrents; null: no cap; 0: no upload. */
  async setUploadLimit(bytesPerSecond: number | null): Promise<void> {
    const uploadLimit = limit("uploadLimit", bytesPerSecond);
    this.#uploadLimit = uploadLimit;
    await this.#link.setLimits({ uploadLimit });
  }

  /** Bytes per second over all torrents; null: no cap; 0: nothing is fetched. */
  async setDownloadLimit(bytesPerSecond: number | null): Promise<void> {
    await this.#link.setLimits({ downloadLimit: limit("downloadLimit", bytesPerSecond) });
  }

  /** {@link setDownloadLimit} as WebTorrent names it: -1 is no cap. */
  throttleDownload(rate: number): Promise<void> {
    return this.setDownloadLimit(rate === -1 ? null : rate);
  }

  /** {@link setUploadLimit} as WebTorrent names it: -1 is no cap. */
  throttleUpload(rate: number): Promise<void> {
    return this.setUploadLimit(rate === -1 ? null : rate);
  }

  /**
   * Bytes that all torrents may take, see {@link ClientOptions.storageLimit}; null leaves it to the browser's quota.
   */
  async setStorageLimit(bytes: number | null): Promise<void> {
    await this.#link.setLimits({ storageLimit: limit("storageLimit", bytes) });
  }

  #paused: number | null | undefined;

  /** The off switch for uploading; switching it on again brings the cap back. */
  async setUploading(on: boolean): Promise<void> {
    if (!on && this.#paused === undefined) {
      this.#paused = this.#uploadLimit;
      await this.setUploadLimit(0);
    } else if (on && this.#paused !== undefined) {
      const before = this.#paused;
      this.#paused = undefined;
      await this.setUploadLimit(before);
    }
  }

  /** Uploading is on. */
  get uploading(): boolean {
    return this.#uploadLimit !== 0;
  }

  /** The wallets of this page (EIP-6963, else `window.ethereum`). Asks none of them anything. */
  wallets(): Promise<WalletInfo[]> {
    return wallets();
  }

  /**
   * Connects a wallet; call from a click. `wallet` is an id of {@link wallets}, which may be left out where there is
   * one wallet, or a provider of the page's own, as wagmi, viem or WalletConnect make it. `silent` asks only for an
   * account that the wallet shows this site anyway, without a prompt. Answers the account. The provider must do the
   * account's `eth_sendTransaction`; it need not know the chain if {@link PaymentOptions.chainParams} describe it.
   * After the signal aborted, an answer of the wallet connects nothing.
   */
  async connectWallet(
    wallet?: string | WalletChoice,
    options: { silent?: boolean; signal?: AbortSignal | null } = {},
  ): Promise<string> {
    if (!PAYS) return unpaid();
    const { silent } = typeof wallet === "object" ? wallet : options;
    const connects = this.#wallet().then((payments) => payments.connect(wallet, silent ?? false, options.signal));
    return abortable(connects, options.signal);
  }

  /** The connected account, or null. */
  get walletAddress(): string | null {
    return this.#payments?.address ?? null;
  }

  /**
   * Puts money and a bond (default 1.25 times as much) into the vault: one prompt with EIP-5792, else two.
   * Both come back by {@link exit} and {@link withdraw}, less what was spent. With `ifBelow` nothing is deposited where
   * the wallet's account of an earlier visit can pay that much already. The signal ends the waiting, and no
   * prompt comes after it; a prompt that the wallet shows, and a transaction that was sent, are not taken back, and the
   * next call takes up what came of them.
   */
  async deposit({
    amount,
    bond,
    ifBelow,
    signal,
  }: {
    amount: Decimal;
    bond?: Decimal;
    ifBelow?: Decimal;
    signal?: AbortSignal | null;
  }): Promise<AccountInfo> {
    if (!PAYS) return unpaid();
    const { terms } = this.#paying();
    const units = terms.parse(amount);
    const secured = bond === undefined ? bondFor(units) : terms.parse(bond);
    const least = ifBelow === undefined ? null : terms.parse(ifBelow);
    signal?.throwIfAborted();
    return abortable(
      this.#wallet().then((payments) => payments.deposit(units, secured, signal, least)),
      signal,
    );
  }

  /** The connected wallet's account, as the chain has it. */
  async account(): Promise<AccountInfo> {
    if (!PAYS) return unpaid();
    return (await this.#wallet()).account();
  }

  /** Replaces the hard cap on the spending from this deposit account, see {@link PaymentOptions.budget}. */
  async setBudget(total: Decimal): Promise<void> {
    if (!PAYS) return unpaid();
    await this.#link.setBudget(this.#paying().terms.parse(total));
  }

  /**
   * Redeems the earnings to the connected wallet: one transaction for every 128 ranges. `due` leaves out ranges that
   * are not worth their gas; where the site names {@link PaymentOptions.coinPrice}, it sends nothing whose gas costs
   * more than {@link PaymentOptions.maxGasPercent} of what it brings. The signal is as that of {@link deposit}.
   */
  async redeem(
    options: { due?: boolean; signal?: AbortSignal | null } = {},
  ): Promise<{ paid: bigint; batches: number }> {
    if (!PAYS) return unpaid();
    options.signal?.throwIfAborted();
    const redeems = this.#wallet().then((payments) => payments.redeem(options.due ?? false, options.signal));
    return abortable(redeems, options.signal);
  }

  /**
   * What {@link redeem} would bring and cost now. Asks the site's node, else the wallet's, what gas costs, if there is
   * something to redeem.
   */
  async redemptionCost(): Promise<RedemptionCost> {
    if (!PAYS) return unpaid();
    const { money } = await this.stats();
    return (await this.#wallet()).redemptionCost(money.redeemable, money.redeemableRanges);
  }

  /**
   * What an address is credited with in the vault and has not claimed, in base units: a creator's shares of what was
   * redeemed. Default: the connected wallet's. Asks the site's node, else the wallet.
   */
  credit(address: string | null = this.walletAddress): Promise<bigint> {
    return this.#titled((titles) => titles.credit(address));
  }

  /**
   * Sends the connected wallet all that {@link credit} says, and gives the sum. Where nothing is credited it is 0n, and
   * the wallet is asked for nothing. The signal is as that of {@link exit}.
   */
  claimCredit(options: { signal?: AbortSignal | null } = {}): Promise<bigint> {
    return this.#titled((titles) => titles.claim(), options.signal);
  }

  /**
   * Has the connected wallet sign what a torrent is (one prompt), and registers it if that is wished (one transaction).
   * Gives the .torrent file with the title and the link that names its publisher; from then on the torrent is served
   * with its title. Words that were signed before are not signed again. The signal is as that of {@link deposit}.
   */
  publish(torrent: Torrent, options: PublishOptions & { signal?: AbortSignal | null } = {}): Promise<PublishedTorrent> {
    return this.#titled((titles) => titles.publish(torrent, options, this), options.signal);
  }

  /**
   * About what registering a title costs now, in the smallest unit of the chain's coin; null: no node says what gas
   * costs.
   */
  registrationFee(): Promise<bigint | null> {
    return this.#titled((titles) => titles.registrationFee());
  }

  /** The slice of a deposit that is made now, for {@link proposedDeposit}; in base units. */
  get depositSlice(): bigint {
    return this.#paying().slice;
  }

  /**
   * Starts the waiting time after which {@link withdraw} works. It cannot be cancelled: the signal ends the waiting for
   * the transaction alone.
   */
  async exit(options: { signal?: AbortSignal | null } = {}): Promise<AccountInfo> {
    if (!PAYS) return unpaid();
    options.signal?.throwIfAborted();
    return abortable(
      this.#wallet().then((payments) => payments.exit()),
      options.signal,
    );
  }

  /**
   * Takes back the rest of deposit and bond, once the waiting time is over: before that it is refused with the time,
   * and nothing is sent. The signal is as that of {@link exit}.
   */
  async withdraw(options: { signal?: AbortSignal | null } = {}): Promise<void> {
    if (!PAYS) return unpaid();
    options.signal?.throwIfAborted();
    return abortable(
      this.#wallet().then((payments) => payments.withdraw()),
      options.signal,
    );
  }

  /** Every deposit of the connected wallet, also ones whose session key is lost. */
  async recoverDeposits(): Promise<RecoverableDeposit[]> {
    if (!PAYS) return unpaid();
    return (await this.#wallet()).recover();
  }

  /**
   * What was bought, sold, redeemed and paid for gas at this vault, the newest first; also by earlier visits, and for
   * titles that were removed. {@link historyCSV} makes a table of it.
   */
  async history(): Promise<HistoryEntry[]> {
    if (!PAYS) return unpaid();
    const payments = this.#paying();
    return payments.history(await this.#link.request<Receipts>("receipts"));
  }

  /**
   * Deletes the history for ever, and with it what {@link TorrentStats} says of titles' sums. What is owed, held and
   * earned stays as it is.
   */
  async clearHistory(): Promise<void> {
    if (!PAYS) return unpaid();
    this.#paying();
    await this.#link.request("clearReceipts");
  }

  /** Decimal text to base units of the token. */
  parse(amount: Decimal): bigint {
    return this.#paying().terms.parse(amount);
  }

  /** Base units of the token to decimal text. */
  format(units: bigint): string {
    return this.#paying().terms.format(units);
  }

  /** The address that this browser is paid at; null without payments or before the engine runs. */
  get payee(): string | null {
    return this.#hello?.payee ?? null;
  }

  /** Ends this client. If this client runs the engine, the engine says goodbye and makes everything durable first. */
  async destroy(...callback: []): Promise<void> {
    renamed({}, "destroy()", callback);
    removeEventListener("online", this.#online);
    removeEventListener("offline", this.#online);
    this.#payments?.destroy();
    await this.#link.destroy();
  }

  // ------------------------------------------------------------------------------------------

  async #engineSource(
    found: Recognised,
    trackers: string[],
    signal: AbortSignal | null | undefined,
  ): Promise<EngineSource> {
    if ("torrent" in found) return { torrent: found.torrent.slice() };
    if ("file" in found || "url" in found || "parsed" in found)
      return (await import("./loading.js")).loaded(found, signal, refusal);
    if ("magnet" in found || (await this.stored()).includes(found.hash)) return found;
    if (this.#trackers.length === 0 && trackers.length === 0)
      throw new PieceworkError(
        `nothing is stored here of ${found.hash}, and without a tracker nobody is found who has it`,
      );
    return { magnet: `magnet:?xt=urn:btih:${found.hash}` };
  }

  async #add(fields: EngineSource, options: AddOptions, lists: Lists, check: string): Promise<Torrent> {
    const price = (amount: Decimal) => (this.#payments ? this.#payments.terms.price(amount) : 0n);
    const { trackers, webSeeds } = lists;
    // The engine knows whether anything is paid: a page without payments may share a paying one's.
    const onDemand = options.onDemand ?? (check === "complete" ? false : undefined);
    // The engine knows no paths: they are resolved when the files are known, and nothing is fetched before.
    const paths = lists.files?.some((file) => typeof file === "string") ? lists.files : null;
    const wishes: Wishes = { onDemand: paths !== null ? true : onDemand, paused: false, webSeeds };
    const own = {
      ...(options.sellPricePerGB === undefined ? {} : { pricePerBlock: price(options.sellPricePerGB) }),
      ...(options.maxPricePerGB === undefined ? {} : { maxPricePerBlock: price(options.maxPricePerGB) }),
    };
    // From the source that it came from the first time, because the stored bytes may be gone. Its own price is on
    // record.
    let files = paths === null && lists.files ? { files: lists.files } : {};
    const again = (limit: object) =>
      this.#link.request("add", { ...fields, trackers, ...wishes, ...limit, ...files, check: "resume" });
    const request = this.#link.request<string>("add", { ...fields, trackers, ...wishes, ...own, ...files, check });
    const counted = request.then((hash) => this.#count(hash, wishes, own.maxPricePerBlock, trackers, again));
    this.#adding.add(counted);
    const added = counted.finally(() => this.#adding.delete(counted));
    const { signal } = options;
    // The add is given back also where it is answered after the signal.
    const giveUp = () => void added.then(({ torrent }) => torrent.leave(signal?.reason)).catch(() => undefined);
    if (signal?.aborted) giveUp();
    else signal?.addEventListener("abort", giveUp, { once: true });
    const { torrent, uses } = await abortable(added, signal);
    if (signal) torrent.ready.finally(() => signal.removeEventListener("abort", giveUp)).catch(() => undefined);
    this.#payments?.sells(own.pricePerBlock, check === "complete");
    const isMade = check === "complete";
    // The engine looks at what it stored first: then all of it is here.
    if ((isMade || uses === 1) && (await torrent.refresh(isMade))) await abortable(torrent.ready, signal);
    torrent.ready
      .then(async () => {
        files = {}; // on record from here on, with what is chosen later
        if (paths === null) return;
        await torrent.selectOnly(paths);
        const isPaid = async () => (await this.#link.request<Hello>("hello")).vault !== null;
        if (!(onDemand ?? (await isPaid()))) await torrent.wantWhole(true, false);
      })
      .catch((error: Error) => paths !== null && torrent.emit("error", { error }));
    return torrent;
  }

  /** Counts an add that the engine has answered: of a new torrent, or of one that is in use already. */
  #count(
    hash: string,
    wishes: Wishes,
    maxPricePerBlock: bigint | undefined,
    trackers: readonly string[],
    again: (limit: object) => Promise<unknown>,
  ): { torrent: Torrent; uses: number } {
    const limit = this.#link.titleLimit(hash);
    if (maxPricePerBlock !== undefined) this.#link.setTitleLimit(hash, maxPricePerBlock);
    // The engine may not know the limit that another page set.
    else if (limit !== undefined) this.#link.request("maxPrice", { hash, pricePerBlock: limit }).catch(() => undefined);
    const known = this.#torrents.get(hash);
    if (known) {
      // As the engine has it: who wants all of it is not overruled by who wants parts.
      // Who wants all of it is not overruled by who wants parts.
      if (wishes.onDemand !== true && known.wishes.onDemand !== false) known.wishes.onDemand = wishes.onDemand;
      return { torrent: known.torrent, uses: ++known.uses };
    }
    const torrent: Torrent = new Torrent(hash, {
      request: (t, extra) => this.#link.request(t, { ...extra, hash }),
      openStream: (message, port) => this.#link.read({ ...message, hash, t: "stream" }, port),
      plays: (head) => this.#link.tell({ ...head, hash, t: "play" }),
      pays: () => this.#payments !== null,
      streaming: () => this.#link.streaming(),
      wishes,
      fetchesWhole: () => !(wishes.onDemand ?? this.#payments !== null),
      price: (amount) => this.#paying().terms.price(amount),
      limits: (pricePerBlock) => this.#link.setTitleLimit(hash, pricePerBlock),
      sells: (pricePerBlock) => this.#payments?.sells(pricePerBlock, false),
      trackers: [...trackers, ...this.#trackers],
      scope: () => this.#link.scope,
      titled: (use) => this.#titled(use),
      removed: () => {
        if (this.#torrents.delete(hash)) this.emit("remove", torrent);
      },
      left: (reason) => this.#leave(torrent, reason),
      again: async () => {
        const maxPricePerBlock = this.#link.titleLimit(hash);
        await again(maxPricePerBlock === undefined ? {} : { maxPricePerBlock });
        if (wishes.paused) await torrent.pause();
      },
    });
    torrent.once("ready", () => this.emit("torrent", torrent));
    this.#torrents.set(hash, { torrent, wishes, uses: 1 });
    this.emit("add", torrent);
    return { torrent, uses: 1 };
  }

  async #leave(torrent: Torrent, reason?: unknown): Promise<void> {
    const known = this.#torrents.get(torrent.infoHash);
    if (known?.torrent !== torrent || --known.uses > 0) return;
    // An add that is under way may be of the same torrent.
    while (this.#adding.size > 0) await Promise.allSettled(this.#adding);
    if (known.uses > 0 || this.#torrents.get(torrent.infoHash) !== known) return;
    this.#torrents.delete(torrent.infoHash);
    torrent.gone(reason);
    this.emit("remove", torrent);
    await this.#link.request("leave", { hash: torrent.infoHash });
  }

  async #onConnected(hello: Hello, again: boolean): Promise<void> {
    this.#hello = hello;
    this.#payments?.reconnected();
    if (!navigator.onLine) this.#online();
    if (!again) return;
    for (const torrent of this.torrents) await torrent.addAgain();
  }

  #onEvent(message: Extract<FromEngine, { t: "event" }>): void {
    if (message.e === "payment" || message.e === "paymentneeded") this.#payments?.moneyMoves();
    const torrent = message.hash === null ? null : (this.#torrents.get(message.hash)?.torrent ?? null);
    if (message.hash !== null && !torrent) {
      // Another tab's torrents are no concern of this page. An event of a torrent whose add is not answered yet waits
      // for the answer.
      const { hash } = message;
      const added = Promise.allSettled(this.#adding);
      if (this.#adding.size > 0) void added.then(() => this.#torrents.has(hash) && this.#onEvent(message));
      return;
    }
    const text = message.text ?? "";
    torrent?.handle(message);
    switch (message.e) {
      case "warning":
        this.emit("warning", { text, torrent });
        break;
      case "error":
        this.emit("error", { error: new PieceworkError(text), torrent });
        break;
      case "payment":
        this.emit("payment", { text, torrent });
        break;
      case "paymentneeded":
        if (torrent && message.needed) {
          this.emit("paymentneeded", {
            torrent,
            pricePerGB: torrent.priceOf(message.needed.pricePerBlock),
            reason: message.needed.why,
          });
        }
        break;
    }
  }

  readonly #online = (): void => {
    this.#link.tell({ t: "online", v: navigator.onLine });
  };

  /** What a connected wallet is for. */
  #wallet(): Promise<Payments> {
    return this.#paying().wallet();
  }

  /** A use of the titles' script. */
  async #titled<T>(use: (titles: Titles) => Promise<T>, signal?: AbortSignal | null): Promise<T> {
    if (!PAYS) return unpaid();
    signal?.throwIfAborted();
    return abortable(this.#paying().titles().then(use), signal);
  }

  #paying(): Paying {
    if (!this.#payments) throw new PieceworkError("payments are not configured: give `payments` to the client");
    return this.#payments;
  }
}

/** The lists of {@link AddOptions}, checked; the addresses of web seeds are whole. */
type Lists = ReturnType<typeof listsOf>;

function listsOf({ trackers, webSeeds, files }: AddOptions) {
  return { trackers: trackersOf(trackers), webSeeds: webSeedsOf(webSeeds), files: filesOf(files) };
}

type EngineSource = { magnet: string } | { hash: string } | { torrent: Uint8Array };

refuse(Client, "client", { createServer: "file.url" });

/** More would leave the page's peer connections no room for those being made. */
const MOST_CONNECTIONS = 100;

/** Torrents that {@link Client.seedLibrary} takes up: the engine has room for 512. */
const MOST_OF_LIBRARY = 256;

/** Options that the page with the running engine decides for all clients. */
const SHARED = [
  "trackers",
  "useTorrentTrackers",
  "useTorrentWebSeeds",
  "webSeedUse",
  "iceServers",
  "relayOnly",
  "uploadLimit",
  "downloadLimit",
  "maxConnections",
  "storageLimit",
] as const;
const SHARED_PAYMENTS = [
  "rpcUrl",
  "maxPricePerGB",
  "budget",
  "sellPricePerGB",
  "resellPercent",
  "lossPieces",
  "minBondPercent",
  "minRedeem",
  "coinPrice",
  "maxGasPercent",
] as const;

/** Those of them that the page gave. */
function shared(options: ClientOptions): Record<string, unknown> {
  const { payments } = options;
  const all = [
    ...SHARED.map((name) => [name, options[name]]),
    ...(PAYS ? SHARED_PAYMENTS.map((name) => [name, payments?.[name]]) : []),
  ];
  return Object.fromEntries(all.filter(([, value]) => value !== undefined));
}

/** The refusal of the edition that never pays, which has no wallets. */
const unpaid = (): Promise<never> => wallets() as Promise<never>;

const refusal: Refusal = (text) => new PieceworkError(text);

/** Whole bytes; null is no cap. */
function limit(name: string, bytes: number | null): number | null {
  if (bytes === null || bytes === Infinity) return null;
  if (typeof bytes !== "number" || !(bytes >= 0))
    throw new PieceworkError(`${name} must be null or a number of 0 or more`);
  return Math.floor(bytes);
}

function connections(most: number | undefined): Pick<EngineConfig, "maxConnections" | "maxConnectionsPerTorrent"> {
  if (most === undefined) return {};
  if (!Number.isInteger(most) || most < 1 || most > MOST_CONNECTIONS)
    throw new PieceworkError(`maxConnections must be a whole number from 1 to ${MOST_CONNECTIONS}`);
  return { maxConnections: most, maxConnectionsPerTorrent: most };
}
