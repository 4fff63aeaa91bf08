import { OPENED, addressOf, decodeString, decodeWords, encodeCall, word, type Word } from "./abi.js";
import { PieceworkError, PieceworkRejectedError } from "./errors.js";
import type { EnginePayment } from "./protocol.js";
import { finePerBlock, formatAmount, parseAmount } from "./units.js";
import { Wallet, discover, errorCode, providerOf, type ChainParams, type WalletInfo } from "./wallet.js";

/** An amount as decimal text in whole tokens, e.g. `"10"` or `"0.25"`. */
export type Decimal = string | number;

/** Where money moves and how much. It comes from the embedding page alone, never from a torrent or a peer. */
export interface PaymentOptions {
  /** The vault contract. */
  vault: string;
  /** EIP-155 id of its chain. */
  chainId: number;
  /** For wallets that do not know the chain (EIP-3085). */
  chainParams?: ChainParams;
  /** Reads go here when no wallet is connected. */
  rpcUrl?: string;
  /** The vault's ERC-20 token; checked against the chain before a deposit. */
  token: { address: string; decimals: number; symbol: string };
  /** Never pays more than this per 10^9 bytes. */
  maxPricePerGB: Decimal;
  /** Hard cap on everything this client ever spends. */
  budget: Decimal;
  /** Block of the vault's deployment: where "recover deposits" begins to look. */
  deployBlock?: number;
  /** What this peer asks for, in percent of what it paid itself, up to 255. Default 50. A title keeps what it was paid for over later visits. */
  resellPercent?: number;
  /** A fixed selling price per 10^9 bytes instead. */
  sellPricePerGB?: Decimal;
  /** The slice of the deposit promised at once. Default 0.01. */
  tranche?: Decimal;
  /** Pieces of an old-style torrent that may be paid and turn out corrupt. Default 4. */
  lossPieces?: number;
  /** Least collateral of a buyer, in percent of its balance. Default 125. */
  minBondPercent?: number;
}

/** A deposit as the chain has it. Amounts are token base units. */
export interface AccountInfo {
  readonly owner: string;
  readonly sessionKey: string;
  readonly balance: bigint;
  readonly bond: bigint;
  /** Opened at some time. */
  readonly known: boolean;
  /** When `withdraw` becomes possible; null: no exit was asked for. */
  readonly exitAt: Date | null;
  /** Withdrawn: this account is dead for ever. */
  readonly withdrawn: boolean;
}

/** A deposit of this wallet found on the chain, also one whose session key is lost. */
export interface RecoverableDeposit extends AccountInfo {
  /** Starts the waiting time; cannot be cancelled. */
  exit(): Promise<void>;
  /** After `exitAt`: everything that is left goes to the wallet. */
  withdraw(): Promise<void>;
}

export interface PaymentHost {
  request<T>(t: string, fields?: object): Promise<T>;
  tell(message: { t: string; [field: string]: unknown }): void;
  walletChanged(address: string | null): void;
}

const MAX_LOG_SPLITS = 12;

/** The page's side of payments: the wallet, the deposit and what comes back. Nothing here runs before a gesture. */
export class Payments {
  readonly options: PaymentOptions;
  readonly #host: PaymentHost;
  #wallet: Wallet | null = null;
  #unlisten: (() => void) | null = null;

  constructor(options: PaymentOptions, host: PaymentHost) {
    if (!/^0x[0-9a-fA-F]{40}$/.test(options.vault)) throw new PieceworkError("payments.vault is not an address");
    if (!/^0x[0-9a-fA-F]{40}$/.test(options.token?.address)) throw new PieceworkError("payments.token.address is not an address");
    if (!Number.isSafeInteger(options.chainId)) throw new PieceworkError("payments.chainId is not a chain id");
    this.options = options;
    this.#host = host;
  }

  /** Decimal text to base units. */
  parse(amount: Decimal): bigint {
    return parseAmount(amount, this.options.token.decimals);
  }

  /** Base units to decimal text. */
  format(units: bigint): string {
    return formatAmount(units, this.options.token.decimals);
  }

  engineConfig(): EnginePayment {
    const { vault, chainId, rpcUrl, maxPricePerGB, budget, lossPieces, sellPricePerGB, resellPercent, minBondPercent } = this.options;
    return {
      vault,
      chainId,
      ...(rpcUrl ? { rpcUrl: new URL(rpcUrl, document.baseURI).href } : {}),
      maxUnit: finePerBlock(this.parse(maxPricePerGB)),
      budget: this.parse(budget),
      lossPieces: lossPieces ?? 4,
      ...(sellPricePerGB === undefined ? {} : { sellUnit: finePerBlock(this.parse(sellPricePerGB)) }),
      resellPercent: resellPercent ?? 50,
      minBondPercent: minBondPercent ?? 125,
    };
  }

  /** The connected account, or null. */
  get address(): string | null {
    return this.#wallet?.address ?? null;
  }

  /** A new engine must be told whether it may read through us. */
  reconnected(): void {
    if (this.#wallet) this.#host.tell({ t: "wallet", has: true });
  }

  async ethCall(to: string, data: string): Promise<string> {
    if (!this.#wallet) throw new PieceworkError("no wallet is connected");
    return this.#wallet.call(to, data);
  }

  async connect(id: string | undefined, silent: boolean): Promise<string> {
    const wallets: WalletInfo[] = await discover();
    const chosen = id ?? (wallets.length === 1 ? wallets[0]?.id : undefined);
    if (chosen === undefined) {
      throw new PieceworkError(wallets.length === 0 ? "No wallet is here: install one, then reload the page." : "Several wallets are here: say which.");
    }
    const provider = providerOf(chosen);
    let accounts: unknown;
    try {
      accounts = await provider.request({ method: silent ? "eth_accounts" : "eth_requestAccounts" });
    } catch (error) {
      if (errorCode(error) === 4001) throw new PieceworkRejectedError("Refused in the wallet.");
      throw error;
    }
    const address: unknown = Array.isArray(accounts) ? accounts[0] : undefined;
    if (typeof address !== "string" || !/^0x[0-9a-fA-F]{40}$/.test(address)) throw new PieceworkError("The wallet named no account.");
    this.#unlisten?.();
    this.#wallet = new Wallet(provider, address, this.options.chainId, this.options.chainParams);
    const changed = (value: unknown) => {
      const now: unknown = Array.isArray(value) ? value[0] : undefined;
      if (typeof now !== "string" || now.toLowerCase() !== this.#wallet?.address) this.#disconnect();
    };
    provider.on?.("accountsChanged", changed);
    this.#unlisten = () => provider.removeListener?.("accountsChanged", changed);
    this.#host.tell({ t: "wallet", has: true });
    this.#host.walletChanged(this.#wallet.address);
    return this.#wallet.address;
  }

  #disconnect(): void {
    this.#unlisten?.();
    this.#unlisten = null;
    this.#wallet = null;
    this.#host.tell({ t: "wallet", has: false });
    this.#host.walletChanged(null);
  }

  /** Deposits with as few prompts as the wallet allows: one with EIP-5792, else two. */
  async deposit(amount: bigint, bond: bigint): Promise<AccountInfo> {
    const wallet = this.#required();
    const { vault, token, tranche } = this.options;
    await wallet.switchChain();
    await this.#checkContracts(wallet, amount + bond);
    let account = await this.account();
    if (account.withdrawn || account.exitAt) {
      await this.#host.request("newSessionKey");
      account = await this.account();
    }
    const deposit = (permit: readonly Word[]) =>
      account.known
        ? encodeCall("topUp(address,uint112,uint112,(uint256,uint8,bytes32,bytes32))", account.sessionKey, amount, bond, ...permit)
        : encodeCall(
            "open(address,uint96,uint112,uint112,(uint256,uint8,bytes32,bytes32))",
            account.sessionKey,
            this.parse(tranche ?? "0.01"),
            amount,
            bond,
            ...permit,
          );
    const none: Word[] = [0, 0, 0, 0];
    const approve = encodeCall("approve(address,uint256)", vault, amount + bond);
    const together = await wallet.sendTogether([
      { to: token.address, data: approve },
      { to: vault, data: deposit(none) },
    ]);
    if (!together) {
      const permit = await this.#permit(wallet, amount + bond);
      if (!permit) await wallet.send(token.address, approve);
      await wallet.send(vault, deposit(permit ?? none));
    }
    // Now the session key is worth keeping. Firefox asks the user, who may never answer: nothing waits for it, and a
    // refusal loses no money, because deposits are found again by the owner's address.
    navigator.storage.persist?.().catch(() => false);
    await this.#host.request("account", { owner: wallet.address });
    await this.#host.request("refresh");
    return this.account();
  }

  /** This wallet's account with this browser's session key. */
  async account(): Promise<AccountInfo> {
    const wallet = this.#required();
    const { id, sessionKey } = await this.#host.request<{ id: string; sessionKey: string }>("accountId", { owner: wallet.address });
    return this.#read(wallet, id, sessionKey);
  }

  async redeem(due: boolean): Promise<{ paid: bigint; batches: number }> {
    const wallet = this.#required();
    await wallet.switchChain();
    let paid = 0n;
    for (let batches = 0; ; batches++) {
      const batch = await this.#host.request<{ tag: number; count: number; total: bigint; data: string }>("redeem", { to: wallet.address, due });
      if (batch.count === 0) {
        await this.#host.request("redeemed", { tag: batch.tag, logs: [] });
        return { paid, batches };
      }
      try {
        const { logs } = await wallet.send(this.options.vault, batch.data);
        paid += await this.#host.request<bigint>("redeemed", { tag: batch.tag, logs });
      } catch (error) {
        const reason = error instanceof Error ? error.message : String(error);
        await this.#host.request("redeemed", { tag: batch.tag, failed: reason });
        throw error;
      }
    }
  }

  async exit(key?: string): Promise<AccountInfo> {
    const wallet = this.#required();
    await wallet.switchChain();
    await wallet.send(this.options.vault, encodeCall("exit(address)", key ?? (await this.account()).sessionKey));
    await this.#host.request("refresh");
    return this.account();
  }

  async withdraw(key?: string): Promise<void> {
    const wallet = this.#required();
    await wallet.switchChain();
    const own = key ?? (await this.account()).sessionKey;
    await wallet.send(this.options.vault, encodeCall("withdraw(address,address)", own, wallet.address));
    await this.#host.request("refresh");
  }

  /** Every deposit of this wallet, found in the vault's log. */
  async recover(): Promise<RecoverableDeposit[]> {
    const wallet = this.#required();
    await wallet.switchChain();
    const latest = Number(await wallet.request<string>("eth_blockNumber"));
    const logs = await this.#openedLogs(wallet, this.options.deployBlock ?? 0, latest, 0);
    const deposits: RecoverableDeposit[] = [];
    for (const { topics } of logs) {
      const [, id, , key] = topics;
      if (!id || !key) continue;
      const sessionKey = addressOf(BigInt(key));
      const account = await this.#read(wallet, id, sessionKey);
      deposits.push({ ...account, exit: async () => void (await this.exit(sessionKey)), withdraw: () => this.withdraw(sessionKey) });
    }
    return deposits;
  }

  /** Some nodes refuse long stretches of the chain: then halves are asked for. */
  async #openedLogs(wallet: Wallet, from: number, to: number, splits: number): Promise<{ topics: string[] }[]> {
    try {
      return await wallet.request("eth_getLogs", [
        {
          address: this.options.vault,
          topics: [OPENED, null, "0x" + word(wallet.address)],
          fromBlock: "0x" + from.toString(16),
          toBlock: "0x" + to.toString(16),
        },
      ]);
    } catch (error) {
      if (splits >= MAX_LOG_SPLITS || from >= to) throw error;
      const middle = Math.floor((from + to) / 2);
      return [...(await this.#openedLogs(wallet, from, middle, splits + 1)), ...(await this.#openedLogs(wallet, middle + 1, to, splits + 1))];
    }
  }

  async #read(wallet: Wallet, id: string, sessionKey: string): Promise<AccountInfo> {
    const words = decodeWords(await wallet.call(this.options.vault, encodeCall("state(bytes32,uint256)", id, 0)));
    const [balance, tranche, , known, bond, exitAt] = words;
    if (words.length !== 10 || balance === undefined || bond === undefined) {
      throw new PieceworkError(`${this.options.vault} does not answer like a Piecework vault: check address and chain.`);
    }
    return {
      owner: wallet.address,
      sessionKey,
      balance,
      bond,
      known: known === 1n,
      exitAt: exitAt ? new Date(Number(exitAt) * 1_000) : null,
      withdrawn: known === 1n && tranche === 0n,
    };
  }

  /** Nothing is sent to an address that is not the vault of exactly this token. */
  async #checkContracts(wallet: Wallet, needed: bigint): Promise<void> {
    const { vault, token, chainId } = this.options;
    const code = await wallet.request<string>("eth_getCode", [vault, "latest"]);
    if (!code || code === "0x") throw new PieceworkError(`No contract is at ${vault} on chain ${chainId}: this site's configuration is wrong.`);
    const [of] = decodeWords(await wallet.call(vault, encodeCall("token()")));
    if (of === undefined || addressOf(of) !== token.address.toLowerCase()) throw new PieceworkError("The vault holds another token than this site says.");
    const [decimals] = decodeWords(await wallet.call(token.address, encodeCall("decimals()")));
    if (decimals !== BigInt(token.decimals)) throw new PieceworkError("The token has other decimals than this site says.");
    const [balance] = decodeWords(await wallet.call(token.address, encodeCall("balanceOf(address)", wallet.address)));
    if ((balance ?? 0n) < needed) {
      throw new PieceworkError(`The wallet holds ${this.format(balance ?? 0n)} ${token.symbol}; ${this.format(needed)} are needed.`);
    }
  }

  /** An EIP-2612 permit of the exact sum, or null where token or wallet have none. */
  async #permit(wallet: Wallet, value: bigint): Promise<Word[] | null> {
    const { vault, token, chainId } = this.options;
    const domain = await this.#permitDomain(wallet).catch(() => null);
    if (!domain) return null;
    const deadline = Math.floor(Date.now() / 1_000) + 3_600;
    const field = (name: string, type: string) => ({ name, type });
    const typed = {
      domain: { ...domain.names, chainId, verifyingContract: token.address },
      primaryType: "Permit",
      types: {
        EIP712Domain: [field("name", "string"), field("version", "string"), field("chainId", "uint256"), field("verifyingContract", "address")],
        Permit: [field("owner", "address"), field("spender", "address"), field("value", "uint256"), field("nonce", "uint256"), field("deadline", "uint256")],
      },
      message: { owner: wallet.address, spender: vault, value: value.toString(), nonce: domain.nonce.toString(), deadline: String(deadline) },
    };
    await wallet.check();
    let signature: string;
    try {
      signature = await wallet.request<string>("eth_signTypedData_v4", [wallet.address, JSON.stringify(typed)]);
    } catch (error) {
      if (error instanceof PieceworkRejectedError) throw error;
      return null; // a wallet that cannot sign typed data can still approve
    }
    const parts = /^0x([0-9a-fA-F]{64})([0-9a-fA-F]{64})([0-9a-fA-F]{2})$/.exec(signature);
    if (!parts) return null;
    const v = parseInt(parts[3] ?? "", 16);
    return [deadline, v < 27 ? v + 27 : v, parts[1] ?? "", parts[2] ?? ""];
  }

  /** The token's permit domain; throws where what it says does not give its own DOMAIN_SEPARATOR. */
  async #permitDomain(wallet: Wallet): Promise<{ names: { name: string; version: string }; nonce: bigint }> {
    const { token, chainId } = this.options;
    const [nonce] = decodeWords(await wallet.call(token.address, encodeCall("nonces(address)", wallet.address)));
    const separator = await wallet.call(token.address, encodeCall("DOMAIN_SEPARATOR()"));
    const name = decodeString(await wallet.call(token.address, encodeCall("name()")));
    const version = await wallet.call(token.address, encodeCall("version()")).then(decodeString).catch(() => "1");
    const expected = await this.#host.request<string>("domainSeparator", { name, version, chainId, contract: token.address });
    if (nonce === undefined || separator.toLowerCase() !== expected) throw new PieceworkError("no permit");
    return { names: { name, version }, nonce };
  }

  #required(): Wallet {
    if (!this.#wallet) throw new PieceworkError("No wallet is connected: call connectWallet() first, from a click.");
    return this.#wallet;
  }
}
