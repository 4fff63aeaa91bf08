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
const NAMED_BY_DEPLOYMENT = ["vault", "chainId", "token", "symbol", "deployBlock", "exitDelaySeconds"] as const;
const LARGEST_CONFIG_BYTES = 256 * 1024;

/** Everything about paying; `null` in {@link Config} means that all is free here. */
export interface PaymentSetup {
  vault: string;
  chainId: number;
  rpcUrl: string | null;
  token: Token & { address: string };
  deployBlock: number;
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
  const read = new Fields(typeof json === "object" && json !== null ? (json as Record<string, unknown>) : {});
  if (!read.has("deployment")) return json;
  const url = read.text("deployment");
  if (!url)
    throw new ConfigError(
      'The site\'s configuration: deployment must be the URL of a file, such as "deployments/10.json".',
    );
  const twice = NAMED_BY_DEPLOYMENT.find((name) => read.has(name));
  if (twice)
    throw new ConfigError(`The site's configuration: deployment and ${twice} both name it. Leave out ${twice}.`);
  const { loadDeployment } = await import("piecework/deployment");
  try {
    const { rpcUrl, ...rest } = await loadDeployment(url, base);
    return { ...rest, ...(rpcUrl ? { rpc: rpcUrl } : {}), ...(json as object) };
  } catch (error) {
    throw new ConfigError(`The site's configuration: ${error instanceof Error ? error.message : error}`);
  }
}

/** Checks a configuration. Throws a {@link ConfigError} that names the field. */
export function parse(json: unknown): Config {
  if (typeof json !== "object" || json === null)
    throw new ConfigError("The site's configuration must be a JSON object.");
  const read = new Fields(json as Record<string, unknown>);
  const magnet = read.text("magnet");
  const torrent = read.text("torrent");
  const keys = read.list("walletKeys").flatMap((entry) => {
    const key = typeof entry === "string" ? entry : (entry as { privateKey?: unknown } | null)?.privateKey;
    return typeof key === "string" ? [key] : [];
  });
  return {
    trackers: read.list("trackers").filter((url): url is string => typeof url === "string"),
    iceServers: read.has("iceServers") ? (read.list("iceServers") as RTCIceServer[]) : null,
    relayOnly: read.flag("relayOnly"),
    maxConnections: read.number("maxConnections"),
    uploadLimit: read.value("uploadLimit") === null ? null : (read.number("uploadLimit") ?? DEFAULT_UPLOAD),
    featured: magnet || torrent ? { magnet, torrent, name: read.text("name") } : null,
    payment: read.has("vault") ? payment(read) : null,
    devWallet: keys.length > 0 && isLoopback(location.hostname) ? { mode: read.text("wallet") ?? "5792", keys } : null,
  };
}

function payment(read: Fields): PaymentSetup {
  const given = read.value("token");
  const token = new Fields(
    typeof given === "object" && given !== null ? (given as Record<string, unknown>) : { address: given },
  );
  const decimals = token.number("decimals") ?? 6;
  const maxPerGB = read.units("maxPricePerGB", decimals);
  if (maxPerGB === null)
    throw new ConfigError(
      "The site's configuration: maxPricePerGB is missing, the most that is paid for 10^9 bytes, in tokens.",
    );
  const minRedeem = read.units("minRedeem", decimals);
  if (minRedeem === 0n) throw new ConfigError("The site's configuration: minRedeem must be above 0.");
  const [deposit, maxDeposit] = [read.units("deposit", decimals), read.units("maxDeposit", decimals)];
  if (deposit !== null && maxDeposit !== null && maxDeposit < deposit)
    throw new ConfigError("The site's configuration: maxDeposit is below deposit.");
  if (maxDeposit === 0n) throw new ConfigError("The site's configuration: maxDeposit must be above 0.");
  return {
    vault: read.address("vault"),
    chainId: read.needed("chainId"),
    rpcUrl: read.text("rpc") ?? read.text("rpcUrl"),
    token: {
      address: token.address("address"),
      decimals,
      symbol: token.text("symbol") ?? read.text("symbol") ?? "USD",
    },
    deployBlock: read.number("deployBlock") ?? 0,
    maxPerGB,
    budget: read.units("budget", decimals),
    deposit,
    maxDeposit,
    resellPercent: read.number("resellPercent") ?? read.number("resalePercent") ?? 50,
    minRedeem,
    coinPrice: coinPrice(read),
    maxGasPercent: maxGasPercent(read),
    exitDelaySeconds: read.number("exitDelaySeconds") ?? 72 * 3600,
    chainParams: (read.value("chainParams") as Record<string, unknown> | undefined) ?? null,
  };
}

function coinPrice(read: Fields): string | null {
  if (!read.has("coinPrice")) return null;
  const price = String(read.value("coinPrice"));
  if (/^\d+(?:\.\d+)?$/.test(price) && /[1-9]/.test(price)) return price;
  throw new ConfigError(
    "The site's configuration: coinPrice must be a decimal number of tokens above 0, what a coin of the chain costs.",
  );
}

function maxGasPercent(read: Fields): number {
  const percent = read.number("maxGasPercent") ?? 10;
  if (Number.isInteger(percent) && percent >= 1 && percent <= 100) return percent;
  throw new ConfigError("The site's configuration: maxGasPercent must be a whole number from 1 to 100.");
}

function isLoopback(host: string): boolean {
  return host === "localhost" || host === "[::1]" || /^127(\.\d+){3}$/.test(host);
}

/** Typed reads of a JSON object. */
class Fields {
  readonly #json: Record<string, unknown>;

  constructor(json: Record<string, unknown>) {
    this.#json = json;
  }

  has(name: string): boolean {
    return this.#json[name] !== undefined && this.#json[name] !== null;
  }

  value(name: string): unknown {
    return this.#json[name];
  }

  text(name: string): string | null {
    const value = this.#json[name];
    return typeof value === "string" && value !== "" ? value : null;
  }

  number(name: string): number | null {
    const value = this.#json[name];
    if (value === undefined || value === null) return null;
    if (typeof value !== "number" || !Number.isFinite(value) || value < 0)
      throw new ConfigError(`The site's configuration: ${name} must be a number of 0 or more.`);
    return value;
  }

  needed(name: string): number {
    const value = this.number(name);
    if (value === null) throw new ConfigError(`The site's configuration: ${name} is missing.`);
    return value;
  }

  flag(name: string): boolean {
    return this.#json[name] === true;
  }

  list(name: string): unknown[] {
    const value = this.#json[name];
    return Array.isArray(value) ? value : [];
  }

  address(name: string): string {
    const value = this.text(name);
    if (!value || !/^0x[0-9a-fA-F]{40}$/.test(value))
      throw new ConfigError(`The site's configuration: ${name} must be an address of 0x and 40 hexadecimal digits.`);
    return value;
  }

  /** A decimal number of whole tokens, as text or number, in token units. */
  units(name: string, decimals: number): bigint | null {
    const value = this.#json[name];
    if (value === undefined || value === null) return null;
    try {
      return parseAmount(String(value), decimals);
    } catch {
      throw new ConfigError(
        `The site's configuration: ${name} must be a decimal number of tokens with at most ${decimals} places.`,
      );
    }
  }
}
