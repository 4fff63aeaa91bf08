/**
 * What a chain says in public of a title: its registration, its redemptions, and who got what. It needs no wallet and
 * moves no money. All of it is one node's word; what can be held against other words of the same node is.
 */

import { AbiCoder, Interface, TypedDataEncoder, keccak256 } from "ethers";
import type { PaymentSetup } from "./config.ts";
import { LAST_TIME, type Log, type Node, NodeError } from "./title_node.ts";

/** Registrations of a content that are looked at, as `piecework info` does. */
export const MOST_LISTED = 16;
/** Redemptions that are kept; the search ends there. */
const MOST_REDEMPTIONS = 50_000;
/** Changes of a registration that are kept. */
const MOST_CHANGES = 1_000;

const NOBODY = `0x${"0".repeat(40)}`;
const RECORD = "tuple(address creator, uint16 bps, uint48 registeredAt, address publisher, bytes32 titleHash)";
const TITLE =
  "tuple(string name, bytes20 infoHash, bytes32 infoHashV2, uint64 length, address publisher, address creator, " +
  "uint16 bps, string licence, bytes32 keyHash, bytes32 previous, bytes32 salt, uint64 created)";
const REGISTRY = new Interface([
  `function record(bytes32) view returns (${RECORD})`,
  "function countOf(bytes20) view returns (uint256)",
  `function titlesOf(bytes20, uint256, uint256) view returns (bytes32[] ids, ${RECORD}[] records)`,
  `event Registered(bytes32 indexed id, bytes20 indexed infoHash, address indexed publisher, ${TITLE} title)`,
  "event ShareLowered(bytes32 indexed id, uint16 bps)",
  "event CreatorChanged(bytes32 indexed id, address creator)",
]);
const VAULT = new Interface([
  "function registry() view returns (address)",
  "function token() view returns (address)",
  "event Redeemed(bytes32 indexed id, address indexed payee, address indexed owner, uint256 packed, bytes32 content, " +
    "bytes32 root, bytes32 luck, bytes32 r, bytes32 vs, uint256 gross, uint256 cut)",
]);
/** What a publisher signs (docs/titles.md, "What is signed"). */
const SIGNED = {
  Title: TITLE.slice("tuple(".length, -1)
    .split(", ")
    .map((field) => field.split(" "))
    .map(([type = "", name = ""]) => ({ type, name })),
};

/** A registration as it is now. */
export interface Registration {
  id: string;
  publisher: string;
  creator: string;
  /** Hundredths of a percent. */
  bps: number;
  /** Seconds since 1970. */
  registeredAt: number;
}

/** The words of a title that the registry took. */
export interface Words {
  name: string;
  infoHash: string;
  length: bigint;
  licence: string;
  creator: string;
  bps: number;
  /** Seconds since 1970 by the publisher's word; 0: not said. */
  created: number;
  previous: string | null;
  isEncrypted: boolean;
}

/** A later change of a registration. */
export interface Change {
  /** Seconds since 1970. */
  time: number;
  block: number;
  index: number;
  creator: string | null;
  bps: number | null;
}

/** One paid claim, in token units. */
export interface Redemption {
  block: number;
  transaction: string;
  /** Days since 1970 (UTC). */
  day: number;
  payee: string;
  /** Who was credited with the cut; null where it is nothing. */
  creator: string | null;
  gross: bigint;
  cut: bigint;
}

/** Everything of one title. */
export interface TitleRecord {
  registration: Registration;
  words: Words;
  changes: Change[];
  redemptions: Redemption[];
  /** The search of redemptions went from one block to the other. */
  from: number;
  to: number;
  /** When the last of them was made, in seconds since 1970. */
  toTime: number;
  /** There are more redemptions than are kept. */
  isCut: boolean;
  /** All registrations of the content, and how many were looked at. */
  listed: Listed;
}

/** The registrations of one content, in their order, and how many there are in all. */
export interface Listed {
  first: Registration[];
  count: number;
}

/** How far a search is: what is being done, and which part of it is done. */
export type Progress = (doing: string, part: number) => void;

/** A chain with a vault and the registry that the vault asks. */
export class Titles {
  readonly #node: Node;
  readonly #vault: string;
  readonly #deployBlock: number;
  readonly #registry: string;
  /** The block at which everything is asked. */
  readonly #head: number;

  private constructor(node: Node, { vault, deployBlock }: PaymentSetup, registry: string, head: number) {
    this.#node = node;
    this.#vault = vault;
    this.#deployBlock = deployBlock;
    this.#registry = registry;
    this.#head = head;
  }

  /** Checks that the node has the site's chain, vault and token, and finds the vault's registry. */
  static async at(node: Node, site: PaymentSetup): Promise<Titles> {
    const chainId = await node.chainId();
    if (chainId !== site.chainId)
      throw new NodeError(`The node is of chain ${chainId}, and this site's titles are on chain ${site.chainId}.`);
    const head = await node.head();
    if (head < site.deployBlock)
      throw new NodeError(`The node is at block ${head}, before this site's vault. Ask a node that is up to date.`);
    const [token, registry] = await Promise.all(
      ["token", "registry"].map(async (name) => {
        const answer = await node.call(site.vault, VAULT.encodeFunctionData(name), head);
        return decoded(() => String(VAULT.decodeFunctionResult(name, answer)[0]));
      }),
    );
    if (token?.toLowerCase() !== site.token.address.toLowerCase())
      throw new NodeError(`The vault ${site.vault} does not hold this site's token there. The site names a wrong one.`);
    if (!registry || registry === NOBODY)
      throw new NodeError(`This site's vault ${site.vault} asks no registry, so no title is registered for it.`);
    return new Titles(node, site, registry, head);
  }

  /** The registry that the vault asks. */
  get registry(): string {
    return this.#registry;
  }

  async #ask(name: string, ...given: unknown[]): Promise<unknown[]> {
    const answer = await this.#node.call(this.#registry, REGISTRY.encodeFunctionData(name, given), this.#head);
    return decoded(() => REGISTRY.decodeFunctionResult(name, answer).toArray());
  }

  /** The first registrations of a content. */
  async listed(infoHash: string): Promise<Listed> {
    const [[count], [ids, records]] = await Promise.all([
      this.#ask("countOf", infoHash),
      this.#ask("titlesOf", infoHash, 0, MOST_LISTED),
    ]);
    const first = decoded(() =>
      (ids as string[]).map((id, at) => registrationOf(id, (records as unknown[])[at])?.registration),
    );
    const all = first.map((registration) => registration ?? raise(contradiction()));
    const isInOrder = all.every(({ registeredAt }, at) => at === 0 || registeredAt >= (all[at - 1]?.registeredAt ?? 0));
    const isEachOnce = new Set(all.map(({ id }) => id)).size === all.length;
    const isWhole = BigInt(all.length) === (BigInt(MOST_LISTED) < (count as bigint) ? BigInt(MOST_LISTED) : count);
    if (!isInOrder || !isEachOnce || !isWhole) throw contradiction();
    return { first: all, count: Number(count as bigint) };
  }

  /** Everything of a title, or null where nobody registered the id. */
  async read(id: string, progress: Progress): Promise<TitleRecord | null> {
    progress("Asking the registry", 0);
    const [record] = await this.#ask("record", id);
    const found = decoded(() => registrationOf(id, record));
    if (!found) return null;
    const { registration, titleHash } = found;
    progress("Looking for the day of the registration", 0);
    const from = await this.#node.blockAt(registration.registeredAt, this.#head);
    const { words, changes } = await this.#history(registration, titleHash, from, progress);
    const listed = await this.listed(words.infoHash);
    const first = Math.max(from, this.#deployBlock);
    const { redemptions, to, isCut } = await this.#redemptions(id, words, changes, first, progress);
    const toTime = await this.#node.time(to);
    return { registration, words, changes, redemptions, from: first, to, toTime, isCut, listed };
  }

  /** The registration's own words, and what was changed since. */
  async #history(
    registration: Registration,
    titleHash: string,
    from: number,
    progress: Progress,
  ): Promise<{ words: Words; changes: Change[] }> {
    const topics = ["Registered", "ShareLowered", "CreatorChanged"].map(topicOf(REGISTRY));
    const filter = { address: this.#registry, topics: [topics, registration.id] };
    const doing = "Reading the registration";
    let words: Words | null = null;
    const changes: Change[] = [];
    const reached = (block: number) => progress(doing, partOf(from, block, this.#head));
    for await (const log of this.#node.logs(filter, from, this.#head, reached)) {
      const event = decoded(() => REGISTRY.parseLog(log) ?? raise(contradiction()));
      if (event.name === "Registered") words = decoded(() => wordsOf(registration, titleHash, event.args.title));
      else changes.push(await this.#change(log, event.args.bps, event.args.creator));
      if (changes.length > MOST_CHANGES)
        throw new NodeError(`The registration was changed more than ${MOST_CHANGES} times, which is not shown here.`);
    }
    if (!words)
      throw new NodeError(
        "The node has the registration, and not the event of it. Ask a node that keeps the events of old blocks.",
      );
    const now = { creator: words.creator, bps: words.bps };
    for (const { creator, bps } of changes) Object.assign(now, creator === null ? { bps } : { creator });
    if (now.creator !== registration.creator || now.bps !== registration.bps) throw contradiction();
    return { words, changes };
  }

  async #change({ block, index }: Log, bps: bigint | undefined, creator: string | undefined): Promise<Change> {
    const time = await this.#node.time(block);
    return { time, block, index, bps: bps === undefined ? null : Number(bps), creator: creator ?? null };
  }

  /** What the vault paid under the title. Its events cannot be asked for by title: all of its redemptions are read. */
  async #redemptions(
    id: string,
    { creator }: Words,
    changes: Change[],
    from: number,
    progress: Progress,
  ): Promise<{ redemptions: Redemption[]; to: number; isCut: boolean }> {
    const filter = { address: this.#vault, topics: [topicOf(VAULT)("Redeemed")] };
    const redemptions: Redemption[] = [];
    let [to, isCut] = [this.#head, false];
    const reached = (block: number) => progress("Reading redemptions", partOf(from, block, this.#head));
    for await (const log of this.#node.logs(filter, from, this.#head, reached)) {
      const event = decoded(() => VAULT.parseLog(log) ?? raise(contradiction()));
      const { content, payee, gross, cut } = event.args;
      if (content !== id) continue;
      if (redemptions.length === MOST_REDEMPTIONS) {
        [to, isCut] = [log.block - 1, true];
        break;
      }
      if (cut > gross) throw contradiction();
      redemptions.push({
        block: log.block,
        transaction: log.transaction,
        day: 0,
        payee,
        creator: cut === 0n ? null : creatorAt(log, creator, changes),
        gross,
        cut,
      });
    }
    // Of the block in which it ended, some redemptions are not kept.
    const whole = isCut ? redemptions.filter(({ block }) => block <= to) : redemptions;
    progress("Looking for the days of the redemptions", 1);
    const days = await this.#days([...new Set(whole.map(({ block }) => block))]);
    for (const redemption of whole) redemption.day = days.get(redemption.block) ?? raise(contradiction());
    return { redemptions: whole, to, isCut };
  }

  /** The days of blocks in their order. Blocks between two of one day are of that day, and are not asked for. */
  async #days(blocks: number[]): Promise<Map<number, number>> {
    const days = new Map<number, number>();
    const dayAt = async (at: number): Promise<number> => {
      const block = blocks[at] ?? 0;
      const day = Math.floor((await this.#node.time(block)) / 86_400);
      days.set(block, day);
      return day;
    };
    const between = async (low: number, lowDay: number, high: number, highDay: number): Promise<void> => {
      if (lowDay > highDay) throw contradiction();
      if (high - low < 2) return;
      if (lowDay === highDay) {
        for (const block of blocks.slice(low + 1, high)) days.set(block, lowDay);
        return;
      }
      const middle = Math.floor((low + high) / 2);
      const day = await dayAt(middle);
      await between(low, lowDay, middle, day);
      await between(middle, day, high, highDay);
    };
    if (blocks.length > 0) {
      const last = blocks.length - 1;
      await between(0, await dayAt(0), last, await dayAt(last));
    }
    return days;
  }
}

/** A record; null where there is none. */
function registrationOf(id: string, record: unknown): { registration: Registration; titleHash: string } | null {
  const [creator, bps, registeredAt, publisher, titleHash] = record as [string, bigint, bigint, string, string];
  if (registeredAt === 0n) return null;
  const isGood = bps <= 10_000n && registeredAt <= BigInt(LAST_TIME) && creator !== NOBODY && publisher !== NOBODY;
  if (!isGood) throw contradiction();
  return {
    registration: { id, publisher, creator, bps: Number(bps), registeredAt: Number(registeredAt) },
    titleHash,
  };
}

/** A title's words. They are of the record and of the id, or an error. */
function wordsOf({ id, publisher }: Registration, titleHash: string, title: readonly unknown[]): Words {
  // By their places: one of them is named as the number of the fields is.
  const fields = Object.fromEntries(SIGNED.Title.map(({ name }, at) => [name, title[at]]));
  const { infoHash, salt, length, creator, bps, created, previous, keyHash, name, licence } = fields as {
    [field in "infoHash" | "salt" | "creator" | "previous" | "keyHash" | "name" | "licence"]: string;
  } & { [field in "length" | "bps" | "created"]: bigint };
  const given = AbiCoder.defaultAbiCoder().encode(
    ["address", "bytes20", "bytes32"],
    [fields.publisher, infoHash, salt],
  );
  const isOfId = keccak256(given) === id && fields.publisher === publisher;
  if (!isOfId || TypedDataEncoder.hashStruct("Title", SIGNED, fields) !== titleHash) throw contradiction();
  const isSet = (hash: string) => !/^0x0*$/.test(hash);
  return {
    name,
    infoHash,
    length,
    licence,
    creator,
    bps: Number(bps),
    // A date beyond what a calendar knows is none.
    created: created <= BigInt(LAST_TIME) ? Number(created) : 0,
    previous: isSet(previous) ? previous : null,
    isEncrypted: isSet(keyHash),
  };
}

/** The creator when that event happened. */
function creatorAt({ block, index }: Log, first: string, changes: Change[]): string {
  const isBefore = (change: Change) => change.block < block || (change.block === block && change.index < index);
  return changes.findLast((change) => change.creator !== null && isBefore(change))?.creator ?? first;
}

function topicOf(contract: Interface): (name: string) => string {
  return (name) => contract.getEvent(name)?.topicHash ?? raise(new Error(`the contract has no event ${name}`));
}

function partOf(from: number, block: number, to: number): number {
  return (block - from + 1) / Math.max(1, to - from + 1);
}

/** What reads a node's words; that they cannot be read is the node's fault. */
function decoded<T>(read: () => T): T {
  try {
    return read();
  } catch (error) {
    throw error instanceof NodeError ? error : contradiction();
  }
}

function contradiction(): NodeError {
  return new NodeError("The node contradicts itself, so nothing of what it says is shown. Ask another node.");
}

function raise(error: Error): never {
  throw error;
}

/** The first registration of the content by somebody else, if it stands before this one. */
export function earlierByOther({ id, publisher }: Registration, { first }: Listed): Registration | null {
  const own = first.findIndex((other) => other.id === id);
  const before = own < 0 ? first : first.slice(0, own);
  return before.find((other) => other.publisher !== publisher) ?? null;
}

/** An id, an info hash or a magnet link that somebody typed: a title's id, else the content's info hash. */
export function askedFor(text: string): { id: string } | { infoHash: string } | null {
  const typed = text.trim();
  const digits = (value: string | null, count: number) =>
    new RegExp(`^(?:0x)?([0-9a-f]{${count}})$`, "i").exec(value ?? "")?.[1]?.toLowerCase();
  if (/^magnet:\?/i.test(typed)) {
    const words = new URLSearchParams(typed.slice(8));
    const id = digits(words.get("pw.content"), 64);
    if (id) return { id: `0x${id}` };
    const [hash] = words.getAll("xt").flatMap((xt) => /^urn:btih:(.*)$/i.exec(xt)?.[1] ?? []);
    const infoHash = digits(hash ?? null, 40);
    return infoHash ? { infoHash: `0x${infoHash}` } : null;
  }
  const id = digits(typed, 64);
  if (id) return { id: `0x${id}` };
  const infoHash = digits(typed, 40);
  return infoHash ? { infoHash: `0x${infoHash}` } : null;
}
