import { PieceworkError, PieceworkRejectedError } from "./errors.js";

/** EIP-1193. */
export interface WalletProvider {
  request(arguments_: { method: string; params?: unknown }): Promise<unknown>;
  on?(event: string, listener: (value: unknown) => void): unknown;
  removeListener?(event: string, listener: (value: unknown) => void): unknown;
}

/** A wallet found in this page (EIP-6963), or `window.ethereum`. Name and icon come from it: show them as text and image only. */
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
  detail?: { info?: { uuid?: unknown; rdns?: unknown; name?: unknown; icon?: unknown }; provider?: WalletProvider };
}

/** Wallets kept at once; a page that announces more is not believed. */
const MAX_WALLETS = 32;
const found = new Map<string, { info: WalletInfo; provider: WalletProvider }>();
let listening = false;

/** Finds wallets without asking any of them anything. */
export async function discover(): Promise<WalletInfo[]> {
  if (!listening) {
    listening = true;
    addEventListener("eip6963:announceProvider", (event) => {
      const { info, provider } = (event as Announcement).detail ?? {};
      if (typeof provider?.request !== "function" || typeof info?.uuid !== "string" || found.size >= MAX_WALLETS) return;
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
export function providerOf(id: string): WalletProvider {
  const provider = found.get(id)?.provider ?? (id === "injected" ? injectedProvider() : undefined);
  if (!provider) throw new PieceworkError(`no wallet "${id}" is here: call wallets() and pick one of them`);
  return provider;
}

function injectedProvider(): WalletProvider | undefined {
  const provider = (globalThis as { ethereum?: WalletProvider }).ethereum;
  return typeof provider?.request === "function" ? provider : undefined;
}

/** A connected wallet: one account on one chain. */
export class Wallet {
  readonly address: string;
  readonly #provider: WalletProvider;
  readonly #chainId: number;
  readonly #chain: ChainParams | undefined;

  constructor(provider: WalletProvider, address: string, chainId: number, chain: ChainParams | undefined) {
    this.#provider = provider;
    this.address = address.toLowerCase();
    this.#chainId = chainId;
    this.#chain = chain;
  }

  /** Asks the wallet; the user's refusal becomes {@link PieceworkRejectedError}. */
  async request<T>(method: string, params: unknown = []): Promise<T> {
    try {
      return (await this.#provider.request({ method, params })) as T;
    } catch (error) {
      if (errorCode(error) === 4001) throw new PieceworkRejectedError("Refused in the wallet.");
      throw error;
    }
  }

  /** `eth_call` at the latest block, only while the wallet is on our chain. */
  async call(to: string, data: string): Promise<string> {
    await this.#requireChain();
    return this.request<string>("eth_call", [{ to, data }, "latest"]);
  }

  async #isOnChain(): Promise<boolean> {
    return Number(await this.request<string>("eth_chainId")) === this.#chainId;
  }

  async #requireChain(): Promise<void> {
    if (!(await this.#isOnChain())) throw new PieceworkError(`The wallet is not on chain ${this.#chainId}.`);
  }

  /** Moves the wallet to our chain, adding it if the wallet does not know it. Only after a gesture. */
  async switchChain(): Promise<void> {
    if (await this.#isOnChain()) return;
    const chainId = "0x" + this.#chainId.toString(16);
    try {
      await this.request("wallet_switchEthereumChain", [{ chainId }]);
    } catch (error) {
      if (error instanceof PieceworkRejectedError || !this.#chain) throw asError(error);
      await this.request("wallet_addEthereumChain", [{ ...this.#chain, chainId }]);
      if (!(await this.#isOnChain())) await this.request("wallet_switchEthereumChain", [{ chainId }]);
    }
    await this.#requireChain();
  }

  /** Chain and account, checked right before anything is sent or signed. */
  async check(): Promise<void> {
    await this.#requireChain();
    const accounts = await this.request<string[]>("eth_accounts");
    if (accounts[0]?.toLowerCase() !== this.address) {
      throw new PieceworkError("Another account is selected in the wallet: select the one you connected, or connect again.");
    }
  }

  /** Sends a transaction and waits until it is in a block; a revert is an error. */
  async send(to: string, data: string): Promise<Receipt> {
    await this.check();
    const hash = await this.request<string>("eth_sendTransaction", [{ from: this.address, to, data, value: "0x0" }]);
    for (;;) {
      const receipt = await this.request<Receipt | null>("eth_getTransactionReceipt", [hash]);
      if (receipt) {
        if (Number(receipt.status) !== 1) throw new PieceworkError(`The transaction ${hash} was reverted.`);
        return receipt;
      }
      await pause();
    }
  }

  /**
   * Sends calls as one (EIP-5792) and waits until they are in a block. `false`: this wallet cannot, and
   * nobody was asked anything.
   */
  async sendTogether(calls: { to: string; data: string }[]): Promise<boolean> {
    const chainId = "0x" + this.#chainId.toString(16);
    let capabilities: Record<string, { atomic?: { status?: string } } | undefined>;
    try {
      capabilities = await this.request("wallet_getCapabilities", [this.address, [chainId]]);
    } catch {
      return false;
    }
    const status = (capabilities?.[chainId] ?? capabilities?.["0x0"])?.atomic?.status;
    if (status !== "supported" && status !== "ready") return false;
    await this.check();
    let sent: { id: string } | string;
    try {
      sent = await this.request("wallet_sendCalls", [
        { version: "2.0.0", from: this.address, chainId, atomicRequired: true, calls: calls.map((call) => ({ ...call, value: "0x0" })) },
      ]);
    } catch (error) {
      if (error instanceof PieceworkRejectedError) throw error;
      const code = errorCode(error);
      // Unsupported method, or one of EIP-5792's own "cannot do that".
      if (code === 4200 || code === -32601 || (code !== undefined && code >= 5700 && code < 5800)) return false;
      throw asError(error);
    }
    const id = typeof sent === "string" ? sent : sent.id;
    for (;;) {
      const result = await this.request<{ status: number }>("wallet_getCallsStatus", [id]);
      if (result.status >= 400) throw new PieceworkError("The wallet could not carry out the deposit; nothing was taken.");
      if (result.status >= 200) return true;
      await pause();
    }
  }
}

export interface Receipt {
  status: string;
  transactionHash: string;
  logs: { address: string; topics: string[]; data: string }[];
}

/** A JSON-RPC or EIP-1193 error's code. */
export function errorCode(error: unknown): number | undefined {
  const code = (error as { code?: unknown } | null)?.code;
  return typeof code === "number" ? code : undefined;
}

function asError(error: unknown): Error {
  if (error instanceof Error) return error;
  const message = (error as { message?: unknown } | null)?.message;
  return new PieceworkError(typeof message === "string" ? message : "The wallet refused without a reason.");
}

/** Blocks come about every second on the chains this is for. */
function pause(): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, 500));
}
