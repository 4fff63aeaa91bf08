/**
 * The file that `piecework vault deploy` writes (docs/deployment.md, "The file"), in place of vault, chain and token in
 * a page's own hand. It is read as a stranger's, within the bounds that the command line holds it to.
 *
 * ```js
 * import { deploymentFrom } from "piecework/deployment";
 * const json = await (await fetch("deployments/10.json")).json();
 * const client = new Client({ payments: { ...deploymentFrom(json), maxPricePerGB: "10", budget: "2" } });
 * ```
 */
import { checksummed } from "./keccak.js";
import type { PaymentOptions } from "./payments.js";

/** What a deployment file says of a vault, as a part of {@link PaymentOptions}. */
export interface Deployment extends Pick<PaymentOptions, "vault" | "chainId" | "token" | "rpcUrl"> {
  /** Where "recover deposits" begins to look. */
  deployBlock: number;
  /** Seconds between an exit and the withdrawal. */
  exitDelaySeconds: number;
  /** The registry of titles that the vault asks (docs/titles.md); none: it pays no royalties. */
  registry?: DeployedContract;
  /** What makes splitters there. */
  splitters?: DeployedContract;
}

/** A contract beside the vault. */
export interface DeployedContract {
  address: string;
  /** Where a search of its events begins. */
  block: number;
}

const VERSION = 1;
/** Longest file that is read, characters. */
const LONGEST = 64 * 1024;
const MOST_DECIMALS = 24;
const LONGEST_SYMBOL = 32;
const LONGEST_URL = 2_048;
const EXIT_DELAYS = [3_600, 30 * 24 * 3_600] as const;
/** Control characters, and those that turn the direction of the text around or are not seen at all. */
const NOT_SHOWN = /[\p{Cc}\u00ad\u061c\u180e\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb]/u;

/**
 * Checks a deployment, given as the file's text or as parsed JSON. Throws a RangeError that names the field and what it
 * should be.
 */
export function deploymentFrom(file: unknown): Deployment {
  const json = typeof file === "string" ? parsed(file) : file;
  const all = fields(json, "it");
  if (all.version !== VERSION) wrong("version", `this program reads version ${VERSION}`);
  const [vault, token] = [fields(all.vault, "vault"), fields(all.token, "token")];
  optional(vault.txHash, (hash) => checkHash("vault.txHash", hash));
  optional(vault.salt, (salt) => checkHash("vault.salt", salt));
  address("vault.deployer", vault.deployer);
  if (typeof all.compiler !== "string" || !/^[0-9A-Za-z.+-]{1,64}$/.test(all.compiler))
    wrong("compiler", "write the compiler's version, such as 0.8.37+commit.f401782d");
  const { symbol } = token;
  if (typeof symbol !== "string" || !symbol || [...symbol].length > LONGEST_SYMBOL || NOT_SHOWN.test(symbol))
    wrong("token.symbol", `write 1 to ${LONGEST_SYMBOL} visible characters`);
  const rpcUrl = optional(all.rpc, rpc);
  const registry = optional(all.registry, (value) => contract("registry", value));
  const splitters = optional(all.splitters, (value) => contract("splitters", value));
  return {
    vault: address("vault.address", vault.address),
    chainId: whole("chainId", all.chainId, 1, Number.MAX_SAFE_INTEGER),
    ...(rpcUrl === undefined ? {} : { rpcUrl }),
    token: {
      address: address("token.address", token.address),
      decimals: whole("token.decimals", token.decimals, 0, MOST_DECIMALS),
      symbol,
    },
    deployBlock: whole("vault.block", vault.block, 0, Number.MAX_SAFE_INTEGER),
    exitDelaySeconds: whole("vault.exitDelay", vault.exitDelay, ...EXIT_DELAYS),
    ...(registry === undefined ? {} : { registry }),
    ...(splitters === undefined ? {} : { splitters }),
  };
}

/**
 * Fetches a deployment file of the page's own origin, and checks it. `base`: what a relative URL is relative to;
 * default the page.
 */
export async function loadDeployment(url: string | URL, base: string | URL = document.baseURI): Promise<Deployment> {
  const at = new URL(url, base);
  if (at.origin !== location.origin)
    throw new RangeError(`The deployment file ${at} is not of this site: serve a copy of it from ${location.origin}.`);
  const answer = await fetch(at, { cache: "no-cache", credentials: "same-origin", redirect: "error" });
  if (!answer.ok) throw new RangeError(`The deployment file ${at} could not be loaded (status ${answer.status}).`);
  return deploymentFrom(await answer.text());
}

function parsed(text: string): unknown {
  if (text.length > LONGEST) throw new RangeError(`The deployment has more than ${LONGEST} characters.`);
  try {
    return JSON.parse(text);
  } catch {
    throw new RangeError("The deployment is not valid JSON.");
  }
}

function wrong(field: string, reason: string): never {
  throw new RangeError(`The deployment's ${field} is wrong: ${reason}.`);
}

function fields(value: unknown, name: string): Record<string, unknown> {
  if (typeof value !== "object" || value === null || Array.isArray(value)) wrong(name, "write a JSON object");
  return value as Record<string, unknown>;
}

function optional<T>(value: unknown, read: (value: unknown) => T): T | undefined {
  return value === undefined || value === null ? undefined : read(value);
}

function whole(field: string, value: unknown, least: number, most: number): number {
  if (!Number.isSafeInteger(value) || (value as number) < least || (value as number) > most)
    wrong(field, `write a whole number from ${least} to ${most}`);
  return value as number;
}

function contract(name: string, value: unknown): DeployedContract {
  const all = fields(value, name);
  const at = address(`${name}.address`, all.address);
  if (/^0x0*$/.test(at)) wrong(`${name}.address`, "leave it out where there is no such contract");
  return { address: at, block: whole(`${name}.block`, all.block, 0, Number.MAX_SAFE_INTEGER) };
}

function checkHash(field: string, value: unknown): void {
  if (typeof value !== "string" || !/^0x[0-9a-fA-F]{64}$/.test(value))
    wrong(field, "write 0x and 64 hexadecimal digits");
}

function rpc(value: unknown): string {
  if (typeof value !== "string" || value.length > LONGEST_URL || !/^https?:\/\/[!-"$-.0->@-~][!-~]*$/.test(value))
    wrong("rpc", "write http://HOST[:PORT] or https://HOST[/PATH]");
  return value;
}

/** In capitals and small letters an address shows a wrong digit (EIP-55). */
function address(field: string, value: unknown): string {
  if (typeof value !== "string" || !/^0x[0-9a-fA-F]{40}$/.test(value))
    wrong(field, "write 0x and 40 hexadecimal digits");
  const digits = value.slice(2);
  const mixed = /[a-f]/.test(digits) && /[A-F]/.test(digits);
  if (mixed && value !== checksummed(value))
    wrong(field, "its capital letters do not fit its digits, so it was copied wrongly: copy it again");
  return value;
}
