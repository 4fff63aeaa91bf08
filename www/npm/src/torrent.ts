import { Emitter } from "./emitter.js";
import { PieceworkError } from "./errors.js";
import type { PaymentLack } from "./lack.js";
import type { Decimal } from "./payments.js";
import { STREAM_PATH, type FromEngine, type StreamHead } from "./protocol.js";
import { ceilFine, finePerBlock, floorFine, unitsPerGB } from "./units.js";

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

/** One torrent at a glance. Lengths are bytes, rates bytes per second, amounts base units. */
export interface TorrentStats {
  readonly infoHash: string;
  readonly name: string;
  readonly state: TorrentState;
  /** The reason why it cannot go on, and the way out, while `state` is "failed". */
  readonly failure: string | null;
  readonly length: number;
  readonly pieceLength: number;
  readonly pieceCount: number;
  /** Verified pieces, first piece in the highest bit of the first byte. */
  readonly have: Uint8Array;
  readonly verified: number;
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
  /** The most that the missing pieces can still cost, rounded up. */
  readonly maxCost: bigint;
  readonly peers: readonly PeerStats[];
  readonly webSeeds: readonly WebSeedStats[];
  readonly swarm: { readonly seeders: number; readonly leechers: number } | null;
}

/** The events of a torrent. */
export interface TorrentEvents {
  /** Name and files are known. */
  ready: Torrent;
  /** Everything is verified and stored. */
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
  files: { path: string[]; length: number }[];
  pricePerBlock: bigint;
  maxPricePerBlock: bigint;
  maxCostFine: bigint;
  blockCount: number;
  peers: (Omit<PeerStats, "buying" | "selling"> & { buying: EnginePeerPayment; selling: EnginePeerPayment })[];
}

/** @internal The page's wishes for a torrent at the moment. */
export interface Wishes {
  /** Only pieces that a reader wants are fetched. */
  onDemand: boolean;
  paused: boolean;
  /** Those that the page named. */
  webSeeds: string[];
}

/** @internal The part of the client that a torrent uses. */
export interface TorrentHost {
  request<T>(t: string, fields?: object): Promise<T>;
  openStream(message: object, port: MessagePort): void;
  streaming(): Promise<string>;
  /** The settings that a new engine gets. */
  readonly wishes: Wishes;
  parse(amount: Decimal): bigint;
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
    this.#giveUp(new PieceworkError("the torrent was removed"));
  }

  /** Fetches only the parts that are played or read (true), or everything (false). */
  setOnDemand(onDemand: boolean): Promise<void> {
    this.#host.wishes.onDemand = onDemand;
    return this.#host.request("onDemand", { v: onDemand });
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
    const pricePerBlock = finePerBlock(this.#host.parse(price));
    this.#host.limits(pricePerBlock);
    return this.#host.request("maxPrice", { pricePerBlock });
  }

  /** The selling price per 10^9 bytes from now on, later visits included; 0 gives it away. */
  async setSellPricePerGB(price: Decimal): Promise<void> {
    const pricePerBlock = finePerBlock(this.#host.parse(price));
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
      .map(({ path, length }, index) => ({ path, length, index }))
      .filter(({ path }) => path.length > 0)
      .map(({ path, length, index }) => new TorrentFile(this.infoHash, index, path, length, this.#host));
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
    return snapshot;
  }
}

/** One file of a torrent. Reading it fetches the missing pieces, in the order in which they are read. */
export class TorrentFile {
  /** Components of its path; from strangers: show as text only. */
  readonly path: readonly string[];
  /** Bytes. */
  readonly length: number;
  readonly #hash: string;
  readonly #index: number;
  readonly #host: TorrentHost;

  /** @internal */
  constructor(hash: string, index: number, path: readonly string[], length: number, host: TorrentHost) {
    this.#hash = hash;
    this.#index = index;
    this.path = path;
    this.length = length;
    this.#host = host;
  }

  /** Its last path component. */
  get name(): string {
    return this.path[this.path.length - 1] ?? "";
  }

  /** A URL that the service worker answers, with ranges, while this page is open. */
  async url(): Promise<string> {
    // On a first visit that takes a while. The beginning is fetched meanwhile, because a player asks for it first.
    if (!this.#host.wishes.onDemand && !navigator.serviceWorker.controller) void this.stream(0, 1).cancel();
    const scope = await this.#host.streaming();
    return new URL(`${STREAM_PATH}/${this.#hash}/${this.#index}/${encodeURIComponent(this.name)}`, scope).href;
  }

  /** Plays it: sets `src` as soon as the service worker controls this page. */
  async streamTo(video: HTMLMediaElement): Promise<void> {
    video.src = await this.url();
  }

  /** Its bytes from `start` to before `end`, pulled a chunk at a time. */
  stream(start = 0, end = this.length): ReadableStream<Uint8Array<ArrayBuffer>> {
    const { port1, port2 } = new MessageChannel();
    // The promise for the next message: `start` for the head, then each `pull` for its chunk.
    let answered: (() => void) | null = null;
    const answer = () => new Promise<void>((resolve) => (answered = resolve));
    return new ReadableStream<Uint8Array<ArrayBuffer>>(
      {
        start: (controller) => {
          port1.onmessage = ({ data }: MessageEvent<StreamHead | ArrayBuffer | "end">) => {
            if (data instanceof ArrayBuffer) {
              controller.enqueue(new Uint8Array(data));
            } else if (data === "end") {
              controller.close();
              port1.close();
            } else if ("error" in data) {
              controller.error(new PieceworkError(data.error));
              port1.close();
            }
            answered?.();
          };
          const head = answer();
          this.#host.openStream({ file: this.#index, start, end }, port2);
          return head;
        },
        pull: () => {
          port1.postMessage("pull");
          return answer();
        },
        cancel: () => {
          port1.postMessage("cancel");
          port1.close();
        },
      },
      { highWaterMark: 1 },
    );
  }

  /** The whole file. */
  async arrayBuffer(): Promise<ArrayBuffer> {
    return (await this.blob()).arrayBuffer();
  }

  /** The whole file. */
  async blob(): Promise<Blob> {
    // A `Response` would say "Failed to fetch" whatever the reason.
    const reader = this.stream().getReader();
    const chunks = [];
    for (let chunk = await reader.read(); !chunk.done; chunk = await reader.read()) chunks.push(chunk.value);
    return new Blob(chunks);
  }

  /** The whole file, as UTF-8. */
  async text(): Promise<string> {
    return (await this.blob()).text();
  }
}

function payment({ pricePerBlock, ...rest }: EnginePeerPayment): PeerPaymentStats {
  return {
    ...rest,
    pricePerGB: pricePerBlock === null ? null : unitsPerGB(pricePerBlock),
    paid: floorFine(rest.paidFine),
  };
}
