import { abortable } from "./aborting.js";
import { wholeUrl } from "./blobs.js";
import { Emitter } from "./emitter.js";
import { PieceworkError } from "./errors.js";
import type { FetchOptions } from "./fetching.js";
import type { PaymentLack } from "./lack.js";
import { typeOf } from "./mime.js";
import type { Decimal } from "./payments.js";
import { follow, type Playhead } from "./playhead.js";
import { STREAM_PATH, type FromEngine } from "./protocol.js";
import type { Range } from "./range.js";
import { chunksOf, type ReadOptions } from "./reading.js";
import type { Store } from "./stores.js";
import { ceilFine, floorFine, unitsPerGB } from "./units.js";

/** Where a torrent stands. */
export type TorrentState = "metadata" | "checking" | "downloading" | "seeding" | "paused" | "failed";

/** Money with one peer in one direction. Amounts are base units, `paidFine` 2^-24 of them. */
export interface PeerPaymentStats {
  /** Per 10^9 bytes; null: no price was named. */
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
  readonly swarm: { readonly seeders: number; readonly leechers: number } | null;
}

/** The events of a torrent. */
export interface TorrentEvents {
  /** Name and files are known. */
  ready: Torrent;
  /** Everything that is selected is verified and stored. */
  done: Torrent;
  piece: { readonly piece: number };
  peer: { readonly peer: number };
  peerclosed: { readonly text: string };
  warning: { readonly text: string };
  /** It cannot go on until the user does something. */
  error: { readonly error: Error };
  payment: { readonly text: string };
  paymentneeded: { readonly pricePerGB: bigint; readonly reason: PaymentLack };
}

interface EnginePeerPayment {
  pricePerBlock: bigint | null;
  active: boolean;
  paidFine: bigint;
  blocks: number;
  note: string;
}

/** @internal A torrent as the engine's snapshot has it. */
export interface EngineTorrent
  extends Omit<TorrentStats, "maxPricePerGB" | "sellPricePerGB" | "spent" | "earned" | "maxCost" | "peers"> {
  files: { path: string[]; length: number; priority: FilePriority }[];
  pricePerBlock: bigint;
  maxPricePerBlock: bigint;
  maxCostFine: bigint;
  blockCount: number;
  peers: (Omit<PeerStats, "buying" | "selling"> & { buying: EnginePeerPayment; selling: EnginePeerPayment })[];
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
  removed(): void;
  /** Gives one {@link Client.add} back. */
  left(): Promise<void>;
  again(): Promise<unknown>;
}

/** One torrent of a {@link Client}. */
export class Torrent extends Emitter<TorrentEvents> {
  /** 40 hexadecimal digits. */
  readonly infoHash: string;
  /** Resolves when name and files are known. */
  readonly ready: Promise<Torrent>;
  /** Comes from strangers: show it as text only. Empty until {@link ready}. */
  name = "";
  /** Bytes in all; 0 until {@link ready}. */
  length = 0;
  /** Empty until {@link ready}. Padding is left out, so an index here is not one in the torrent. */
  files: TorrentFile[] = [];
  /** The .torrent of a torrent made by {@link Client.seed}. */
  torrentFile: Uint8Array | null = null;

  readonly #host: TorrentHost;
  #isReady = false;
  #becomeReady!: () => void;
  #giveUp!: (error: Error) => void;

  /** @internal */
  constructor(infoHash: string, host: TorrentHost) {
    super();
    this.infoHash = infoHash;
    this.#host = host;
    this.ready = new Promise((resolve, reject) => {
      this.#becomeReady = () => resolve(this);
      this.#giveUp = reject;
    });
    this.ready.catch(() => undefined); // a caller that waits gets the error; nobody has to wait
  }

  /** Where it stands now. */
  async stats(): Promise<TorrentStats> {
    const {
      files: _,
      pricePerBlock,
      maxPricePerBlock,
      maxCostFine,
      blockCount: __,
      peers,
      ...torrent
    } = await this.#snapshot();
    return {
      ...torrent,
      maxPricePerGB: unitsPerGB(maxPricePerBlock),
      sellPricePerGB: unitsPerGB(pricePerBlock),
      spent: floorFine(torrent.spentFine),
      earned: floorFine(torrent.earnedFine),
      maxCost: ceilFine(maxCostFine),
      peers: peers.map((peer) => ({ ...peer, buying: payment(peer.buying), selling: payment(peer.selling) })),
    };
  }

  /** Closes its connections and fetches nothing. */
  pause(): Promise<void> {
    this.#host.wishes.paused = true;
    return this.#host.request("pause");
  }

  /** Undoes {@link pause}. */
  resume(): Promise<void> {
    this.#host.wishes.paused = false;
    return this.#host.request("resume");
  }

  /** Stops and forgets it, and deletes its data if asked. */
  async remove(options: { deleteData?: boolean } = {}): Promise<void> {
    await this.#host.request("remove", { deleteData: options.deleteData ?? false });
    this.#host.limits(null);
    this.gone();
    this.#host.removed();
  }

  /**
   * @internal Undoes one {@link Client.add}: after the last, and unless another page uses it, nothing of it is fetched
   * or served. Its data stays.
   */
  leave(): Promise<void> {
    return this.#host.left();
  }

  /** @internal It is not this page's any more. */
  gone(): void {
    for (const file of this.files) file.gone();
    this.#giveUp(new PieceworkError("the torrent was removed"));
  }

  /**
   * Fetches all of it from now on (true), and pays for all of it, or only the parts that are played or read (false).
   * `stats().maxCost` is the most that the rest can cost. Later visits know it by `stats().kept`, and fetch nothing
   * because of it: show the price, and call this again when the visitor plays it.
   */
  keep(whole = true): Promise<void> {
    return this.wantWhole(whole, true);
  }

  /** @internal As {@link keep}; `remember`: for later visits too. */
  wantWhole(whole: boolean, remember: boolean): Promise<void> {
    this.#host.wishes.onDemand = !whole;
    return this.#host.request("onDemand", { v: !whole, remember });
  }

  /**
   * Fetches these files alone, by index ({@link TorrentFile.index}) or path ({@link TorrentFile.path}, with `/` between
   * its parts), from now on and at later visits. A file that is not selected is neither fetched nor paid, but for the
   * pieces that it shares with one that is, and for what is played or read of it. Wait for {@link ready} first.
   */
  async selectOnly(files: readonly (number | string)[]): Promise<void> {
    const wanted = new Set(files);
    for (const name of wanted)
      if (!this.files.some((file) => file.isNamed(name)))
        throw new PieceworkError(`there is no file ${name} in ${this.name || this.infoHash}: see torrent.files`);
    const selected = (file: TorrentFile) => files.some((name) => file.isNamed(name));
    await this.#select(this.files.filter(selected), "normal");
    await this.#select(
      this.files.filter((file) => !selected(file)),
      "skip",
    );
  }

  async #select(files: TorrentFile[], priority: FilePriority): Promise<void> {
    if (files.length === 0) return;
    await this.#host.request("select", { files: files.map(({ index }) => index), priority });
    for (const file of files) file.note(priority);
  }

  /**
   * Answers as a web server that has the files would, and needs no service worker. `path` is a file's path with `/`
   * between its parts (plain or as in a URL, with or without the torrent's name before it), or its index.
   *
   * Statuses are 200, 206 for one range of bytes, 304 (`If-None-Match`), 404, 405 for methods other than GET and HEAD,
   * 412 (`If-Match`) and 416. A `Range` header of several ranges is answered with the whole file, as RFC 9110, section
   * 14.2 allows. The body is checked like everything else, opens its reader when it is first read, fetches and pays
   * what is read and a little ahead of it, and stops with `body.cancel()` or the signal. Waits for {@link ready}.
   *
   * @throws the signal's reason, or an error if the torrent is removed before its files are known. What goes wrong
   * later is the body's error: `body.getReader()` gives it, where `arrayBuffer()` may say only that it failed.
   */
  async fetch(path: string | number, options: FetchOptions = {}): Promise<Response> {
    const { respond } = await import("./fetching.js");
    await abortable(this.ready, options.signal);
    return respond(this, path, options);
  }

  /**
   * Fetches it also from this web server, `http(s)://`: the address of its file, or of the folder that holds what the
   * torrent is named after. See {@link AddOptions.webSeeds}.
   */
  addWebSeed(url: string | URL): Promise<void> {
    const { href } = new URL(url, document.baseURI);
    this.#host.wishes.webSeeds.push(href);
    return this.#host.request("webSeed", { url: href });
  }

  /** The most paid per 10^9 bytes from now on; 0 takes only free peers. */
  setMaxPricePerGB(price: Decimal): Promise<void> {
    const pricePerBlock = this.#host.price(price);
    this.#host.limits(pricePerBlock);
    return this.#host.request("maxPrice", { pricePerBlock });
  }

  /** The selling price per 10^9 bytes from now on, later visits included; 0 gives it away. */
  async setSellPricePerGB(price: Decimal): Promise<void> {
    const pricePerBlock = this.#host.price(price);
    await this.#host.request("price", { pricePerBlock });
    this.#host.sells(pricePerBlock);
  }

  /** @internal */
  priceOf(pricePerBlock: bigint): bigint {
    return unitsPerGB(pricePerBlock);
  }

  /** @internal Looks whether name and files are there by now. */
  async refresh(): Promise<void> {
    const snapshot = await this.#host.request<EngineTorrent | null>("torrent");
    if (this.#isReady || !snapshot || snapshot.pieceCount === 0) return;
    this.#isReady = true;
    this.name = snapshot.name;
    this.length = snapshot.length;
    this.files = snapshot.files
      .map((file, index) => ({ ...file, index }))
      .filter(({ path }) => path.length > 0)
      .map(({ index, ...file }) => new TorrentFile(this.infoHash, index, file, this.#host));
    this.#becomeReady();
    this.emit("ready", this);
    if (snapshot.state === "seeding") this.emit("done", this);
  }

  /** @internal A new engine has never heard of it. */
  async addAgain(): Promise<void> {
    await this.#host.again();
    await this.refresh();
  }

  /** @internal */
  handle(message: Extract<FromEngine, { t: "event" }>): void {
    const text = message.text ?? "";
    switch (message.e) {
      case "ready":
        this.refresh().catch((error: Error) => this.emit("error", { error }));
        break;
      case "done":
        if (this.#isReady) this.emit("done", this);
        break;
      case "piece":
        this.emit("piece", { piece: message.piece ?? 0 });
        break;
      case "peer":
        this.emit("peer", { peer: message.peer ?? 0 });
        break;
      case "error":
        this.emit("error", { error: new PieceworkError(text) });
        break;
      case "peerclosed":
      case "warning":
      case "payment":
        this.emit(message.e, { text });
        break;
      case "paymentneeded":
        if (message.needed)
          this.emit("paymentneeded", {
            pricePerGB: this.priceOf(message.needed.pricePerBlock),
            reason: message.needed.why,
          });
        break;
    }
  }

  async #snapshot(): Promise<EngineTorrent> {
    const snapshot = await this.#host.request<EngineTorrent | null>("torrent");
    if (!snapshot) throw new PieceworkError("the torrent was removed");
    // Another page may have chosen other files.
    for (const file of this.files) file.note(snapshot.files[file.index]?.priority ?? "normal");
    return snapshot;
  }
}

/** One file of a torrent. Reading it fetches the missing pieces, in the order in which they are read. */
export class TorrentFile {
  /** Components of its path; from strangers: show as text only. */
  readonly path: readonly string[];
  /** Bytes. */
  readonly length: number;
  /** In the torrent's own list, as links name it (BEP 53); padding counts. */
  readonly index: number;
  readonly #hash: string;
  readonly #host: TorrentHost;
  #priority: FilePriority;

  /** @internal */
  constructor(hash: string, index: number, { path, length, priority }: EngineTorrent["files"][0], host: TorrentHost) {
    this.#hash = hash;
    this.index = index;
    this.path = path;
    this.length = length;
    this.#priority = priority;
    this.#host = host;
  }

  /** How much it is wanted; as it was at the last look, where another page changed it. */
  get priority(): FilePriority {
    return this.#priority;
  }

  /** It is fetched, unless the torrent is on demand. */
  get selected(): boolean {
    return this.#priority !== "skip";
  }

  /** Fetches it, before others with "high"; later visits do so too. {@link Torrent.stats} says when it is complete. */
  select(priority: "normal" | "high" = "normal"): Promise<void> {
    return this.#prefer(priority);
  }

  /** Fetches it no more, at later visits too. What is here of it stays. */
  deselect(): Promise<void> {
    return this.#prefer("skip");
  }

  async #prefer(priority: FilePriority): Promise<void> {
    await this.#host.request("select", { files: [this.index], priority });
    this.#priority = priority;
  }

  /** @internal */
  note(priority: FilePriority): void {
    this.#priority = priority;
  }

  /** @internal Whether an index or a path means this file. */
  isNamed(name: number | string): boolean {
    return typeof name === "number" ? name === this.index : name === this.path.join("/");
  }

  /** Its last path component. */
  get name(): string {
    return this.path[this.path.length - 1] ?? "";
  }

  /** {@link length}, as a `File` names it. */
  get size(): number {
    return this.length;
  }

  /** Its media type, by the ending of its name. */
  get type(): string {
    return typeOf(this.name);
  }

  /**
   * A URL that the service worker answers, with ranges, while this page is open. A player that is given it without
   * {@link streamTo} or {@link follow} makes the engine fetch as far ahead as the browser likes.
   *
   * Without a service worker it is the URL of a Blob, until the torrent is removed: of a file that is all here, up to
   * 512 MiB; or of one up to 32 MiB, which is fetched whole first, unless the page has `payments`.
   *
   * @throws an error that names what is missing, and the way out, for other files without a service worker.
   */
  async url(): Promise<string> {
    // On a first visit that takes a while. The beginning is fetched meanwhile, because a player asks for it first.
    if (this.#host.fetchesWhole() && !navigator.serviceWorker?.controller)
      void this.#read({ end: 1, longest: 1 }).cancel();
    let streaming: Awaited<ReturnType<TorrentHost["streaming"]>>;
    try {
      streaming = await this.#host.streaming();
    } catch (error) {
      return this.#wholeUrl(error as Error);
    }
    const { scope, store } = streaming;
    const url = new URL(`${STREAM_PATH}/${this.#hash}/${this.index}/${encodeURIComponent(this.name)}`, scope);
    if (store !== null) url.searchParams.set("store", store);
    return url.href;
  }

  /** One, however often it is asked for. */
  #whole: Promise<string> | null = null;

  #wholeUrl(lacking: Error): Promise<string> {
    this.#whole ??= this.#host
      .request<EngineTorrent | null>("torrent")
      .then((torrent) => wholeUrl(this, torrent, this.#host.pays(), lacking))
      .catch((error) => {
        this.#whole = null;
        throw error;
      });
    return this.#whole;
  }

  /** @internal Its torrent is not this page's any more. */
  gone(): void {
    this.#whole?.then(URL.revokeObjectURL, () => undefined);
  }

  /**
   * Plays it: sets `src` as soon as the service worker controls this page, and follows the player. Without a service
   * worker as {@link url} says.
   */
  async streamTo(video: HTMLMediaElement): Promise<void> {
    video.src = await this.url();
    this.follow(video);
  }

  /**
   * Holds what is fetched for a player whose source is {@link url} to what it needs: 30 seconds of the film ahead of
   * the picture, at most an eighth of the file, at least 1 MiB. Ends when the player's source changes, or by the
   * answer.
   */
  follow(video: HTMLMediaElement): () => void {
    return follow(video, this.index, this.length, (head) => this.#host.plays(head));
  }

  /**
   * Its bytes from `start` to before `end`, as `Blob.slice` counts, pulled a chunk at a time; cancelling it stops the
   * reader.
   */
  stream(options?: ReadOptions): ReadableStream<Uint8Array<ArrayBuffer>>;
  stream(start?: number, end?: number): ReadableStream<Uint8Array<ArrayBuffer>>;
  stream(from: ReadOptions | number = 0, to?: number): ReadableStream<Uint8Array<ArrayBuffer>> {
    const { start = 0, end = this.length, signal } = typeof from === "object" ? from : { start: from, end: to };
    return this.#read({ start, end }, { signal });
  }

  /** @internal As {@link stream}; fetches nothing before it is read. */
  late(start: number, end: number, signal: AbortSignal | null | undefined): ReadableStream<Uint8Array<ArrayBuffer>> {
    return this.#read({ start, end }, { signal, late: true });
  }

  /** `longest`: as a player's reads are, which go on by another one. */
  #read(part: Range & { longest?: number }, how?: Parameters<typeof chunksOf>[1]): ReturnType<typeof chunksOf> {
    return chunksOf((port) => this.#host.openStream({ ...part, file: this.index }, port), how);
  }

  /** Its bytes, or a part of them, a chunk at a time: `for await (const chunk of file)`. */
  async *[Symbol.asyncIterator](options: ReadOptions = {}): AsyncGenerator<Uint8Array<ArrayBuffer>, void, undefined> {
    const reader = this.stream(options).getReader();
    try {
      for (let chunk = await reader.read(); !chunk.done; chunk = await reader.read()) yield chunk.value;
    } finally {
      await reader.cancel().catch(() => undefined);
    }
  }

  /** All of it, or a part. */
  async arrayBuffer(options: ReadOptions = {}): Promise<ArrayBuffer> {
    return (await this.blob(options)).arrayBuffer();
  }

  /** All of it, or a part, with its media type. */
  async blob(options: ReadOptions = {}): Promise<Blob> {
    // A `Response` would say "Failed to fetch" whatever the reason.
    const chunks = [];
    for await (const chunk of this[Symbol.asyncIterator](options)) chunks.push(chunk);
    return new Blob(chunks, { type: this.type });
  }

  /** All of it, or a part, as UTF-8. */
  async text(options: ReadOptions = {}): Promise<string> {
    return (await this.blob(options)).text();
  }
}

function payment({ pricePerBlock, ...rest }: EnginePeerPayment): PeerPaymentStats {
  return {
    ...rest,
    pricePerGB: pricePerBlock === null ? null : unitsPerGB(pricePerBlock),
    paid: floorFine(rest.paidFine),
  };
}
