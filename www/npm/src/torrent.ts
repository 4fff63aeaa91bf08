import { abortable } from "./aborting.js";
import { Emitter } from "./emitter.js";
import { PieceworkError } from "./errors.js";
import type { FetchOptions } from "./fetching.js";
import { FILE, noWire, refuse, renamed, TORRENT } from "./habits.js";
import type { PaymentLack } from "./lack.js";
import { Live, holds } from "./live.js";
import { typeOf, typeOfBytes } from "./mime.js";
import { PAYS } from "./paying.js";
import type { Decimal } from "./payments.js";
import { follow } from "./playhead.js";
import { STREAM_PATH, type FromEngine } from "./protocol.js";
import type { Range } from "./range.js";
import { chunksOf, type ReadOptions } from "./reading.js";
import type { Store } from "./stores.js";
import { type EngineTitle, type Signature, type Title, titleOf } from "./title.js";
import type { Registration } from "./titles.js";
import type { EngineSourceFile, TorrentHost } from "./torrent_host.js";
import { ceilFine, floorFine, unitsPerGB } from "./units.js";

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
  readonly swarm: { readonly seeders: number; readonly leechers: number } | null;
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
  piece: { readonly piece: number };
  peer: { readonly peer: number };
  peerclosed: { readonly text: string };
  warning: { readonly text: string };
  /** It cannot go on until the user does something. */
  error: { readonly error: Error };
  payment: { readonly text: string };
  paymentneeded: { readonly pricePerGB: bigint; readonly reason: PaymentLack };
}

/** The events of a file. */
export interface FileEvents {
  /** The last of its bytes was verified, while somebody listened. */
  done: TorrentFile;
  /** This page, or a player by the service worker, begins to read these bytes of it; `end` is one past the last. */
  stream: { readonly start: number; readonly end: number };
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

/** How often the counters of a torrent are looked at while somebody listens to their events. */
const COUNT_MS = 1_000;
/** Looks between two `noPeers`. */
const NO_PEERS_LOOKS = 30;

/**
 * One torrent of a {@link Client}. Its properties are as the engine said last: while they are looked at, they are asked
 * for anew four times a second at the most; {@link stats} waits for the answer.
 */
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
  /** Its .torrent file; null until {@link ready}. */
  torrentFile: Uint8Array<ArrayBuffer> | null = null;
  /** Bytes of every piece but the last; 0 until {@link ready}. */
  pieceLength = 0;
  /** Pieces in all; 0 until {@link ready}. */
  pieceCount = 0;
  /** Peers come from its own trackers alone (BEP 27). */
  private = false;
  /** A text of its author, if a .torrent file brought one: show it as text only. */
  comment: string | null = null;
  /** The program that made it, likewise. */
  createdBy: string | null = null;
  /** When it was made, likewise. */
  created: Date | null = null;
  /** What its publisher signed; null unless {@link signature} is "fits". The event `title` tells of a change. */
  title: Title | null = null;
  /** Whether {@link title} is there, and why not. Known with {@link ready}. */
  signature: Signature = "unknown";

  readonly #host: TorrentHost;
  readonly #live: Live<EngineTorrent>;
  #named: Pick<EngineSourceFile, "trackers" | "webSeeds"> = { trackers: [], webSeeds: [] };
  #counting: ReturnType<typeof setTimeout> | null = null;
  #isGone = false;
  #isReady = false;
  #becomeReady!: () => void;
  #giveUp!: (reason: unknown) => void;

  /** @internal */
  constructor(infoHash: string, host: TorrentHost) {
    super();
    this.infoHash = infoHash;
    this.#host = host;
    this.#live = new Live(() => host.request("torrent"));
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

  /** Bytes per second from peers and web seeds. */
  get downloadSpeed(): number {
    return this.#live.now?.downloadRate ?? 0;
  }

  /** Bytes per second to peers. */
  get uploadSpeed(): number {
    return this.#live.now?.uploadRate ?? 0;
  }

  /** Verified bytes, those of earlier visits included. (`stats().downloaded` counts what came, as {@link received}.) */
  get downloaded(): number {
    return this.#live.now?.verified ?? 0;
  }

  /** Bytes that came in this run of the engine, bad and doubled ones included. */
  get received(): number {
    return this.#live.now?.downloaded ?? 0;
  }

  /** Bytes that went to peers in this run of the engine. */
  get uploaded(): number {
    return this.#live.now?.uploaded ?? 0;
  }

  /** {@link uploaded} for each byte {@link received}, or for each of the torrent's if none came. */
  get ratio(): number {
    return this.uploaded / (this.received || this.length || 1);
  }

  /** The verified part of what is selected, from 0 to 1. */
  get progress(): number {
    const [verified, selected] = this.share;
    return selected > 0 ? verified / selected : Number(this.done);
  }

  /** @internal The bytes of it that are selected, and the verified ones among them first. */
  get share(): [number, number] {
    const { last } = this.#live;
    // What is whole stays so: many seeded torrents are not asked about.
    const known =
      last && last.selectedLength > 0 && last.selectedVerified >= last.selectedLength ? last : this.#live.now;
    return known ? [known.selectedVerified, known.selectedLength] : [0, 0];
  }

  /** Milliseconds until everything that is selected is here, at the present speed; Infinity if nothing comes. */
  get timeRemaining(): number {
    const [verified, selected] = this.share;
    if (this.done) return 0;
    return this.downloadSpeed > 0 ? ((selected - verified) / this.downloadSpeed) * 1000 : Infinity;
  }

  /** Connected peers. */
  get numPeers(): number {
    return this.#live.now?.peers.length ?? 0;
  }

  /** Everything that is selected is verified. */
  get done(): boolean {
    const { now } = this.#live;
    return now !== null && now.pieceCount > 0 && now.selectedVerified >= now.selectedLength;
  }

  /** {@link pause} was called, here or on another page. */
  get paused(): boolean {
    return this.#host.wishes.paused || this.#live.now?.state === "paused";
  }

  /** Bytes of the last piece; 0 until {@link ready}. */
  get lastPieceLength(): number {
    return this.length - Math.max(0, this.pieceCount - 1) * this.pieceLength;
  }

  /** A piece is verified. */
  has(piece: number): boolean {
    const { now } = this.#live;
    return now !== null && holds(now, piece);
  }

  /** The trackers that it is announced to. */
  get announce(): string[] {
    return [...new Set([...this.#named.trackers, ...(this.private ? [] : this.#host.trackers)])];
  }

  /** A link to it, with its name, publisher, trackers and web seeds as far as they are known (BEP 9, BEP 19). */
  get magnetURI(): string {
    const all = (key: string, values: readonly string[]) =>
      values.map((value) => `&${key}=${encodeURIComponent(value)}`).join("");
    const { webSeeds } = this.#named;
    const name = this.name ? [this.name] : [];
    const by = this.title ? [this.title.publisher] : [];
    return `magnet:?xt=urn:btih:${this.infoHash}${all("dn", name)}${all("pw.by", by)}${all("tr", this.announce)}${all("ws", webSeeds)}`;
  }

  /** {@link torrentFile} as a file to be saved; null until {@link ready}. */
  get torrentFileBlob(): Blob | null {
    return this.torrentFile && new Blob([this.torrentFile], { type: "application/x-bittorrent" });
  }

  /**
   * What the registry of the site's vault says of it, by the site's node, else by the connected wallet: since when it
   * is registered, with which creator and share now, and who registered the same content before. Null: the vault asks
   * no registry. Wait for {@link ready} first.
   *
   * @throws an error that names the part that does not fit, as where the vault asks another registry than
   * {@link PaymentOptions.registry}, or where a node's answer agrees with no registry.
   */
  registration(): Promise<Registration | null> {
    return this.#host.titled((titles) => titles.registration(this));
  }

  /** Closes its connections and fetches nothing. */
  async pause(): Promise<void> {
    this.#host.wishes.paused = true;
    await this.#host.request("pause");
    await this.#live.look();
  }

  /** Undoes {@link pause}. */
  async resume(): Promise<void> {
    this.#host.wishes.paused = false;
    await this.#host.request("resume");
    await this.#live.look();
  }

  /** Closes the connection with a peer, by its {@link PeerStats.id}. The peer may come again. */
  removePeer(peer: number): Promise<void> {
    return this.#host.request("closePeer", { peer });
  }

  /** Stops and forgets it, and deletes its data if asked. */
  async remove(options: { deleteData?: boolean } = {}): Promise<void> {
    renamed(options);
    await this.#host.request("remove", { deleteData: options.deleteData ?? false });
    this.#host.limits(null);
    this.gone();
    this.#host.removed();
  }

  /**
   * @internal Undoes one {@link Client.add}: after the last, and unless another page uses it, nothing of it is fetched
   * or served. Its data stays.
   */
  leave(reason?: unknown): Promise<void> {
    return this.#host.left(reason);
  }

  /** @internal It is not this page's any more. */
  gone(reason: unknown = new PieceworkError("the torrent was removed")): void {
    this.#isGone = true;
    for (const file of this.files) file.gone();
    if (this.#counting !== null) clearTimeout(this.#counting);
    this.#giveUp(reason);
  }

  /** @internal Counts while somebody listens to a counter. */
  override listened(name: keyof TorrentEvents): void {
    noWire(name);
    if (this.#counting === null && COUNTERS.includes(name)) this.#count();
  }

  #count(): void {
    let before = this.#live.last;
    let alone = 0;
    const count = async () => {
      if (!this.hears(...COUNTERS)) return;
      const now = await this.#live.look();
      if (!now) return;
      // Another engine counts from 0.
      const grown = (key: "downloaded" | "uploaded") => Math.max(0, now[key] - (before?.[key] ?? 0));
      const [downloaded, uploaded] = [grown("downloaded"), grown("uploaded")];
      before = now;
      if (downloaded > 0) this.emit("download", downloaded);
      if (uploaded > 0) this.emit("upload", uploaded);
      const isAlone = now.peers.length === 0 && (now.state === "downloading" || now.state === "metadata");
      if (isAlone && alone++ % NO_PEERS_LOOKS === 0) this.emit("noPeers", "tracker");
      if (!isAlone) alone = 0;
    };
    const later = () => {
      this.#counting = null;
      if (!this.#isGone && this.hears(...COUNTERS))
        this.#counting = setTimeout(() => {
          count()
            .catch(() => undefined)
            .finally(later);
        }, COUNT_MS);
    };
    later();
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
  async fetch(path: string | number | readonly string[], options: FetchOptions = {}): Promise<Response> {
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

  /**
   * @internal Looks whether name and files are there by now. One that was just made is not ready, and this true, while
   * the engine looks at what it stored.
   */
  async refresh(isMade = false): Promise<boolean> {
    const [snapshot, source] = await Promise.all([
      this.#live.look(),
      // An engine outside the page may keep it to itself: it names trackers and web seeds of other sites.
      this.#host.request<EngineSourceFile | null>("source").catch(() => null),
    ]);
    if (this.#isReady || !snapshot || snapshot.pieceCount === 0) return false;
    if (isMade && snapshot.state === "checking") return true;
    this.#isReady = true;
    this.name = snapshot.name;
    this.length = snapshot.length;
    this.pieceLength = snapshot.pieceLength;
    this.pieceCount = snapshot.pieceCount;
    if (source) {
      this.torrentFile = source.torrent as Uint8Array<ArrayBuffer>;
      this.#named = source;
      const { comment, createdBy, created } = source;
      Object.assign(this, { private: source.private, comment, createdBy });
      // A stranger's number may be none of a date.
      const date = new Date((created ?? NaN) * 1000);
      this.created = Number.isNaN(date.getTime()) ? null : date;
    }
    let offset = 0;
    for (const [index, file] of snapshot.files.entries()) {
      const place = { hash: this.infoHash, index, offset, live: this.#live };
      // Padding has no path.
      if (file.path.length > 0) this.files.push(new TorrentFile(place, file, this.#host));
      offset += file.length;
    }
    if (PAYS) await this.lookAtTitle().catch(() => undefined);
    this.#becomeReady();
    this.emit("ready", this);
    this.emit("metadata", this);
    if (snapshot.state === "seeding") this.emit("done", this);
    return false;
  }

  /** @internal Takes the engine's word on its title. */
  async lookAtTitle(): Promise<void> {
    Object.assign(this, titleOf(await this.#host.request<EngineTitle>("title")));
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
      case "title":
        if (!PAYS) break;
        this.lookAtTitle().then(
          () => this.emit("title", this),
          () => undefined,
        );
        break;
      case "done":
        this.#live.done();
        if (this.#isReady) this.emit("done", this);
        break;
      case "piece":
        this.#verified(message.piece ?? 0);
        break;
      case "peer":
        this.emit("peer", { peer: message.peer ?? 0 });
        break;
      case "error":
        this.emit("error", { error: new PieceworkError(text) });
        // One that was just made, and cannot be opened.
        void this.refresh().catch(() => undefined);
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

  #verified(piece: number): void {
    const touched = this.#filesOf(piece);
    const isSelected = touched.some(({ selected }) => selected);
    this.#live.piece(piece, isSelected);
    this.emit("piece", { piece });
    for (const file of touched) file.grew();
  }

  /** The files with bytes in a piece: of very many files, without looking at each. */
  #filesOf(piece: number): TorrentFile[] {
    const begin = piece * this.pieceLength;
    let [first, end] = [0, this.files.length];
    while (first < end) {
      const middle = (first + end) >> 1;
      if ((this.files[middle]?.end ?? 0) > begin) end = middle;
      else first = middle + 1;
    }
    while (this.files[end] && (this.files[end]?.offset ?? 0) < begin + this.pieceLength) end++;
    return this.files.slice(first, end).filter((file) => file.includes(piece));
  }

  /** @internal A reader of one of its files begins. */
  reading({ file, start, end, suffix }: { file: number } & Range): void {
    const read = this.files.find(({ index }) => index === file);
    if (!read?.hears("stream")) return;
    const from = suffix === undefined ? (start ?? 0) : Math.max(0, read.length - suffix);
    read.emit("stream", { start: from, end: Math.min(end ?? read.length, read.length) });
  }

  async #snapshot(): Promise<EngineTorrent> {
    const snapshot = await this.#live.look();
    if (!snapshot) throw new PieceworkError("the torrent was removed");
    // Another page may have chosen other files.
    for (const file of this.files) file.note(snapshot.files[file.index]?.priority ?? "normal");
    return snapshot;
  }
}

/** Events whose numbers are counted while somebody listens. */
const COUNTERS: (keyof TorrentEvents)[] = ["download", "upload", "noPeers"];

/** One file of a torrent. Reading it fetches the missing pieces, in the order in which they are read. */
export class TorrentFile extends Emitter<FileEvents> {
  /** Components of its path; from strangers: show as text only. */
  readonly path: readonly string[];
  /** Bytes. */
  readonly length: number;
  /** In the torrent's own list, as links name it (BEP 53); padding counts. */
  readonly index: number;
  readonly #hash: string;
  /** @internal Of its first byte in the torrent. */
  readonly offset: number;
  readonly #live: Live<EngineTorrent>;
  readonly #host: TorrentHost;
  #priority: FilePriority;
  /** Its event `done` was emitted. */
  #isWhole = false;

  /** @internal */
  constructor(
    { hash, index, offset, live }: { hash: string; index: number; offset: number; live: Live<EngineTorrent> },
    { path, length, priority }: EngineTorrent["files"][0],
    host: TorrentHost,
  ) {
    super();
    this.#hash = hash;
    this.offset = offset;
    this.#live = live;
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

  /** Its verified bytes. */
  get downloaded(): number {
    const { now } = this.#live;
    if (!now) return 0;
    let bytes = 0;
    for (let piece = Math.floor(this.offset / now.pieceLength); this.includes(piece); piece++) {
      const begin = Math.max(piece * now.pieceLength, this.offset);
      const end = Math.min((piece + 1) * now.pieceLength, this.end);
      if (holds(now, piece)) bytes += end - begin;
    }
    return bytes;
  }

  /** The verified part of it, from 0 to 1. */
  get progress(): number {
    return this.length > 0 ? this.downloaded / this.length : 1;
  }

  /** A piece of the torrent has bytes of it. */
  includes(piece: number): boolean {
    const bytes = this.#live.last?.pieceLength ?? 0;
    return this.length > 0 && piece * bytes < this.end && (piece + 1) * bytes > this.offset;
  }

  /** @internal Of the byte after its last one in the torrent. */
  get end(): number {
    return this.offset + this.length;
  }

  /** @internal A piece with bytes of it was verified. */
  grew(): void {
    if (this.#isWhole || !this.hears("done") || this.downloaded < this.length) return;
    this.#isWhole = true;
    this.emit("done", this);
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

  /** What {@link url} gives, where the service worker controls this page already; else null: wait for `url()`. */
  get streamURL(): string | null {
    const where = this.#host.scope();
    return where && this.#url(where);
  }

  #url({ scope, store }: { scope: string; store: Store }): string {
    const url = new URL(`${STREAM_PATH}/${this.#hash}/${this.index}/${encodeURIComponent(this.name)}`, scope);
    if (store !== null) url.searchParams.set("store", store);
    return url.href;
  }

  /** One, however often it is asked for. */
  #whole: Promise<string> | null = null;

  #wholeUrl(lacking: Error): Promise<string> {
    const made = async () => {
      const { wholeUrl } = await import("./blobs.js");
      const torrent = await this.#host.request<EngineTorrent | null>("torrent");
      if (!torrent) throw new PieceworkError("the torrent was removed");
      const answer = await wholeUrl(this, torrent, this.#host.pays(), lacking);
      if ("why" in answer) throw new PieceworkError(answer.why);
      return answer.url;
    };
    this.#whole ??= made().catch((error) => {
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
   * A URL that the service worker answers, with ranges, while this page is open. A player that is given it without
   * {@link streamTo} or {@link follow} makes the engine fetch as far ahead as the browser likes.
   *
   * Without a service worker it is the URL of a Blob, until the torrent is removed: of a file that is all here, up to
   * 512 MiB; or of one up to 32 MiB, which is fetched whole first, unless the page has `payments`.
   *
   * @throws an error that names what is missing, and the way out, for other files without a service worker.
   */
  async url({ signal }: { signal?: AbortSignal } = {}): Promise<string> {
    // On a first visit that takes a while. The beginning is fetched meanwhile, because a player asks for it first.
    if (this.#host.fetchesWhole() && !navigator.serviceWorker?.controller)
      void this.#read({ end: 1, longest: 1 }).cancel();
    let streaming: Awaited<ReturnType<TorrentHost["streaming"]>>;
    try {
      streaming = await abortable(this.#host.streaming(), signal);
    } catch (error) {
      signal?.throwIfAborted();
      return abortable(this.#wholeUrl(error as Error), signal);
    }
    return this.#url(streaming);
  }

  /**
   * Plays it: sets `src` as soon as the service worker controls this page, and follows the player. Without a service
   * worker as {@link url} says.
   */
  async streamTo(video: HTMLMediaElement, options: { signal?: AbortSignal } = {}): Promise<void> {
    if (typeof video?.play !== "function")
      throw new PieceworkError("streamTo takes a video or audio element: document.querySelector finds one");
    video.src = await this.url(options);
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
    const open = (port: MessagePort) => {
      if (part.longest === undefined)
        this.emit("stream", { start: part.start ?? 0, end: Math.min(part.end ?? this.length, this.length) });
      this.#host.openStream({ ...part, file: this.index }, port);
    };
    return chunksOf(open, how);
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

  /**
   * All of it, or a part, with its media type: but `application/octet-stream` for what a browser makes a document of
   * (SVG and other XML), because the URL of a Blob is of the page's own origin, and the bytes are a stranger's.
   */
  async blob(options: ReadOptions = {}): Promise<Blob> {
    // A `Response` would say "Failed to fetch" whatever the reason.
    const chunks = [];
    for await (const chunk of this[Symbol.asyncIterator](options)) chunks.push(chunk);
    return new Blob(chunks, { type: typeOfBytes(this.name) });
  }

  /** All of it, or a part, as UTF-8. */
  async text(options: ReadOptions = {}): Promise<string> {
    return (await this.blob(options)).text();
  }
}

refuse(Torrent, "torrent", TORRENT);
refuse(TorrentFile, "file", FILE);

function payment({ pricePerBlock, ...rest }: EnginePeerPayment): PeerPaymentStats {
  return {
    ...rest,
    pricePerGB: pricePerBlock === null ? null : unitsPerGB(pricePerBlock),
    paid: floorFine(rest.paidFine),
  };
}
