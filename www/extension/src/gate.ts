/**
 * What stands between a site's page and the engine. A page is hostile: it gets through what is listed here, about its
 * own titles, within what the user allowed to its site. The engine's answers are cut down to the site's own matters.
 */

import type { FromEngine, Hello } from "../../npm/src/protocol.ts";
import type { EngineTorrent } from "../../npm/src/torrent.ts";
import type { AccountNow } from "./account.ts";
import { trackersNamed } from "./named.ts";
import { left, MAX_TRACKERS_OF_SITE, type Site } from "./sites.ts";
import { price, Wish } from "./wishes.ts";

/** Titles that one page uses at once. */
export const MAX_TITLES_OF_PAGE = 64;
/** And all pages of one site. */
export const MAX_TITLES_OF_SITE = 128;
/** Up to so many of a site's, the trackers of the page's client are taken besides: the rest is for those of titles. */
export const MAX_TRACKERS_BESIDES = 8;
/** Requests whose answers a page waits for. */
const MAX_WAITING = 512;
/** And those of them that name an account. */
const MAX_ACCOUNTS = 4;
/** Requests in a row, and how many a second after that. */
const BURST = 1_000;
const PER_SECOND = 200;
/** Trackers and web seeds of one title. */
const MAX_ADDRESSES = 32;
/** Files that one request names. */
const MAX_FILES = 131_072;
const LONGEST_ADDRESS = 2_048;
const LONGEST_MAGNET = 65_536;
/** The engine's own bound on a .torrent file. */
const MAX_TORRENT_BYTES = 16 << 20;
/** Files of a torrent that a page makes, and the longest name; the engine has the same bounds. */
const MAX_MADE_FILES = 10_000;
const LONGEST_NAME = 240;
/** What a .torrent file says of its maker, in characters. */
const LONGEST_TEXT = 4_096;
/** Torrents that a page made and has not taken up. */
const MAX_MADE = 8;

export interface GateHost {
  /** As the user's last word has it. */
  site(): Site;
  /** The site has this title from now on, and named these trackers for it. */
  took(hash: string, trackers: readonly string[]): void;
  /** Those that the site named for titles that pages use, or that are in the library. */
  trackers(): ReadonlySet<string>;
  /** The page wants something else of it. */
  wishes(hash: string): void;
  /** The page will use it no more: resolves when what is here of it is kept. */
  leaves(hash: string): Promise<void>;
  /** The page uses it no more. */
  left(hash: string): void;
  /** The site reads it now. */
  reads(hash: string): boolean;
  /** The site pays for it. */
  pays(hash: string): boolean;
  /** Titles that the site's pages use. */
  inUse(): number;
  /** It may speak to servers of this machine. */
  readonly loopback: boolean;
  /** How a title is fetched for a page that does not say it. */
  readonly onDemand: boolean;
  /** Milliseconds. */
  now(): number;
  toEngine(message: object): void;
  toPage(message: object): void;
  /** The account that a page of an allowed site names may be paid from. */
  mayPayFrom(owner: string): Promise<boolean>;
  /** And is from now on. */
  paysFrom(owner: string): Promise<boolean>;
  /** The engine says so of the account. */
  sawMoney(money: AccountNow): void;
}

type Message = Record<string, unknown>;
/** A request that is cut to what is allowed; a text: why it is refused; null: it is answered with nothing. */
type Cut = Message | string | null;

interface Waiting {
  t: string;
  hash: string | null;
  /** Of a title that is being added. */
  wish: Wish | null;
}

interface Tracker {
  url: string;
  connected: boolean;
  error: string | null;
}

/** What the engine says at a glance. */
interface Snapshot {
  money: Message;
  trackers?: Tracker[];
}

const SECURE_ALONE = "this build of the extension uses secure servers alone: load target/extension-loopback";
const REFUSED = "The Piecework extension does not let a site do this";

/** One page's gate. */
export class Gate {
  readonly #host: GateHost;
  /** The page's titles, and what it wants of them. */
  readonly titles = new Map<string, Wish>();
  /** Requests that are not answered: what they were. */
  readonly #waiting = new Map<number, Waiting>();
  /** Those that the engine made of the page's files: it knows that they are whole. */
  #made: Uint8Array[] = [];
  /** What is left before the next title is added. */
  #leaving: Promise<void> | null = null;
  #tokens = BURST;
  #filled: number;

  constructor(host: GateHost) {
    this.#host = host;
    this.#filled = host.now();
  }

  /** Titles of one run of the engine; the next one knows of none. */
  engineIsNew(): void {
    this.titles.clear();
    this.engineIsGone();
  }

  /** It answers nothing more: the page asks the next one. */
  engineIsGone(): void {
    this.#waiting.clear();
  }

  /** A message of the page. Readers come by {@link mayRead}. */
  fromPage(data: unknown): void {
    if (typeof data !== "object" || data === null) return;
    const message = data as Message;
    const { t, id } = message;
    if (typeof t !== "string") return;
    if (!this.#host.site().allowed) return void this.#refuse(id, "The user of the extension does not allow this site");
    const mayAsk = this.mayAsk();
    if (typeof id !== "number" || !Number.isSafeInteger(id)) return void (mayAsk && this.#tell(t, message));
    if (t === "ethCallAnswer") return;
    if (t === "stop") return void (mayAsk && this.#waiting.get(id)?.t === "seed" && this.#host.toEngine({ t, id }));
    // It was asked before the page knew of this engine, and is answered once.
    if (this.#waiting.has(id)) return;
    if (!mayAsk || this.#waiting.size >= MAX_WAITING) return void this.#refuse(id, "The site asks too much at once");
    // The id is taken at once: a second request by it would be answered as this one.
    const waiting: Waiting = { t, hash: null, wish: null };
    this.#waiting.set(id, waiting);
    void this.#ask(waiting, id, message);
  }

  /** Whether its page may read a title's files. */
  mayRead(hash: unknown): boolean {
    return this.#host.site().allowed === true && typeof hash === "string" && this.titles.has(hash);
  }

  /** A message of the engine. */
  fromEngine(message: FromEngine): void {
    switch (message.t) {
      case "event":
        if (message.hash !== null && this.#mayHear(message.e, message.hash)) this.#host.toPage(message);
        break;
      case "err":
        this.#waiting.delete(message.id);
        this.#host.toPage(message);
        break;
      case "ok": {
        const asked = this.#waiting.get(message.id);
        this.#waiting.delete(message.id);
        if (asked) this.#host.toPage({ t: "ok", id: message.id, v: this.#answer(asked, message.v) });
        break;
      }
      case "progress":
        if (this.#waiting.has(message.id)) this.#host.toPage(message);
        break;
      case "ethCall":
        // No site reads the chain for the extension.
        this.#host.toEngine({ t: "ethCallAnswer", id: message.id, message: "no wallet is connected" });
        break;
    }
  }

  // ------------------------------------------------------------------------------ to the engine

  async #ask(waiting: Waiting, id: number, message: Message): Promise<void> {
    const { t } = waiting;
    // It may be of the title that is left.
    if (t === "add" && this.#leaving) {
      await this.#leaving;
      if (this.#waiting.get(id) !== waiting) return;
    }
    // The title is the library's, too: where something of it is here, it stays and is seeded.
    if (t === "leave" || t === "remove") {
      this.#leaving = this.#leaves(id, message);
      return;
    }
    const isOfAccount = t === "account" || t === "accountId";
    const cut = isOfAccount ? await this.#account(t, message) : this.#cut(t, message);
    // Another engine came meanwhile: the page asks it anew.
    if (this.#waiting.get(id) !== waiting) return;
    if (typeof cut === "string" || cut === null) {
      this.#waiting.delete(id);
      if (cut === null) this.#host.toPage({ t: "ok", id, v: undefined });
      else this.#refuse(id, cut);
    } else {
      waiting.wish = t === "add" ? this.#wish(message, cut) : null;
      waiting.hash = typeof cut.hash === "string" ? cut.hash : null;
      this.#host.toEngine({ ...cut, id });
    }
  }

  /** Messages without an answer. */
  #tell(t: string, message: Message): void {
    const { hash, player, file, position, rate, starved } = message;
    if (t === "play" && this.mayRead(hash)) this.#host.toEngine({ t, hash, player, file, position, rate, starved });
  }

  #cut(t: string, message: Message): Cut {
    const site = this.#host.site();
    switch (t) {
      case "hello":
      case "snapshot":
      case "refresh":
        return { t };
      case "add":
        return this.#add(message, site);
      case "seed":
        return seed(message, site);
      case "torrent":
      case "title":
        return this.#own(t, message);
      // Its .torrent names trackers as the first site that took it up did, some with a secret of its visitor.
      case "source": {
        const own = this.#own(t, message);
        return typeof own === "string" ? own : null;
      }
      case "pause":
        return this.#wants(message, (wish) => (wish.paused = true));
      case "resume":
        return this.#wants(message, (wish) => {
          wish.paused = false;
          wish.onDemand = false;
        });
      case "onDemand":
        return this.#wants(message, (wish) => (wish.onDemand = message.v !== false));
      case "maxPrice":
        return this.#wants(message, (wish) => (wish.price = amount(message.pricePerBlock)));
      case "select": {
        const files = numbers(message.files);
        let wrong = files ? null : "`files` is missing";
        const cut = this.#wants(message, (wish) => (wrong ??= wish.select(files ?? [], message.priority)));
        return cut ?? wrong;
      }
      case "webSeed": {
        const [url] = addresses([message.url], "https:", site);
        const cut = url === undefined ? "Only web seeds of https:// are asked" : this.#own(t, message, { url });
        if (url !== undefined) this.#wishOf(message)?.webSeeds.add(url);
        return cut;
      }
      case "limits":
        if (message.uploadLimit === 0)
          return "The extension shares what was watched, as its user set it: it is paused by its own button";
        return null;
      case "dust":
      case "fee":
        return null;
      case "domainSeparator": {
        const { contract, chainId, name, version } = message;
        return { t, contract, chainId, name, version };
      }
      default:
        return REFUSED;
    }
  }

  #add(message: Message, site: Site): Cut {
    const source = this.#source(message, site);
    if (typeof source === "string") return source;
    const adding = [...this.#waiting.values()].filter(({ wish }) => wish !== null).length;
    if (this.titles.size + adding >= MAX_TITLES_OF_PAGE)
      return `A page uses at most ${MAX_TITLES_OF_PAGE} titles at once`;
    if (this.#host.inUse() + adding >= MAX_TITLES_OF_SITE)
      return `A site\u2019s pages use at most ${MAX_TITLES_OF_SITE} titles at once`;
    const given = addresses(message.trackers, "wss:", site);
    const named = namedIn(source, given);
    if (!named) return "this is not a .torrent file";
    const waiting = [...this.#waiting.values()].flatMap(({ wish }) => wish?.trackers ?? []);
    const all = new Set([...this.#host.trackers(), ...waiting, ...named]);
    if (all.size > MAX_TRACKERS_OF_SITE)
      return `The titles of a site name at most ${MAX_TRACKERS_OF_SITE} signaling servers at once`;
    const hasRoom = (url: string) => all.has(url) || (all.size < MAX_TRACKERS_BESIDES && all.add(url));
    return {
      t: "add",
      ...source,
      trackers: [...given, ...addresses(message.besides, "wss:", site).filter(hasRoom)],
      webSeeds: addresses(message.webSeeds, "https:", site),
      // The page's wishes come by the host: another site may use the title, and pay for it.
      onDemand: true,
      check: message.check === "complete" && this.#isMade(source.torrent) ? "complete" : "resume",
    };
  }

  /** What the page wants of a title that it adds. `cut`: as it was let in. */
  #wish({ onDemand, maxPricePerBlock, files }: Message, cut: Message): Wish {
    const isOnDemand = typeof onDemand === "boolean" ? onDemand : this.#host.onDemand;
    const named = cut.webSeeds as string[];
    const inSource = typeof cut.magnet === "string" ? seedsOf(cut.magnet) : [];
    const trackers = namedIn(cut, cut.trackers as string[]) ?? [];
    return new Wish(isOnDemand, amount(maxPricePerBlock), numbers(files), [...named, ...inSource], trackers);
  }

  async #leaves(id: number, { hash }: Message): Promise<void> {
    const before = this.#leaving;
    if (typeof hash !== "string" || !this.titles.delete(hash)) {
      this.#waiting.delete(id);
      this.#refuse(id, "the torrent was removed");
      return before ?? undefined;
    }
    this.#waiting.set(id, { t: "leave", hash, wish: null });
    await this.#host.leaves(hash);
    await before;
    if (!this.#waiting.has(id)) return;
    this.#host.toEngine({ t: "leave", hash, id });
  }

  #wishOf({ hash }: Message): Wish | undefined {
    return typeof hash === "string" ? this.titles.get(hash) : undefined;
  }

  #wants(message: Message, change: (wish: Wish) => unknown): string | null {
    const wish = this.#wishOf(message);
    if (!wish) return "the torrent was removed";
    if (wish.whole) wish.seen = null;
    change(wish);
    this.#host.wishes(message.hash as string);
    return null;
  }

  /** Any other torrent is whole when its pieces were checked, whatever a page says. */
  #isMade(torrent: unknown): boolean {
    return torrent instanceof Uint8Array && this.#made.some((made) => isEqual(made, torrent));
  }

  #source({ magnet, torrent, hash }: Message, site: Site): Message | string {
    if (typeof magnet === "string") return magnet.length <= LONGEST_MAGNET ? { magnet } : "The magnet link is too long";
    // Whether others' titles are here is nobody's business.
    if (typeof hash === "string")
      return site.titles.some((one) => one.hash === hash) ? { hash } : `nothing is stored here of ${hash}`;
    if (torrent instanceof Uint8Array && torrent.length <= MAX_TORRENT_BYTES) return { torrent };
    return "give a magnet link, a .torrent file or an info hash";
  }

  #own(t: string, { hash }: Message, more: Message = {}): Cut {
    if (typeof hash !== "string" || !this.titles.has(hash)) return "the torrent was removed";
    return { t, hash, ...more };
  }

  /** Refused before anything is paid into an account that is not paid from. The host alone tells the engine of one. */
  async #account(t: "account" | "accountId", { owner }: Message): Promise<Cut> {
    if (this.#host.site().budget === 0n) return "The user of the extension lets this site spend nothing";
    if (typeof owner !== "string" || !/^0x[0-9a-f]{40}$/i.test(owner)) return "`owner` is no address";
    const asked = [...this.#waiting.values()].filter((one) => one.t === "account" || one.t === "accountId").length;
    if (asked > MAX_ACCOUNTS) return "The site asks too much at once";
    try {
      const may = t === "account" ? await this.#host.paysFrom(owner) : await this.#host.mayPayFrom(owner);
      if (!may) return "The extension pays from another account: its user ends that first";
    } catch (error) {
      return error instanceof Error ? error.message : String(error);
    }
    return t === "account" ? null : { t, owner };
  }

  /** A bucket of tokens, from which every message of the page takes one. */
  mayAsk(): boolean {
    const now = this.#host.now();
    this.#tokens = Math.min(BURST, this.#tokens + ((now - this.#filled) * PER_SECOND) / 1_000);
    this.#filled = now;
    if (this.#tokens < 1) return false;
    this.#tokens--;
    return true;
  }

  #refuse(id: unknown, text: string): void {
    if (typeof id === "number") this.#host.toPage({ t: "err", id, message: `${text}.`.replace(/\.\.$/, ".") });
  }

  // ------------------------------------------------------------------------------ to the page

  /** It stops to read the title: what came meanwhile is seen at its next look. */
  looksAnew(hash: string): void {
    const wish = this.titles.get(hash);
    if (wish) wish.seen = null;
  }

  /** A page hears of a title's pieces and peers what it has asked for itself, and of money what it pays itself. */
  #mayHear(event: string, hash: string): boolean {
    const wish = this.titles.get(hash);
    if (!wish) return false;
    if (event === "payment" || event === "paymentneeded") return this.#host.pays(hash);
    return ["ready", "error", "title"].includes(event) || this.#isAsking(hash, wish);
  }

  #isAsking(hash: string, wish: Wish): boolean {
    return wish.whole || this.#host.reads(hash);
  }

  /** Whether its page fetches all of the title. */
  isWhole(hash: string): boolean {
    return this.titles.get(hash)?.whole ?? false;
  }

  #answer({ t, hash, wish }: Waiting, value: unknown): unknown {
    switch (t) {
      case "hello": {
        const { vault, chainId } = value as Hello;
        const stored = this.#host.site().titles.map((one) => one.hash);
        return { stored, vault, chainId, sessionKey: null, payee: null, generation: null } satisfies Hello;
      }
      case "add": {
        const added = String(value);
        const before = this.titles.get(added);
        // A second add of one page: who wants all of it is not overruled by who wants parts.
        if (before && wish) {
          before.onDemand &&= wish.onDemand;
          before.price = wish.price ?? before.price;
          for (const url of wish.webSeeds) if (before.webSeeds.size < MAX_ADDRESSES) before.webSeeds.add(url);
        } else if (wish) this.titles.set(added, wish);
        this.#host.took(added, wish?.trackers ?? []);
        return added;
      }
      case "seed":
        if (value instanceof Uint8Array) this.#made = [...this.#made, value.slice()].slice(-MAX_MADE);
        return value;
      case "leave":
        if (hash !== null) this.#host.left(hash);
        return undefined;
      case "torrent":
        return value === null || hash === null ? null : this.#torrent(hash, value as EngineTorrent);
      case "snapshot":
        return this.#snapshot(value as Snapshot);
      case "accountId":
      case "domainSeparator":
      case "title":
        return value;
      default:
        return undefined;
    }
  }

  /**
   * Field by field, without what other sites and visits did with it. A page that neither fetches nor reads it sees its
   * pieces as they were when it did so last, and nothing moves.
   */
  #torrent(hash: string, torrent: EngineTorrent): EngineTorrent | null {
    const wish = this.titles.get(hash);
    if (!wish) return null;
    const site = this.#host.site();
    const [asks, pays] = [this.#isAsking(hash, wish), this.#host.pays(hash)];
    const { verified, selectedVerified, downloaded, wasted } = torrent;
    // Before its files are known there is nothing to see.
    if (asks || !wish.seen || wish.seen.have.length !== torrent.have.length)
      wish.seen = { have: torrent.have.slice(), verified, selectedVerified, downloaded, wasted };
    const isBehind = wish.seen.selectedVerified < torrent.selectedLength;
    const none = { pricePerBlock: null, active: false, paidFine: 0n, blocks: 0, note: "" };
    return {
      ...wish.seen,
      have: wish.seen.have.slice(),
      infoHash: torrent.infoHash,
      name: torrent.name,
      state: wish.paused ? "paused" : torrent.state === "seeding" && isBehind ? "downloading" : torrent.state,
      onDemand: wish.onDemand,
      kept: false,
      failure: torrent.failure,
      length: torrent.length,
      pieceLength: torrent.pieceLength,
      pieceCount: torrent.pieceCount,
      selectedLength: torrent.selectedLength,
      blockCount: torrent.blockCount,
      files: torrent.files.map((file, at) => ({ ...file, priority: wish.priority(at) })),
      uploaded: 0,
      downloadRate: asks ? torrent.downloadRate : 0,
      uploadRate: 0,
      pricePerBlock: 0n,
      maxPricePerBlock: price(ceiling(site), [wish]),
      spentFine: site.titles.find((one) => one.hash === hash)?.spentFine ?? 0n,
      earnedFine: 0n,
      maxCostFine: pays ? torrent.maxCostFine : 0n,
      peers: torrent.peers.map(({ id, client, haveCount, peerChoking, ...peer }) => ({
        id,
        client,
        haveCount,
        peerChoking,
        amChoking: false,
        downloaded: asks ? peer.downloaded : 0,
        uploaded: 0,
        downloadRate: asks ? peer.downloadRate : 0,
        uploadRate: 0,
        requestsOut: asks ? peer.requestsOut : 0,
        requestsIn: 0,
        buying: pays ? peer.buying : none,
        selling: none,
      })),
      webSeeds: torrent.webSeeds
        .filter(({ url }) => wish.webSeeds.has(url))
        .map(({ url, state, note, downloaded, downloadRate }) => ({
          url,
          state: asks || state !== "downloading" ? state : "idle",
          note,
          downloaded: asks ? downloaded : 0,
          downloadRate: asks ? downloadRate : 0,
        })),
      swarm: torrent.swarm,
    };
  }

  /**
   * A page of this machine is one that somebody works on: it hears of the trackers of this machine that it named. That
   * others are connected says which sites use them, too.
   */
  #ownMachines(trackers: readonly Tracker[] = [], site: Site): Tracker[] {
    if (!isThisMachine(new URL(site.origin))) return [];
    const urls = [...this.titles.values()].flatMap(({ trackers: named }) => named);
    const named = new Set(urls.map((url) => (URL.canParse(url) ? new URL(url).href : url)));
    return trackers
      .filter(({ url }) => URL.canParse(url) && isThisMachine(new URL(url)) && named.has(new URL(url).href))
      .map(({ url, connected, error }) =>
        this.#host.loopback ? { url, connected, error } : { url, connected: false, error: SECURE_ALONE },
      );
  }

  /** Of the money only what the site may spend. */
  #snapshot({ money, trackers }: Snapshot): unknown {
    this.#host.sawMoney(money as unknown as AccountNow);
    const site = this.#host.site();
    const rest = left(site);
    const free = typeof money.free === "bigint" && money.free < rest ? money.free : rest;
    return {
      downloadRate: 0,
      uploadRate: 0,
      trackers: this.#ownMachines(trackers, site),
      money: {
        accountReady: money.accountReady,
        lack: rest === 0n && site.budget > 0n ? "budget" : money.lack,
        balance: free,
        locked: 0n,
        free,
        spentFine: site.spentFine,
        budget: site.budget,
        redeemable: 0n,
        redeemableFine: 0n,
        redeemed: 0n,
        redeemableRanges: 0,
        vouchersSigned: 0,
        preimagesReleased: 0,
        preimagesReceived: 0,
      },
    };
  }
}

/** Files of the page, to be made a torrent. */
function seed({ name, isFolder, files, trackers, ...more }: Message, site: Site): Cut {
  const isName = (one: unknown) => typeof one === "string" && one.length <= LONGEST_NAME;
  if (!isName(name) || !Array.isArray(files) || files.length > MAX_MADE_FILES) return "`files` is missing";
  const clean = files.flatMap((file: unknown) => {
    const { blob, path } = (file ?? {}) as Message;
    return blob instanceof Blob && Array.isArray(path) && path.every(isName) ? [{ blob, path }] : [];
  });
  if (clean.length < files.length) return "`files` is missing";
  const text = (one: unknown) => (typeof one === "string" ? one.slice(0, LONGEST_TEXT) : undefined);
  const whole = (one: unknown) => (Number.isSafeInteger(one) && Number(one) >= 0 ? one : undefined);
  return {
    t: "seed",
    name,
    isFolder: isFolder === true,
    files: clean,
    trackers: addresses(trackers, "wss:", site),
    webSeeds: addresses(more.webSeeds, "https:", site),
    private: more.private === true,
    pieceLength: whole(more.pieceLength),
    created: whole(more.created),
    comment: text(more.comment),
    createdBy: text(more.createdBy),
  };
}

function isEqual(one: Uint8Array, other: Uint8Array): boolean {
  return one.length === other.length && one.every((byte, at) => byte === other[at]);
}

/** The most that the site pays for a block now. */
export function ceiling(site: Site): bigint {
  return left(site) > 0n ? site.ceiling : 0n;
}

function amount(wanted: unknown): bigint | null {
  return typeof wanted === "bigint" && wanted >= 0n ? wanted : null;
}

/** The signaling servers of a title that is added; null: its .torrent file is none. */
function namedIn(source: Message, given: readonly string[]): string[] | null {
  try {
    return trackersNamed(source, given);
  } catch {
    return null;
  }
}

/** The web seeds that a magnet link names. */
function seedsOf(magnet: string): string[] {
  return new URLSearchParams(magnet.slice(magnet.indexOf("?") + 1)).getAll("ws").slice(0, MAX_ADDRESSES);
}

/**
 * Addresses that a page of the site could ask itself: secure ones, and those of this machine only for a site of this
 * machine.
 */
function addresses(list: unknown, protocol: "wss:" | "https:", site: Site): string[] {
  if (!Array.isArray(list)) return [];
  return list.slice(0, MAX_ADDRESSES).filter((url: unknown): url is string => {
    if (typeof url !== "string" || url.length > LONGEST_ADDRESS || !URL.canParse(url)) return false;
    const parsed = new URL(url);
    if (isThisMachine(parsed)) return isThisMachine(new URL(site.origin));
    return parsed.protocol === protocol;
  });
}

function isThisMachine({ hostname }: URL): boolean {
  return (
    /^(.*\.)?localhost\.?$/.test(hostname) || /^(127\.|0\.0\.0\.0$|\[::(1|ffff:7f[0-9a-f]{2}:.*)?\]$)/.test(hostname)
  );
}

function numbers(list: unknown): number[] | null {
  if (!Array.isArray(list)) return null;
  return list.slice(0, MAX_FILES).filter((one: unknown): one is number => Number.isSafeInteger(one));
}
