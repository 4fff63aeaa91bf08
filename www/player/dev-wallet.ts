/**
 * A wallet for the demo alone. It signs with a funded key of the local chain, announces itself by EIP-6963, and asks
 * the person wherever a real wallet would ask. It is built to a script of its own that only the demo's configuration
 * loads. Every development chain prints its keys, and they are worth nothing.
 *
 * It counts its prompts, so that a test can say how often a person would have been asked:
 * `window.__pieceworkDevWallet`.
 */

import { Wallet } from "ethers";

/** The wallet's abilities: EIP-5792 batches, EIP-712 signatures but no batches, or transactions alone. */
export type Mode = "5792" | "permit" | "plain";

/** The options in the demo's configuration. */
export interface Options {
  keys: string[];
  rpcUrl: string;
  chainId: number;
  mode: Mode;
  /** Approve everything at once, still counting: nobody is there to press a button. */
  auto: boolean;
}

/** One question to the person. */
export interface Prompt {
  method: string;
  wallet: string;
  approved: boolean;
  /** Transactions that it sent, once they are sent. */
  hashes: string[];
}

interface Call {
  to?: string;
  data?: string;
  value?: string;
}

declare global {
  interface Window {
    __pieceworkDevWallet?: { prompts: Prompt[]; mode: Mode };
  }
}

/** Calls that only read: they go to the chain as they are. */
const READS = new Set([
  "eth_blockNumber",
  "eth_call",
  "eth_estimateGas",
  "eth_feeHistory",
  "eth_gasPrice",
  "eth_getBalance",
  "eth_getBlockByNumber",
  "eth_getCode",
  "eth_getLogs",
  "eth_getTransactionByHash",
  "eth_getTransactionCount",
  "eth_getTransactionReceipt",
  "net_version",
]);

const PICTURE =
  '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 24 24"><rect width="24" height="24" rx="6" fill="#5b6470"/>' +
  '<path d="M5 8h12a2 2 0 0 1 2 2v6a2 2 0 0 1-2 2H7a2 2 0 0 1-2-2z" fill="#fff"/>' +
  '<circle cx="15.5" cy="13" r="1.5" fill="#5b6470"/></svg>';
const ICON = `data:image/svg+xml,${encodeURIComponent(PICTURE)}`;

class RpcError extends Error {
  readonly code: number;

  constructor(code: number, message: string) {
    super(message);
    this.code = code;
  }
}

/** One account, as an EIP-1193 provider. */
class DevWallet {
  readonly name: string;
  readonly #options: Options;
  readonly #key: Wallet;
  readonly #prompts: Prompt[];
  readonly #batches = new Map<string, string[]>();
  #connected = false;
  #queue: Promise<unknown> = Promise.resolve();

  constructor(options: Options, key: string, name: string, prompts: Prompt[]) {
    this.#options = options;
    this.#key = new Wallet(key);
    this.name = name;
    this.#prompts = prompts;
  }

  /** EIP-1193. */
  readonly request = async ({ method, params }: { method: string; params?: unknown }): Promise<unknown> => {
    const given: unknown[] = Array.isArray(params) ? params : [];
    const { mode, chainId } = this.#options;
    if (READS.has(method)) return this.#rpc(method, given);
    switch (method) {
      case "eth_chainId":
        return `0x${chainId.toString(16)}`;
      case "eth_accounts":
        return this.#connected ? [this.#key.address] : [];
      case "eth_requestAccounts": {
        if (!this.#connected) await this.#ask(method, "Connect this page?", [`Account ${this.#key.address}`]);
        this.#connected = true;
        return [this.#key.address];
      }
      case "wallet_switchEthereumChain": {
        const wanted = Number((given[0] as { chainId?: string } | undefined)?.chainId);
        if (wanted !== chainId) throw new RpcError(4902, `This wallet knows only chain ${chainId}.`);
        return null;
      }
      case "wallet_getCapabilities":
        if (mode !== "5792") break;
        return { [`0x${chainId.toString(16)}`]: { atomic: { status: "supported" } } };
      case "wallet_sendCalls":
        if (mode !== "5792") break;
        return this.#sendCalls(given[0] as { calls?: Call[]; id?: string } | undefined);
      case "wallet_getCallsStatus":
        if (mode !== "5792") break;
        return this.#callsStatus(String(given[0]));
      case "eth_signTypedData_v4":
        if (mode === "plain") break;
        return this.#signTyped(String(given[1]));
      case "eth_sendTransaction": {
        const call = (given[0] ?? {}) as Call;
        const prompt = await this.#ask(method, "Send a transaction?", [describe(call)]);
        const hash = await this.#send(call);
        prompt.hashes.push(hash);
        return hash;
      }
    }
    throw new RpcError(4200, `This wallet does not support ${method}.`);
  };

  /** The events of EIP-1193 never fire: one account, one chain. */
  readonly on = (): this => this;
  readonly removeListener = (): this => this;

  /** The chain mines each transaction at once, one after the other: as good as atomic as long as none fails. */
  async #sendCalls(request: { calls?: Call[]; id?: string } | undefined): Promise<{ id: string }> {
    const calls = request?.calls ?? [];
    const prompt = await this.#ask("wallet_sendCalls", `Send ${calls.length} calls together?`, calls.map(describe));
    const id =
      request?.id ??
      `0x${[...crypto.getRandomValues(new Uint8Array(32))].map((byte) => byte.toString(16).padStart(2, "0")).join("")}`;
    for (const call of calls) prompt.hashes.push(await this.#send(call));
    this.#batches.set(id, prompt.hashes);
    return { id };
  }

  async #callsStatus(id: string): Promise<unknown> {
    const hashes = this.#batches.get(id);
    if (!hashes) throw new RpcError(5730, "No such batch.");
    const receipts = (await Promise.all(hashes.map((hash) => this.#rpc("eth_getTransactionReceipt", [hash])))) as ({
      status: string;
    } | null)[];
    const mined = receipts.every((receipt) => receipt !== null);
    const good = receipts.every((receipt) => receipt?.status === "0x1");
    return {
      version: "2.0.0",
      id,
      chainId: `0x${this.#options.chainId.toString(16)}`,
      atomic: true,
      status: !mined ? 100 : good ? 200 : 500,
      receipts: mined ? receipts : [],
    };
  }

  async #signTyped(json: string): Promise<string> {
    const typed = JSON.parse(json) as {
      domain: Record<string, unknown>;
      types: Record<string, { name: string; type: string }[]>;
      primaryType: string;
      message: Record<string, unknown>;
    };
    await this.#ask(
      "eth_signTypedData_v4",
      `Sign this ${typed.primaryType}?`,
      Object.entries(typed.message).map(([name, value]) => `${name}: ${String(value)}`),
    );
    const { EIP712Domain: _, ...types } = typed.types;
    return this.#key.signTypedData(typed.domain, types, typed.message);
  }

  /** Signs and sends; one after the other, so that no two take the same nonce. */
  async #send(call: Call): Promise<string> {
    const sent = this.#queue.then(async () => {
      const transaction = { from: this.#key.address, to: call.to, data: call.data ?? "0x", value: call.value ?? "0x0" };
      const [nonce, gas, price] = await Promise.all([
        this.#rpc("eth_getTransactionCount", [this.#key.address, "pending"]),
        this.#rpc("eth_estimateGas", [transaction]),
        this.#rpc("eth_gasPrice", []),
      ]);
      const signed = await this.#key.signTransaction({
        type: 2,
        chainId: this.#options.chainId,
        nonce: Number(nonce),
        gasLimit: (BigInt(gas as string) * 12n) / 10n,
        maxFeePerGas: BigInt(price as string) * 2n,
        maxPriorityFeePerGas: BigInt(price as string) / 10n,
        to: call.to ?? null,
        data: transaction.data,
        value: BigInt(transaction.value),
      });
      return (await this.#rpc("eth_sendRawTransaction", [signed])) as string;
    });
    this.#queue = sent.catch(() => undefined);
    return sent;
  }

  async #rpc(method: string, params: unknown[]): Promise<unknown> {
    const answer = await fetch(this.#options.rpcUrl, {
      method: "POST",
      headers: { "content-type": "application/json" },
      body: JSON.stringify({ jsonrpc: "2.0", id: 1, method, params }),
    });
    const { result, error } = (await answer.json()) as { result?: unknown; error?: { code: number; message: string } };
    if (error) throw new RpcError(error.code, error.message);
    return result;
  }

  async #ask(method: string, title: string, lines: string[]): Promise<Prompt> {
    const prompt: Prompt = { method, wallet: this.name, approved: this.#options.auto, hashes: [] };
    this.#prompts.push(prompt);
    if (!this.#options.auto) prompt.approved = await dialog(this.name, title, lines);
    if (!prompt.approved) throw new RpcError(4001, "The user said no.");
    return prompt;
  }
}

/** Announces one wallet per key, now and whenever a page asks (EIP-6963). */
export function install(options: Options): void {
  const prompts: Prompt[] = [];
  window.__pieceworkDevWallet = { prompts, mode: options.mode };
  const sheet = document.createElement("link");
  sheet.rel = "stylesheet";
  sheet.href = new URL("dev-wallet.css", import.meta.url).href;
  document.head.append(sheet);
  const announcements = options.keys.map((key, at) => {
    const name = options.keys.length > 1 ? `Development wallet ${at + 1}` : "Development wallet";
    const provider = new DevWallet(options, key, name, prompts);
    const info = Object.freeze({
      uuid: crypto.randomUUID(),
      name,
      icon: ICON,
      rdns: `localhost.piecework.dev-wallet-${at + 1}`,
    });
    return Object.freeze({ info, provider });
  });
  const announce = (): void => {
    for (const detail of announcements) dispatchEvent(new CustomEvent("eip6963:announceProvider", { detail }));
  };
  addEventListener("eip6963:requestProvider", announce);
  announce();
}

/** A mode by any of its names. */
export function modeOf(name: string): Mode {
  switch (name) {
    case "permit":
      return "permit";
    case "plain":
    case "approve":
      return "plain";
    default:
      return "5792";
  }
}

function describe(call: Call): string {
  const data = call.data ?? "0x";
  const what = { "0x095ea7b3": "approve" }[data.slice(0, 10)] ?? data.slice(0, 10);
  return `${what} to ${call.to ?? "a new contract"}, ${Math.max(0, data.length / 2 - 1)} bytes`;
}

async function dialog(wallet: string, title: string, lines: string[]): Promise<boolean> {
  const element = <K extends keyof HTMLElementTagNameMap>(
    tag: K,
    className: string,
    text: string,
  ): HTMLElementTagNameMap[K] => Object.assign(document.createElement(tag), { className, textContent: text });
  const box = element("dialog", "dev-wallet", "");
  box.setAttribute("aria-labelledby", "dev-wallet-title");
  const form = Object.assign(document.createElement("form"), { method: "dialog" });
  const heading = element("h2", "", title);
  heading.id = "dev-wallet-title";
  const list = element("ul", "", "");
  list.append(...lines.map((line) => element("li", "", line)));
  const buttons = element("div", "dev-wallet-buttons", "");
  const no = Object.assign(element("button", "dev-wallet-no", "Reject"), { value: "no" });
  const yes = Object.assign(element("button", "dev-wallet-yes", "Approve"), { value: "yes" });
  buttons.append(no, yes);
  form.append(element("p", "dev-wallet-name", `${wallet}, play money only`), heading, list, buttons);
  box.append(form);
  document.body.append(box);
  box.showModal();
  yes.focus();
  await new Promise<void>((resolve) => box.addEventListener("close", () => resolve(), { once: true }));
  box.remove();
  return box.returnValue === "yes";
}
