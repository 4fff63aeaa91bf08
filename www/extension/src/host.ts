/**
 * The page that runs the engine: Chromium's offscreen document, Firefox's background page. It keeps the library seeded,
 * lets sites in as the user allowed, and counts what each of them spends.
 */

import { Terms } from "../../npm/src/terms.ts";
import type { EngineConfig, FromEngine, Hello } from "../../npm/src/protocol.ts";
import { PROVIDER_VERSION, type FromProvider, type Open, type WalletAnswer } from "../../npm/src/provider.ts";
import { keepGeneration, lastGeneration } from "../../npm/src/stores.ts";
import { defaultIceServers } from "../../npm/src/ice.ts";
import { api, type RuntimePort, type Sender } from "./browser.ts";
import { Engine } from "./engine.ts";
import { ceiling, Gate } from "./gate.ts";
import { Page } from "./page.ts";
import { DEFAULTS, quiet, type Conditions, type Settings } from "./settings.ts";
import { isShell, shell } from "./shell.ts";
import { left, originOf, Sites, type Site } from "./sites.ts";
import { keep, kept } from "./store.ts";
import { PAGE, READER, WALLET_METHODS, type Ensure, type Opening, type State, type ToHost } from "./words.ts";

/** Pages of sites at once, and of one site: the engine has room for 64, and the first of them would give way. */
const MAX_PAGES = 48;
const MAX_PAGES_OF_SITE = 8;
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
}

interface MoneySnapshot {
  money: { spentFine: bigint; balance: bigint };
  uploadRate: number;
}

const sessions = new Set<Session>();
let settings: Settings = DEFAULTS;
let sites = new Sites([], () => undefined);
let own: Page | null = null;
let fault = "";
/** The limits that the engine was told last. */
let told = "";
let badge = "";
/**
 * What each title had cost when it was counted last, and the site that pays for it. They are kept, so that a crash
 * forgets no spending.
 */
let costs = new Map<string, bigint>();
let payers = new Map<string, string>();
const conditions: Conditions = { hour: 0, metered: null, onBattery: null };

const engine = new Engine({
  started: () => void greeted(),
  fault: (text) => {
    fault = text;
    own?.close();
    own = null;
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
  own?.close();
  own = null;
  fault = "";
  told = "";
  await engine.start(config(), settings.iceServers ?? defaultIceServers());
}

/** An engine runs: the first, or another after a trap. Every page is one that it serves. */
async function greeted(): Promise<void> {
  fault = "";
  const { port1, port2 } = new MessageChannel();
  const page = new Page(port1, heard);
  own = page;
  engine.attach(port2);
  for (const session of sessions) if (isIn(session)) attach(session);
  const { generation, stored } = await page.ask<Hello>("hello");
  if (generation !== null) keepGeneration(null, generation);
  for (const hash of stored.slice(-MAX_LIBRARY)) await keepTitle(page, hash);
  await count();
  await budgets();
  await look();
}

/** It stays in the library and is seeded: what is here of it, and no more is fetched. */
async function keepTitle(page: Page, hash: string): Promise<void> {
  try {
    await page.ask("add", { hash, trackers: [], webSeeds: [], onDemand: true, check: "resume" });
    if (costs.has(hash)) return;
    const torrent = await page.ask<{ spentFine: bigint } | null>("torrent", { hash });
    costs.set(hash, torrent?.spentFine ?? 0n);
  } catch {
    // Its name and files are not known yet: the event `ready` brings it back.
  }
}

function heard(message: Extract<FromEngine, { t: "event" }>): void {
  if (message.e === "ready" && message.hash !== null && own) void keepTitle(own, message.hash);
}

// ---------------------------------------------------------------------------------- pages

function attach(session: Session): void {
  session.engine?.close();
  const { port1, port2 } = new MessageChannel();
  session.engine = port1;
  session.gate?.engineIsNew();
  port1.onmessage = ({ data }: MessageEvent<FromEngine>) => {
    if (session.gate) session.gate.fromEngine(data);
    else session.port.postMessage(data);
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
    took: (hash) => {
      sites.took(origin, hash);
      awaited.dispatchEvent(new Event(hash));
      if (!costs.has(hash)) costs.set(hash, 0n);
      const before = payers.get(hash);
      const pays = usersOf(hash).some(({ site }) => site === before);
      if (session.open?.payment && !(before !== undefined && pays)) payers.set(hash, origin);
      keepBook();
      if (own) void keepTitle(own, hash);
    },
    now: () => Date.now(),
    toEngine: (message) => session.engine?.postMessage(message),
    toPage: (message) => session.port.postMessage(message),
    mayPayFrom,
  });
}

function arrived(port: RuntimePort): void {
  const { sender } = port;
  const isOwn = isOurs(sender);
  const origin = isOwn ? null : originOf(sender?.origin ?? sender?.url);
  if (!isOwn && origin === null) return void port.disconnect();
  const session: Session = { port, site: origin, open: null, gate: null, engine: null, asked: new Map() };
  port.onDisconnect.addListener(() => leaves(session));
  port.onMessage.addListener((message) => {
    if (session.gate && isWalletAnswer(message)) walletSaid(session, message);
    else if (session.engine && session.gate) session.gate.fromPage(message);
    else if (session.engine && isOwn) session.engine.postMessage(message);
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
    return void sessions.delete(session);
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
  if (site === null) return null;
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
  return payment !== null && !isSame(payment);
}

function isSame({ vault, chainId }: NonNullable<Open["payment"]>): boolean {
  const { payment } = settings;
  return payment?.vault.toLowerCase() === String(vault).toLowerCase() && payment.chainId === chainId;
}

function enter(session: Session): void {
  if (session.site !== null && session.open && paysElsewhere(session.open)) {
    const message = "The Piecework extension pays by another vault than this site, or by none.";
    say(session, { t: "refused", message });
    return void leaves(session);
  }
  if (session.site !== null) session.gate = gateOf(session, session.site);
  if (own) attach(session);
  void budgets().catch(() => undefined);
}

function leaves(session: Session): void {
  sessions.delete(session);
  session.engine?.postMessage({ t: "bye" });
  session.engine?.close();
  session.engine = null;
  for (const { reject } of session.asked.values()) reject(new Error("The page with the wallet was closed."));
  session.asked.clear();
  const { gate } = session;
  if (gate)
    for (const hash of gate.titles)
      if (!usersOf(hash).length) void own?.ask("onDemand", { hash, v: true, remember: false });
  void count().then(budgets);
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

/** A reader of a file: of a page that uses the title. */
function reads(port: RuntimePort): void {
  const origin = originOf(port.sender?.origin ?? port.sender?.url);
  const isOwn = isOurs(port.sender);
  let reader: MessagePort | null = null;
  port.onMessage.addListener((message) => {
    if (reader) return reader.postMessage(message === "cancel" ? "cancel" : "pull");
    const { hash, file, start, end, suffix, longest } = (message ?? {}) as Record<string, unknown>;
    const uses = (one: Session) => (isOwn ? one.site === null : one.site === origin && one.gate?.mayRead(hash));
    const begin = (session: Session | undefined) => {
      if (!session?.engine) return port.postMessage({ error: "no such file", status: 404 });
      const { port1, port2 } = new MessageChannel();
      reader = port1;
      port1.onmessage = ({ data }: MessageEvent<unknown>) => port.postMessage(data);
      const wanted = Object.entries({ file, start, end, suffix, longest }).filter(
        ([, value]) => typeof value === "number",
      );
      session.engine.postMessage({ t: "stream", hash, ...Object.fromEntries(wanted), port: port2 }, [port2]);
    };
    const session = [...sessions].find(uses);
    const waits = !session && [...sessions].some((one) => one.site === origin && one.open?.again);
    // A page that comes from a host that ended tells this one its titles in a moment.
    if (waits) void taken(String(hash)).then(() => begin([...sessions].find(uses)));
    else begin(session);
  });
  port.onDisconnect.addListener(() => {
    reader?.postMessage("cancel");
    reader?.close();
  });
}

// ---------------------------------------------------------------------------------- money

/** Titles whose costs are kept: those of before are of the library no more. */
const MAX_BOOK = 1_024;

function keepBook(): void {
  costs = new Map([...costs].slice(-MAX_BOOK));
  payers = new Map([...payers].slice(-MAX_BOOK));
  void keep("book", { costs, payers });
}

/** The owner whose deposit is paid from: one that is not used up is not left because a site says so. */
async function mayPayFrom(owner: string): Promise<boolean> {
  const before = await kept<string>("owner");
  const same = before?.toLowerCase() === owner.toLowerCase();
  if (before !== undefined && !same && own) {
    const { money } = await own.ask<MoneySnapshot>("snapshot");
    if (money.balance > 0n) return false;
  }
  if (!same) await keep("owner", owner);
  return true;
}

/** Sites that may spend now. */
function paying(): Site[] {
  const origins = [...sessions].filter(({ gate, open }) => gate && open?.payment).map(({ site }) => site ?? "");
  return [...new Set(origins)].map((origin) => sites.of(origin)).filter((site) => site.allowed && left(site) > 0n);
}

/**
 * What the engine may spend in all: not a unit more than what the sites that use it now may still spend. It holds that
 * by itself; which site has spent what is counted every half second.
 */
async function budgets(): Promise<void> {
  if (!own || settings.payment === null) return;
  const { money } = await own.ask<MoneySnapshot>("snapshot");
  const more = paying().reduce((sum, site) => sum + left(site), 0n);
  spentBefore = money.spentFine;
  await own.ask("budget", { total: (money.spentFine >> 24n) + more });
}

let spentBefore = 0n;

/** What the titles cost since the last look is what their sites spent. */
async function count(): Promise<void> {
  if (!own || settings.payment === null) return;
  const { money } = await own.ask<MoneySnapshot>("snapshot");
  // Another account is paid from, which has spent nothing yet.
  if (money.spentFine < spentBefore) await budgets();
  spentBefore = money.spentFine;
  for (const [hash, origin] of payers) {
    const torrent = await own.ask<{ spentFine: bigint } | null>("torrent", { hash });
    const now = torrent?.spentFine ?? 0n;
    const before = costs.get(hash) ?? 0n;
    if (now <= before) continue;
    costs.set(hash, now);
    sites.spent(origin, hash, now - before);
    keepBook();
    if (left(sites.of(origin)) > 0n) continue;
    await own.ask("maxPrice", { hash, pricePerBlock: 0n });
    await next(hash, origin);
  }
}

/** Another site that uses the title and may spend pays from now on. */
async function next(hash: string, origin: string): Promise<void> {
  const other = usersOf(hash).find(
    ({ site, open }) => site !== origin && open?.payment && left(sites.of(site ?? "")) > 0n,
  );
  if (!other?.site) return;
  payers.set(hash, other.site);
  await own?.ask("maxPrice", { hash, pricePerBlock: ceiling(sites.of(other.site)) });
}

let counting = false;
setInterval(() => {
  if (counting || paying().length === 0) return;
  counting = true;
  void count()
    .catch(() => undefined)
    .finally(() => (counting = false));
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

/** Fields whose change needs another engine. */
const STARTS_ANEW = ["payment", "trackers", "iceServers", "started"] as const;

async function handle(message: ToHost): Promise<unknown> {
  switch (message.t) {
    case "state": {
      const pages = [...sessions].filter(({ site, engine: port }) => site !== null && port !== null).length;
      const paying = [...sessions].filter(({ gate, open }) => gate && open?.payment).map(({ site }) => site ?? "");
      const withWallet = [...new Set(paying)];
      const state: State = { settings, sites: sites.list(), quiet: why(), fault, pages, withWallet };
      return state;
    }
    case "settings": {
      const before = settings;
      settings = { ...settings, ...message.settings };
      await keep("settings", settings);
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
      return decided(message.origin);
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
  for (const [hash, payer] of payers)
    if (payer === origin) await own?.ask("maxPrice", { hash, pricePerBlock: ceiling(site) });
  await budgets();
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
  else if (port.name === READER) reads(port);
});

/** What was kept is read. A second host waits until the first is gone: two engines would write to the same records. */
const ready = new Promise<void>((resolve) => {
  void navigator.locks.request("piecework-engine", async () => {
    settings = { ...DEFAULTS, ...(await kept<Settings>("settings")) };
    sites = new Sites((await kept<Site[]>("sites")) ?? [], (list) => void keep("sites", list));
    const book = await kept<{ costs: typeof costs; payers: typeof payers }>("book");
    if (book) ({ costs, payers } = book);
    battery = (await (navigator as Machine).getBattery?.().catch(() => null)) ?? null;
    battery?.addEventListener("chargingchange", () => void look());
    await start();
    resolve();
    await new Promise(() => undefined);
  });
});
