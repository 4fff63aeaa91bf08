import { OPENED, REDEEMED, addressOf, decodeString, decodeWords, encodeCall, word, type Word } from "./abi.js";
import { certainlyNotSent, judge, logsIn, numberIn, type Log } from "./answers.js";
import { PieceworkError } from "./errors.js";
import type { Fate, Sent } from "./following.js";
import { keepStorage } from "./lasting.js";
import type { Terms } from "./terms.js";
import { Sender, undone, type Unsettled } from "./unsettled.js";
import { gasOf, gasPriceAt, gasPriceIn, quantityIn, type Least, type RedemptionCost } from "./worth.js";
import {
  Wallet,
  accountIn,
  discover,
  isGone,
  listen,
  ownProvider,
  providerOf,
  requestOf,
  type Eip1193Provider,
} from "./wallet.js";

/** @internal */
export { historyOf } from "./history.js";
export { discover, providerOf, requestOf };

export type { Decimal, PaymentOptions } from "./terms.js";

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
  /** After `exitAt`: the rest goes to the wallet. */
  withdraw(): Promise<void>;
}

export interface PaymentHost {
  request<T>(t: string, fields?: object): Promise<T>;
  tell(message: { t: string; [field: string]: unknown }): void;
  walletChanged(address: string | null): void;
  /** A line for the payment log. */
  say?(text: string): void;
  /** This page runs the engine, and decides its limits. */
  isHost?(): boolean;
}

const MAX_LOG_SPLITS = 12;
/** Deposits of one wallet that are looked at, the last ones: each takes a read of the chain. */
const MAX_DEPOSITS = 1_024;
/** Slices of a deposit without which nobody can be dealt with. */
const FEWEST_SLICES = 2n;
/** Milliseconds that a wallet has to say what gas costs: nobody is asked for that. */
const WALLET_TIMEOUT = 15_000;
/** Milliseconds between two looks at the price of gas. */
const LOOKS_EVERY = 600_000;
/** Seconds since the epoch (in the year 10889) that no block names. */
const FARTHEST_TIME = 2 ** 48 / 1_000;
/**
 * A vault that lets a buyer leave sooner gives its sellers too little time to redeem, and an honest buyer is not served
 * there.
 */
const LEAST_EXIT_DELAY_SECONDS = 86_400n;

/** What the engine says of its account. */
interface Spendable {
  /** It was read from the chain. */
  accountReady: boolean;
  /** Can still be promised, in base units. */
  free: bigint;
}

/** A batch of claims that the engine hands out for redemption. */
interface Batch {
  tag: number;
  count: number;
  total: bigint;
  /** Half of it or more is of buyers that withdraw: later it may be lost. */
  isLastChance: boolean;
  data: string;
  payee: string;
}

/** A batch that was sent and whose end nobody saw. */
interface OpenBatch {
  batch: Batch;
  sent: Sent;
  /** Block before it; null: not known. */
  from: string | null;
}

/** What a promise gives; null: it failed, or takes longer. */
async function within<T>(milliseconds: number, promise: Promise<T> | undefined): Promise<T | null> {
  const late = new Promise<null>((resolve) => setTimeout(resolve, milliseconds, null));
  return Promise.race([promise ?? null, late]).catch(() => null);
}

/**
 * The page's side of payments: the wallet, the deposit and its return, and what gas costs. A file of its own, which
 * `paying.ts` loads when there is work for it. No wallet is asked before a gesture.
 */
export class Payments {
  readonly #terms: Terms;
  readonly #host: PaymentHost;
  #wallet: Wallet | null = null;
  #sender: Sender | null = null;
  #unlisten: (() => void) | null = null;
  /** This wallet failed at a permit: the next try goes by an approval. */
  #noPermit = false;
  #openBatch: OpenBatch | null = null;
  #destroyed = false;
  /** The page sells something. */
  #keepsEarnings = false;
  /** Time of the latest block that was seen, seconds since the epoch. */
  #blockTime = 0;
  /** How many times a wallet was asked to connect, and which of these times brought the wallet that is connected. */
  #connects = 0;
  #connected = 0;
  /** The least worth of a claim at the lowest price of gas of this visit; null: not known. */
  #least: Least | null = null;
  #lowestGasPrice: bigint | null = null;
  /** The first read of the price of gas. */
  #firstLook: Promise<unknown> | null = null;
  /** The later ones; the first may have fallen on a peak. */
  #laterLooks: ReturnType<typeof setInterval> | undefined;
  /** Something was bought or sold since the last of them. */
  #moved = false;
  /** The work under way through this wallet, by its purpose. */
  #doing = new Map<string, { what: string; done: Promise<unknown> }>();

  constructor(terms: Terms, host: PaymentHost) {
    this.#terms = terms;
    this.#host = host;
  }

  /** The slice of a deposit that is made now, in base units. */
  get slice(): bigint {
    return this.#terms.slice(this.#least);
  }

  /** A title is sold from now on. */
  sells(): void {
    this.#keepsEarnings = true;
    this.moneyMoves();
  }

  /** Something is bought or sold: from now on the price of gas matters. */
  moneyMoves(): void {
    if (this.#destroyed) return;
    this.#moved = true;
    // Where the site names the least claim, it does not follow from the price of gas.
    if (this.#terms.worth.isKnown && this.#terms.options.minRedeem === undefined)
      this.#laterLooks ??= setInterval(() => this.#lookAgain(), LOOKS_EVERY);
    // Where nobody said it, the next occasion asks again.
    const again = (price: bigint | null): void => {
      if (price === null) this.#firstLook = null;
    };
    if (this.#terms.worth.isKnown) this.#firstLook ??= this.gasPrice().then(again);
  }

  /** A page that has nothing to sell, and bought and sold nothing since, does not ask. */
  #lookAgain(): void {
    if (this.#moved || this.#keepsEarnings) void this.gasPrice().catch(() => undefined);
    this.#moved = false;
  }

  /**
   * @internal Wei for one gas now, of the site's node or else the wallet's; null: nobody says. The lowest price is
   * kept.
   */
  async gasPrice(): Promise<bigint | null> {
    const { rpcUrl, minRedeem } = this.#terms.options;
    let price = rpcUrl ? await gasPriceAt(new URL(rpcUrl, document.baseURI).href) : null;
    price ??= gasPriceIn(await within(WALLET_TIMEOUT, this.#wallet?.ask("eth_gasPrice")));
    // What is sold now may be redeemed when gas is cheap again.
    if (price !== null && minRedeem === undefined && (this.#lowestGasPrice ?? price + 1n) > price) {
      this.#lowestGasPrice = price;
      this.#least = this.#terms.worth.least(price);
      this.#tellLeast();
    }
    return price;
  }

  #tellLeast(): void {
    if (!this.#least || !this.#host.isHost?.()) return;
    const { redeemed, gas } = this.#least;
    this.#host.request("dust", { least: redeemed, gas }).catch(() => undefined);
  }

  /** What the redemption of so many claims brings and costs now. */
  async redemptionCost(amount: bigint, claims: number): Promise<RedemptionCost> {
    return this.#terms.worth.cost(amount, claims, claims > 0 ? await this.gasPrice() : null);
  }

  /** The connected account, or null. */
  get address(): string | null {
    return this.#wallet?.address ?? null;
  }

  /** A new engine must be told whether it may read through us. */
  reconnected(): void {
    if (this.#wallet) this.#host.tell({ t: "wallet", has: true });
    this.#tellLeast();
  }

  async ethCall(to: string, data: string): Promise<string> {
    if (!this.#wallet) throw new PieceworkError("no wallet is connected");
    return this.#wallet.call(to, data);
  }

  /** Connects a wallet of {@link discover} by its id, the only one, or a provider of the page's own. */
  async connect(
    wallet: string | { provider: unknown } | undefined,
    silent: boolean,
    signal?: AbortSignal | null,
  ): Promise<string> {
    signal?.throwIfAborted();
    const provider = typeof wallet === "object" ? ownProvider(wallet.provider) : await found(wallet);
    const turn = ++this.#connects;
    const address = accountIn(await requestOf<unknown>(provider, silent ? "eth_accounts" : "eth_requestAccounts", []));
    signal?.throwIfAborted();
    if (this.#destroyed) throw new PieceworkError("this client was destroyed");
    if (address === null) throw new PieceworkError("The wallet named no account.");
    // A wallet may answer long after the user turned to another one.
    if (turn < this.#connected)
      throw new PieceworkError("Another wallet was connected meanwhile: connect again to use this one.");
    this.#connected = turn;
    this.#unlisten?.();
    this.#wallet = new Wallet(provider, address, this.#terms.options.chainId, this.#terms.options.chainParams);
    const { chainId, vault } = this.#terms.options;
    const say = (text: string) => this.#host.say?.(text);
    this.#sender = new Sender(this.#wallet, chainId, vault, say, (hash, fee) => this.#noteFee(hash, fee, false));
    this.#noPermit = false;
    // A wallet that never answered holds up nothing any more.
    this.#doing = new Map();
    // The chain is asked for before each use, so the page need not hear of its change.
    this.#unlisten = listen(provider, {
      accountsChanged: (accounts) => accountIn(accounts) !== address && this.#disconnect(),
      disconnect: (error) => isGone(error) && this.#disconnect(),
    });
    // It may have said at once that it is gone.
    if (this.#wallet === null) throw new PieceworkError("The wallet went away: connect again.");
    this.#host.tell({ t: "wallet", has: true });
    this.#host.walletChanged(address);
    return address;
  }

  /** Ends it: the user gets no prompt any more. */
  destroy(): void {
    this.#destroyed = true;
    clearInterval(this.#laterLooks);
    this.#wallet?.leave();
    this.#forget();
  }

  #forget(): void {
    this.#unlisten?.();
    this.#unlisten = null;
    this.#wallet = null;
    this.#sender = null;
  }

  #disconnect(): void {
    this.#forget();
    this.#host.tell({ t: "wallet", has: false });
    this.#host.walletChanged(null);
  }

  /**
   * Deposits with as few prompts as the wallet allows: one with EIP-5792, else two. A deposit that was sent earlier,
   * and whose end nobody saw, is followed first. If it was the same and has arrived, or if the account can pay
   * `ifBelow` already, the wallet is asked for nothing.
   */
  deposit(
    amount: bigint,
    bond: bigint,
    signal?: AbortSignal | null,
    ifBelow: bigint | null = null,
  ): Promise<AccountInfo> {
    return this.#alone("deposit", `${amount} ${bond} ${ifBelow}`, (wallet, sender) =>
      this.#deposit(wallet, sender, amount, bond, signal, ifBelow),
    );
  }

  async #deposit(
    wallet: Wallet,
    sender: Sender,
    amount: bigint,
    bond: bigint,
    signal: AbortSignal | null | undefined,
    ifBelow: bigint | null,
  ): Promise<AccountInfo> {
    await wallet.switchChain();
    const arrived = await sender.earlier("deposit", ({ deposit }) => this.#hasArrived(wallet, deposit));
    const isSame = arrived?.deposit?.amount === String(amount) && arrived.deposit.bond === String(bond);
    if (!isSame && !(ifBelow !== null && (await this.#canPay(wallet, ifBelow))))
      await this.#sendDeposit(wallet, sender, amount, bond, signal);
    // Now the session key is worth keeping. If the browser refuses to keep it, no deposit is lost: deposits are found
    // again by the owner's address.
    keepStorage();
    await this.#host.request("account", { owner: wallet.address });
    await this.#host.request("refresh");
    return this.#account(wallet);
  }

  /** Whether this wallet's account is one that pays, and so much of it is not promised yet, as far as is known. */
  async #canPay(wallet: Wallet, least: bigint): Promise<boolean> {
    const { id, sessionKey, held } = await this.#own(wallet);
    const { known, withdrawn, exitAt, balance } = await this.#read(wallet, id, sessionKey);
    if (!known || withdrawn || exitAt !== null || held) return false;
    const { money } = await this.#host.request<{ money: Spendable }>("snapshot");
    // The engine may not have read the account yet: the chain has.
    const free = money.accountReady && money.free < balance ? money.free : balance;
    return free > 0n && free >= least;
  }

  async #sendDeposit(
    wallet: Wallet,
    sender: Sender,
    amount: bigint,
    bond: bigint,
    signal: AbortSignal | null | undefined,
  ): Promise<void> {
    const { vault, token } = this.#terms.options;
    await this.#checkContracts(wallet, amount + bond);
    this.moneyMoves();
    await this.#firstLook;
    let own = await this.#own(wallet);
    let account = await this.#read(wallet, own.id, own.sessionKey);
    if (account.withdrawn || account.exitAt || own.held) {
      // Another page may have made a deposit meanwhile: one deposit serves all pages.
      await this.#host.request("newSessionKey", { old: own.sessionKey });
      own = await this.#own(wallet);
      account = await this.#read(wallet, own.id, own.sessionKey);
    }
    const slice = account.known ? 0n : this.#sliceOf(amount);
    const call = (permit: readonly Word[]) =>
      account.known
        ? encodeCall(
            "topUp(address,uint112,uint112,(uint256,uint8,bytes32,bytes32))",
            own.sessionKey,
            amount,
            bond,
            ...permit,
          )
        : encodeCall(
            "open(address,uint96,uint112,uint112,(uint256,uint8,bytes32,bytes32))",
            own.sessionKey,
            slice,
            amount,
            bond,
            ...permit,
          );
    const none: Word[] = [0, 0, 0, 0];
    const approve = encodeCall("approve(address,uint256)", vault, amount + bond);
    const deposit = {
      id: own.id,
      amount: String(amount),
      bond: String(bond),
      balanceBefore: String(account.balance),
      bondBefore: String(account.bond),
    };
    await sender.send(
      "deposit",
      () => this.#hasArrived(wallet, deposit),
      async () => {
        signal?.throwIfAborted();
        const calls = await wallet.sendTogether([
          { to: token.address, data: approve },
          { to: vault, data: call(none) },
        ]);
        if (calls !== null) return { hash: calls, from: wallet.address, nonce: null, calls: true, deposit };
        signal?.throwIfAborted();
        const permit = await this.#allow(wallet, sender, amount + bond, approve);
        signal?.throwIfAborted();
        return { ...(await wallet.send(vault, call(permit ?? none))), deposit };
      },
    );
  }

  /**
   * The slice of a deposit: a small one is cut into ten, if they are worth redeeming. Where gas is so dear that it
   * would be cut into fewer than {@link FEWEST_SLICES}, it is refused, because nothing could be bought with it.
   */
  #sliceOf(amount: bigint): bigint {
    const { tranche, token } = this.#terms.options;
    const least = this.#least?.redeemed ?? this.#terms.minRedeem;
    const tenth = amount / 10n > least ? amount / 10n : least;
    const slice = tranche !== undefined || this.slice < tenth ? this.slice : tenth;
    if (tranche !== undefined || !this.#least || slice * FEWEST_SLICES <= amount) return slice;
    throw new PieceworkError(
      `A deposit of ${this.#terms.format(amount)} ${token.symbol} is too small while gas costs what it does now: less than ` +
        `${this.#terms.format(slice)} is not worth redeeming. ` +
        `Deposit ${this.#terms.format(slice * FEWEST_SLICES)} or more, or later.`,
    );
  }

  /**
   * Lets the vault take the sum. An allowance from an earlier try is enough; else by a permit, which is returned, else
   * by an approval.
   */
  async #allow(wallet: Wallet, sender: Sender, sum: bigint, approve: string): Promise<Word[] | null> {
    const { vault, token } = this.#terms.options;
    const allowed = async () =>
      (decodeWords(
        await wallet.call(token.address, encodeCall("allowance(address,address)", wallet.address, vault)),
      )[0] ?? 0n) >= sum;
    await sender.earlier("approve", allowed);
    if (await allowed().catch(() => false)) return null;
    const permit = await this.#permit(wallet, sum);
    if (!permit) await sender.send("approve", allowed, () => wallet.send(token.address, approve));
    return permit;
  }

  /**
   * Whether the chain shows a deposit. Sellers redeem meanwhile, so the balance may have fallen again; a bond only
   * grows.
   */
  async #hasArrived(wallet: Wallet, deposit: Unsettled["deposit"]): Promise<boolean> {
    if (!deposit) return false;
    const { known, balance, bond } = await this.#read(wallet, deposit.id, "");
    const more =
      deposit.bond === "0"
        ? balance > BigInt(deposit.balanceBefore)
        : bond >= BigInt(deposit.bondBefore) + BigInt(deposit.bond);
    return known && more;
  }

  /** This wallet's account with this browser's session key. */
  async account(): Promise<AccountInfo> {
    return this.#account(this.#required()[0]);
  }

  async #account(wallet: Wallet): Promise<AccountInfo> {
    const { id, sessionKey } = await this.#own(wallet);
    return this.#read(wallet, id, sessionKey);
  }

  /** `held`: its records are behind its promises, so it promises nothing more. */
  #own(wallet: Wallet): Promise<{ id: string; sessionKey: string; held: boolean }> {
    return this.#host.request("accountId", { owner: wallet.address });
  }

  redeem(due: boolean, signal?: AbortSignal | null): Promise<{ paid: bigint; batches: number }> {
    return this.#alone("redemption", String(due), (wallet) => this.#redeem(wallet, due, signal));
  }

  async #redeem(
    wallet: Wallet,
    due: boolean,
    signal: AbortSignal | null | undefined,
  ): Promise<{ paid: bigint; batches: number }> {
    await wallet.switchChain();
    let paid = 0n;
    let batches = 0;
    if (this.#openBatch) {
      paid += await this.#finish(wallet, this.#openBatch);
      batches++;
    }
    for (; ; batches++) {
      signal?.throwIfAborted();
      const batch = await this.#host.request<Batch>("redeem", { to: wallet.address, due });
      if (batch.count === 0) {
        await this.#host.request("redeemed", { tag: batch.tag, logs: [] });
        return { paid, batches };
      }
      const why = due ? await this.#notWorth(wallet, batch) : null;
      if (why !== null) {
        await this.#failed(batch, why, false);
        this.#host.say?.(why);
        return { paid, batches };
      }
      paid += await this.#finish(wallet, { batch, ...(await this.#sendBatch(wallet, batch)) });
    }
  }

  /** Why a batch is not sent without the user's word; null: it is worth its gas, or the site names no price of it. */
  async #notWorth(wallet: Wallet, { count, total, data, isLastChance }: Batch): Promise<string | null> {
    if (!this.#terms.worth.isKnown) return null;
    const price = await this.gasPrice();
    if (price === null) return "Nothing is redeemed by itself: no node says what gas costs.";
    const call = { from: wallet.address, to: this.#terms.options.vault, data };
    const gas = quantityIn(await wallet.request("eth_estimateGas", [call]).catch(() => null)) ?? gasOf(count);
    const isTooDear = isLastChance
      ? this.#terms.worth.isLoss(price * gas, total)
      : this.#terms.worth.isDear(price * gas, total);
    if (!isTooDear) return null;
    return (
      `The redemption of ${this.#terms.format(total)} ${this.#terms.options.token.symbol} waits for more earnings or cheaper gas: ` +
      "its gas would be a larger part of it than the site allows."
    );
  }

  /** Sends a batch. A batch that certainly was not sent goes back to the engine as it was. */
  async #sendBatch(wallet: Wallet, batch: Batch): Promise<{ sent: Sent; from: string | null }> {
    let checked = false;
    try {
      await wallet.check();
      const from = numberIn(await wallet.request("eth_blockNumber").catch(() => null));
      checked = true;
      const sent = await wallet.submit(this.#terms.options.vault, batch.data);
      return { sent, from: from === null ? null : `0x${from.toString(16)}` };
    } catch (error) {
      await this.#failed(batch, error instanceof Error ? error.message : "", checked && !certainlyNotSent(error));
      throw error;
    }
  }

  /** Follows a batch to its end and tells the engine; gives the sum that it paid. */
  async #finish(wallet: Wallet, open: OpenBatch): Promise<bigint> {
    const { batch, sent } = open;
    this.#openBatch = open;
    const fate = await wallet.follow(sent);
    wallet.tellFees(sent.hash, fate, (hash, fee) => this.#noteFee(hash, fee, true));
    if (fate.kind === "open")
      throw new PieceworkError(
        `The chain has not confirmed the redemption ${sent.hash} after ten minutes. It may still come: redeem ` +
          "again to go on waiting, and nothing is asked a second time.",
      );
    const logs = await this.#logsOf(wallet, open, fate);
    this.#openBatch = null;
    if (logs) return this.#host.request<bigint>("redeemed", { tag: batch.tag, logs });
    const kind = fate.kind === "mined" ? "reverted" : fate.kind;
    const reason = undone(kind, sent.hash);
    await this.#failed(batch, reason, kind !== "reverted");
    throw new PieceworkError(reason);
  }

  /** Puts gas that the wallet paid into the history. Several tabs may say it of one transaction: it counts once. */
  #noteFee(transaction: string, amount: bigint, selling: boolean): void {
    this.#host.request("fee", { transaction, amount, selling }).catch(() => undefined);
  }

  /** The vault's events about a batch, from whichever transaction; null: nothing. */
  async #logsOf(wallet: Wallet, { batch, from }: OpenBatch, fate: Fate): Promise<Log[] | null> {
    if (fate.kind === "mined") return fate.receipt.logs;
    if (fate.kind === "reverted" || from === null) return null;
    const topics = [REDEEMED, null, `0x${word(batch.payee)}`];
    const logs = await wallet
      .request("eth_getLogs", [{ address: this.#terms.options.vault, topics, fromBlock: from, toBlock: "latest" }])
      .then(logsIn, () => []);
    return logs.length > 0 ? logs : null;
  }

  /** `sent`: it may have been sent although the wallet failed. */
  async #failed({ tag }: Batch, failed: string, sent: boolean): Promise<void> {
    await this.#host.request("redeemed", { tag, failed, sent });
  }

  exit(of?: { id: string; sessionKey: string }): Promise<AccountInfo> {
    return this.#alone(of ? `exit ${of.id}` : "exit", "", (wallet, sender) => this.#exit(wallet, sender, of));
  }

  async #exit(wallet: Wallet, sender: Sender, of?: { id: string; sessionKey: string }): Promise<AccountInfo> {
    await wallet.switchChain();
    const { id, sessionKey } = of ?? (await this.#own(wallet));
    const done = async () => (await this.#read(wallet, id, sessionKey)).exitAt !== null;
    await this.#once(sender, `exit ${id}`, done, () =>
      wallet.send(this.#terms.options.vault, encodeCall("exit(address)", sessionKey)),
    );
    await this.#host.request("refresh");
    return this.#read(wallet, id, sessionKey);
  }

  withdraw(of?: { id: string; sessionKey: string }): Promise<void> {
    return this.#alone(of ? `withdrawal ${of.id}` : "withdrawal", "", (wallet, sender) =>
      this.#withdraw(wallet, sender, of),
    );
  }

  async #withdraw(wallet: Wallet, sender: Sender, of?: { id: string; sessionKey: string }): Promise<void> {
    await wallet.switchChain();
    const { id, sessionKey } = of ?? (await this.#own(wallet));
    const { exitAt, known, withdrawn } = await this.#read(wallet, id, sessionKey);
    // The vault would refuse it, and the gas would be gone.
    if (!known) throw new PieceworkError("This wallet has no deposit here: nothing is to be withdrawn.");
    if (exitAt === null && !withdrawn)
      throw new PieceworkError("The waiting time was not started: call exit() first, and withdraw() when it is over.");
    if (exitAt !== null && !withdrawn && exitAt.getTime() > this.#now() * 1_000)
      throw new PieceworkError(
        `The deposit can be withdrawn from ${exitAt.toISOString()} on: the waiting time is not over.`,
      );
    const done = async () => (await this.#read(wallet, id, sessionKey)).withdrawn;
    await this.#once(sender, `withdraw ${id}`, done, () =>
      wallet.send(this.#terms.options.vault, encodeCall("withdraw(address,address)", sessionKey, wallet.address)),
    );
    await this.#host.request("refresh");
  }

  /**
   * Does one thing at a time: a second call for the same purpose gets the result of the first, and the user gets no
   * second prompt.
   */
  async #alone<T>(purpose: string, what: string, work: (wallet: Wallet, sender: Sender) => Promise<T>): Promise<T> {
    const [wallet, sender] = this.#required();
    const doing = this.#doing;
    const open = doing.get(purpose);
    if (open?.what === what) return open.done as Promise<T>;
    if (open)
      throw new PieceworkError(
        `Another ${purpose} is under way: answer it in your wallet, or connect again, then try again.`,
      );
    const done = work(wallet, sender).finally(() => doing.delete(purpose));
    doing.set(purpose, { what, done });
    return done;
  }

  /**
   * Does work that can be done only once: if it is done already, or by a transaction that was sent before, the wallet
   * is asked for nothing.
   */
  async #once(sender: Sender, purpose: string, done: () => Promise<boolean>, send: () => Promise<Sent>): Promise<void> {
    if ((await sender.earlier(purpose, done)) || (await done())) return;
    await sender.send(purpose, done, send);
  }

  /** @internal Has the connected wallet sign typed data (EIP-712), after a gesture: what it answers. */
  sign(purpose: string, typed: object): Promise<string> {
    return this.#alone(purpose, JSON.stringify(typed), async (wallet) => {
      await wallet.switchChain();
      await wallet.check();
      return signatureBy(wallet, typed);
    });
  }

  /** @internal Sends a call of the connected wallet's, after a gesture, unless it is `done`; see {@link #once}. */
  sendOnce(purpose: string, to: string, data: string, done: (from: string) => Promise<boolean>): Promise<void> {
    return this.#alone(purpose, data, async (wallet, sender) => {
      await wallet.switchChain();
      await this.#once(
        sender,
        purpose,
        () => done(wallet.address),
        () => wallet.send(to, data),
      );
    });
  }

  /** Every deposit of this wallet, found in the vault's log. */
  async recover(): Promise<RecoverableDeposit[]> {
    const [wallet] = this.#required();
    await wallet.switchChain();
    const latest = numberIn(await wallet.request("eth_blockNumber"));
    if (latest === null)
      throw new PieceworkError("The wallet did not name the chain's last block: look whether it is online.");
    const logs = await this.#openedLogs(wallet, this.#terms.options.deployBlock ?? 0, latest, 0);
    const deposits: RecoverableDeposit[] = [];
    if (logs.length > MAX_DEPOSITS)
      this.#host.say?.(`This wallet made ${logs.length} deposits; the last ${MAX_DEPOSITS} are looked at.`);
    for (const { topics } of logs.slice(-MAX_DEPOSITS)) {
      const [, id, , key] = topics;
      if (!id || !key) continue;
      const sessionKey = addressOf(BigInt(key));
      const account = await this.#read(wallet, id, sessionKey);
      deposits.push({
        ...account,
        exit: async () => void (await this.exit({ id, sessionKey })),
        withdraw: () => this.withdraw({ id, sessionKey }),
      });
    }
    return deposits;
  }

  /** Some nodes refuse long stretches of the chain; then the page asks for halves. */
  async #openedLogs(wallet: Wallet, from: number, to: number, splits: number): Promise<Log[]> {
    try {
      const logs = await wallet.request("eth_getLogs", [
        {
          address: this.#terms.options.vault,
          topics: [OPENED, null, `0x${word(wallet.address)}`],
          fromBlock: `0x${from.toString(16)}`,
          toBlock: `0x${to.toString(16)}`,
        },
      ]);
      return logsIn(logs);
    } catch (error) {
      if (splits >= MAX_LOG_SPLITS || from >= to) throw error;
      const middle = Math.floor((from + to) / 2);
      return [
        ...(await this.#openedLogs(wallet, from, middle, splits + 1)),
        ...(await this.#openedLogs(wallet, middle + 1, to, splits + 1)),
      ];
    }
  }

  async #read(wallet: Wallet, id: string, sessionKey: string): Promise<AccountInfo> {
    const words = decodeWords(
      await wallet.call(this.#terms.options.vault, encodeCall("state(bytes32,uint256)", id, 0)),
    );
    const [balance, tranche, , known, bond, exitAt] = words;
    if (words.length !== 10 || balance === undefined || bond === undefined) {
      throw new PieceworkError(
        `${this.#terms.options.vault} does not answer like a Piecework vault: check address and chain.`,
      );
    }
    const time = Number(words[9]);
    if (time < FARTHEST_TIME) this.#blockTime = Math.max(this.#blockTime, time);
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

  /** The page sends nothing to an address that is not the vault of exactly this token. */
  async #checkContracts(wallet: Wallet, needed: bigint): Promise<void> {
    const { vault, token, chainId } = this.#terms.options;
    const code = await wallet.request("eth_getCode", [vault, "latest"]);
    if (typeof code !== "string" || !/^0x[0-9a-fA-F]/.test(code))
      throw new PieceworkError(`No contract is at ${vault} on chain ${chainId}: this site's configuration is wrong.`);
    const [of] = decodeWords(await wallet.call(vault, encodeCall("token()")));
    if (of === undefined || addressOf(of) !== token.address.toLowerCase())
      throw new PieceworkError("The vault holds another token than this site says.");
    const [decimals] = decodeWords(await wallet.call(token.address, encodeCall("decimals()")));
    if (decimals !== BigInt(token.decimals))
      throw new PieceworkError("The token has other decimals than this site says.");
    const [delay] = decodeWords(await wallet.call(vault, encodeCall("exitDelay()")).catch(() => "0x"));
    if (delay !== undefined && delay < LEAST_EXIT_DELAY_SECONDS) {
      throw new PieceworkError(
        `This vault lets a deposit leave after ${delay / 60n} minutes, and sellers need a day to redeem: ` +
          "nothing is deposited there.",
      );
    }
    const [balance] = decodeWords(await wallet.call(token.address, encodeCall("balanceOf(address)", wallet.address)));
    if ((balance ?? 0n) < needed) {
      throw new PieceworkError(
        `The wallet holds ${this.#terms.format(balance ?? 0n)} ${token.symbol}; ${this.#terms.format(needed)} are needed.`,
      );
    }
  }

  /**
   * Seconds since the epoch. Any clock may be behind: the machine's, the one that stands still while the machine
   * sleeps, the last block's. The chain judges by its own.
   */
  #now(): number {
    return Math.max(Date.now() / 1_000, (performance.timeOrigin + performance.now()) / 1_000, this.#blockTime);
  }

  /** An EIP-2612 permit of the exact sum, or null where token or wallet have none. */
  async #permit(wallet: Wallet, value: bigint): Promise<Word[] | null> {
    const { vault, token, chainId } = this.#terms.options;
    const domain = this.#noPermit ? null : await this.#permitDomain(wallet).catch(() => null);
    if (!domain) return null;
    const deadline = Math.floor(this.#now()) + 3_600;
    const field = (name: string, type: string) => ({ name, type });
    const typed = {
      domain: { ...domain.names, chainId, verifyingContract: token.address },
      primaryType: "Permit",
      types: {
        EIP712Domain: [
          field("name", "string"),
          field("version", "string"),
          field("chainId", "uint256"),
          field("verifyingContract", "address"),
        ],
        Permit: [
          field("owner", "address"),
          field("spender", "address"),
          field("value", "uint256"),
          field("nonce", "uint256"),
          field("deadline", "uint256"),
        ],
      },
      message: {
        owner: wallet.address,
        spender: vault,
        value: value.toString(),
        nonce: domain.nonce.toString(),
        deadline: String(deadline),
      },
    };
    await wallet.check();
    let signature: string;
    try {
      signature = await signatureBy(wallet, typed);
    } catch (error) {
      const verdict = judge(error);
      if (verdict === "unsupported") return null; // a wallet that cannot sign typed data can still approve
      // This try asks for nothing more. The next try asks a wallet that only fails at permits for an approval.
      this.#noPermit ||= verdict === "failed";
      throw error;
    }
    const parts = /^0x([0-9a-fA-F]{64})([0-9a-fA-F]{64})([0-9a-fA-F]{2})$/.exec(signature);
    if (!parts) return null;
    const v = parseInt(parts[3] ?? "", 16);
    return [deadline, v < 27 ? v + 27 : v, parts[1] ?? "", parts[2] ?? ""];
  }

  /** The token's permit domain; throws if the token's answers do not give its own DOMAIN_SEPARATOR. */
  async #permitDomain(wallet: Wallet): Promise<{ names: { name: string; version: string }; nonce: bigint }> {
    const { token, chainId } = this.#terms.options;
    const [nonce] = decodeWords(await wallet.call(token.address, encodeCall("nonces(address)", wallet.address)));
    const separator = await wallet.call(token.address, encodeCall("DOMAIN_SEPARATOR()"));
    const name = decodeString(await wallet.call(token.address, encodeCall("name()")));
    const version = await wallet
      .call(token.address, encodeCall("version()"))
      .then(decodeString)
      .catch(() => "1");
    const expected = await this.#host.request<string>("domainSeparator", {
      name,
      version,
      chainId,
      contract: token.address,
    });
    if (nonce === undefined || separator.toLowerCase() !== expected) throw new PieceworkError("no permit");
    return { names: { name, version }, nonce };
  }

  #required(): [Wallet, Sender] {
    if (!this.#wallet || !this.#sender)
      throw new PieceworkError("No wallet is connected: call connectWallet() first, from a click.");
    return [this.#wallet, this.#sender];
  }
}

/** What a wallet answers when it is to sign typed data; a wallet that signs in a form of its own gives a text, too. */
async function signatureBy(wallet: Wallet, typed: object): Promise<string> {
  const signature = await wallet.request<unknown>("eth_signTypedData_v4", [wallet.address, JSON.stringify(typed)]);
  // Some wallets report a closed window.
  if (typeof signature === "string") return signature;
  throw new PieceworkError("The wallet did not sign, and did not say why: open your wallet, then try again.");
}

/** The provider of a wallet of this page, by its id; without one, of the only wallet. */
async function found(id: string | undefined): Promise<Eip1193Provider> {
  const wallets = await discover();
  const chosen = id ?? (wallets.length === 1 ? wallets[0]?.id : undefined);
  if (chosen !== undefined) return providerOf(chosen);
  throw new PieceworkError(
    wallets.length === 0
      ? "No wallet is here: install one, then reload the page."
      : "Several wallets are here: say which.",
  );
}
