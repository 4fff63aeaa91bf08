// A wallet for the test page that lives outside the browser, so that its count of prompts survives reloads and kills.
// The page only carries requests to it. It signs with one of anvil's unlocked accounts.
import { createServer } from "node:http";
import { ending } from "../harness.mjs";

/** The methods about which a person would be asked. Every other one only reads. */
const ASKING = new Set([
  "eth_requestAccounts",
  "eth_sendTransaction",
  "eth_sign",
  "personal_sign",
  "eth_signTypedData_v4",
  "wallet_switchEthereumChain",
  "wallet_addEthereumChain",
]);
/** The methods that this wallet lacks: no batches (EIP-5792) and no typed data, so a deposit is approve, then open. */
const UNKNOWN = new Set([
  "wallet_getCapabilities",
  "wallet_sendCalls",
  "wallet_getCallsStatus",
  "eth_signTypedData_v4",
  "eth_sign",
  "personal_sign",
]);

export class RemoteWallet {
  /** Methods that a person was asked about, in order. */
  prompts = [];
  /** All methods that pages asked for, in order. */
  asked = [];
  /** Methods that the person says no to. */
  refuses = new Set();
  /** Methods that it never answers, as long as the person has not decided. */
  hangs = new Set();
  /** It signs typed data, too. */
  signs = false;
  /** Hashes of the sent transactions. */
  sent = [];
  /** The chain that the wallet is on; null: the test's. It knows no other before `wallet_addEthereumChain`. */
  chainId = null;
  #chain;
  #account;
  #connected = false;
  /** Resolves when no transaction is being sent. */
  #sending = Promise.resolve();
  #prompted;
  #sent;

  /** A wallet of `account` for pages at any origin. */
  static async start(chain, account) {
    const wallet = new RemoteWallet();
    wallet.#chain = chain;
    wallet.#account = account;
    const server = createServer((request, response) => {
      const headers = {
        "Access-Control-Allow-Origin": "*",
        "Access-Control-Allow-Headers": "content-type",
        "Content-Type": "application/json",
      };
      if (request.method === "OPTIONS") return response.writeHead(204, headers).end();
      const parts = [];
      request.on("data", (part) => parts.push(part));
      request.on("end", async () => {
        const { method, params } = JSON.parse(Buffer.concat(parts).toString());
        const answer = await wallet.#answer(method, params ?? []).then(
          (result) => ({ result }),
          (error) => ({ error: { code: error.code ?? -32603, message: error.message } }),
        );
        response.writeHead(200, headers).end(JSON.stringify(answer));
      });
    });
    await new Promise((resolve) => server.listen(0, "127.0.0.1", resolve));
    ending(
      () =>
        new Promise((resolve) => {
          server.close(resolve);
          server.closeAllConnections();
        }),
    );
    wallet.url = `http://127.0.0.1:${server.address().port}/`;
    return wallet;
  }

  /** Resolves when the person is asked something next. */
  prompted() {
    return new Promise((resolve) => (this.#prompted = resolve));
  }

  /** The hash of the transaction that is sent next. */
  sentNext() {
    return new Promise((resolve) => (this.#sent = resolve));
  }

  /**
   * Sends another transaction in the place of one that is in no block yet. Wallets do so when the person speeds it up
   * or cancels it.
   */
  async replace(hash, { cancel = false } = {}) {
    const { from, to, input, nonce, gas, maxFeePerGas } = await this.#chain.call("eth_getTransactionByHash", [hash]);
    const twice = `0x${(BigInt(maxFeePerGas) * 2n).toString(16)}`;
    const what = cancel ? { to: from, data: "0x" } : { to, data: input };
    return this.#chain.call("eth_sendTransaction", [
      { from, nonce, gas, maxFeePerGas: twice, maxPriorityFeePerGas: twice, ...what },
    ]);
  }

  /** Puts the wallet into every page that this browser opens from now on. */
  async injectInto(context) {
    await context.addInitScript(inject, this.url);
  }

  /** Takes the place of the wallet that an open page has. */
  async isOf(page) {
    await page.run(`(${inject})(${JSON.stringify(this.url)})`);
  }

  async #answer(method, params) {
    this.asked.push(method);
    const isSigning = this.signs && method === "eth_signTypedData_v4";
    if (UNKNOWN.has(method) && !isSigning)
      throw Object.assign(new Error(`this wallet does not support ${method}`), { code: 4200 });
    if (ASKING.has(method)) {
      this.prompts.push(method);
      this.#prompted?.();
      if (this.hangs.has(method)) return new Promise(() => {});
      if (this.refuses.has(method)) throw Object.assign(new Error("The user said no."), { code: 4001 });
    }
    if (method === "eth_chainId" && this.chainId !== null) return `0x${this.chainId.toString(16)}`;
    if (method === "wallet_switchEthereumChain")
      throw Object.assign(new Error(`Unrecognized chain ${params[0].chainId}: add it first.`), { code: 4902 });
    if (method === "wallet_addEthereumChain") {
      this.chainId = Number(params[0].chainId);
      return null;
    }
    if (method === "eth_requestAccounts") this.#connected = true;
    if (method === "eth_requestAccounts" || method === "eth_accounts") return this.#connected ? [this.#account] : [];
    if (method === "eth_sendTransaction") {
      // One after another, as a person confirms them: the chain gives two at once the same nonce.
      const sent = this.#sending.then(() => this.#chain.call(method, params));
      this.#sending = sent.catch(() => undefined);
      const hash = await sent;
      this.sent.push(hash);
      this.#sent?.(hash);
      return hash;
    }
    return this.#chain.call(method, isSigning ? [params[0], JSON.parse(params[1])] : params);
  }
}

/** Runs in a page: makes the wallet at this address the page's own. */
export function inject(url) {
  if (window.top !== window) return;
  const listeners = new Map();
  window.ethereum = {
    on: (event, listener) => void listeners.set(event, listener),
    removeListener: (event) => void listeners.delete(event),
    emit: (event, value) => listeners.get(event)?.(value),
    async request({ method, params }) {
      const answer = await fetch(url, {
        method: "POST",
        headers: { "content-type": "application/json" },
        body: JSON.stringify({ method, params }),
      });
      const { result, error } = await answer.json();
      if (error) throw Object.assign(new Error(error.message), { code: error.code });
      return result;
    },
  };
}
