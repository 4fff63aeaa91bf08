/** The view of money: spending and earnings, redeeming, exit and withdrawal, and deposits found again. */

import { FINE_BITS, type RedemptionCost } from "piecework";
import { LACKS, isLost, spendable } from "../deposit.ts";
import { announce, byId, confirm, make, reason, setLedger, setText, show } from "../dom.ts";
import { Rejected, type Deposit, type Engine } from "../engine.ts";
import { about, duration, exact, moment, plural, shortAddress, units } from "../format.ts";
import type { Host } from "../host.ts";
import type { Money } from "../model.ts";
import type { CreditLine } from "./credit.ts";
import type { HistoryCard } from "./history.ts";
import { redemptionHint } from "./redemption.ts";
import { WalletList } from "./wallets.ts";

/** What a redemption costs is asked again after this time, in milliseconds. */
const COST_AGE = 60_000;

/** Before the engine's first answer. */
const NOTHING: Money = {
  accountReady: false,
  lack: null,
  balance: 0n,
  locked: 0n,
  free: 0n,
  spentFine: 0n,
  budget: 0n,
  redeemable: 0n,
  redeemableFine: 0n,
  redeemed: 0n,
  redeemableRanges: 0,
  vouchersSigned: 0,
  preimagesReleased: 0,
  preimagesReceived: 0,
};

/** The part of the page that it uses. */
type Page = Pick<Host, "config" | "engine" | "look" | "lookNow" | "view">;

/** The account of money. */
export class MoneyView {
  readonly #host: Page;
  readonly #wallets = new WalletList(byId("money-wallets"), "money-wallet");
  #busy = false;
  #deposit: Awaited<ReturnType<Engine["ownDeposit"]>> = null;
  #found: Deposit[] | null = null;
  /** The chain did not answer the last time. */
  #unread = false;
  #history: Promise<HistoryCard> | null = null;
  #credit: Promise<CreditLine> | null = null;
  #creditLine: CreditLine | null = null;
  #cost: RedemptionCost | null = null;
  /** When the cost was asked for, and for which sum. */
  #costAsked = { at: Number.NEGATIVE_INFINITY, of: 0n };

  constructor(host: Page) {
    this.#host = host;
    const on = (id: string, what: string, run: () => Promise<string | null>): void =>
      byId(id).addEventListener("click", () => void this.#do(what, run));
    on("redeem", "redeemed", () => this.#redeem());
    on("exit", "taken back", () => this.#exit(null));
    on("withdraw", "withdrawn", () => this.#withdraw(null));
    on("connect", "connected", () => this.#connect());
    on("recover", "looked up", () => this.#recover());
    byId("history").addEventListener("toggle", () => this.#readHistory());
  }

  /** The code for it is loaded when it is opened first. */
  #readHistory(): void {
    if (!byId<HTMLDetailsElement>("history").open) return;
    this.#history ??= import("./history.ts").then(({ HistoryCard }) => new HistoryCard(this.#host));
    const failed = (error: unknown): void => {
      this.#history = null;
      this.#message(`The history could not be loaded. ${reason(error)}`, false);
    };
    void this.#history.then((card) => card.read()).catch(failed);
  }

  /** The code for it is loaded when a wallet is connected: few visitors are creators. */
  async #readCredit(): Promise<void> {
    if (!this.#host.config.payment || (!this.#host.engine.connected && !this.#credit)) return;
    const claim = (): void => void this.#do("claimed", () => this.#claim());
    this.#credit ??= import("./credit.ts").then(({ CreditLine }) => new CreditLine(this.#host, claim));
    try {
      this.#creditLine = await this.#credit;
    } catch (error) {
      this.#credit = null;
      this.#message(`What you are credited with could not be loaded. ${reason(error)}`, false);
    }
    await this.#creditLine?.read();
    this.refresh();
  }

  /** Comes into view. */
  enter(): void {
    const { payment } = this.#host.config;
    show(byId("money-on"), payment !== null);
    show(byId("money-off"), payment === null);
    setText(
      byId("money-lede"),
      payment
        ? `Amounts are in ${payment.token.symbol}. Each block is paid between viewers directly; the chain is ` +
            "touched only to put money down and to fetch it."
        : "",
    );
    this.#message("", true);
    this.refresh();
    if (payment) void this.#readDeposit();
    void this.#readCredit();
    this.#readHistory();
  }

  /** Brings the amounts up to date. */
  refresh(): void {
    const { payment } = this.#host.config;
    if (!payment) return;
    const { token } = payment;
    const money = this.#host.look?.money ?? NOTHING;
    const deposit = this.#deposit;
    const has = money.accountReady && money.lack !== "withdrawn";
    const free = spendable(money);
    const lost = has && money.lack !== null && isLost(money) ? ` ${LACKS[money.lack]}` : "";
    /** Nothing is claimed before the engine has answered. */
    const said = (amount: bigint): string => (this.#host.look ? about(amount, token) : "\u2026");
    const bond = deposit?.bond;
    setLedger(byId("account"), [
      {
        term: "In your deposit",
        value: said(has ? money.balance << FINE_BITS : 0n),
        note: has
          ? `Yours, kept by the vault contract. What you spent leaves it when sellers redeem.${lost}`
          : "Nothing is put down from this browser. The first title that costs something offers a deposit, and " +
            "says exactly how much.",
      },
      {
        term: "Locked",
        value: said(has ? money.locked << FINE_BITS : 0n),
        note:
          "The part of your deposit that is promised to sellers, in slices. A seller can take only what you " +
          "paid it; the rest of its slice comes free again.",
      },
      {
        term: "Spent",
        value: said(money.spentFine),
        note:
          "Paid by this browser for pieces that arrived here. Never more than your limit of " +
          `${units(money.budget, token)} in all.`,
      },
      {
        term: "Earned",
        value: said(money.redeemableFine + (money.redeemed << FINE_BITS)),
        note: `Paid to you for pieces that you passed on: ${plural(money.preimagesReceived, "block")} so far.`,
      },
      {
        term: "Redeemable",
        value: said(money.redeemable << FINE_BITS),
        note:
          "Earned and not yet fetched from the vault. Until then it lives in this browser, and is lost with the " +
          "site\u2019s data, which a browser that runs out of room may clear by itself.",
      },
    ]);
    setLedger(byId("money-details"), [
      ...(free !== null ? [{ term: "Free to spend", value: units(free, token) }] : []),
      ...(bond !== undefined
        ? [
            {
              term: "Bond",
              value: units(bond, token),
              note: "Put down with the deposit, and comes back whole with it.",
            },
          ]
        : []),
      { term: "Redeemed so far", value: units(money.redeemed, token) },
      ...(money.redeemableFine > 0n
        ? [
            {
              term: "Exactly redeemable",
              value: exact(money.redeemableFine, token),
              note:
                `In ${plural(money.redeemableRanges, "slice")}. What is less than one smallest unit per slice ` +
                "stays with its payer.",
            },
          ]
        : []),
      {
        term: "Vouchers signed, steps released",
        value: `${money.vouchersSigned.toLocaleString("en")}, ${money.preimagesReleased.toLocaleString("en")}`,
      },
      { term: `${token.symbol}, on chain ${payment.chainId}`, value: shortAddress(token.address) },
      { term: "Vault", value: shortAddress(payment.vault) },
    ]);
    const { connected } = this.#host.engine;
    const wallets = this.#host.engine.wallets();
    const able = !this.#busy && navigator.onLine && (wallets.length > 0 || connected !== null);
    setText(byId("redeem-title"), money.redeemable > 0n ? "Redeem what you earned" : "Nothing to redeem yet");
    this.#readCost(money);
    const hint =
      money.redeemable > 0n
        ? redemptionHint(money, this.#cost, payment)
        : {
            text:
              "While this page shares a title that has a price, viewers pay you block by block. What they paid is " +
              "fetched here.",
            warns: false,
          };
    setText(byId("redeem-hint"), hint.text);
    byId("redeem-hint").classList.toggle("warns", hint.warns);
    byId<HTMLButtonElement>("redeem").disabled = !able || money.redeemable === 0n;
    setText(byId("redeem"), money.redeemable > 0n ? `Redeem ${units(money.redeemable, token)}` : "Nothing to redeem");
    this.#exitRow(has, payment.exitDelaySeconds);
    this.#wallets.update(wallets, connected?.id ?? null);
    setText(
      byId("wallet-state"),
      connected
        ? `Connected: ${shortAddress(connected.account)}`
        : wallets.length > 0
          ? "Not connected. It is asked only when you press a button here."
          : "No wallet was found in this browser. Install one (any that injects an EIP-1193 provider will do), " +
            "then load this page again.",
    );
    show(byId("connect-box"), wallets.length > 0 && !connected);
    show(byId("money-choice"), wallets.length > 0 && !connected);
    for (const id of ["exit", "withdraw", "connect", "recover"]) byId<HTMLButtonElement>(id).disabled = !able;
    this.#creditLine?.show(able);
    const trouble = !navigator.onLine
      ? "Redeeming and taking back wait for the connection. These amounts are what this browser knows."
      : this.#unread
        ? "The chain cannot be read at the moment. These amounts are what this browser knows; nothing is lost."
        : "";
    setText(byId("money-trouble"), trouble);
    show(byId("money-trouble"), trouble !== "");
  }

  /** Asks what the redemption costs, when its sum changed or some time went by. */
  #readCost({ redeemable }: Money): void {
    const { at, of } = this.#costAsked;
    if (this.#host.view !== "money" || redeemable === 0n) return;
    if (of === redeemable && performance.now() - at < COST_AGE) return;
    this.#costAsked = { at: performance.now(), of: redeemable };
    if (of !== redeemable) this.#cost = null;
    const read = (cost: RedemptionCost | null): void => {
      this.#cost = cost;
      this.refresh();
    };
    void this.#host.engine.redemptionCost().then(read, () => read(null));
  }

  #exitRow(has: boolean, delay: number): void {
    const exitAt = this.#deposit?.exitAt ?? null;
    const state = byId("exit-state");
    const ready = exitAt !== null && Date.now() / 1000 >= exitAt;
    show(byId("exit-row"), has || exitAt !== null);
    show(byId("exit"), has && exitAt === null);
    show(byId("withdraw"), exitAt !== null);
    // Not disabled before its time: the chain's clock decides, not this machine's.
    byId("withdraw").className = ready ? "primary" : "secondary";
    show(byId("exit-hint"), exitAt === null);
    show(state, exitAt !== null);
    setText(
      byId("exit-title"),
      exitAt === null ? "Get your deposit back" : ready ? "Withdraw your deposit" : "Your deposit is on its way back",
    );
    setText(
      byId("exit-hint"),
      `With its bond, ${duration(delay)} after you ask. It cannot be cancelled, and paid titles stop until ` +
        "you make another deposit.",
    );
    if (exitAt === null) return;
    setText(
      state,
      ready
        ? "The waiting time is over: the deposit can be withdrawn now."
        : `You asked for your deposit back. It can be withdrawn from ${moment(exitAt)}, ${duration(delay)} ` +
            "after you asked. This cannot be cancelled; sellers are paid what they earned until then.",
    );
  }

  async #do(what: string, run: () => Promise<string | null>): Promise<void> {
    if (this.#busy) return;
    const from = document.activeElement;
    this.#busy = true;
    this.#message("", true);
    this.refresh();
    try {
      const text = await run();
      if (text) this.#message(text, true);
    } catch (error) {
      this.#message(
        error instanceof Rejected
          ? "You said no in the wallet. Nothing was sent."
          : `It could not be ${what}. ${reason(error)}`,
        false,
      );
    } finally {
      this.#busy = false;
      await Promise.all([this.#readDeposit(), this.#readCredit()]);
      await this.#host.lookNow();
      this.#returnFocus(from);
    }
  }

  /** A button that is disabled or gone loses the focus: the focus goes to the message. */
  #returnFocus(from: Element | null): void {
    const at = document.activeElement;
    // The browser takes the focus away only when it draws next: until then the button, or one in a closed dialog, seems
    // to have it.
    if (this.#host.view !== "money" || (at !== document.body && at !== from && at?.checkVisibility())) return;
    if (from instanceof HTMLButtonElement && !from.disabled && from.checkVisibility()) from.focus();
    else byId(byId("money-message").hidden ? "money-title" : "money-message").focus();
  }

  async #connected(): Promise<void> {
    if (this.#host.engine.connected) return;
    const wallet = this.#wallets.chosen;
    if (!wallet) throw new Error("No wallet was found in this browser. Install one, then load this page again.");
    await this.#host.engine.connect(wallet);
  }

  async #connect(): Promise<string | null> {
    await this.#connected();
    return "The wallet is connected.";
  }

  async #redeem(): Promise<string | null> {
    await this.#connected();
    const result = await this.#host.engine.redeem();
    const { payment } = this.#host.config;
    if (!payment) return null;
    if (result.paid === 0n) return "There was nothing that could be redeemed.";
    return `${units(result.paid, payment.token)} went to your wallet, in ${plural(result.batches, "transaction")}.`;
  }

  async #claim(): Promise<string | null> {
    const { payment } = this.#host.config;
    const sum = await this.#host.engine.claimCredit();
    if (!payment) return null;
    return sum === 0n ? "Nothing was to be claimed." : `${units(sum, payment.token)} went to your wallet.`;
  }

  async #exit(deposit: Deposit | null): Promise<string | null> {
    const { payment } = this.#host.config;
    if (!payment) return null;
    const when = moment(Date.now() / 1000 + payment.exitDelaySeconds);
    const yes = await confirm(
      "Get your deposit back?",
      [
        "This cannot be cancelled. From then on no seller accepts this deposit, and paid titles stop until " +
          "you make another.",
        `What is left, and the bond, can be withdrawn ${duration(payment.exitDelaySeconds)} later: about ` +
          `${when}. Until then, sellers collect what they have earned.`,
      ],
      "Get it back",
    );
    if (!yes) return null;
    await this.#connected();
    await this.#host.engine.exit(deposit);
    return `Asked for. It can be withdrawn from about ${when}.`;
  }

  async #withdraw(deposit: Deposit | null): Promise<string | null> {
    await this.#connected();
    const { payment } = this.#host.config;
    const amount = await this.#host.engine.withdraw(deposit);
    if (deposit) await this.#recover();
    return payment && amount !== null
      ? `${units(amount, payment.token)} went back to your wallet.`
      : "The deposit went back to your wallet.";
  }

  async #recover(): Promise<string | null> {
    await this.#connected();
    this.#found = await this.#host.engine.recoverDeposits();
    this.#list();
    return this.#found.length === 0
      ? "No deposit of this wallet was found in this vault."
      : `${plural(this.#found.length, "deposit")} found.`;
  }

  #list(): void {
    const { payment } = this.#host.config;
    if (!payment || !this.#found) return;
    byId("recovered").replaceChildren(
      ...this.#found.map((deposit) => {
        const amount = `${units(deposit.balance, payment.token)} and a bond of ${units(deposit.bond, payment.token)}`;
        const item = make(
          "li",
          {},
          make("p", { textContent: deposit.current ? `${amount} (this browser's)` : amount }),
          make("p", { className: "address", textContent: deposit.key }),
        );
        const buttons = make("div", { className: "buttons" });
        if (deposit.exitAt !== null) {
          item.append(
            make("p", { className: "hint", textContent: `Can be withdrawn from ${moment(deposit.exitAt)}.` }),
          );
          const withdraw = make("button", { type: "button", className: "secondary", textContent: "Withdraw" });
          withdraw.addEventListener("click", () => void this.#do("withdrawn", () => this.#withdraw(deposit)));
          buttons.append(withdraw);
        } else {
          const exit = make("button", { type: "button", className: "secondary", textContent: "Get it back\u2026" });
          exit.addEventListener("click", () => void this.#do("taken back", () => this.#exit(deposit)));
          buttons.append(exit);
        }
        item.append(buttons);
        return item;
      }),
    );
  }

  async #readDeposit(): Promise<void> {
    try {
      this.#deposit = await this.#host.engine.ownDeposit();
      this.#unread = false;
    } catch {
      // If the chain cannot be read, the engine's own numbers count; values that were read before are still shown.
      this.#unread = true;
    }
    this.refresh();
  }

  #message(text: string, good: boolean): void {
    const line = byId("money-message");
    line.classList.toggle("ok", good);
    setText(line, text);
    show(line, text !== "");
    if (text) {
      announce(text);
      line.scrollIntoView({ block: "nearest" });
    }
  }
}
