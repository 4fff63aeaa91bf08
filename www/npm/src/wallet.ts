import { isWords } from "./abi.js";
import { hashIn, judge, numberIn, read, walletError } from "./answers.js";
import { PieceworkError, PieceworkRejectedError } from "./errors.js";
import { feeIn, follow, followCalls, type CallsFate, type Fate, type Sent } from "./following.js";

/**
 * A wallet's provider (EIP-1193): injected by an extension, or made by the page with wagmi, viem or WalletConnect.
 * Methods and parameters are those of the Ethereum JSON-RPC.
 */
export interface Eip1193Provider {
  request(arguments_: { method: string; params?: unknown }): Promise<unknown>;
  on?(event: string, listener: (value: unknown) => void): unknown;
  removeListener?(event: string, listener: (value: unknown) => void): unknown;
}

/**
 * A wallet found in this page (EIP-6963), or `window.ethereum`. Name and icon come from it: show them as text and image
 * only.
 */
export interface WalletInfo {
  readonly id: string;
  readonly name: string;
  /** A data URL, or empty. */
  readonly icon: string;
}

/** Parameters of `wallet_addEthereumChain` (EIP-3085). */
export interface ChainParams {
  chainId?: string;
  chainName: string;
  nativeCurrency: { name: string; symbol: string; decimals: number };
  rpcUrls: string[];
  blockExplorerUrls?: string[];
}

interface Announcement extends Event {
  detail?: { info?: { uuid?: unknown; rdns?: unknown; name?: unknown; icon?: unknown }; provider?: Eip1193Provider };
}

/** Wallets that are kept at once; a page that announces more is not believed. */
const MAX_WALLETS = 32;
const found = new Map<string, { info: WalletInfo; provider: Eip1193Provider }>();
let listening = false;

/** Finds wallets without asking any of them anything. */
export async function discover(): Promise<WalletInfo[]> {
  if (!listening) {
    listening = true;
    addEventListener("eip6963:announceProvider", (event) => {
      const { info, provider } = (event as Announcement).detail ?? {};
      if (typeof provider?.request !== "function" || typeof info?.uuid !== "string" || found.size >= MAX_WALLETS)
        return;
      const id = typeof info.rdns === "string" && info.rdns ? info.rdns : info.uuid;
      const icon = typeof info.icon === "string" && info.icon.startsWith("data:image/") ? info.icon : "";
      if (!found.has(id)) found.set(id, { info: { id, name: String(info.name ?? id).slice(0, 80), icon }, provider });
    });
  }
  // Wallets answer in the same task.
  dispatchEvent(new Event("eip6963:requestProvider"));
  await Promise.resolve();
  if (found.size > 0) return [...found.values()].map(({ info }) => info);
  const injected = injectedProvider();
  return injected ? [{ id: "injected", name: "Browser wallet", icon: "" }] : [];
}

/** The provider behind an id of {@link discover}. */
export function providerOf(id: string): Eip1193Provider {
  const provider = found.get(id)?.provider ?? (id === "injected" ? injectedProvider() : undefined);
  if (!provider) throw new PieceworkError(`no wallet "${id}" is here: call wallets() and pick one of them`);
  return provider;
}

/** A provider that the page gave. It is asked nothing. */
export function ownProvider(given: unknown): Eip1193Provider {
  if (typeof given === "object" && given !== null && typeof read(given, "request") === "function")
    return given as Eip1193Provider;
  throw new PieceworkError(
    "connectWallet: `provider` has no function `request`, so it is no EIP-1193 provider. Give the provider itself, " +
      "not a promise of it or an object around it.",
  );
}

/**
 * Hears a provider's events, and answers the way to stop. A provider that lacks events, or fails at them, is heard no
 * events of; one that goes on after it was asked to stop is heard no longer.
 */
export function listen(provider: Eip1193Provider, listeners: Record<string, (value: unknown) => void>): () => void {
  let over = false;
  const heard = Object.entries(listeners).map(
    ([event, listener]) => [event, (value: unknown) => void (over || listener(value))] as const,
  );
  const each = (act: "on" | "removeListener") => {
    for (const [event, listener] of heard) {
      try {
        provider[act]?.(event, listener);
      } catch {
        // The wallet is of use without.
      }
    }
  };
  each("on");
  return () => {
    over = true;
    each("removeListener");
  };
}

/** The code of a disconnection that the wallet mends by itself: "try again later" (RFC 6455, section 7.4). */
const COMES_BACK = 1013;

/** Whether a provider's event `disconnect` means that the wallet is gone. */
export function isGone(error: unknown): boolean {
  return !(typeof error === "object" && error !== null && read(error, "code") === COMES_BACK);
}

function injectedProvider(): Eip1193Provider | undefined {
  const provider = (globalThis as { ethereum?: Eip1193Provider }).ethereum;
  return typeof provider?.request === "function" ? provider : undefined;
}

/** The account that a wallet shows this site in its list, in lower case; null where it shows none. */
export function accountIn(list: unknown): string | null {
  const first: unknown = Array.isArray(list) ? list[0] : undefined;
  return typeof first === "string" && /^0x[0-9a-fA-F]{40}$/.test(first) ? first.toLowerCase() : null;
}

/** Text of an answer to `eth_call` that is read. No answer of vault or token has more than 2 KiB. */
const MOST_CALL_ANSWER = 16_384;
/** EIP-5792: an id has at most 4,096 bytes, here in hexadecimal. */
const MOST_CALLS_ID = 2 + 2 * 4_096;

/** A connected wallet: one account on one chain. */
export class Wallet {
  readonly address: string;
  readonly #provider: Eip1193Provider;
  readonly #chainId: number;
  readonly #chain: ChainParams | undefined;
  #left = false;

  constructor(provider: Eip1193Provider, address: string, chainId: number, chain: ChainParams | undefined) {
    this.#provider = provider;
    this.address = address;
    this.#chainId = chainId;
    this.#chain = chain;
  }

  /**
   * Asks the wallet. Any failure becomes a {@link PieceworkError}, and the user's refusal a
   * {@link PieceworkRejectedError}.
   */
  async request<T = unknown>(method: string, params: unknown = []): Promise<T> {
    return requestOf<T>(this.#provider, method, params);
  }

  /** `eth_call` at the latest block, only while the wallet is on our chain. */
  async call(to: string, data: string): Promise<string> {
    await this.#requireChain();
    const answer = await this.request<unknown>("eth_call", [{ to, data }, "latest"]);
    if (!isWords(answer) || answer.length > MOST_CALL_ANSWER)
      throw new PieceworkError(
        "The wallet gave no answer of the chain that can be read: look whether it is online, then try again.",
      );
    return answer;
  }

  /** Asks the wallet's node something without parameters, only while the wallet is on our chain. */
  async ask(method: string): Promise<unknown> {
    await this.#requireChain();
    return this.request(method);
  }

  async #isOnChain(): Promise<boolean> {
    return numberIn(await this.request("eth_chainId")) === this.#chainId;
  }

  async #requireChain(): Promise<void> {
    if (!(await this.#isOnChain())) throw new PieceworkError(`The wallet is not on chain ${this.#chainId}.`);
  }

  /** The user is asked for nothing any more. A transaction that is out is still followed to its end. */
  leave(): void {
    this.#left = true;
  }

  #requireUse(): void {
    if (this.#left) throw new PieceworkError("this client was destroyed");
  }

  /** Moves the wallet to our chain, adding it if the wallet does not know it. Only after a gesture. */
  async switchChain(): Promise<void> {
    if (await this.#isOnChain()) return;
    this.#requireUse();
    const chainId = `0x${this.#chainId.toString(16)}`;
    try {
      await this.request("wallet_switchEthereumChain", [{ chainId }]);
    } catch (error) {
      if (!this.#chain || ["refused", "pending"].includes(judge(error))) throw error;
      this.#requireUse();
      await this.request("wallet_addEthereumChain", [{ ...this.#chain, chainId }]);
      if (!(await this.#isOnChain())) await this.request("wallet_switchEthereumChain", [{ chainId }]);
    }
    await this.#requireChain();
  }

  /** Chain and account, checked right before anything is sent or signed. */
  async check(): Promise<void> {
    await this.#requireChain();
    this.#requireUse();
    if (accountIn(await this.request<unknown>("eth_accounts")) !== this.address) {
      throw new PieceworkError(
        "Another account is selected in the wallet: select the one you connected, or connect again.",
      );
    }
  }

  /** Sends a transaction, after {@link check}. A transaction that is out is not done yet: {@link follow} it. */
  async send(to: string, data: string): Promise<Sent> {
    await this.check();
    return this.submit(to, data);
  }

  /** Sends a transaction right after {@link check}. */
  async submit(to: string, data: string): Promise<Sent> {
    // The wallet's own idea of its nonce, so that another transaction in its place can be recognised; the network names
    // it again.
    const pending = await this.request("eth_getTransactionCount", [this.address, "pending"]).catch(() => null);
    const sent = await this.request("eth_sendTransaction", [{ from: this.address, to, data, value: "0x0" }]);
    const hash = hashIn(sent);
    if (hash === null)
      throw new PieceworkError(
        "The wallet did not say which transaction it sent: look into the wallet before you try again.",
      );
    return { hash, from: this.address, nonce: numberIn(pending) };
  }

  /** The end of a transaction that is out. */
  follow(sent: Sent, unknownFor?: number): Promise<Fate> {
    return follow((method, params) => this.request(method, params), sent, unknownFor);
  }

  /**
   * Sends calls as one (EIP-5792): their id, or null if this wallet cannot. Then nobody was asked anything.
   */
  async sendTogether(calls: { to: string; data: string }[]): Promise<string | null> {
    const chainId = `0x${this.#chainId.toString(16)}`;
    if (!(await this.#sendsTogether(chainId))) return null;
    await this.check();
    let sent: unknown;
    try {
      sent = await this.request("wallet_sendCalls", [
        {
          version: "2.0.0",
          from: this.address,
          chainId,
          atomicRequired: true,
          calls: calls.map((call) => ({ ...call, value: "0x0" })),
        },
      ]);
    } catch (error) {
      // The next try goes without: a user who does not want another kind of account is not asked for it again.
      this.#refusedUpgrade ||= (error as PieceworkError).code === UPGRADE_REFUSED;
      if (judge((error as PieceworkError).cause) === "unsupported") return null;
      throw error;
    }
    const id = typeof sent === "object" && sent !== null ? read(sent, "id") : sent;
    if (typeof id !== "string" || id.length > MOST_CALLS_ID)
      throw new PieceworkError("The wallet did not say what it sent: look into the wallet before you try again.");
    return id;
  }

  #refusedUpgrade = false;

  async #sendsTogether(chainId: string): Promise<boolean> {
    let status: unknown;
    try {
      const capabilities = await this.request<Record<string, { atomic?: { status?: unknown } } | undefined> | null>(
        "wallet_getCapabilities",
        [this.address, [chainId]],
      );
      status = (capabilities?.[chainId] ?? capabilities?.["0x0"])?.atomic?.status;
    } catch (error) {
      if (error instanceof PieceworkRejectedError) throw error;
      return false;
    }
    return status === "supported" || (status === "ready" && !this.#refusedUpgrade);
  }

  /** The end of calls that were sent as one. */
  followCalls(id: string, unknownFor?: number): Promise<CallsFate> {
    return followCalls((method, params) => this.request(method, params), id, unknownFor);
  }

  /** Tells what this wallet paid for the transactions that such an end shows. */
  tellFees(hash: string, fate: Fate | CallsFate, paid: Paid): void {
    const tell = (hash: string, fee: bigint | null) => void (fee !== null && paid(hash, fee));
    if ("receipt" in fate) tell(hash, fate.receipt.fee);
    if (!("hashes" in fate)) return;
    for (const hash of new Set(fate.hashes?.slice(0, MOST_TRANSACTIONS)))
      void this.request<unknown>("eth_getTransactionReceipt", [hash]).then(
        (receipt) => tell(hash, feeIn(receipt, this.address)),
        () => undefined,
      );
  }
}

/** Hears what a wallet paid for the transaction with a hash, in the smallest unit of the chain's coin. */
export type Paid = (hash: string, fee: bigint) => void;

/** Of calls that were sent as one. */
const MOST_TRANSACTIONS = 8;

/** EIP-5792: the wallet would have to make another kind of account of this one, and the user does not want that. */
const UPGRADE_REFUSED = 5750;

/** A request to a wallet; see {@link Wallet.request}. */
export async function requestOf<T>(provider: Eip1193Provider, method: string, params: unknown): Promise<T> {
  try {
    return (await provider.request({ method, params })) as T;
  } catch (error) {
    throw walletError(error);
  }
}
