/** After it: what was spent and earned, redeeming, exit and withdrawal, and deposits found again. */

import type { App } from "../app.ts";
import { announce, byId, confirm, make, reason, setLedger, setText, show } from "../dom.ts";
import { Rejected, type Deposit, type Engine } from "../engine.ts";
import { duration, exact, fine, moment, plural, shortAddress, units } from "../format.ts";
import { WalletList } from "./wallets.ts";

/** The account of money. */
export class MoneyView {
  readonly #app: App;
  readonly #wallets = new WalletList(byId("money-wallets"), "money-wallet");
  #busy = false;
  #deposit: Awaited<ReturnType<Engine["ownDeposit"]>> = null;
  #found: Deposit[] | null = null;

  constructor(app: App) {
    this.#app = app;
    const on = (id: string, what: string, run: () => Promise<string | null>): void => byId(id).addEventListener("click", () => void this.#do(what, run));
    on("redeem", "redeemed", () => this.#redeem());
    on("exit", "taken back", () => this.#exit(null));
    on("withdraw", "withdrawn", () => this.#withdraw(null));
    on("connect", "connected", () => this.#connect());
    on("recover", "looked up", () => this.#recover());
  }

  /** Comes into view. */
  enter(): void {
    const paid = this.#app.config.payment !== null;
    show(byId("money-on"), paid);
    show(byId("money-off"), !paid);
    setText(byId("money-lede"), paid ? "What you put down, what you spent, and what you earned by passing pieces on." : "");
    this.#message("", true);
    this.refresh();
    if (paid) void this.#readDeposit();
  }

  /** Brings the amounts up to date. */
  refresh(): void {
    const { payment } = this.#app.config;
    if (!payment) return;
    const { token } = payment;
    const money = this.#app.look?.money;
    const deposit = this.#deposit;
    const has = money?.accountReady ?? false;
    setText(byId("deposit-headline"), has && money ? units(money.balance, token) : "None yet");
    const bond = deposit?.bond;
    setLedger(byId("deposit-ledger"), has && money
      ? [
          { term: "Promised to sellers", value: units(money.locked, token), note: "Set aside in slices. A seller can take only what it was paid; the rest of its slice comes back." },
          { term: "Spent from this browser", value: fine(money.spentFine, token, token.decimals) },
          ...(bond !== undefined ? [{ term: "Bond", value: units(bond, token) }] : []),
          { term: "Limit in all", value: units(money.budget, token), note: "Nothing beyond it is signed." },
          { term: "Vouchers signed, steps released", value: `${money.vouchersSigned.toLocaleString("en")}, ${money.preimagesReleased.toLocaleString("en")}` },
        ]
      : [{ term: "Nothing is put down from this browser.", value: "", note: "The first title that costs something offers a deposit, and says exactly how much." }]);
    this.#exitState(payment.exitDelaySeconds);
    show(byId("exit"), has && !deposit?.exitAt);
    setText(byId("earned-headline"), units(money?.redeemable ?? 0n, token));
    setLedger(byId("earned-ledger"), [
      { term: "Earned and not redeemed", value: fine(money?.redeemableFine ?? 0n, token, token.decimals), note: money && money.redeemableRanges > 0 ? `Exactly ${exact(money.redeemableFine, token)}, from ${plural(money.redeemableRanges, "slice")}. What is less than one smallest unit per slice stays with its payer.` : "" },
      { term: "Redeemed so far", value: units(money?.redeemed ?? 0n, token) },
      { term: "Blocks that were paid to you", value: (money?.preimagesReceived ?? 0).toLocaleString("en") },
    ]);
    const { connected } = this.#app.engine;
    byId<HTMLButtonElement>("redeem").disabled = this.#busy || !money || money.redeemable === 0n;
    setText(byId("redeem"), money && money.redeemable > 0n ? `Redeem ${units(money.redeemable, token)}` : "Nothing to redeem");
    const wallets = this.#app.engine.wallets();
    this.#wallets.update(wallets, connected?.id ?? null);
    setText(byId("wallet-state"), connected ? `Connected: ${shortAddress(connected.account)}` : wallets.length > 0 ? "Not connected. It is asked only when you redeem, take back or look for a deposit." : "No wallet was found in this browser.");
    show(byId("connect"), wallets.length > 0 && !connected);
    show(byId("money-wallets"), !connected);
    for (const id of ["exit", "withdraw", "connect", "recover"]) byId<HTMLButtonElement>(id).disabled = this.#busy || (wallets.length === 0 && !connected);
  }

  #exitState(delay: number): void {
    const exitAt = this.#deposit?.exitAt ?? null;
    const state = byId("exit-state");
    show(state, exitAt !== null);
    show(byId("withdraw"), exitAt !== null);
    if (exitAt === null) return;
    const ready = Date.now() / 1000 >= exitAt;
    setText(state, ready ? "The waiting time is over: the deposit can be withdrawn now." : `You asked for your deposit back. It can be withdrawn from ${moment(exitAt)}, ${duration(delay)} after you asked. This cannot be cancelled; sellers are paid what they earned until then.`);
    state.classList.toggle("ok", ready);
  }

  async #do(what: string, run: () => Promise<string | null>): Promise<void> {
    if (this.#busy) return;
    this.#busy = true;
    this.#message("", true);
    this.refresh();
    try {
      const text = await run();
      if (text) this.#message(text, true);
    } catch (error) {
      this.#message(error instanceof Rejected ? "You said no in the wallet. Nothing was sent." : `It could not be ${what}. ${reason(error)}`, false);
    } finally {
      this.#busy = false;
      await this.#readDeposit();
      await this.#app.lookNow();
    }
  }

  async #connected(): Promise<void> {
    if (this.#app.engine.connected) return;
    const wallet = this.#wallets.chosen;
    if (!wallet) throw new Error("No wallet was found in this browser. Install one, then load this page again.");
    await this.#app.engine.connect(wallet);
  }

  async #connect(): Promise<string | null> {
    await this.#connected();
    return "The wallet is connected.";
  }

  async #redeem(): Promise<string | null> {
    await this.#connected();
    const result = await this.#app.engine.redeem();
    const { payment } = this.#app.config;
    if (!payment) return null;
    if (result.paid === 0n) return "There was nothing that could be redeemed.";
    return `${units(result.paid, payment.token)} went to your wallet, in one transaction.`;
  }

  async #exit(deposit: Deposit | null): Promise<string | null> {
    const { payment } = this.#app.config;
    if (!payment) return null;
    const when = moment(Date.now() / 1000 + payment.exitDelaySeconds);
    const yes = await confirm(
      "Get your deposit back?",
      [
        "This cannot be cancelled. From then on no seller accepts this deposit, and paid titles stop until you make another.",
        `What is left, and the bond, can be withdrawn ${duration(payment.exitDelaySeconds)} later: about ${when}. Until then, sellers collect what they have earned.`,
      ],
      "Get it back",
    );
    if (!yes) return null;
    await this.#connected();
    await this.#app.engine.exit(deposit);
    return `Asked for. It can be withdrawn from about ${when}.`;
  }

  async #withdraw(deposit: Deposit | null): Promise<string | null> {
    await this.#connected();
    const { payment } = this.#app.config;
    const amount = await this.#app.engine.withdraw(deposit);
    if (deposit) await this.#recover();
    return payment && amount !== null ? `${units(amount, payment.token)} went back to your wallet.` : "The deposit went back to your wallet.";
  }

  async #recover(): Promise<string | null> {
    await this.#connected();
    this.#found = await this.#app.engine.recoverDeposits();
    this.#list();
    return this.#found.length === 0 ? "No deposit of this wallet was found in this vault." : `${plural(this.#found.length, "deposit")} found.`;
  }

  #list(): void {
    const { payment } = this.#app.config;
    if (!payment || !this.#found) return;
    byId("recovered").replaceChildren(
      ...this.#found.map((deposit) => {
        const amount = `${units(deposit.balance, payment.token)} and a bond of ${units(deposit.bond, payment.token)}`;
        const item = make("li", {}, make("p", { textContent: deposit.current ? `${amount} (this browser's)` : amount }), make("p", { className: "address", textContent: deposit.key }));
        const buttons = make("div", { className: "buttons" });
        if (deposit.exitAt !== null) {
          item.append(make("p", { className: "hint", textContent: `Can be withdrawn from ${moment(deposit.exitAt)}.` }));
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
      this.#deposit = await this.#app.engine.ownDeposit();
    } catch {
      // Without a chain to ask, the engine's own numbers stand; what it knows is shown all the same.
      this.#deposit = null;
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
