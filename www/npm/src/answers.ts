/**
 * The meaning of what a wallet answers. Wallets refuse in many forms: an Error or a plain object, a text, a code of one
 * of four lists, the true reason some layers down. This file reads them all, and always gives an Error with a sentence.
 * A wallet, or the node behind it, may also answer anything in the place of a number, a hash or a log.
 */

import { PieceworkError, PieceworkRejectedError } from "./errors.js";

/**
 * `refused`: the user said no. `pending`: an earlier request is still open in the wallet. `unsupported`: the wallet
 * cannot do this, and asked nobody. `elsewhere`: it is on another chain or shows this site another account. `failed`:
 * anything else.
 */
export type Verdict = "refused" | "pending" | "unsupported" | "elsewhere" | "failed";

type Code = number | string;

/** Codes of EIP-1193, EIP-1474, EIP-5792, WalletConnect and ethers, and a Ledger's status word. */
const CODES: readonly [Verdict, readonly Code[]][] = [
  ["refused", [4001, 5000, 5001, 5002, 5750, "ACTION_REJECTED", 0x6985]],
  ["pending", [-32002]],
  ["unsupported", [4200, -32601, -32602, -32004, 5101, 5700, 5710, 5740, 5760, 10001, "UNSUPPORTED_OPERATION"]],
  ["elsewhere", [4100, 4900, 4901, 4902]],
];

/** For wallets that give no code, or a code without a meaning. */
const TEXTS: readonly [Verdict, RegExp][] = [
  ["refused", /\buser\b.{0,30}\b(?:reject|denied|deny|declin|cancel|disapprov|refus|abort|clos)/i],
  ["refused", /\b(?:reject|denied|declin|cancel|disapprov|refus|abort|clos)\w*\b.{0,30}\bby (?:the )?user\b/i],
  [
    "refused",
    /^(?:error: )?(?:(?:the )?(?:request|transaction|signature|signing|message|permission|connection)\s)?(?:was |has been |is )?(?:reject|denied|declin|cancel|refus|abort)\w*[.!]?$/i,
  ],
  [
    "refused",
    /^(?:error: )?(?:rejected|denied|declined|cancell?ed) (?:the |this )?(?:request|transaction|signature|message)\b|\bACTION_REJECTED\b|\b0x6985\b/i,
  ],
  ["pending", /\balready (?:pending|processing|open|in progress)\b/i],
  [
    "unsupported",
    /\b(?:method|typed ?data|wallet_\w+|eth_\w+)\b.{0,60}\b(?:not (?:supported|available|found|implemented|exist)|does not exist|unsupported)\b|\bunsupported (?:method|request)\b|\bnot implemented\b/i,
  ],
  ["elsewhere", /\bunrecognized chain\b|\bunknown chain\b|\bnot been authorized\b/i],
];

/** A node's or a wallet's words about a transaction that nobody could have taken up. */
const NEVER_SENT =
  /\binsufficient funds\b|\bexecution reverted\b|\bintrinsic gas\b|\binvalid (?:sender|argument|params)\b/i;
const NEVER_SENT_CODES: readonly Code[] = [
  3,
  "INSUFFICIENT_FUNDS",
  "CALL_EXCEPTION",
  "UNPREDICTABLE_GAS_LIMIT",
  "INVALID_ARGUMENT",
];

/** Layers that are read; a deeper layer hardly says anything new. */
const MAX_LAYERS = 32;
const NESTED = ["error", "cause", "originalError", "data", "info", "innerError", "reason", "body", "details"] as const;
const MAX_TEXT = 300;

interface Layer {
  code: Code | undefined;
  text: string;
}

/** The wallet's verdict. The outermost layer with a meaning counts, but a refusal counts on any layer. */
export function judge(error: unknown): Verdict {
  const verdicts = layersOf(error).map(({ code, text }) => {
    const byCode = CODES.find(([, codes]) => code !== undefined && codes.includes(code))?.[0];
    const byText = TEXTS.find(([, words]) => words.test(text))?.[0];
    return byText === "refused" ? byText : (byCode ?? byText ?? "failed");
  });
  for (const verdict of ["refused", "pending"] as const) if (verdicts.includes(verdict)) return verdict;
  return verdicts.find((verdict) => verdict !== "failed") ?? "failed";
}

/** Whether a request to send something certainly sent nothing. */
export function certainlyNotSent(error: unknown): boolean {
  if (judge(error) !== "failed") return true;
  return layersOf(error).some(
    ({ code, text }) => NEVER_SENT.test(text) || (code !== undefined && NEVER_SENT_CODES.includes(code)),
  );
}

/** The error to show: a sentence, with the wallet's own words, its code and what it gave. */
export function walletError(error: unknown): PieceworkError {
  if (error instanceof PieceworkError) return error;
  const layers = layersOf(error);
  const why = { cause: error, code: layers.find(({ code }) => code !== undefined)?.code };
  switch (judge(error)) {
    case "refused":
      return new PieceworkRejectedError("Refused in the wallet.", why);
    case "pending":
      return new PieceworkError(
        "The wallet has an earlier request open already: open your wallet and answer it there, then try again.",
        why,
      );
    default: {
      const texts = layers
        .map(({ text }) => text.replace(/\s+/g, " ").trim())
        .filter((text) => text !== "" && !/^0x[0-9a-f]*$/i.test(text));
      // Wallets put "Internal JSON-RPC error." around the reason.
      const text = texts.find((said) => !/^internal (?:json-rpc )?error\b/i.test(said)) ?? texts[0];
      if (text === undefined)
        return new PieceworkError("The wallet failed and did not say why: open your wallet, then try again.", why);
      const short = text.length > MAX_TEXT ? `${text.slice(0, MAX_TEXT)}\u2026` : text;
      return new PieceworkError(`The wallet says: ${short}${/[.!?\u2026]$/.test(short) ? "" : "."}`, why);
    }
  }
}

/** The error and all its layers, the outermost first. */
function layersOf(error: unknown): Layer[] {
  const found: Layer[] = [];
  const queue: unknown[] = [error];
  const seen = new Set<unknown>();
  for (let at = 0; at < queue.length && found.length < MAX_LAYERS; at++) {
    const next = queue[at];
    if (seen.has(next)) continue;
    seen.add(next);
    if (typeof next === "string") {
      const inner = jsonIn(next);
      found.push({ code: undefined, text: inner ? "" : next });
      if (inner) queue.push(inner);
    } else if (typeof next === "object" && next !== null) {
      const message = read(next, "message");
      const inner = typeof message === "string" ? jsonIn(message) : message;
      found.push({ code: codeOf(next), text: typeof message === "string" && !inner ? message : "" });
      queue.push(inner, ...NESTED.map((name) => read(next, name)));
    }
  }
  return found;
}

/** A whole number that a double holds exactly, as a quantity (0x and hexadecimal digits), in decimal or as a number. */
export function numberIn(answer: unknown): number | null {
  const given =
    typeof answer === "string" && /^(?:0x[0-9a-fA-F]{1,64}|\d{1,20})$/.test(answer) ? Number(answer) : answer;
  const number = typeof given === "bigint" ? Number(given) : given;
  return Number.isSafeInteger(number) && (number as number) >= 0 ? (number as number) : null;
}

/** A hash of 32 bytes in lower case, as of a transaction. */
export function hashIn(answer: unknown): string | null {
  return typeof answer === "string" && /^0x[0-9a-fA-F]{64}$/.test(answer) ? answer.toLowerCase() : null;
}

/** An event of a contract. */
export interface Log {
  address: string;
  topics: string[];
  data: string;
}

/** Logs of one answer that are read; of a longer list the rest is left out. */
const MOST_LOGS = 4_096;
/** Data of a log that is read, in hexadecimal digits: no event of ours has more than 1 KiB. */
const MOST_LOG_DIGITS = 2_048;

/** The logs of an answer that have a log's form, copied: a wallet in the page can change its objects later. */
export function logsIn(answer: unknown): Log[] {
  if (!Array.isArray(answer)) return [];
  return answer.slice(0, MOST_LOGS).flatMap((given: unknown) => {
    if (typeof given !== "object" || given === null) return [];
    const [address, topics, data] = ["address", "topics", "data"].map((name) => read(given, name));
    if (typeof address !== "string" || !/^0x[0-9a-fA-F]{40}$/.test(address)) return [];
    if (typeof data !== "string" || data.length > 2 + MOST_LOG_DIGITS || !/^0x[0-9a-fA-F]*$/.test(data)) return [];
    const hashes = Array.isArray(topics) ? topics.slice(0, 4).map(hashIn) : [];
    return hashes.includes(null) ? [] : [{ address, topics: hashes as string[], data }];
  });
}

/** A property of a stranger's object, whose getter may throw. */
export function read(object: object, name: string): unknown {
  try {
    return (object as Record<string, unknown>)[name];
  } catch {
    return undefined;
  }
}

function codeOf(object: object): Code | undefined {
  const code = read(object, "code") ?? read(object, "statusCode");
  if (typeof code === "string") return /^-?\d{1,9}$/.test(code) ? Number(code) : code || undefined;
  return typeof code === "number" ? code : undefined;
}

/** Some wallets put the node's whole answer, or their own, into the text. */
function jsonIn(text: string): unknown {
  if (!text.trimEnd().endsWith("}")) return undefined;
  const begins = [...text.matchAll(/\{/g)].slice(0, MAX_LAYERS);
  for (const { index } of begins) {
    try {
      return JSON.parse(text.slice(index));
    } catch {
      // The text that begins here is not the rest of the message.
    }
  }
  return undefined;
}
