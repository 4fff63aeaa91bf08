/**
 * The page that runs the engine: Chromium's offscreen document, Firefox's background page. It keeps the library seeded,
 * lets sites in as the user allowed, and counts what each of them spends.
 */

import { Terms } from "../../npm/src/terms.ts";
import type { EngineTorrent } from "../../npm/src/torrent.ts";
import type { EngineConfig, FromEngine, Hello } from "../../npm/src/protocol.ts";
import { PROVIDER_VERSION, type FromProvider, type Open, type WalletAnswer } from "../../npm/src/provider.ts";
import { keepGeneration, lastGeneration } from "../../npm/src/stores.ts";
import { defaultIceServers } from "../../npm/src/ice.ts";
import { Account, type AccountNow, type Payer } from "./account.ts";
import { Book, type Kept } from "./book.ts";
import { api, type RuntimePort, type Sender } from "./browser.ts";
import { Engine } from "./engine.ts";
import { ceiling, Gate } from "./gate.ts";
import { Keepers } from "./keepers.ts";
import { Page } from "./page.ts";
import { DEFAULTS, quiet, type Conditions, type Settings } from "./settings.ts";
import { isShell, shell } from "./shell.ts";
import { Readers } from "./readers.ts";
import { left, originOf, Sites, type Site } from "./sites.ts";
import { keep, keepAll, kept } from "./store.ts";
import { choices, payerOf, price } from "./wishes.ts";
import { PAGE, READER, WALLET_METHODS, type Ensure, type Opening, type State, type ToHost } from "./words.ts";

/** Pages of sites at once, and of one site: the engine has room for 64, and the first of them would give way. */
const MAX_PAGES = 48;
const MAX_PAGES_OF_SITE = 8;
/** The extension's own pages at once, beside those and the host's. */
const MAX_OWN_PAGES = 12;
/** Sites whose question is open. */
const MAX_QUESTIONS = 8;
/** Milliseconds between two windows that ask for one site. */
const ASK_EVERY = 60_000;
/** Titles that are taken up at a start: the engine has room for 512. */
const MAX_LIBRARY = 256;
/** Milliseconds between two looks at what sites spend, while one may. */
const COUNT_EVERY = 500;
/** Milliseconds between two looks at rates, and at hours, battery and connection. */
const LOOK_EVERY = 5_000;

/** A site's page, or one of the extension's own (`site` is null). */
interface Session {
  port: RuntimePort;
  site: string | null;
  open: Opening | null;
  gate: Gate | null;
  engine: MessagePort | null;
  /** What its wallet was asked and has not answered. */
  asked: Map<number, { resolve(value: unknown): void; reject(error: Error): void }>;
  /** Of the extension's own page: adds of whole titles that are not answered. */
  adds: Set<unknown>;
}

interface MoneySnapshot {
  money: AccountNow & { spentFine: bigint };
  uploadRate: number;
}

/** This build may speak to servers of this machine; `build.mjs` says it. */
declare const LOOPBACK: boolean;

const sessions = new Set<Session>();
let settings: Settings = DEFAULTS;
let sites = new Sites([], () => undefined);
let own: Page | null = null;
let fault = "";
/** The limits that the engine was told last. */
let told = "";
let badge = "";
let book = new Book();
/** The titles that stay, and the sites that brought them: the others of the library are the user's own. */
const library = new Set<string>();
let keepers = new Keepers();
/** Titles that the user fetches whole. */
const mine = new Set<string>();
const conditions: Conditions = { hour: 0, metered: null, onBattery: null };

const engine = new Engine({
  started: () => void greeted(),
  fault: (text) => {
    fault = text;
    ended();
    for (const session of sessions) session.engine = null;
    void look();
  },
});

// ---------------------------------------------------------------------------------- the engine

function config(): EngineConfig {
  const { payment, trackers, uploadLimit, downloadLimit, storageLimit } = settings;
  const paying = payment && new Terms({ ...payment, budget: "0" }).engineConfig();
  return {
    trackers,
    useTorrentTrackers: true,
    useTorrentWebSeeds: true,
    webSeedsAlways: false,
    uploadLimit: why() ? 0 : uploadLimit,
    downloadLimit,
    storageLimit,
    payment: paying && { ...paying, ...lastGeneration(null) },
  };
}

/** Starts the engine, or starts it again with what was set meanwhile. */
async function start(): Promise<void> {
  if (!settings.started) return;
  ended();
  fault = "";
  told = "";
  await engine.start(config(), settings.iceServers ?? defaultIceServers());
}

/** The engine answers nothing more. */
function ended(): void {
  for (const { gate } of sessions) gate?.engineIsGone();
  own?.close();
  own = null;
}

/** An engine runs: the first, or another after a trap. Every page is one that it serves. */
async function greeted(): Promise<void> {
  fault = "";
  const { port1, port2 } = new MessageChannel();
  const page = new Page(port1, heard);
  own = page;
  budgeted = -1n;
  account.engineIsNew();
  engine.attach(port2);
  for (const session of sessions) if (isIn(session)) attach(session);
  const { generation, stored } = await page.ask<Hello>("hello");
  if (generation !== null) keepGeneration(null, generation);
  library.clear();
  for (const hash of stored) library.add(hash);
  keepers.limit(library);
  for (const hash of stored.slice(-MAX_LIBRARY)) await use(page, hash);
  await inTurn(settle);
  await look();
}

/** It is seeded: what is here of it, and no more is fetched. */
async function use(page: Page, hash: string): Promise<void> {
  // A stored one whose files are gone cannot be taken up.
  await page.ask("add", { hash, trackers: [], webSeeds: [], onDemand: true, check: "resume" }).catch(() => undefined);
}

function heard({ e, hash }: Extract<FromEngine, { t: "event" }>): void {
  if (hash === null || usersOf(hash).length === 0) return;
  const site = e === "piece" || e === "done" ? keeperOf(hash) : null;
  if (e === "ready") changed(hash);
  else if (site !== null) void inTurn(() => keepTitle(hash, site));
}

/** What changes titles and money happens one after the other. */
let turn: Promise<unknown> = Promise.resolve();
function inTurn(what: () => Promise<unknown>): Promise<unknown> {
  turn = turn.then(what).catch(() => undefined); // the engine stopped meanwhile: the next one is told all anew
  return turn;
}

/** As {@link inTurn}, for one that waits for the answer. */
async function itsTurn<T>(what: () => Promise<T>): Promise<T> {
  const answer = turn.then(what);
  await inTurn(() => answer);
  return answer;
}

const queued = new Set<string>();

/** The engine hears soon what is wanted of the title. */
function changed(hash: string): void {
  if (queued.has(hash)) return;
  queued.add(hash);
  void inTurn(() => {
    queued.delete(hash);
    return apply(hash);
  });
}

/** The site by which a title comes to the library, if it is not there yet and the site has room. */
function keeperOf(hash: string): string | null {
  if (library.has(hash)) return null;
  return usersOf(hash).find(({ site }) => site !== null && keepers.hasRoom(site))?.site ?? null;
}

/** Something of it is here: it comes to the library, by this site. */
async function keepTitle(hash: string, site: string): Promise<void> {
  if (!own || library.has(hash) || !keepers.hasRoom(site)) return;
  const torrent = await own.ask<EngineTorrent | null>("torrent", { hash });
  if (!torrent?.verified) return;
  library.add(hash);
  keepers.keep(hash, site);
  await keep("keepers", keepers.kept());
  await use(own, hash);
}

/** Tells the engine what the pages together want of a title. */
async function apply(hash: string): Promise<void> {
  if (!own) return;
  const site = keeperOf(hash);
  if (site !== null) await keepTitle(hash, site);
  const torrent = await own.ask<EngineTorrent | null>("torrent", { hash });
  if (!torrent) return;
  const users = usersOf(hash);
  if (settings.payment) {
    const most = await payment(torrent);
    if (torrent.maxPricePerBlock !== most) await own.ask("maxPrice", { hash, pricePerBlock: most });
  }
  const wishes = users.flatMap(({ gate }) => gate?.titles.get(hash) ?? []);
  const now = torrent.files.map(({ priority }) => priority);
  if (now.length > 0) {
    const isAlone = new Set(users.map(({ site }) => site)).size === 1;
    for (const wish of wishes) wish.learn(now, isAlone);
    for (const [priority, files] of choices(wishes, now)) await own.ask("select", { hash, files, priority });
  }
  // Before the files are known nothing is fetched but what they are.
  const isWhole = mine.has(hash) || (now.length > 0 && wishes.some(({ whole }) => whole));
  if (torrent.onDemand === isWhole) await own.ask("onDemand", { hash, v: !isWhole, remember: false });
}

/** The most that is paid for a block of it, by the site that pays. */
async function payment({ infoHash: hash, spentFine }: EngineTorrent): Promise<bigint> {
  const next = nextPayer(hash);
  // What was spent by now counts for the one that paid.
  if (next !== undefined && book.payers.has(hash) && next !== book.payers.get(hash)) await settle();
  const payer = nextPayer(hash);
  if (payer === undefined) return 0n;
  book.pays(hash, payer, spentFine);
  const wishes = spenders(hash).flatMap(({ site, gate }) => (site === payer ? (gate?.titles.get(hash) ?? []) : []));
  return price(ceiling(sites.of(payer)), wishes);
}

/** Pages that use the title and whose sites may still spend. */
function spenders(hash: string): Session[] {
  return usersOf(hash).filter(({ site, open }) => site !== null && open?.payment && left(sites.of(site)) > 0n);
}

function nextPayer(hash: string): string | undefined {
  const could = spenders(hash).flatMap(({ site, gate }) =>
    site === null ? [] : [{ site, asks: gate?.isWhole(hash) || readers.asks(site, hash) }],
  );
  return payerOf(book.payers.get(hash), could);
}

/** One of several sites that use the title begins or ends to read it: it may be another one that pays. */
function readersChanged(hash: string): void {
  if (settings.payment && new Set(usersOf(hash).map(({ site }) => site)).size > 1) changed(hash);
}

/** The titles that only this site brought go; one that a page of another site uses now goes with that page. */
async function takeTitles(origin: string): Promise<void> {
  let isDone = false;
  await inTurn(async () => {
    for (const hash of keepers.handOver(origin, sites.list())) {
      library.delete(hash);
      await unused(hash);
      keepers.drop(hash);
    }
    await keep("keepers", keepers.kept());
    isDone = true;
  });
  if (!isDone) throw new Error("The engine stopped before all titles were removed: remove the others in the library.");
}

/** No page uses it any more, maybe. One of which nothing is to stay is deleted with its last page. */
async function unused(hash: string): Promise<void> {
  await apply(hash);
  if (own && !library.has(hash) && !mine.has(hash) && usersOf(hash).length === 0)
    await own.ask("remove", { hash, deleteData: true });
}

// ---------------------------------------------------------------------------------- pages

function attach(session: Session): void {
  session.engine?.close();
  const { port1, port2 } = new MessageChannel();
  session.engine = port1;
  session.gate?.engineIsNew();
  port1.onmessage = ({ data }: MessageEvent<FromEngine>) => {
    if (session.gate) return session.gate.fromEngine(data);
    if (data.t === "ok" && session.adds.delete(data.id)) wantsWhole(String(data.v), true);
    session.port.postMessage(data);
  };
  engine.attach(port2);
  say(session, { t: "opened" });
}

function say(session: Session, message: FromProvider): void {
  session.port.postMessage(message);
}

/** The site as its page may use it: one that pays by nothing spends nothing. */
function siteOf(session: Session, origin: string): Site {
  const site = sites.of(origin);
  return session.open?.payment ? site : { ...site, budget: 0n, ceiling: 0n };
}

function gateOf(session: Session, origin: string): Gate {
  return new Gate({
    site: () => siteOf(session, origin),
    took: (hash, trackers) => {
      // What the user took back meanwhile is forgotten.
      if (sites.of(origin).allowed) sites.took(origin, hash, trackers);
      awaited.dispatchEvent(new Event(hash));
      changed(hash);
    },
    wishes: changed,
    leaves: async (hash) => {
      readers.look();
      await inTurn(() => keepTitle(hash, origin));
    },
    left: (hash) => void inTurn(() => unused(hash)),
    reads: (hash) => readers.reads(origin, hash),
    pays: (hash) => session.open?.payment != null && book.payers.get(hash) === origin,
    inUse: () => titlesOf(origin).size,
    trackers: () => {
      // Also of titles that stay or are used by others: the engine knows them of those, too.
      const isHere = (hash: string) => library.has(hash) || usersOf(hash).length > 0;
      return new Set(
        sites.of(origin).titles.flatMap(({ hash, trackers }) => (trackers && isHere(hash) ? trackers : [])),
      );
    },
    loopback: LOOPBACK,
    get onDemand() {
      return settings.payment !== null;
    },
    now: () => Date.now(),
    toEngine: (message) => session.engine?.postMessage(message),
    toPage: (message) => session.port.postMessage(message),
    mayPayFrom: (owner) => itsTurn(() => account.mayPayFrom(origin, owner)),
    paysFrom: (owner) =>
      itsTurn(async () => {
        const pays = sessions.has(session) && (await account.payFrom(origin, owner));
        if (pays) await settle();
        return pays;
      }),
    sawMoney: (money) => void account.saw(money).catch(() => undefined),
  });
}

/** Those that pages of the site use. */
function titlesOf(origin: string): Set<string> {
  return new Set(
    [...sessions].filter(({ site }) => site === origin).flatMap(({ gate }) => [...(gate?.titles.keys() ?? [])]),
  );
}

/** The user fetches it whole, or takes that back. */
function wantsWhole(hash: string, whole: boolean): void {
  library.add(hash);
  if (whole) mine.add(hash);
  else mine.delete(hash);
  if (whole && keepers.drop(hash)) void keep("keepers", keepers.kept());
  changed(hash);
}

/** What a page of the extension asks of the engine, and what the host has to know of it. */
function ownAsks(session: Session, message: unknown): void {
  const { t, id, hash, onDemand, v } = (message ?? {}) as Record<string, unknown>;
  if (t === "add" && onDemand === false) session.adds.add(id);
  else if (t === "onDemand" && typeof hash === "string") wantsWhole(hash, v === false);
  else if (t === "remove" && typeof hash === "string") {
    for (const known of [library, mine]) known.delete(hash);
    if (keepers.drop(hash)) void keep("keepers", keepers.kept());
  }
  session.engine?.postMessage(message);
}

function arrived(port: RuntimePort): void {
  const { sender } = port;
  const isOwn = isOurs(sender);
  const origin = isOwn ? null : originOf(sender?.origin ?? sender?.url);
  if (!isOwn && origin === null) return void port.disconnect();
  const session: Session = {
    port,
    site: origin,
    open: null,
    gate: null,
    engine: null,
    asked: new Map(),
    adds: new Set(),
  };
  port.onDisconnect.addListener(() => leaves(session));
  port.onMessage.addListener((message) => {
    if ((message as { t?: unknown } | null)?.t === "bye") {
      leaves(session);
      return port.disconnect();
    }
    if (session.gate && isWalletAnswer(message)) return void (session.gate.mayAsk() && walletSaid(session, message));
    if (session.engine && session.gate) session.gate.fromPage(message);
    else if (session.engine && isOwn) ownAsks(session, message);
    else if (isOpen(message) && !session.open) void ready.then(() => opens(session, message));
  });
  sessions.add(session);
}

function isOpen(message: unknown): message is Opening {
  return typeof message === "object" && message !== null && (message as { t?: unknown }).t === "open";
}

/** A page asks to be let in. */
async function opens(session: Session, open: Opening): Promise<void> {
  const reason = refusal(session, open);
  if (reason !== null) {
    say(session, { t: "refused", message: reason });
    sessions.delete(session);
    return session.port.disconnect();
  }
  session.open = open;
  const { site } = session;
  if (site === null || sites.of(site).allowed) return enter(session);
  // It waits for the user's word, in the extension's own window or its button's.
  sites.asked(site);
  const last = windows.get(site) ?? 0;
  if (open.gesture && Date.now() - last > ASK_EVERY) {
    windows.delete(site);
    windows.set(site, Date.now());
    const [oldest] = windows.keys();
    if (windows.size > MAX_PAGES && oldest !== undefined) windows.delete(oldest);
    shell({ to: "shell", t: "ask", site });
  }
  await look();
}

/** When each site's question was last shown in a window. */
const windows = new Map<string, number>();

/** Sites whose pages wait for the user's word. */
function questions(): string[] {
  const waiting = [...sessions].filter((session) => session.open !== null && !isIn(session));
  return [...new Set(waiting.map(({ site }) => site ?? ""))];
}

/** Whether it may use the engine. */
function isIn({ site, open }: Session): boolean {
  return open !== null && (site === null || sites.of(site).allowed === true);
}

/** The word to a page that is not let in, whatever the reason: it learns nothing by it. */
const NOT_ALLOWED = "The user of the Piecework extension does not allow this site to use it.";

/** Why a page is not let in and its site not asked about; null: it is, or the user is asked. */
function refusal({ site }: Session, { version, ask }: Open): string | null {
  if (version !== PROVIDER_VERSION) return "This page and the Piecework extension are of different versions.";
  if (site !== null && !ask && sites.of(site).allowed !== true) {
    if (settings.started) sites.asked(site);
    return NOT_ALLOWED;
  }
  if (!settings.started) return "The Piecework extension is not set up: open it once.";
  if (site === null) {
    const open = [...sessions].filter((one) => one.open && one.site === null);
    return open.length >= MAX_OWN_PAGES ? "Too many pages of the Piecework extension are open: close some." : null;
  }
  const { allowed } = sites.of(site);
  if (allowed === false) return NOT_ALLOWED;
  const pages = [...sessions].filter((one) => one.open && one.site !== null);
  if (pages.length >= MAX_PAGES || pages.filter((one) => one.site === site).length >= MAX_PAGES_OF_SITE)
    return "Too many pages use the Piecework extension: close some.";
  const waiting = questions();
  if (!allowed && !waiting.includes(site) && waiting.length >= MAX_QUESTIONS)
    return "Other sites wait for an answer of the extension's user.";
  return null;
}

/** A page pays by the extension's own vault or not at all. */
function paysElsewhere({ payment }: Open): boolean {
  return payment !== null && !isOurVault(payment);
}

function isOurVault({ vault, chainId }: NonNullable<Open["payment"]>): boolean {
  const { payment } = settings;
  return payment?.vault.toLowerCase() === String(vault).toLowerCase() && payment.chainId === chainId;
}

function enter(session: Session): void {
  if (session.site !== null && session.open && paysElsewhere(session.open)) {
    const message = "The Piecework extension pays by another vault than this site, or by none.";
    say(session, { t: "refused", message });
    leaves(session);
    return void session.port.disconnect();
  }
  if (session.site !== null) session.gate = gateOf(session, session.site);
  if (own) attach(session);
  void inTurn(settle);
}

function leaves(session: Session): void {
  if (!sessions.delete(session)) return;
  for (const { reject } of session.asked.values()) reject(new Error("The page with the wallet was closed."));
  session.asked.clear();
  readers.look();
  const { gate, site, engine: port } = session;
  const titles = [...(gate?.titles.keys() ?? [])];
  session.engine = null;
  void inTurn(async () => {
    for (const hash of titles) if (site !== null) await keepTitle(hash, site).catch(() => undefined);
    port?.postMessage({ t: "bye" });
    port?.close();
    await settle().catch(() => undefined);
    for (const hash of titles) await unused(hash);
  });
}

function usersOf(hash: string): Session[] {
  return [...sessions].filter(({ gate }) => gate?.titles.has(hash));
}

/** Milliseconds that a page has for it. */
const TAKES_AT_MOST = 10_000;
const awaited = new EventTarget();

/** Resolves when a page takes the title up, or too much time went by. */
function taken(hash: string): Promise<void> {
  return new Promise((resolve) => {
    awaited.addEventListener(hash, () => resolve(), { once: true, signal: AbortSignal.timeout(TAKES_AT_MOST) });
    setTimeout(resolve, TAKES_AT_MOST);
  });
}

/** The readers of files. One of a page that was closed, or whose site was taken back, ends. */
const readers = new Readers({
  of: (port) => ({ isOwn: isOurs(port.sender), origin: originOf(port.sender?.origin ?? port.sender?.url) }),
  session: (site, hash) => [...sessions].find((one) => one.site === site && (site === null || one.gate?.mayRead(hash))),
  ended(site, hash) {
    for (const { gate } of [...sessions].filter((one) => one.site === site)) gate?.looksAnew(String(hash));
    readersChanged(String(hash));
  },
  async settled(site, hash) {
    const isThere = [...sessions].some((one) => one.site === site && (site === null || one.gate?.mayRead(hash)));
    const waits = !isThere && [...sessions].some((one) => one.site === site && one.open?.again);
    // A page that comes from a host that ended tells this one its titles in a moment.
    if (waits) await taken(hash);
    readersChanged(hash);
    // Nothing is read before its price is known.
    await turn;
  },
});

// ---------------------------------------------------------------------------------- money

const accountHost = {
  time: () => Date.now(),
  maySpend: (site: string) => sites.of(site).allowed === true && sites.of(site).budget > 0n,
  now: async () => (await running().ask<MoneySnapshot>("snapshot")).money,
  settle: () => {
    running();
    return settle();
  },
  payFrom: (owner: string) => running().ask<void>("account", { owner }),
  keep: (payer: Payer | null) => keep("payer", payer),
};
let account = new Account(null, accountHost);

function running(): Page {
  if (!own) throw new Error("the engine stopped");
  return own;
}

/** What the engine was told last that it may spend. */
let budgeted = -1n;

async function tellBudget(total: bigint): Promise<void> {
  if (!own || total === budgeted) return;
  await own.ask("budget", { total });
  budgeted = total;
}

let keeping: Promise<void> | null = null;

/** Sites and book are kept together: what only one of them knew after a crash would count twice, or for nobody. */
function keepCounts(): Promise<void> {
  keeping ??= Promise.resolve().then(() => {
    keeping = null;
    return keepAll({ sites: sites.list(), book: book.kept() });
  });
  return keeping;
}

/** Sites with open pages that pay. */
function paying(): Site[] {
  const origins = [...sessions].filter(({ gate, open }) => gate && open?.payment).map(({ site }) => site ?? "");
  return [...new Set(origins)].map((origin) => sites.of(origin)).filter(({ allowed }) => allowed);
}

let written = "";

/**
 * Counts what was spent, then lets the engine spend in all not a unit more than what the sites that use it now may
 * still spend. It holds that by itself. What was spent and is not counted for a site yet is taken off.
 */
async function settle(): Promise<void> {
  if (!own || settings.payment === null) return;
  if (account.isChanging) await tellBudget(0n);
  else await account.assure();
  const sum = () => own?.ask<MoneySnapshot>("snapshot") ?? Promise.reject(new Error("the engine stopped"));
  let { money } = await sum();
  const records: [hash: string, payer: string, spentFine: bigint][] = [];
  // Only what somebody pays for costs anything.
  if (book.pending > 0n || money.spentFine !== book.counted) {
    for (const [hash, payer] of book.payers) {
      const torrent = await own.ask<{ spentFine: bigint } | null>("torrent", { hash });
      if (torrent) records.push([hash, payer, torrent.spentFine]);
    }
    // The sum is read after the records that explain it: spending goes on meanwhile.
    ({ money } = await sum());
  }
  const now = Date.now();
  if (money.accountReady) {
    if (!account.isChanging) book.countsFor(account.owner);
    book.sum(money.spentFine, now);
    await account.saw(money);
  }
  const touched = new Set<string>();
  for (const [hash, payer, spentFine] of records) {
    const fine = book.title(hash, spentFine);
    sites.spent(payer, hash, fine);
    if (fine > 0n) touched.add(payer);
  }
  const could = paying();
  const rest = book.unexplained(
    could.filter((site) => left(site) > 0n).map(({ origin }) => origin),
    now,
  );
  for (const origin of rest.fine > 0n ? rest.sites : []) {
    sites.spentForSome(origin, rest.fine);
    touched.add(origin);
  }
  const { counted, pending, payers } = book;
  const state = [account.owner, counted, pending, ...[...payers].flat()].join();
  if (state !== written) await keepCounts();
  written = state;
  const more = could.reduce((sum, { origin }) => sum + left(sites.of(origin)), 0n) << 24n;
  await tellBudget(account.isChanging ? 0n : book.most(money.spentFine, more) >> 24n);
  // A site at its end pays no more, and another one that uses the title does.
  for (const origin of touched)
    if (left(sites.of(origin)) === 0n) for (const [hash, payer] of book.payers) if (payer === origin) await apply(hash);
}

let counting = false;
setInterval(() => {
  if (counting || (paying().length === 0 && book.pending === 0n)) return;
  counting = true;
  void inTurn(settle).finally(() => (counting = false));
}, COUNT_EVERY);

/** Calls of one page's wallet that are not answered. */
const MAX_WALLET_CALLS = 8;
let walletCalls = 0;

/** Has the wallet in a site's page asked, as a press in one of the extension's own pages wants it. */
function askWallet(origin: string, method: string, params: unknown): Promise<unknown> {
  if (!WALLET_METHODS.includes(method)) return Promise.reject(new Error(`no page is asked ${method}`));
  const session = [...sessions].filter((one) => one.site === origin && one.gate && one.open?.payment).at(-1);
  if (!session) return Promise.reject(new Error(`No page of ${origin} is open that pays: open one.`));
  if (session.asked.size >= MAX_WALLET_CALLS)
    return Promise.reject(new Error("The wallet has open requests: answer them."));
  const id = ++walletCalls;
  const answer = new Promise<unknown>((resolve, reject) => session.asked.set(id, { resolve, reject }));
  say(session, { t: "wallet", id, method, params });
  return answer;
}

function isWalletAnswer(message: unknown): message is WalletAnswer {
  return typeof message === "object" && message !== null && (message as { t?: unknown }).t === "walletAnswer";
}

function walletSaid({ asked }: Session, { id, v, message, code }: WalletAnswer): void {
  const waiting = asked.get(id);
  asked.delete(id);
  if (message === undefined) waiting?.resolve(v);
  else waiting?.reject(Object.assign(new Error(String(message)), { code }));
}

// ---------------------------------------------------------------------------------- limits and the button

interface Battery extends EventTarget {
  charging: boolean;
}
interface Machine {
  connection?: { saveData?: boolean; type?: string };
  getBattery?(): Promise<Battery>;
}

let battery: Battery | null = null;

function why(): string {
  const { connection } = navigator as Machine;
  conditions.hour = new Date().getHours();
  conditions.metered = connection ? connection.saveData === true || connection.type === "cellular" : null;
  conditions.onBattery = battery && !battery.charging;
  return quiet(settings, conditions);
}

/** Tells the engine the limits of the moment, and the button what goes on. */
async function look(): Promise<void> {
  const reason = why();
  if (own) {
    const { uploadLimit, downloadLimit, storageLimit } = settings;
    const limits = { uploadLimit: reason ? 0 : uploadLimit, downloadLimit, storageLimit };
    if (JSON.stringify(limits) !== told) {
      told = JSON.stringify(limits);
      await own.ask("limits", limits);
    }
  }
  const snapshot = await own?.ask<MoneySnapshot>("snapshot").catch(() => null);
  const waiting = questions().length > 0;
  const goesUp = (snapshot?.uploadRate ?? 0) > 0;
  const now = waiting ? "?" : fault ? "!" : goesUp ? "\u2191" : "";
  if (now === badge) return;
  badge = now;
  const title = waiting
    ? "Piecework: a site asks"
    : goesUp
      ? "Piecework: uploading"
      : fault
        ? `Piecework: ${fault}`
        : "Piecework";
  shell({ to: "shell", t: "badge", text: now, title });
}

setInterval(() => void look().catch(() => undefined), LOOK_EVERY);

// ---------------------------------------------------------------------------------- the extension's own pages

function isOurs(sender: Sender | undefined): boolean {
  return sender?.id === api.runtime.id && (sender?.url?.startsWith(api.runtime.getURL("")) ?? false);
}

function vaultOf({ payment }: Settings): string {
  return payment ? `${payment.chainId} ${payment.vault.toLowerCase()}` : "";
}

/** Budgets are sums of one vault's token: the user sets them anew. All is kept together with the vault, or nothing. */
function newVault(): Promise<void> {
  return itsTurn(async () => {
    // What the last vault's engine says from now on counts for nobody.
    await tellBudget(0n).catch(() => undefined);
    ended();
    sites.newVault();
    book = new Book();
    written = "";
    account.forget();
    await keepAll({ settings, payer: null, sites: sites.list(), book: book.kept() });
  });
}

/** Fields whose change needs another engine. */
const STARTS_ANEW = ["payment", "trackers", "iceServers", "started"] as const;

async function handle(message: ToHost): Promise<unknown> {
  switch (message.t) {
    case "state": {
      const pages = [...sessions].filter(({ site, engine: port }) => site !== null && port !== null).length;
      const paying = [...sessions].filter(({ gate, open }) => gate && open?.payment).map(({ site }) => site ?? "");
      const withWallet = [...new Set(paying)];
      const brought = keepers.counts();
      return { settings, sites: sites.list(), quiet: why(), fault, pages, withWallet, brought } satisfies State;
    }
    case "settings": {
      const before = settings;
      settings = { ...settings, ...message.settings };
      if (vaultOf(before) !== vaultOf(settings)) await newVault();
      else await keep("settings", settings);
      const text = (value: unknown) => JSON.stringify(value);
      if (STARTS_ANEW.some((name) => text(before[name]) !== text(settings[name]))) await start();
      await look();
      return undefined;
    }
    case "wallet":
      return askWallet(message.origin, message.method, message.params);
    case "decide":
      sites.decide(message.origin, message);
      return decided(message.origin);
    case "forget":
      sites.forget(message.origin);
      await decided(message.origin);
      return message.withTitles ? takeTitles(message.origin) : undefined;
  }
}

/** The user's word on a site counts from now on, for its open pages too. */
async function decided(origin: string): Promise<void> {
  const site = sites.of(origin);
  for (const session of [...sessions].filter((one) => one.site === origin)) {
    if (site.allowed && !session.gate && session.open) enter(session);
    else if (!site.allowed && session.open) {
      say(session, { t: session.engine ? "gone" : "refused", message: NOT_ALLOWED });
      leaves(session);
      session.port.disconnect();
    }
  }
  readers.look();
  await inTurn(settle);
  titlesOf(origin).forEach(changed);
  await look();
}

api.runtime.onMessage.addListener((message, sender, answer) => {
  const said = message as ToHost | Ensure | null;
  if (typeof said !== "object" || said === null || sender.id !== api.runtime.id) return undefined;
  if (said.to === "shell" && said.t === "ensure" && isShell) answer(true);
  if (said.to !== "host" || !isOurs(sender)) return undefined;
  ready
    .then(() => handle(said))
    .then(
      (v) => answer({ v }),
      ({ message, code }: Error & { code?: unknown }) => answer({ error: message, code }),
    );
  return true;
});

if (isShell)
  api.runtime.onInstalled.addListener(({ reason }) => {
    if (reason === "install") shell({ to: "shell", t: "open", page: "welcome.html" });
  });

// ---------------------------------------------------------------------------------- begin

api.runtime.onConnect.addListener((port) => {
  if (port.name === PAGE) arrived(port);
  else if (port.name === READER) readers.arrived(port);
});

/** What was kept is read. A second host waits until the first is gone: two engines would write to the same records. */
const ready = new Promise<void>((resolve) => {
  void navigator.locks.request("piecework-engine", async () => {
    settings = { ...DEFAULTS, ...(await kept<Settings>("settings")) };
    sites = new Sites((await kept<Site[]>("sites")) ?? [], () => void keepCounts());
    book = new Book(await kept<Partial<Kept>>("book"), Date.now());
    account = new Account((await kept<Payer>("payer")) ?? null, accountHost);
    keepers = new Keepers(await kept<Map<string, string>>("keepers"));
    battery = (await (navigator as Machine).getBattery?.().catch(() => null)) ?? null;
    battery?.addEventListener("chargingchange", () => void look());
    await start();
    resolve();
    await new Promise(() => undefined);
  });
});
