/**
 * The decisions of the site that carries this page: trackers, chain, prices. The page reads them from one JSON file
 * beside it (named by `<meta name="piecework-config">`), never from a link: the sender of a magnet link must not choose
 * where money goes.
 *
 * The URL may carry the title (`#magnet=...` or `?magnet=...`), and for tests `?bridge=1`.
 */

import { parseAmount } from "piecework";
import type { Token } from "./format.ts";

/** kB/s, when the site does not say: a part of most uplinks. A site writes `null` for no cap. */
const DEFAULT_UPLOAD = 2500;
/** Fields that have no place beside `deployment`. */
const NAMED_BY_DEPLOYMENT = [
  "vault",
  "chainId",
  "token",
  "symbol",
  "deployBlock",
  "exitDelaySeconds",
  "registry",
] as const;
const LARGEST_CONFIG_BYTES = 256 * 1024;
/** As the package takes them. */
const MOST_CONNECTIONS = 100;
const MOST_DECIMALS = 36;
/** Letters of an unknown field's name that are looked at and shown. */
const LONGEST_NAME = 40;
/** Letters that may be wrong in the name of a field that is guessed. */
const MOST_SLIPS = 2;

/** Fields that say nothing on a site without a vault. */
const OF_PAYMENT = [
  "chainId",
  "token",
  "symbol",
  "deployBlock",
  "exitDelaySeconds",
  "registry",
  "rpc",
  "rpcUrl",
  "chainParams",
  "maxPricePerGB",
  "budget",
  "deposit",
  "maxDeposit",
  "resellPercent",
  "resalePercent",
  "coinPrice",
  "minRedeem",
  "maxGasPercent",
] as const;
/** Every field. One that is not here is an error: a slip of the pen in `vault` would give everything away. */
const FIELDS: readonly string[] = [
  "trackers",
  "iceServers",
  "relayOnly",
  "maxConnections",
  "uploadLimit",
  "magnet",
  "torrent",
  "name",
  "deployment",
  "vault",
  ...OF_PAYMENT,
  // Of the demo.
  "wallet",
  "walletKeys",
];
const TOKEN_FIELDS: readonly string[] = ["address", "decimals", "symbol"];
const REGISTRY_FIELDS: readonly string[] = ["address", "block"];

/** Everything about paying; `null` in {@link Config} means that all is free here. */
export interface PaymentSetup {
  vault: string;
  chainId: number;
  rpcUrl: string | null;
  token: Token & { address: string };
  deployBlock: number;
  /** The registry of titles that the vault must ask, and its block; `null`: the one that it asks. */
  registry: { address: string; block: number } | null;
  /** Token units per GB, the most that is paid unless the visitor says otherwise. */
  maxPerGB: bigint;
  /** Token units, the most that is spent in all unless the visitor says otherwise; `null`: the deposit. */
  budget: bigint | null;
  /** Token units put down at the first paid title, more if the title can cost more; `null`: what it can cost. */
  deposit: bigint | null;
  /** Token units, the most that is proposed at once; another deposit is proposed when it is used up. */
  maxDeposit: bigint | null;
  /** The price when reselling, in percent of the price that was paid. */
  resellPercent: number;
  /** Token units, the least that is sold and redeemed by itself; `null`: it follows from the price of gas. */
  minRedeem: bigint | null;
  /** Whole tokens that a coin of the chain costs, as text; `null`: the site does not say. */
  coinPrice: string | null;
  /** The part of a redemption that its gas may cost before the visitor is warned, in percent. */
  maxGasPercent: number;
  /** How long the contract keeps a deposit after an exit. */
  exitDelaySeconds: number;
  /** For `wallet_addEthereumChain`. */
  chainParams: Record<string, unknown> | null;
}

/** The site's decisions. */
export interface Config {
  trackers: string[];
  /** STUN and TURN servers; `null` is the package's own list, and an empty list asks none. */
  iceServers: RTCIceServer[] | null;
  relayOnly: boolean;
  maxConnections: number | null;
  /** kB/s; `null` is no cap. */
  uploadLimit: number | null;
  /** A title that the site offers on its first page. */
  featured: { magnet: string | null; torrent: string | null; name: string | null } | null;
  payment: PaymentSetup | null;
  /** The demo's development wallet; never present on a real site. */
  devWallet: { mode: string; keys: string[] } | null;
}

/** An error in the site's configuration, in a full sentence. */
export class ConfigError extends Error {}

/** The title that the URL asks for, and the switches of tests. */
export interface Asked {
  magnet: string | null;
  bridge: boolean;
  wallet: string | null;
}

/** Reads the URL. */
export function readUrl(url: URL): Asked {
  const hash = url.hash.slice(1);
  const inHash = hash.startsWith("magnet:") ? hash : new URLSearchParams(hash).get("magnet");
  // A magnet link put raw behind `#magnet=` has its own `&`: everything after the sign is the link.
  const raw = /^magnet=(magnet:\?.*)$/s.exec(hash)?.[1];
  const raw_query = /[?&]magnet=(magnet:\?.*)$/s.exec(url.search)?.[1];
  const magnet = raw ?? inHash ?? raw_query ?? url.searchParams.get("magnet");
  return { magnet, bridge: url.searchParams.get("bridge") === "1", wallet: url.searchParams.get("wallet") };
}

/**
 * Fetches the configuration. A site without one is a plain free player. On the visitor's own machine (localhost) the
 * page tries the demo's file first.
 */
export async function load(): Promise<Config> {
  const named = document.querySelector<HTMLMetaElement>('meta[name="piecework-config"]')?.content || "config.json";
  const names = isLoopback(location.hostname) ? ["demo.json", named] : [named];
  for (const name of names) {
    const answer = await fetch(new URL(name, document.baseURI), { cache: "no-cache", credentials: "same-origin" });
    if (answer.status === 404) continue;
    if (!answer.ok)
      throw new ConfigError(
        `The site's configuration ${name} could not be loaded (HTTP ${answer.status}). Load the page again.`,
      );
    const text = await answer.text();
    if (text.length > LARGEST_CONFIG_BYTES) throw new ConfigError(`The site's configuration ${name} is too large.`);
    let json: unknown;
    try {
      json = JSON.parse(text);
    } catch {
      throw new ConfigError(`The site's configuration ${name} is not valid JSON.`);
    }
    return parse(await withDeployment(json, new URL(name, document.baseURI)));
  }
  return parse({});
}

/**
 * The configuration with what the deployment file that it names says (docs/deployment.md, "The file"): vault, chain,
 * token, block and delay, and an RPC URL if the configuration has none.
 */
async function withDeployment(json: unknown, base: URL): Promise<unknown> {
  const read = fieldsOf(json);
  if (!read.has("deployment")) return json;
  const url = read.value("deployment");
  if (typeof url !== "string" || url === "")
    throw wrong('deployment must be the URL of a file, such as "deployments/10.json"');
  const twice = NAMED_BY_DEPLOYMENT.find((name) => read.has(name));
  if (twice) throw wrong(`deployment and ${twice} both name it. Leave out ${twice}`);
  const { loadDeployment } = await import("piecework/deployment");
  try {
    const { rpcUrl, splitters: _, ...rest } = await loadDeployment(url, base);
    return { ...rest, ...(rpcUrl ? { rpc: rpcUrl } : {}), ...(json as object) };
  } catch (error) {
    throw new ConfigError(`The site's configuration: ${error instanceof Error ? error.message : error}`);
  }
}

/** Checks a configuration. Throws a {@link ConfigError} that names the field. */
export function parse(json: unknown): Config {
  const read = fieldsOf(json);
  const magnet = read.text("magnet");
  const torrent = read.text("torrent");
  const name = read.text("name");
  const relayOnly = read.flag("relayOnly");
  const mode = read.text("wallet") ?? "5792";
  const keys = (read.list("walletKeys") ?? []).map((entry) => {
    const key = isObject(entry) ? entry.privateKey : entry;
    if (typeof key === "string") return key;
    throw wrong('walletKeys must be a list of private keys, each as text or as { "address", "privateKey" }');
  });
  const ofPayment = OF_PAYMENT.find((field) => read.has(field));
  if (ofPayment !== undefined && !read.has("vault"))
    throw wrong(`${ofPayment} says nothing without a vault. Name deployment or vault, or leave out ${ofPayment}`);
  return {
    trackers: (read.list("trackers") ?? []).map(tracker),
    iceServers: read.list("iceServers")?.map(iceServer) ?? null,
    relayOnly,
    maxConnections: read.whole("maxConnections", 1, MOST_CONNECTIONS),
    uploadLimit: read.value("uploadLimit") === null ? null : (read.number("uploadLimit") ?? DEFAULT_UPLOAD),
    featured: magnet || torrent ? { magnet, torrent, name } : null,
    payment: read.has("vault") ? payment(read) : null,
    devWallet: keys.length > 0 && isLoopback(location.hostname) ? { mode, keys } : null,
  };
}

function tracker(url: unknown): string {
  if (typeof url === "string" && url !== "") return url;
  throw wrong('trackers must be a list of URLs, such as ["wss://tracker.example"]');
}

function iceServer(server: unknown): RTCIceServer {
  const isText = (value: unknown) => typeof value === "string" && value !== "";
  if (isObject(server)) {
    const { urls, username = "", credential = "" } = server;
    const list: unknown[] = Array.isArray(urls) ? urls : [urls];
    const isServer = list.length > 0 && list.every((url) => isText(url) && /^(stun|turn)s?:/i.test(url as string));
    if (isServer && typeof username === "string" && typeof credential === "string")
      return server as unknown as RTCIceServer;
  }
  throw wrong(
    'iceServers must be a list of servers, such as [{ "urls": "stun:stun.example" }] or ' +
      '[{ "urls": ["turn:turn.example"], "username": "…", "credential": "…" }]',
  );
}

function payment(read: Fields): PaymentSetup {
  const given = read.value("token");
  const token = isObject(given)
    ? new Fields(given, TOKEN_FIELDS, "token.")
    : new Fields({ token: given }, ["token"], "");
  const address = token.address(isObject(given) ? "address" : "token");
  const decimals = token.whole("decimals", 0, MOST_DECIMALS) ?? 6;
  const symbol = read.text("symbol");
  const maxPerGB = read.units("maxPricePerGB", decimals);
  if (maxPerGB === null) throw wrong("maxPricePerGB is missing, the most that is paid for 10^9 bytes, in tokens");
  const minRedeem = read.units("minRedeem", decimals);
  if (minRedeem === 0n) throw wrong("minRedeem must be above 0");
  const [deposit, maxDeposit] = [read.units("deposit", decimals), read.units("maxDeposit", decimals)];
  if (deposit !== null && maxDeposit !== null && maxDeposit < deposit) throw wrong("maxDeposit is below deposit");
  if (maxDeposit === 0n) throw wrong("maxDeposit must be above 0");
  const chainId = read.whole("chainId", 1);
  if (chainId === null) throw wrong("chainId is missing, the chain's number, such as 10");
  return {
    vault: read.address("vault"),
    chainId,
    rpcUrl: read.text("rpc") ?? read.text("rpcUrl"),
    token: { address, decimals, symbol: token.text("symbol") ?? symbol ?? "USD" },
    deployBlock: read.whole("deployBlock", 0) ?? 0,
    registry: registry(read),
    maxPerGB,
    budget: read.units("budget", decimals),
    deposit,
    maxDeposit,
    resellPercent: read.whole("resellPercent", 0, 255) ?? read.whole("resalePercent", 0, 255) ?? 50,
    minRedeem,
    coinPrice: coinPrice(read),
    maxGasPercent: maxGasPercent(read),
    exitDelaySeconds: read.whole("exitDelaySeconds", 0) ?? 72 * 3600,
    chainParams: read.object("chainParams"),
  };
}

function registry(read: Fields): PaymentSetup["registry"] {
  const given = read.value("registry");
  if (!read.has("registry")) return null;
  if (!isObject(given)) return { address: read.address("registry"), block: 0 };
  const fields = new Fields(given, REGISTRY_FIELDS, "registry.");
  return { address: fields.address("address"), block: fields.whole("block", 0) ?? 0 };
}

function coinPrice(read: Fields): string | null {
  if (!read.has("coinPrice")) return null;
  const given = read.value("coinPrice");
  const price = typeof given === "string" || typeof given === "number" ? String(given) : "";
  if (/^\d+(?:\.\d+)?$/.test(price) && /[1-9]/.test(price)) return price;
  throw wrong("coinPrice must be a decimal number of tokens above 0, what a coin of the chain costs");
}

function maxGasPercent(read: Fields): number {
  const percent = read.whole("maxGasPercent", 1, 100);
  if (percent !== null && !read.has("coinPrice"))
    throw wrong(
      "maxGasPercent says nothing without coinPrice, what a coin of the chain costs in tokens. Name coinPrice, or " +
        "leave out maxGasPercent",
    );
  return percent ?? 10;
}

function isLoopback(host: string): boolean {
  return host === "localhost" || host === "[::1]" || /^127(\.\d+){3}$/.test(host);
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

function wrong(what: string): ConfigError {
  return new ConfigError(`The site's configuration: ${what}.`);
}

function fieldsOf(json: unknown): Fields {
  if (!isObject(json)) throw new ConfigError("The site's configuration must be a JSON object.");
  return new Fields(json, FIELDS, "");
}

/** Of these names the one that a slip of the pen made this one of: letters left out, added or in capitals. */
function meant(name: string, names: readonly string[]): string | undefined {
  const [least] = names
    .map((other) => ({ other, slips: distance(name.toLowerCase(), other.toLowerCase()) }))
    .sort((one, other) => one.slips - other.slips);
  return least && least.slips <= MOST_SLIPS ? least.other : undefined;
}

/** Letters to change, add or leave out between two words (Levenshtein). */
function distance(one: string, other: string): number {
  const cell = (cells: number[], at: number) => cells[at] ?? 0;
  let row = Array.from({ length: other.length + 1 }, (_, at) => at);
  for (const [line, letter] of [...one.slice(0, LONGEST_NAME)].entries()) {
    const next = [line + 1];
    for (let at = 0; at < other.length; at++)
      next.push(Math.min(cell(next, at) + 1, cell(row, at + 1) + 1, cell(row, at) + (letter === other[at] ? 0 : 1)));
    row = next;
  }
  return cell(row, other.length);
}

/** Typed reads of a JSON object. `null` is a field that is not there. */
class Fields {
  readonly #json: Record<string, unknown>;
  readonly #prefix: string;

  /** Throws at the first field that has none of these names. */
  constructor(json: Record<string, unknown>, names: readonly string[], prefix: string) {
    this.#json = json;
    this.#prefix = prefix;
    const unknown = Object.keys(json).find((name) => !names.includes(name));
    if (unknown === undefined) return;
    const other = meant(unknown, names);
    const remedy = other
      ? `Write ${prefix}${other}`
      : "Leave it out; docs/page.md of Piecework names the fields that there are";
    throw wrong(`there is no field ${prefix}${unknown.slice(0, LONGEST_NAME)}. ${remedy}`);
  }

  has(name: string): boolean {
    return this.#json[name] !== undefined && this.#json[name] !== null;
  }

  value(name: string): unknown {
    return this.#json[name];
  }

  text(name: string): string | null {
    return this.#read(name, (value) => typeof value === "string" && value !== "", "text in quotation marks");
  }

  number(name: string): number | null {
    return this.#read(
      name,
      (value) => typeof value === "number" && Number.isFinite(value) && value >= 0,
      "a number of 0 or more, without quotation marks",
    );
  }

  whole(name: string, least: number, most = Number.MAX_SAFE_INTEGER): number | null {
    const range = most === Number.MAX_SAFE_INTEGER ? `of ${least} or more` : `from ${least} to ${most}`;
    const isWhole = (value: unknown) => Number.isSafeInteger(value) && Number(value) >= least && Number(value) <= most;
    return this.#read(name, isWhole, `a whole number ${range}, without quotation marks`);
  }

  flag(name: string): boolean {
    const what = "true or false, without quotation marks";
    return this.#read<boolean>(name, (value) => typeof value === "boolean", what) ?? false;
  }

  list(name: string): unknown[] | null {
    return this.#read(name, Array.isArray, "a list in square brackets");
  }

  object(name: string): Record<string, unknown> | null {
    return this.#read(name, isObject, "an object in braces");
  }

  address(name: string): string {
    const isAddress = (value: unknown) => typeof value === "string" && /^0x[0-9a-fA-F]{40}$/.test(value);
    const what = "an address of 0x and 40 hexadecimal digits";
    const address = this.#read<string>(name, isAddress, what);
    if (address === null) throw wrong(`${this.#prefix}${name} is missing. It must be ${what}`);
    return address;
  }

  /** A decimal number of whole tokens, as text or number, in token units. */
  units(name: string, decimals: number): bigint | null {
    const what = `a decimal number of tokens with at most ${decimals} places`;
    const amount = this.#read<string | number>(name, (value) => /^(string|number)$/.test(typeof value), what);
    if (amount === null) return null;
    try {
      return parseAmount(String(amount), decimals);
    } catch {
      throw wrong(`${this.#prefix}${name} must be ${what}`);
    }
  }

  #read<T>(name: string, isRight: (value: unknown) => boolean, what: string): T | null {
    const value = this.#json[name];
    if (value === undefined || value === null) return null;
    if (!isRight(value)) throw wrong(`${this.#prefix}${name} must be ${what}`);
    return value as T;
  }
}
