/**
 * The one module that knows the peer of the package `piecework`. Every view works through it, with plain data and
 * promises. Other modules use only the package's amounts, which are text and numbers.
 *
 * It uploads nothing until `setSharing` says so, fetches nothing of a title that is neither played nor read nor kept,
 * and asks no wallet on its own.
 */

import {
  Client,
  PieceworkRejectedError,
  PieceworkUnsupportedError,
  formatAmount,
  historyCSV,
  type AccountInfo,
  type PaymentOptions,
  type RecoverableDeposit,
  type RedemptionCost,
  type Torrent,
  type TorrentStats,
  type WalletInfo,
  whyNotBought,
} from "piecework";
import type { TitleCard } from "piecework/title";
import type { Config } from "./config.ts";
import { Memory } from "./memory.ts";
import type { ClientLook, HistoryLine, Look, Sharing, Stored } from "./model.ts";

export { PieceworkRejectedError as Rejected };
export type { WalletInfo };

/** This browser or this way of opening the page lacks something. */
export class Unsupported extends Error {
  /** Full sentences: the missing feature, and the way out. */
  readonly lines: string[];

  constructor(lines: string[]) {
    super(lines.join(" "));
    this.lines = lines;
  }
}

/** The visitor changed the mind. */
export class Cancelled extends Error {}

/** A title to open. */
export type Source = { magnet: string } | { torrent: Uint8Array } | { stored: string };

/** An event of the engine. `infoHash` is `null` if it concerns all titles. */
export interface Notice {
  kind: "warning" | "error" | "payment" | "done" | "stopped";
  infoHash: string | null;
  text: string;
}

/** A deposit in the vault. Amounts are token units. */
export interface Deposit {
  key: string;
  balance: bigint;
  bond: bigint;
  /** Unix seconds from which it can be withdrawn; `null`: nobody asked for it. */
  exitAt: number | null;
  /** It is the one this browser pays from. */
  current: boolean;
}

/** One title. */
export class Title {
  readonly infoHash: string;
  /** Token units per GB that somebody asked for before any peer is in the list. */
  priceHint: bigint | null = null;
  readonly #torrent: Torrent;
  readonly #memory: Memory;
  /** For its magnet link: the site's and those it came with, never those of other titles, which may be private. */
  readonly #trackers: Set<string>;

  constructor(torrent: Torrent, memory: Memory, trackers: string[]) {
    this.infoHash = torrent.infoHash;
    this.#torrent = torrent;
    this.#memory = memory;
    this.#trackers = new Set(trackers);
    torrent.on("paymentneeded", ({ pricePerGB }) => (this.priceHint = pricePerGB));
  }

  /** How it stands. */
  async look(): Promise<Look> {
    const { state, maxPricePerGB, ...stats } = await this.#torrent.stats();
    const files = this.#torrent.files.map((file) => ({
      path: file.path.join("/"),
      length: file.length,
      selected: file.selected,
    }));
    if (stats.length > 0)
      this.#memory.remember({
        infoHash: this.infoHash,
        name: stats.name,
        length: stats.length,
        verified: stats.verified,
        trackers: [...this.#trackers],
      });
    return {
      ...stats,
      phase: state,
      files,
      maxPerGB: maxPricePerGB,
      peers: [...stats.peers],
      webSeeds: [...stats.webSeeds],
    };
  }

  /** Why nothing of it is bought, by what its publisher signed; `null`: that is no reason. */
  get whyNotBought(): string | null {
    return whyNotBought(this.#torrent);
  }

  /** Who published it, as a part of the page. The code for it is loaded when it is asked for first. */
  async card(): Promise<TitleCard> {
    const { TitleCard } = await import("piecework/title");
    return new TitleCard(this.#torrent);
  }

  /** Fetches all of it (true), or only the parts that are watched. */
  keep(whole: boolean): Promise<void> {
    return this.#torrent.keep(whole);
  }

  /** Fetches a file of it, or leaves it out, at later visits too. */
  async select(file: number, selected: boolean): Promise<void> {
    const found = this.#torrent.files[file];
    await (selected ? found?.select() : found?.deselect());
  }

  /** Plays a file of it. */
  async playInto(file: number, video: HTMLVideoElement): Promise<void> {
    const found = this.#torrent.files[file];
    if (!found) throw new Error("This title has no such file.");
    await found.streamTo(video);
  }

  /** Writes a file of it to a place that the visitor chooses, fetching the missing pieces. Throws {@link Cancelled}. */
  async save(file: number): Promise<void> {
    const found = this.#torrent.files[file];
    if (!found) throw new Error("This title has no such file.");
    // Where the browser lets a page write to disk, nothing is held in memory.
    const { showSaveFilePicker: pick } = globalThis as {
      showSaveFilePicker?: (options: {
        suggestedName: string;
      }) => Promise<{ createWritable(): Promise<WritableStream> }>;
    };
    if (pick) {
      const target = await pick({ suggestedName: found.name }).catch((error: unknown) => {
        throw error instanceof DOMException && error.name === "AbortError" ? new Cancelled() : error;
      });
      await found.stream().pipeTo(await target.createWritable());
      return;
    }
    const url = URL.createObjectURL(await found.blob());
    Object.assign(document.createElement("a"), { href: url, download: found.name }).click();
    setTimeout(() => URL.revokeObjectURL(url), 60_000);
  }

  pause(): Promise<void> {
    return this.#torrent.pause();
  }

  resume(): Promise<void> {
    return this.#torrent.resume();
  }

  /** It was opened again, by a link or file that names these. */
  alsoAt(trackers: string[]): void {
    for (const url of trackers) this.#trackers.add(url);
  }

  /** The link that opens this title elsewhere (BEP 9). */
  magnet(): string {
    const parts = [`xt=urn:btih:${this.infoHash}`];
    if (this.#torrent.name) parts.push(`dn=${encodeURIComponent(this.#torrent.name)}`);
    if (this.#torrent.title) parts.push(`pw.by=${this.#torrent.title.publisher}`);
    for (const tracker of this.#trackers) parts.push(`tr=${encodeURIComponent(tracker)}`);
    return `magnet:?${parts.join("&")}`;
  }
}

/** The peer of this page. */
export class Engine {
  /** The package's own object, for the console and for tests. */
  readonly client: Client;
  /** Listens to the engine's events. */
  onNotice: (notice: Notice) => void = () => undefined;
  /** The visitor's decision about uploading; off until then. */
  sharing: Sharing = { on: false, cap: null };
  /** The proposal before the visitor decides. */
  sharingWish: Sharing;
  /** The connected wallet. */
  connected: { id: string; account: string } | null = null;

  readonly #config: Config;
  readonly #titles = new Map<string, Title>();
  readonly #memory: Memory;
  #wallets: WalletInfo[] = [];
  #recoverable = new Map<string, RecoverableDeposit>();

  private constructor(config: Config, client: Client) {
    this.#config = config;
    this.client = client;
    this.#memory = new Memory(
      config.payment ? `${config.payment.chainId} ${config.payment.vault.toLowerCase()}` : "free",
    );
    this.sharingWish = { on: true, cap: config.uploadLimit };
    client.on("warning", ({ text, torrent }) => this.#say("warning", torrent, text));
    client.on("error", ({ error, torrent }) => this.#say(torrent ? "error" : "stopped", torrent, error.message));
    client.on("payment", ({ text, torrent }) => this.#say("payment", torrent, text));
    client.on("wallet", ({ address }) => {
      if (address === null) this.connected = null;
    });
    this.findWallets();
  }

  /** Starts the peer. Throws {@link Unsupported} if this browser cannot run it. */
  static start(config: Config, bridge: boolean): Engine {
    const lacking = Client.missing();
    if (lacking.length > 0) throw new Unsupported(lacking.map((feature) => feature.text));
    try {
      return new Engine(
        config,
        new Client({
          trackers: config.trackers,
          ...(config.iceServers === null ? {} : { iceServers: config.iceServers }),
          relayOnly: config.relayOnly,
          // Nothing goes up before the page has told the visitor.
          uploadLimit: 0,
          ...(config.maxConnections === null ? {} : { maxConnections: config.maxConnections }),
          ...(config.payment ? { payments: payments(config.payment) } : {}),
          bridge,
        }),
      );
    } catch (error) {
      if (error instanceof PieceworkUnsupportedError)
        throw new Unsupported(error.missing.map((feature) => feature.text));
      throw error;
    }
  }

  /** How everything stands. */
  async look(): Promise<ClientLook> {
    const { money, ...stats } = await this.client.stats();
    if (this.#wallets.length === 0 && this.#config.payment) this.findWallets();
    // Without a budget the deposit is the limit.
    const all = money.spent + money.free + money.locked;
    const own = { ...money, budget: money.budget < all ? money.budget : all };
    return { ...stats, trackers: [...stats.trackers], money: this.#config.payment ? own : null };
  }

  /** Opens a title without fetching any of it. */
  async open(source: Source): Promise<Title> {
    const from = "magnet" in source ? source.magnet : "torrent" in source ? source.torrent : source.stored;
    if ("stored" in source) {
      const known = this.#titles.get(source.stored);
      if (known) return known;
      if (!(await this.client.stored()).includes(source.stored)) throw new Error("Nothing of it is on this device.");
    }
    return this.#titleOf(await this.client.add(from, { onDemand: true }), trackersIn(source));
  }

  #titleOf(torrent: Torrent, trackers: string[]): Title {
    let title = this.#titles.get(torrent.infoHash);
    if (!title) {
      title = new Title(torrent, this.#memory, [
        ...this.#config.trackers,
        ...this.#memory.title(torrent.infoHash).trackers,
      ]);
      this.#titles.set(torrent.infoHash, title);
      torrent.on("done", () => this.#say("done", torrent, ""));
    }
    title.alsoAt(trackers);
    return title;
  }

  /**
   * Makes a title of files and keeps it here; token units per GB, 0 gives it away. It goes up only as `setSharing`
   * says.
   */
  async share(files: File[], pricePerGB: bigint): Promise<Title> {
    const torrent = await this.client.seed(files, {
      trackers: this.#config.trackers,
      ...(this.#config.payment ? { sellPricePerGB: this.client.format(pricePerGB) } : {}),
    });
    return this.#titleOf(torrent, []);
  }

  /** The titles on this device. */
  async stored(): Promise<Stored[]> {
    const hashes = await this.client.stored();
    return [...new Set([...this.#titles.keys(), ...hashes])].map((infoHash) => this.#memory.title(infoHash));
  }

  /** Deletes a title and its data. */
  async remove(infoHash: string): Promise<void> {
    const torrent =
      this.client.torrents.find((one) => one.infoHash === infoHash) ??
      (await this.client.add(infoHash, { onDemand: true }));
    await torrent.remove({ deleteData: true });
    this.#titles.delete(infoHash);
    this.#memory.forget(infoHash);
  }

  /** What was bought, sold and redeemed, the newest first. */
  history(): Promise<HistoryLine[]> {
    return this.client.history();
  }

  /** The same as a table for a spreadsheet. */
  async historyCSV(): Promise<string> {
    const token = this.#config.payment?.token ?? { decimals: 0, symbol: "" };
    return historyCSV(await this.client.history(), token);
  }

  /** Deletes the history for ever. */
  clearHistory(): Promise<void> {
    return this.client.clearHistory();
  }

  /** A visitor who shared before shares from the start of this visit. */
  async shareAsBefore(): Promise<void> {
    const before = this.#memory.sharing;
    if (before === null) return;
    this.sharingWish = before;
    if (before.on) await this.setSharing(before);
  }

  /** Every title on this device is served from now on, once in a visit. */
  #seedLibrary(): void {
    this.#seeding ??= this.client.seedLibrary().then(
      (torrents) => torrents.length,
      () => {
        this.#seeding = null;
        return 0;
      },
    );
  }

  #seeding: Promise<number> | null = null;

  /** Uploading on or off, and how fast. */
  async setSharing(sharing: Sharing): Promise<void> {
    await this.client.setUploadLimit(!sharing.on ? 0 : sharing.cap === null ? null : sharing.cap * 1000);
    this.sharing = sharing;
    this.sharingWish = sharing;
    this.#memory.sharing = sharing;
    if (sharing.on) this.#seedLibrary();
  }

  /** Sets the most that may be paid for a title per GB, and the most that may be spent from now on; token units. */
  async setLimits(title: Title, limits: { ceiling: bigint; budget: bigint }): Promise<void> {
    const { money } = await this.client.stats();
    await this.client.setBudget(this.client.format(money.spent + limits.budget));
    const torrent = this.client.torrents.find((one) => one.infoHash === title.infoHash);
    await torrent?.setMaxPricePerGB(this.client.format(limits.ceiling));
  }

  /** The page fetches only the free offers of this title, whatever deposit there is. */
  async takeOnlyFree(title: Title): Promise<void> {
    const torrent = this.client.torrents.find((one) => one.infoHash === title.infoHash);
    await torrent?.setMaxPricePerGB(this.client.format(0n));
  }

  /** The wallets of this page that announced themselves last. */
  wallets(): WalletInfo[] {
    return this.#wallets;
  }

  /** Listens for wallets again; asks none of them anything. */
  findWallets(): void {
    void this.client.wallets().then((wallets) => (this.#wallets = wallets));
  }

  /** Connects a wallet: a prompt, the first time. */
  async connect(id: string): Promise<void> {
    if (this.connected?.id === id) return;
    const account = await this.client.connectWallet(id);
    this.connected = { id, account };
  }

  /** Deposits from the connected wallet; token units. */
  async deposit(amount: bigint, bond: bigint): Promise<void> {
    const account = await this.client.deposit({ amount: this.client.format(amount), bond: this.client.format(bond) });
    this.#memory.exitAt = unixSeconds(account.exitAt);
  }

  /** Redeems everything that pays, in several transactions if need be. Gives token units. */
  redeem(): Promise<{ paid: bigint; batches: number }> {
    return this.client.redeem();
  }

  /** What redeeming brings and costs now. */
  redemptionCost(): Promise<RedemptionCost> {
    return this.client.redemptionCost();
  }

  /** What the connected wallet is credited with as a creator and has not claimed, in token units. */
  credit(): Promise<bigint> {
    return this.client.credit();
  }

  /** Sends the connected wallet its credit; gives the sum. */
  claimCredit(): Promise<bigint> {
    return this.client.claimCredit();
  }

  /** The slice of a deposit that is made now, in token units. */
  get depositSlice(): bigint {
    return this.client.depositSlice;
  }

  /** Starts the waiting time of a deposit; of this browser's, if none is named. */
  async exit(deposit: Deposit | null): Promise<void> {
    if (deposit) await this.#recoverable.get(deposit.key)?.exit();
    else this.#memory.exitAt = unixSeconds((await this.client.exit()).exitAt);
  }

  /** Takes back a deposit; gives the sum that came back, in token units, if it is known. */
  async withdraw(deposit: Deposit | null): Promise<bigint | null> {
    if (deposit) {
      await this.#recoverable.get(deposit.key)?.withdraw();
      return deposit.balance + deposit.bond;
    }
    const { balance, bond } = await this.client.account();
    await this.client.withdraw();
    this.#memory.exitAt = null;
    return balance + bond;
  }

  /** Every deposit of the connected wallet that still holds something. */
  async recoverDeposits(): Promise<Deposit[]> {
    const found = (await this.client.recoverDeposits()).filter((deposit) => !deposit.withdrawn);
    this.#recoverable = new Map(found.map((deposit) => [deposit.sessionKey, deposit]));
    const own = await this.client.account();
    return found.map((deposit) => plain(deposit, deposit.sessionKey.toLowerCase() === own.sessionKey.toLowerCase()));
  }

  /** This browser's deposit: read from the chain through the connected wallet, else from the page's memory. */
  async ownDeposit(): Promise<Deposit | { exitAt: number | null; bond?: undefined } | null> {
    if (!this.connected) return { exitAt: this.#memory.exitAt };
    const account = await this.client.account();
    if (!account.known || account.withdrawn) return null;
    this.#memory.exitAt = unixSeconds(account.exitAt);
    return plain(account, true);
  }

  #say(kind: Notice["kind"], torrent: Torrent | null, text: string): void {
    this.onNotice({ kind, infoHash: torrent?.infoHash ?? null, text });
  }
}

/** The trackers that a page can reach (ws://, wss://) among those a magnet link or .torrent file names. */
export function trackersIn(source: Source): string[] {
  if ("magnet" in source)
    return new URLSearchParams(source.magnet.replace(/^magnet:\?/i, ""))
      .getAll("tr")
      .filter((url) => /^wss?:\/\//i.test(url));
  if (!("torrent" in source)) return [];
  // BEP 3 sorts keys: `announce` and `announce-list` come before `info`. Each URL is a string of the length before its
  // colon.
  const [head = ""] = new TextDecoder("latin1").decode(source.torrent).split("4:infod", 1);
  return [...head.matchAll(/(\d{1,4}):(?=wss?:\/\/)/g)].map((found) =>
    head.slice(found.index + found[0].length, found.index + found[0].length + Number(found[1])),
  );
}

function payments(setup: NonNullable<Config["payment"]>): PaymentOptions {
  const decimal = (units: bigint): string => formatAmount(units, setup.token.decimals);
  return {
    vault: setup.vault,
    chainId: setup.chainId,
    ...(setup.chainParams
      ? { chainParams: setup.chainParams as unknown as NonNullable<PaymentOptions["chainParams"]> }
      : {}),
    ...(setup.rpcUrl ? { rpcUrl: setup.rpcUrl } : {}),
    token: setup.token,
    maxPricePerGB: decimal(setup.maxPerGB),
    ...(setup.budget === null ? {} : { budget: decimal(setup.budget) }),
    deployBlock: setup.deployBlock,
    ...(setup.registry ? { registry: setup.registry } : {}),
    resellPercent: setup.resellPercent,
    ...(setup.minRedeem === null ? {} : { minRedeem: decimal(setup.minRedeem) }),
    ...(setup.coinPrice === null ? {} : { coinPrice: setup.coinPrice }),
    maxGasPercent: setup.maxGasPercent,
  };
}

function plain(account: AccountInfo, current: boolean): Deposit {
  return {
    key: account.sessionKey,
    balance: account.balance,
    bond: account.bond,
    exitAt: unixSeconds(account.exitAt),
    current,
  };
}

function unixSeconds(date: Date | null): number | null {
  return date === null ? null : Math.floor(date.getTime() / 1000);
}

/** The package's shapes and the views' shapes are the same but for names: this fails to compile when they part. */
export type Checked = TorrentStats["peers"][number] extends Look["peers"][number] ? true : never;
/** The same of web seeds. */
export type CheckedWebSeeds = TorrentStats["webSeeds"][number] extends Look["webSeeds"][number] ? true : never;
