/**
 * One JSON-RPC node, asked for a title's public record. Nobody vouches for it: an answer is bounded before it is read,
 * and what does not answer the question is an error. Nothing is sent to it but the questions.
 */

import { label } from "./format.ts";

/** Bytes of one answer. */
const LARGEST_ANSWER = 16 * 1024 * 1024;
const ANSWER_MS = 30_000;
const LONGEST_URL = 2_048;
/** Blocks that are asked for at once: at first, and at most. */
const FIRST_RANGE = 10_000;
const LARGEST_RANGE = 160_000;
/** After so many answers a node is tried with more blocks at once than it refused before. */
const TRIES_MORE_AFTER = 32;
const MOST_LOGS = 20_000;
/** Seconds since 1970: later than this no calendar knows. */
export const LAST_TIME = 8_640_000_000_000;

/** An error of a node, or about one, in a full sentence. */
export class NodeError extends Error {
  /** A smaller question may be answered. */
  readonly isTooMuch: boolean;

  constructor(message: string, isTooMuch = false) {
    super(message);
    this.isTooMuch = isTooMuch;
  }
}

/** An event of a contract. */
export interface Log {
  topics: string[];
  data: string;
  block: number;
  /** Its place in the block. */
  index: number;
  transaction: string;
}

/** The events that are looked for. */
export interface Filter {
  address: string;
  topics: (string | string[])[];
}

/** Checks the URL of a node that a visitor typed, or that a link names. Throws a {@link NodeError}. */
export function nodeUrl(text: string): string {
  const typed = text.trim();
  const url = typed.length <= LONGEST_URL && URL.canParse(typed) ? new URL(typed) : null;
  const isHere = url !== null && /^(localhost|\[::1\]|127(\.\d+){3})$/.test(url.hostname);
  if (url && !url.username && !url.password && (url.protocol === "https:" || (url.protocol === "http:" && isHere)))
    return url.href;
  throw new NodeError(
    `\u201c${label(typed)}\u201d is not the address of a node. Write https://HOST or https://HOST/PATH; http:// is ` +
      "taken for this machine alone.",
  );
}

/** A node. Every question ends when `signal` says so. */
export class Node {
  readonly #url: string;
  readonly #signal: AbortSignal;
  readonly #blocks = new Map<number, number>();

  constructor(url: string, signal: AbortSignal) {
    this.#url = url;
    this.#signal = signal;
  }

  async #ask(method: string, params: unknown[]): Promise<unknown> {
    const { text, status } = await this.#post(JSON.stringify({ jsonrpc: "2.0", id: 1, method, params }), method);
    let answer: unknown;
    try {
      answer = JSON.parse(text);
    } catch {
      throw new NodeError(`The node answered ${method} with HTTP ${status} and no JSON.`, true);
    }
    const { result, error } = (answer ?? {}) as { result?: unknown; error?: { message?: unknown } | null };
    if (error !== undefined && error !== null) {
      const said = typeof error.message === "string" ? `: ${label(error.message)}` : "";
      throw new NodeError(`The node refused ${method}${said}.`, true);
    }
    if (result === undefined)
      throw new NodeError(`The node answered ${method} with HTTP ${status} and no result.`, true);
    return result;
  }

  async #post(body: string, method: string): Promise<{ text: string; status: number }> {
    const limit = AbortSignal.timeout(ANSWER_MS);
    try {
      const answer = await fetch(this.#url, {
        method: "POST",
        headers: { "content-type": "application/json" },
        body,
        credentials: "omit",
        referrerPolicy: "no-referrer",
        redirect: "error",
        cache: "no-store",
        signal: AbortSignal.any([this.#signal, limit]),
      });
      return { text: await bounded(answer, method), status: answer.status };
    } catch (error) {
      if (error instanceof NodeError || this.#signal.aborted) throw error;
      if (limit.aborted) throw new NodeError(`The node did not answer ${method} within ${ANSWER_MS / 1000} s.`, true);
      throw new NodeError(
        "The node cannot be reached. It may be away, refuse questions from other sites' pages, or not be named in " +
          "this site's policy (connect-src).",
      );
    }
  }

  /** EIP-155 id. */
  async chainId(): Promise<number> {
    return quantity(await this.#ask("eth_chainId", []), "eth_chainId");
  }

  /** The number of the last block. */
  async head(): Promise<number> {
    return quantity(await this.#ask("eth_blockNumber", []), "eth_blockNumber");
  }

  /** A contract's answer at a block. */
  async call(to: string, data: string, block: number): Promise<string> {
    const answer = await this.#ask("eth_call", [{ to, data }, hex(block)]);
    if (typeof answer !== "string" || !/^0x([0-9a-f]{2})*$/i.test(answer)) throw strange("eth_call");
    if (answer === "0x") throw new NodeError(`The node knows no contract that answers at ${to}.`);
    return answer;
  }

  /** Seconds since 1970 at which a block was made. */
  async time(block: number): Promise<number> {
    const known = this.#blocks.get(block);
    if (known !== undefined) return known;
    const answer = await this.#ask("eth_getBlockByNumber", [hex(block), false]);
    if (answer === null)
      throw new NodeError(`The node does not keep block ${block}. Ask a node that keeps old blocks.`);
    const { number, timestamp } = answer as { number?: unknown; timestamp?: unknown };
    if (quantity(number, "eth_getBlockByNumber") !== block) throw strange("eth_getBlockByNumber");
    const time = quantity(timestamp, "eth_getBlockByNumber");
    if (time > LAST_TIME) throw strange("eth_getBlockByNumber");
    this.#blocks.set(block, time);
    return time;
  }

  /** The first block that was made at that time or later, up to `head`. */
  async blockAt(time: number, head: number): Promise<number> {
    let [low, high] = [0, head];
    while (low < high) {
      const middle = Math.floor((low + high) / 2);
      if ((await this.time(middle)) < time) low = middle + 1;
      else high = middle;
    }
    return low;
  }

  /**
   * The events from one block to another, in their order, as they come. A node that refuses a range is asked for half
   * of it. `reached` is told the last block of each answer.
   */
  async *logs(filter: Filter, from: number, to: number, reached: (block: number) => void): AsyncGenerator<Log> {
    let [range, largest, answers] = [FIRST_RANGE, LARGEST_RANGE, 0];
    for (let at = from; at <= to; ) {
      const end = Math.min(to, at + range - 1);
      let found: Log[];
      try {
        found = await this.#logsIn(filter, at, end);
      } catch (error) {
        if (!(error instanceof NodeError && error.isTooMuch) || end === at) throw error;
        range = largest = Math.max(1, Math.floor((end - at + 1) / 2));
        answers = 0;
        continue;
      }
      yield* found;
      reached(end);
      at = end + 1;
      if (++answers % TRIES_MORE_AFTER === 0) largest = Math.min(LARGEST_RANGE, largest * 2);
      range = Math.min(largest, range * 2);
    }
  }

  async #logsIn({ address, topics }: Filter, from: number, to: number): Promise<Log[]> {
    const asked = { address, topics, fromBlock: hex(from), toBlock: hex(to) };
    const answer = await this.#ask("eth_getLogs", [asked]);
    if (!Array.isArray(answer)) throw strange("eth_getLogs");
    if (answer.length > MOST_LOGS) throw new NodeError("The node answered with too many events at once.", true);
    let last = [from, -1];
    return answer.map((entry: Record<string, unknown>) => {
      const log = logOf(entry);
      const [block, index] = last as [number, number];
      const isInOrder = log.block > block || (log.block === block && log.index > index);
      const fits = topics.every((topic, at) => [topic].flat().includes(log.topics[at] ?? ""));
      const isOf = String(entry.address).toLowerCase() === address.toLowerCase();
      if (!isInOrder || log.block > to || !isOf || !fits || entry.removed === true) throw strange("eth_getLogs");
      last = [log.block, log.index];
      return log;
    });
  }
}

/** A number as JSON-RPC writes it. */
function hex(number: number): string {
  return `0x${number.toString(16)}`;
}

function quantity(value: unknown, method: string): number {
  const number = typeof value === "string" && /^0x[0-9a-f]{1,14}$/i.test(value) ? Number(value) : Number.NaN;
  if (Number.isSafeInteger(number)) return number;
  throw strange(method);
}

function logOf(entry: unknown): Log {
  const { topics, data, blockNumber, logIndex, transactionHash } = (entry ?? {}) as Record<string, unknown>;
  const isHash = (value: unknown) => typeof value === "string" && /^0x[0-9a-f]{64}$/i.test(value);
  const isGood =
    Array.isArray(topics) &&
    topics.length <= 4 &&
    topics.every(isHash) &&
    typeof data === "string" &&
    /^0x([0-9a-f]{2})*$/i.test(data) &&
    isHash(transactionHash);
  if (!isGood) throw strange("eth_getLogs");
  return {
    topics: topics.map((topic: string) => topic.toLowerCase()),
    data: data.toLowerCase(),
    block: quantity(blockNumber, "eth_getLogs"),
    index: quantity(logIndex, "eth_getLogs"),
    transaction: String(transactionHash).toLowerCase(),
  };
}

function strange(method: string): NodeError {
  return new NodeError(`The node's answer to ${method} is not one to that question. Ask another node.`);
}

/** The text of an answer, as long as it is not longer than a node has to be. */
async function bounded(answer: Response, method: string): Promise<string> {
  const parts: Uint8Array[] = [];
  let length = 0;
  const reader = answer.body?.getReader();
  for (;;) {
    const { done, value } = (await reader?.read()) ?? { done: true };
    if (done || !value) break;
    length += value.length;
    if (length > LARGEST_ANSWER) {
      await reader?.cancel();
      throw new NodeError(`The node's answer to ${method} is longer than ${LARGEST_ANSWER / 1024 / 1024} MiB.`, true);
    }
    parts.push(value);
  }
  return new Blob(parts as BlobPart[]).text();
}
