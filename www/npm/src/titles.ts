/**
 * Titles on their chain: what the registry of the site's vault says of a torrent, a publisher's signature and
 * registration, and a creator's credit. A module that a page loads when it first asks for one of them.
 *
 * Invariant: what a node answers is within bounds and agrees with itself, or it is an error; a node that lies within
 * them is believed (docs/security.md). `crate/src/native/registry.rs` has the same rules.
 */
import { PieceworkError } from "./errors.js";
import { checksummed } from "./keccak.js";
import type { Payments } from "./payments.js";
import type { Decimal, Terms } from "./terms.js";
import type { Signature, Title } from "./title.js";
import {
  NO_ADDRESS,
  NO_WORD,
  TITLE_TYPE,
  abiWord,
  bytesOfHex,
  infoV2Of,
  registerCall,
  textOf,
  titleBytes,
  titleHash,
  titleId,
  titleOf,
  torrentWith,
  type SignedTitle,
  type TitleWords,
} from "./title_bytes.js";
import { parseAmount } from "./units.js";

/** One registration, by a node's word. */
export interface TitleRecord {
  /** `0x` and 64 hexadecimal digits. */
  readonly id: string;
  /** Who registered it. */
  readonly publisher: string;
  /** Who is credited now. */
  readonly creator: string;
  /** The creator's share of every sale now, in percent. */
  readonly share: number;
  readonly registeredAt: Date;
}

/** What the registry of the site's vault says of a torrent. */
export interface Registration {
  /** The contract. */
  readonly registry: string;
  /** The registration of the torrent's title; null: it is not registered, or the torrent has no title. */
  readonly own: TitleRecord | null;
  /** Name, licence and all else are registered as the torrent's title says; null: nothing is to be compared. */
  readonly sameWords: boolean | null;
  /** The signature is for a registration at this registry; null: the torrent has no title. */
  readonly isForIt: boolean | null;
  /**
   * The earliest registration of the same content by somebody else, if it stands before the title's own, or if the
   * title has none.
   */
  readonly earlier: TitleRecord | null;
  /** All registrations of this content. The first 16 were looked at. */
  readonly count: number;
}

/** What a publisher says of a torrent, and signs. */
export interface PublishOptions {
  /** For people to read, 1 to 256 bytes. Default: the torrent's. */
  name?: string;
  /** Who is credited with the share: a person, or a splitter. Default: the connected wallet. */
  creator?: string;
  /** The creator's share of every sale, in percent, with up to two decimals. Default 0. */
  share?: Decimal;
  /** An SPDX identifier or a URL, at most 256 bytes. Default: none is granted. */
  licence?: string;
  /** Id of the registered edition that this one follows. */
  previous?: string;
  /** 32 bytes as `0x` and 64 hexadecimal digits, for a second registration of the same content. */
  salt?: string;
  /** Register it with the registry that the vault asks, by a transaction: without it no share is ever paid. */
  register?: boolean;
}

/** A torrent that its publisher signed. */
export interface PublishedTorrent {
  /** The id of its registration, if it is registered. */
  readonly id: string;
  /** The .torrent file with the title. */
  readonly torrentFile: Uint8Array<ArrayBuffer>;
  /** A link that names its publisher, and the id if it is registered. */
  readonly magnetURI: string;
  readonly isRegistered: boolean;
}

/** A torrent that is to be signed. */
export interface ToPublish extends Titled {
  signature: Signature;
  name: string;
  length: number;
  torrentFile: Uint8Array<ArrayBuffer> | null;
  magnetURI: string;
  lookAtTitle(): Promise<void>;
}

/** The client that has it: a .torrent file that is added to it once more brings the torrent its title. */
export interface Adopting {
  add(torrentFile: Uint8Array<ArrayBuffer>, options: { onDemand: boolean }): Promise<{ leave(): Promise<unknown> }>;
}

/** A torrent whose registration is asked for. */
export interface Titled {
  infoHash: string;
  title: Pick<Title, "id" | "hash" | "publisher" | "chainId" | "registry"> | null;
}

/** Registrations of one content that are read: the earliest. Anybody may add to the list. */
export const MOST_LISTED = 16;
/** Before this second no registration was made (2020), and after the other none is believed (2200). */
const EARLIEST = 1_577_836_800n;
const LATEST = 7_258_118_400n;
/** A whole, in hundredths of a percent. */
const WHOLE = 10_000n;
const ADDRESS = /^0x[0-9a-f]{40}$/i;
/** Bytes of a name, and of a licence. */
const MOST_TEXT = 256;
/** Characters that no title has: as the engine judges them (`is_shown` in `crate/src/types.rs`). */
const NOT_SHOWN = /[\p{Cc}\u00ad\u061c\u180e\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb]/u;
/** Of a registration (`contracts/test/RegistryGas.t.sol`). */
const GAS_OF_REGISTRATION = 160_000n;
const NO_WALLET = "No wallet is connected: call connectWallet() first, from a click.";
/** Milliseconds that a node has for an answer. */
const RPC_TIMEOUT = 15_000;
/** Bytes of a node's answer that are read: the longest one that is asked for has less than 7 KiB. */
const MOST_ANSWER = 32_768;

/** The calls, by the first four bytes of their hashes; a test derives them anew. */
export const TITLE_SELECTORS = {
  "registry()": "0x7b103999",
  "record(bytes32)": "0xb5c645bd",
  "countOf(bytes20)": "0x0282bc85",
  "titlesOf(bytes20,uint256,uint256)": "0x009a7c1b",
  "credit(address)": "0xd5d44d80",
  "claimCredit(address)": "0x60e27464",
} as const;

/** What titles have to do with a chain. */
export class Titles {
  readonly #terms: Terms;
  readonly #payments: () => Promise<Payments>;

  constructor(terms: Terms, payments: () => Promise<Payments>) {
    this.#terms = terms;
    this.#payments = payments;
  }

  /** What the registry says of a torrent; null: the site's vault asks none. */
  async registration(torrent: Titled): Promise<Registration | null> {
    const registry = await this.#registry();
    if (registry === null) return null;
    const { title } = torrent;
    const own = title && (await this.#record(registry, title));
    const { count, first } = await this.#listing(registry, torrent.infoHash);
    const at = first.findIndex(({ id }) => id === own?.id);
    const before = at < 0 ? first : first.slice(0, at);
    const publisher = title && checksummed(title.publisher);
    return {
      registry,
      own: own && shown(own),
      sameWords: own && title && own.titleHash === title.hash,
      isForIt:
        title &&
        title.chainId === this.#terms.options.chainId &&
        checksummed(title.registry ?? NO_ADDRESS) === registry,
      earlier: before.map(shown).find((record) => record.publisher !== publisher) ?? null,
      count,
    };
  }

  /** What an address is credited with in the vault, in base units. */
  async credit(address: string | null): Promise<bigint> {
    if (address === null) throw new PieceworkError(NO_WALLET);
    if (!ADDRESS.test(address)) throw new PieceworkError(`"${address}" is not an address`);
    const { vault } = this.#terms.options;
    return this.#oneOf(
      vault,
      "credit(address)",
      await this.#ask(vault, "credit(address)", abiWord("address", address)),
    );
  }

  #oneOf(contract: string, call: string, [one, ...more]: bigint[]): bigint {
    if (one === undefined || more.length > 0) throw this.#strange(contract, call);
    return one;
  }

  /** Sends the connected wallet all that it is credited with; gives the sum. */
  async claim(): Promise<bigint> {
    const payments = await this.#payments();
    const { address } = payments;
    if (address === null) throw new PieceworkError(NO_WALLET);
    const { vault } = this.#terms.options;
    // By the wallet, which sends and follows the transaction: the site's node may be some blocks behind it.
    const credit = async () => {
      const answer = await payments.ethCall(vault, TITLE_SELECTORS["credit(address)"] + abiWord("address", address));
      return this.#oneOf(vault, "credit(address)", wordsOf(answer));
    };
    const send = async () => {
      const data = TITLE_SELECTORS["claimCredit(address)"] + abiWord("address", address);
      await payments.sendOnce("claim", vault, data, async () => (await credit()) === 0n);
    };
    const sum = await credit();
    if (sum === 0n) return 0n;
    await send();
    // An earlier claim may have been followed, whose end nobody had seen: what was credited since is still there.
    if ((await credit()) >= sum) await send();
    return sum;
  }

  /** About what registering costs now, in the smallest unit of the chain's coin; null: nobody says. */
  async registrationFee(): Promise<bigint | null> {
    const price = await (await this.#payments()).gasPrice();
    return price === null ? null : price * GAS_OF_REGISTRATION;
  }

  /**
   * Has the connected wallet sign a title, and register it if that is wished. `adopt` gives the .torrent file to the
   * engine, which judges the signature. A title with the same words that was signed
   * before is not signed again.
   */
  async publish(torrent: ToPublish, options: PublishOptions, client: Adopting): Promise<PublishedTorrent> {
    const payments = await this.#payments();
    const { address } = payments;
    if (address === null) throw new PieceworkError(NO_WALLET);
    if (!torrent.torrentFile)
      throw new PieceworkError("This torrent's .torrent file is not here yet: wait for torrent.ready.");
    const words = await wordsOfTitle(torrent, torrent.torrentFile, address, options);
    const registry = options.register ? await this.#registry() : null;
    if (options.register && registry === null)
      throw new PieceworkError("This site's vault asks no registry, so nothing can be registered there.");
    const signed = await this.#signed(payments, words, registry, titleOf(torrent.torrentFile));
    const id = titleId(words);
    const torrentFile = torrentWith(torrent.torrentFile, {
      "pw.title": titleBytes(signed),
      "pw.content": registry === null ? null : textOf(bytesOfHex(id)),
    });
    await (await client.add(torrentFile, { onDemand: true })).leave();
    await torrent.lookAtTitle();
    const { signature } = torrent;
    if (torrent.title?.hash !== titleHash(signed.words))
      throw new PieceworkError(
        typeof signature === "object"
          ? `The title was not signed as it should be: ${signature.wrong}.`
          : "The torrent has another title, or the wallet signed it wrongly: remove it, and make it again to sign it anew.",
      );
    torrent.torrentFile = torrentFile;
    if (registry !== null) await this.#register(payments, registry, signed.words);
    const named = torrent.magnetURI.replace(/&pw\.(?:by|content)=[^&]*/g, "");
    const magnetURI = `${named}&pw.by=${address}${registry === null ? "" : `&pw.content=${id}`}`;
    return { id, torrentFile, magnetURI, isRegistered: registry !== null };
  }

  async #signed(
    payments: Payments,
    words: TitleWords,
    registry: string | null,
    before: SignedTitle | null,
  ): Promise<SignedTitle> {
    const { chainId } = this.#terms.options;
    const title = { words, registry: (registry ?? NO_ADDRESS).toLowerCase(), chainId };
    const isSame = ({ words: said, registry, chainId }: SignedTitle) =>
      registry === title.registry &&
      chainId === title.chainId &&
      TITLE_TYPE.every(({ name }) => name === "created" || said[name] === words[name]);
    if (before && isSame(before)) return before;
    const answer = await payments.sign("title", typedTitle(title));
    const [, r, s, v] = /^0x([0-9a-f]{64})([0-9a-f]{64})(00|01|1b|1c)$/i.exec(answer) ?? [];
    if (!r || !s || !v || BigInt(`0x${s}`) >> 255n !== 0n)
      throw new PieceworkError(
        "This wallet signs in a form of its own, as accounts with code do, and no title can have it: use another one.",
      );
    const parity = ["01", "1c"].includes(v.toLowerCase()) ? 1n : 0n;
    const vs = (BigInt(`0x${s}`) | (parity << 255n)).toString(16).padStart(64, "0");
    return { ...title, signature: `0x${r}${vs}`.toLowerCase() };
  }

  async #register(payments: Payments, registry: string, words: TitleWords): Promise<void> {
    const id = titleId(words);
    const title = { id, publisher: words.publisher };
    // By the wallet's own node, which knows first what the wallet sent.
    const isThere = async () => {
      const answer = await payments.ethCall(registry, TITLE_SELECTORS["record(bytes32)"] + id.slice(2));
      return this.#recordOf(registry, title, wordsOf(answer)) !== null;
    };
    await payments.sendOnce(`registration ${id}`, registry, registerCall(words), isThere);
    if (!(await isThere())) throw this.#strange(registry, "record(bytes32)");
  }

  /** The registry that the vault asks; null: none. */
  async #registry(): Promise<string | null> {
    const { vault, registry: named } = this.#terms.options;
    const asks = this.#address(
      vault,
      "registry()",
      this.#oneOf(vault, "registry()", await this.#ask(vault, "registry()")),
    );
    if (named && !ADDRESS.test(named.address)) throw new PieceworkError("payments.registry.address is not an address");
    if (named && checksummed(named.address) !== asks)
      throw new PieceworkError(
        `The vault ${vault} asks the registry ${asks}, not ${named.address}: this site's configuration is wrong.`,
      );
    return asks === NO_ADDRESS ? null : asks;
  }

  async #record(registry: string, { id, publisher }: NonNullable<Titled["title"]>): Promise<Kept | null> {
    return this.#recordOf(registry, { id, publisher }, await this.#ask(registry, "record(bytes32)", id.slice(2)));
  }

  #recordOf(registry: string, { id, publisher }: { id: string; publisher: string }, answer: bigint[]): Kept | null {
    if (answer.length === RECORD && answer[2] === 0n && answer[3] === 0n) return null;
    const record = answer.length === RECORD && recordIn(id, answer);
    // The id is a hash of the publisher, too.
    if (!record || record.publisher !== publisher) throw this.#strange(registry, "record(bytes32)");
    return record;
  }

  /** The registrations of a content: how many there are, and the first of them. */
  async #listing(registry: string, infoHash: string): Promise<{ count: number; first: Kept[] }> {
    const hash = abiWord("bytes20", infoHash);
    const count = this.#oneOf(registry, "countOf(bytes20)", await this.#ask(registry, "countOf(bytes20)", hash));
    if (count > BigInt(Number.MAX_SAFE_INTEGER)) throw this.#strange(registry, "countOf(bytes20)");
    const call = "titlesOf(bytes20,uint256,uint256)";
    const page = abiWord("uint256", 0) + abiWord("uint256", MOST_LISTED);
    const first = listIn(await this.#ask(registry, call, hash + page));
    // Others may register while we ask.
    if (!first || first.length < Math.min(Number(count), MOST_LISTED)) throw this.#strange(registry, call);
    return { count: Math.max(Number(count), first.length), first };
  }

  #address(contract: string, call: string, word: bigint): string {
    if (word >> 160n !== 0n) throw this.#strange(contract, call);
    return checksummed(addressIn(word));
  }

  #strange(contract: string, call: string): PieceworkError {
    return new PieceworkError(
      `The contract at ${contract} does not answer ${call} as it should: check the vault's address and the node ` +
        "that this site reads the chain by.",
    );
  }

  /** The words that a contract answers: by the site's node, else by the wallet. */
  async #ask(to: string, call: keyof typeof TITLE_SELECTORS, given = ""): Promise<bigint[]> {
    const data = TITLE_SELECTORS[call] + given;
    const { rpcUrl, chainId } = this.#terms.options;
    const answer = rpcUrl
      ? await callAt(new URL(rpcUrl, document.baseURI).href, chainId, to, data)
      : await (await this.#payments()).ethCall(to, data);
    return wordsOf(answer);
  }
}

/** A title as a wallet is asked to sign it (EIP-712). */
export function typedTitle({ words, registry, chainId }: Omit<SignedTitle, "signature">): object {
  const field = (name: string, type: string) => ({ name, type });
  return {
    domain: { name: "PieceworkRegistry", version: "1", chainId, verifyingContract: registry },
    primaryType: "Title",
    types: {
      EIP712Domain: [
        field("name", "string"),
        field("version", "string"),
        field("chainId", "uint256"),
        field("verifyingContract", "address"),
      ],
      Title: TITLE_TYPE,
    },
    message: { ...words, length: String(words.length) },
  };
}

/** What is to be signed of a torrent, checked. */
async function wordsOfTitle(
  { infoHash, length, name: ownName }: ToPublish,
  torrentFile: Uint8Array,
  publisher: string,
  { name = ownName, creator = publisher, share = 0, licence = "", previous = NO_WORD, salt = NO_WORD }: PublishOptions,
): Promise<TitleWords> {
  const refused = (what: string) => new PieceworkError(`publish: ${what}`);
  const isText = (text: string) => new TextEncoder().encode(text).length <= MOST_TEXT && !NOT_SHOWN.test(text);
  if (name === "" || !isText(name))
    throw refused(`the name must have 1 to ${MOST_TEXT} bytes, and no characters that are not seen`);
  if (!isText(licence))
    throw refused(`the licence must have at most ${MOST_TEXT} bytes, and no characters that are not seen`);
  if (!ADDRESS.test(creator) || /^0x0*$/.test(creator))
    throw refused(`the creator "${creator}" is not an address of 0x and 40 hexadecimal digits`);
  for (const [field, word] of Object.entries({ previous, salt }))
    if (!/^0x[0-9a-f]{64}$/i.test(word)) throw refused(`${field} must be 0x and 64 hexadecimal digits`);
  return {
    name,
    infoHash: `0x${infoHash}`,
    infoHashV2: await infoV2Of(torrentFile),
    length: BigInt(length),
    publisher,
    creator: creator.toLowerCase(),
    bps: bpsOf(share),
    licence,
    keyHash: NO_WORD,
    previous: previous.toLowerCase(),
    salt: salt.toLowerCase(),
    created: Math.floor(Date.now() / 1_000),
  };
}

/** A share in percent as hundredths of a percent. */
function bpsOf(share: Decimal): number {
  try {
    const bps = parseAmount(share, 2);
    if (bps <= WHOLE) return Number(bps);
  } catch {
    // It is no number, or has more places.
  }
  throw new PieceworkError(`publish: the share "${share}" must be a number from 0 to 100 with at most two decimals`);
}

function wordsOf(answer: string): bigint[] {
  return Array.from(answer.slice(2).match(/.{64}/g) ?? [], (digits) => BigInt(`0x${digits}`));
}

/** A registration as the chain has it; addresses in small letters. */
interface Kept {
  id: string;
  creator: string;
  bps: number;
  registeredAt: number;
  publisher: string;
  titleHash: string;
}

/** Words of a record. */
const RECORD = 5;

function shown({ id, publisher, creator, bps, registeredAt }: Kept): TitleRecord {
  return {
    id,
    publisher: checksummed(publisher),
    creator: checksummed(creator),
    share: bps / 100,
    registeredAt: new Date(registeredAt * 1_000),
  };
}

function addressIn(word: bigint): string {
  return `0x${word.toString(16).padStart(40, "0")}`;
}

function wordIn(word: bigint): string {
  return `0x${word.toString(16).padStart(64, "0")}`;
}

/** A registration, unless no registry says so. */
function recordIn(id: string, words: readonly bigint[]): Kept | null {
  const [creator = 0n, bps = 0n, at = 0n, publisher = 0n, hash = 0n] = words;
  const isAddress = (word: bigint) => word !== 0n && word >> 160n === 0n;
  if (!isAddress(creator) || !isAddress(publisher) || bps > WHOLE || at < EARLIEST || at > LATEST) return null;
  return {
    id,
    creator: addressIn(creator),
    bps: Number(bps),
    registeredAt: Number(at),
    publisher: addressIn(publisher),
    titleHash: wordIn(hash),
  };
}

/** A list, unless no registry says so: of no more than was asked for, each once, none before an earlier one. */
function listIn(words: readonly bigint[]): Kept[] | null {
  const count = words[2] ?? 0n;
  if (count > BigInt(MOST_LISTED)) return null;
  const ids = Number(count);
  const records = 3 + ids;
  // As the ABI writes it: where both lists begin, then each with its length before it.
  const expected = [64n, BigInt(records * 32), count];
  if (words.length !== records + 1 + ids * RECORD || expected.some((word, at) => words[at] !== word)) return null;
  if (words[records] !== count) return null;
  const all: Kept[] = [];
  for (let at = 0; at < ids; at++) {
    const begin = records + 1 + at * RECORD;
    const record = recordIn(wordIn(words[3 + at] ?? 0n), words.slice(begin, begin + RECORD));
    const last = all.at(-1);
    if (!record || (last && last.registeredAt > record.registeredAt)) return null;
    if (all.some(({ id }) => id === record.id)) return null;
    all.push(record);
  }
  return all;
}

/** What a contract answers at a node, in words. */
async function callAt(url: string, chainId: number, to: string, data: string): Promise<string> {
  const [chain, answer] = await Promise.all([
    ask(url, "eth_chainId", []),
    ask(url, "eth_call", [{ to, data }, "latest"]),
  ]);
  if (typeof chain !== "string" || !/^0x[0-9a-f]{1,13}$/i.test(chain) || Number(chain) !== chainId)
    throw new PieceworkError(`The node at ${host(url)} is not of chain ${chainId}: this site's rpcUrl is wrong.`);
  if (typeof answer !== "string" || !/^0x(?:[0-9a-f]{64})*$/i.test(answer)) throw unanswered(url);
  return answer;
}

async function ask(url: string, method: string, params: unknown[]): Promise<unknown> {
  let text: string;
  try {
    const answer = await fetch(url, {
      method: "POST",
      headers: { "content-type": "application/json" },
      body: JSON.stringify({ jsonrpc: "2.0", id: 1, method, params }),
      signal: AbortSignal.timeout(RPC_TIMEOUT),
    });
    text = await bounded(answer);
  } catch {
    throw unanswered(url);
  }
  try {
    return (JSON.parse(text) as { result?: unknown } | null)?.result;
  } catch {
    throw unanswered(url);
  }
}

/** The text of an answer; throws as soon as there is too much of it. */
async function bounded(answer: Response): Promise<string> {
  const reader = answer.body?.getReader();
  const decoder = new TextDecoder();
  let [text, left] = ["", MOST_ANSWER];
  for (let chunk = await reader?.read(); chunk && !chunk.done; chunk = await reader?.read()) {
    left -= chunk.value.length;
    if (left < 0) {
      void reader?.cancel().catch(() => undefined);
      throw new RangeError("too long");
    }
    text += decoder.decode(chunk.value, { stream: true });
  }
  return text;
}

function unanswered(url: string): PieceworkError {
  return new PieceworkError(
    `The node at ${host(url)} gives no answer that can be read: look whether you are online, then try again.`,
  );
}

/** Paths hold keys. */
function host(url: string): string {
  return new URL(url).host;
}
