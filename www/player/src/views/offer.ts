/**
 * The view before playing: the title's price, the deposit, the notice that watching also uploads, and one button.
 *
 * Before the visitor presses that button, the page fetches and uploads nothing of the video and asks no wallet.
 */

import { BOND_EXPLAINED, parseTypedAmount, titleCost } from "piecework";
import { LACKS, isLost, spendable } from "../deposit.ts";
import { announce, byId, make, reason, setLedger, setText, show, type LedgerRow } from "../dom.ts";
import { Rejected, type Title } from "../engine.ts";
import { bytes, costFine, duration, fine, forField, label, plural, pricePerGB, units, type Token } from "../format.ts";
import type { Host, TitleHost } from "../host.ts";
import type { Look, Money } from "../model.ts";
import { bestFile, isPlayable } from "./files.ts";
import { KeptChoice } from "./kept.ts";
import { Published } from "./published.ts";
import { SharingFields } from "./sharing.ts";
import { SumChoice } from "./sum.ts";
import { WalletList } from "./wallets.ts";
import { Ways, type Asking } from "./ways.ts";

/** The visitor's limits, in token units: per GB, and to be spent from now on; `null`: the deposit. */
interface Limits {
  ceiling: bigint;
  budget: bigint | null;
}

/**
 * The use of the deposit when the button is pressed. `cost` is the sum that the title can cost, and `all` the deposit
 * that is there then.
 */
type Plan =
  | { kind: "free" }
  | { kind: "covered"; all: bigint }
  | { kind: "deposit"; all: bigint; cost: bigint; amount: bigint; bond: bigint; isEnough: boolean };

/** The part of the page that it uses. */
type Page = Pick<Host, "config" | "engine" | "look">;

/** The view before playing. */
export class Offer {
  readonly #host: Page;
  readonly #view: TitleHost;
  readonly #form = byId<HTMLFormElement>("offer");
  readonly #play = byId<HTMLButtonElement>("play");
  readonly #error = byId("play-error");
  readonly #sharing: SharingFields;
  readonly #wallets: WalletList;
  readonly #ways: Ways;
  readonly #sums = new SumChoice(() => this.#again());
  readonly #kept = new KeptChoice();
  readonly #published = new Published();
  /** The visitor, or the site, said how much may be spent. */
  #hasBudget = false;
  #files = "";
  #plays = true;
  #plan: Plan = { kind: "free" };
  #asking: Asking = { kind: "unknown" };

  constructor(host: Page, view: TitleHost) {
    this.#host = host;
    this.#view = view;
    this.#sharing = new SharingFields(
      { switch: "offer-share", cap: "offer-cap", error: "offer-cap-error" },
      () => undefined,
    );
    this.#wallets = new WalletList(byId("wallet-options"), "wallet");
    this.#ways = new Ways(() => this.#again());
    this.#form.addEventListener("submit", (event) => {
      event.preventDefault();
      void this.#go();
    });
    for (const id of ["ceiling", "budget"])
      byId(id).addEventListener("input", () => {
        this.#hasBudget ||= id === "budget";
        this.#again();
      });
    byId("wallet-refresh").addEventListener("click", () => {
      host.engine.findWallets();
      this.#again();
      // It was disabled meanwhile, and lost the focus.
      if (this.#error.textContent) this.#play.focus();
    });
    const { payment } = host.config;
    setText(
      byId("share-hint"),
      payment && payment.resellPercent > 0
        ? "Watching also uploads: what you have is passed on to other viewers, who pay you " +
            `${payment.resellPercent} % of what you paid for it. It starts when you press the button below. They ` +
            "all see one payment address of this browser, the same for every title."
        : "Watching also uploads: what you have is passed on to other viewers. It starts when you press the " +
            "button below.",
    );
  }

  /** A title was opened. */
  begin(title: Title): void {
    this.#ways.begin(title.priceHint);
    this.#sums.begin();
    this.#kept.begin();
    this.#published.show(null);
    this.#files = "";
    this.#asking = { kind: "unknown" };
    setText(this.#error, "");
    show(byId("play-steps"), false);
    this.#sharing.fill(this.#host.engine.sharingWish);
    const { payment } = this.#host.config;
    if (payment) {
      byId<HTMLInputElement>("ceiling").value = forField(payment.maxPerGB, payment.token);
      this.#hasBudget = payment.budget !== null;
      byId<HTMLInputElement>("budget").value = forField(payment.budget ?? 0n, payment.token);
    }
  }

  /** The visitor wants to see what the title costs. */
  showPrice(look: Look): void {
    this.#ways.pickPaid();
    this.update(look);
  }

  /** Another look at the title. */
  update(look: Look): void {
    if (this.#view.phase === "paying") return;
    if (this.#view.current?.priceHint) this.#ways.hear(this.#view.current.priceHint);
    this.#chooseFiles(look);
    // Before the first look at the money nobody knows whether a deposit is needed.
    const { payment } = this.#host.config;
    this.#asking = this.#host.look ? this.#ways.update(look, payment?.token ?? null) : { kind: "unknown" };
    // The card asks the chain. Where nothing is sold, no chain is asked.
    if (payment && (this.#asking.kind === "paid" || (this.#asking.kind === "free" && this.#asking.selling)))
      this.#published.show(this.#view.current);
    const refused = this.#view.current?.whyNotBought ?? null;
    const paid = this.#asking.kind === "paid" && payment !== null && refused === null;
    const isSold = paid || (payment !== null && this.#asking.kind === "free" && this.#asking.selling !== null);
    this.#form.classList.toggle("free", !isSold);
    show(byId("limits"), paid);
    const limits = paid ? this.#limits() : null;
    const money = this.#host.look?.money ?? null;
    const most = limits ? this.#most(look, limits) : 0n;
    this.#plan = paid && limits ? this.#planFor(look, limits, money) : { kind: "free" };
    const needsWallet = this.#plan.kind === "deposit";
    if (!needsWallet) this.#sums.hide();
    if (payment && !this.#hasBudget && this.#plan.kind !== "free")
      byId<HTMLInputElement>("budget").value = forField(this.#plan.all, payment.token);
    show(byId("wallets"), needsWallet);
    if (needsWallet) {
      const wallets = this.#host.engine.wallets();
      this.#wallets.update(wallets, this.#host.engine.connected?.id ?? null);
      show(byId("wallet-none"), wallets.length === 0);
      show(byId("wallet-options"), wallets.length > 0);
    }
    this.#kept.update(look, paid ? payment.token : null);
    this.#costs(look, limits, most, money);
    this.#button(limits, needsWallet, refused);
  }

  #again(): void {
    if (this.#view.look) this.update(this.#view.look);
  }

  /** The typed limits; `null` with the reason beside them if they are no amounts. */
  #limits(): Limits | null {
    const { payment } = this.#host.config;
    if (!payment) return null;
    const [ceiling, budget] = ["ceiling", "budget"].map((id) => {
      const field = byId<HTMLInputElement>(id);
      const isOwn = id === "budget" && !this.#hasBudget;
      const value = isOwn ? null : parseTypedAmount(field.value, payment.token.decimals);
      if (isOwn) return value;
      if (value === null || value === 0n) field.setAttribute("aria-invalid", "true");
      else field.removeAttribute("aria-invalid");
      return value;
    });
    const good = ceiling && (budget || !this.#hasBudget);
    setText(
      byId("limits-error"),
      good ? "" : `Give an amount above zero, such as ${forField(payment.maxPerGB, payment.token)}.`,
    );
    return good ? { ceiling, budget: budget ?? null } : null;
  }

  /** Token units that the rest of the title can cost at most, rounded up; never above what may be spent. */
  #most(look: Look, { ceiling, budget }: Limits): bigint {
    return atMost(costAt(look, ceiling, []), budget);
  }

  #planFor(look: Look, { ceiling, budget }: Limits, money: Money | null): Plan {
    const { payment } = this.#host.config;
    if (!payment) return { kind: "free" };
    const cost = atMost(costAt(look, ceiling, look.peers, this.#view.current?.priceHint), budget);
    const there = spendable(money);
    const before = there === null ? 0n : there + (money?.locked ?? 0n);
    if (there !== null && there >= cost) return { kind: "covered", all: before };
    const sum = this.#sums.update(
      {
        cost: cost - (there ?? 0n),
        decimals: payment.token.decimals,
        tranche: this.#host.engine.depositSlice,
        least: there === null ? payment.deposit : null,
        most: payment.maxDeposit,
      },
      payment.token,
    );
    return { kind: "deposit", all: before + sum.amount, cost, ...sum };
  }

  #costs(look: Look, limits: Limits | null, most: bigint, money: Money | null): void {
    const { payment } = this.#host.config;
    const asking = this.#asking;
    const rows: LedgerRow[] = [];
    let summary = "";
    const size = `${bytes(look.length)} in ${plural(look.pieceCount, "piece")}`;
    if (asking.kind === "here") {
      summary = "Nothing: it is all here";
    } else if (asking.kind === "unknown") {
      summary = look.peers.length > 0 ? "Asking for the price" : "Looking for peers";
      rows.push({
        term: "Price",
        value: "not known yet",
        note: navigator.onLine
          ? "Each seller names its own price when it connects. This takes a few seconds."
          : "You are offline. This goes on by itself when the connection is back.",
      });
    } else if (asking.kind === "free") {
      summary = "Free";
      rows.push(freeRow("Price", asking, "No wallet is needed."));
      if (payment && asking.selling)
        rows.push({
          ...priceRow("Price of sellers", asking.selling, payment.token),
          note: "Nothing is paid to them unless you choose so.",
        });
    } else if (payment) {
      summary = fine(costFine(look.selectedLength - look.selectedVerified, asking.perGB), payment.token);
      rows.push(priceRow("Lowest price", asking, payment.token));
      if (asking.peers > 0) rows.push(freeRow("From others", asking, "Nothing of that is paid for."));
      if (limits)
        rows.push({
          term: "The most it can cost",
          value: units(most, payment.token),
          note:
            `At your limit of ${units(limits.ceiling, payment.token)} per GB, and never more than your limit in ` +
            "all. Nothing above is ever signed.",
        });
    } else {
      summary = "Not free at the moment";
      rows.push({
        term: "Price",
        value: "paid title",
        note:
          "The peers that are connected ask for money, and this site has no payments set up. Free peers may " +
          "still come.",
      });
    }
    if (payment && this.#plan.kind === "covered" && money)
      rows.push({
        term: "Your deposit",
        value: units(money.free, payment.token),
        note: "Enough for this title: your wallet is not asked.",
      });
    if (payment && this.#plan.kind === "deposit") {
      const { amount, bond, isEnough } = this.#plan;
      const former =
        money?.accountReady && isLost(money) && money.lack ? `${LACKS[money.lack]} This is another one. ` : "";
      rows.push({
        term: spendable(money) === null ? "Deposit" : "Added to your deposit",
        value: units(amount, payment.token),
        note:
          `${former}What you watch is paid from it, block by block.` +
          (isEnough ? "" : " It pays a part of what the title can cost: you are asked again when it is used up."),
      });
      rows.push({
        term: "Bond",
        value: units(bond, payment.token),
        note: BOND_EXPLAINED,
      });
      rows.push({
        term: "From your wallet now",
        value: units(amount + bond, payment.token),
        total: true,
        note:
          `What you do not spend, and the bond, come back ${duration(payment.exitDelaySeconds)} after you ask ` +
          "for them. Others see it: your wallet\u2019s address goes to each seller, and all amounts stand on " +
          "the public chain.",
      });
    }
    rows.push({ term: "Size", value: size });
    const selected = look.files.filter((file) => file.selected).length;
    if (selected < look.files.length)
      rows.push({
        term: "Selected files",
        value: `${selected} of ${look.files.length}`,
        note: "The link, or your last visit, leaves the others out. You can choose them while it plays.",
      });
    setText(byId("cost-summary"), summary);
    setText(
      byId("cost-unit"),
      asking.kind === "paid" && payment
        ? "for all of it at the lowest price"
        : asking.kind === "free" && asking.selling
          ? "as far as peers give it for nothing"
          : "",
    );
    setLedger(byId("costs"), rows);
  }

  #button(limits: Limits | null, needsWallet: boolean, refused: string | null): void {
    const { payment } = this.#host.config;
    const asking = this.#asking;
    const { kind } = asking;
    const plan = this.#plan;
    const tooDear = asking.kind === "paid" && limits !== null && asking.perGB > limits.ceiling;
    const verb = this.#plays ? "Play" : "Fetch it";
    let text = verb;
    let hint = this.#plays
      ? ""
      : "It holds no video or sound that a browser could play. It can still be fetched, saved and passed on.";
    let ready = true;
    if (asking.kind === "free" && asking.peers === 0) {
      [text, ready] = ["Waiting for a peer\u2026", false];
      hint = "Nobody gives it for nothing at the moment. Wait for somebody who does, or choose to pay.";
    } else if (kind === "unknown") {
      [text, ready] = ["Waiting for a peer\u2026", false];
      hint = "You can leave this page open: the button works as soon as somebody who has the title is connected.";
    } else if (kind === "paid" && !payment) {
      [text, ready] = ["Not for free at the moment", false];
    } else if (kind === "paid" && refused !== null) {
      [text, ready] = ["Not to be bought", false];
      hint = refused;
    } else if (kind === "paid" && limits === null) {
      ready = false;
    } else if (tooDear) {
      [text, ready] = ["Above your limit", false];
      hint = "The lowest price asked is above what you allow per GB. Raise your limit, or wait for another seller.";
    } else if (plan.kind === "deposit" && payment) {
      text = `Deposit ${units(plan.amount + plan.bond, payment.token)} and ${this.#plays ? "play" : "fetch"}`;
      hint =
        "Your wallet asks you to connect and to confirm the deposit. After that nothing is asked again, " +
        "whatever you watch, while the deposit lasts.";
      ready = this.#wallets.chosen !== null;
      if (!ready) hint = "Choose a wallet first.";
    } else if (plan.kind === "covered") {
      hint ||= "Paid from your deposit. Your wallet is not asked.";
    } else if (kind === "free") {
      hint ||= "Free. No wallet is needed, and none is asked.";
    }
    setText(this.#play, text);
    this.#play.disabled = !ready;
    this.#play.dataset.needsWallet = String(needsWallet);
    setText(byId("play-hint"), hint);
  }

  #chooseFiles(look: Look): void {
    const playable = look.files.map((file, index) => ({ ...file, index })).filter((file) => isPlayable(file.path));
    const key = `${look.files.length}: ${playable.map((file) => file.index).join()}`;
    if (key === this.#files) return;
    this.#files = key;
    show(byId("file-choice"), playable.length > 1);
    const largest = bestFile(look);
    byId("file-options").replaceChildren(
      ...playable.map((file) => {
        const radio = make("input", {
          type: "radio",
          name: "file",
          value: String(file.index),
          checked: file.index === largest,
        });
        return make(
          "label",
          { className: "option" },
          radio,
          make("span", { className: "grow name", textContent: label(file.path) }),
          make("span", { className: "facts", textContent: bytes(file.length) }),
        );
      }),
    );
    this.#plays = playable.length > 0 || look.files.length === 0;
  }

  #chosenFile(): number {
    return Number(byId("file-options").querySelector<HTMLInputElement>("input:checked")?.value ?? 0);
  }

  async #go(): Promise<void> {
    const title = this.#view.current;
    if (!title || this.#play.disabled) return;
    const sharing = this.#sharing.read();
    if (!sharing) {
      this.#sharing.focus();
      return;
    }
    const limits = this.#asking.kind === "paid" ? this.#limits() : null;
    const plan = this.#plan;
    setText(this.#error, "");
    this.#view.phase = "paying";
    this.#busy(true);
    try {
      if (plan.kind === "deposit") await this.#pay(plan);
      this.#step("play");
      if (limits && plan.kind !== "free")
        await this.#host.engine.setLimits(title, { ...limits, budget: limits.budget ?? plan.all });
      // A title that the page called free is not paid: neither to a seller beside free peers, nor to one that names its
      // price late.
      else if (this.#host.config.payment) await this.#host.engine.takeOnlyFree(title);
      await this.#host.engine.setSharing(sharing);
      // What is watched is fetched as it is watched, and the rest only if the visitor keeps it.
      const kept = this.#plays ? this.#kept.choice : true;
      if (kept !== null) await title.keep(kept);
      await this.#view.play(this.#chosenFile());
    } catch (error) {
      this.#view.phase = "offer";
      const text = error instanceof Rejected ? "You said no in the wallet. Nothing was sent." : reason(error);
      setText(this.#error, text);
    } finally {
      this.#busy(false);
      show(byId("play-steps"), false);
      this.#again();
    }
  }

  async #pay(plan: { cost: bigint; amount: bigint; bond: bigint }): Promise<void> {
    const { engine } = this.#host;
    const wallet = this.#wallets.chosen;
    if (!wallet) throw new Error("Choose a wallet first.");
    this.#step("connect");
    await engine.connect(wallet);
    // The wallet's owner may have a deposit from an earlier visit that this page could not see before.
    const money = (await engine.look()).money;
    if ((spendable(money) ?? 0n) >= plan.cost) return;
    this.#step("deposit");
    await engine.deposit(plan.amount, plan.bond);
  }

  #busy(busy: boolean): void {
    this.#form.setAttribute("aria-busy", String(busy));
    for (const control of this.#form.querySelectorAll<HTMLInputElement | HTMLButtonElement>("input, button")) {
      if (busy) control.disabled = true;
      else if (control !== this.#play) control.disabled = false;
    }
    if (busy) setText(this.#play, "One moment\u2026");
    else this.#sharing.fill(this.#sharing.read() ?? this.#host.engine.sharingWish);
  }

  /** Shows how far it is: connecting, depositing, playing. */
  #step(now: "connect" | "deposit" | "play"): void {
    const steps: [string, string][] =
      this.#plan.kind === "deposit"
        ? [
            ["connect", "Connect the wallet"],
            ["deposit", "Confirm the deposit in the wallet, then wait until the chain has it"],
            ["play", "Play"],
          ]
        : [["play", "Play"]];
    const at = steps.findIndex(([name]) => name === now);
    const list = byId("play-steps");
    show(list, steps.length > 1);
    list.replaceChildren(
      ...steps.map(([, text], index) => {
        const line = make("li", { textContent: text });
        line.dataset.state = index < at ? "done" : index === at ? "now" : "later";
        return line;
      }),
    );
    announce(steps[at]?.[1] ?? "");
  }
}

/** Token units that the rest of a title can cost at the prices of these peers, within the visitor's limit per GB. */
function costAt(look: Look, ceiling: bigint, peers: Look["peers"], heard: bigint | null = null): bigint {
  return titleCost({ ...look, peers, maxPricePerGB: look.maxPerGB }, ceiling, heard);
}

function atMost(units: bigint, limit: bigint | null): bigint {
  return limit !== null && limit < units ? limit : units;
}

/** The price that sellers ask. */
function priceRow(term: string, { perGB, sellers }: { perGB: bigint; sellers: number }, token: Token): LedgerRow {
  return {
    term,
    value: pricePerGB(perGB, token),
    note:
      `Asked by ${sellers === 1 ? "the seller that is connected" : `one of ${sellers} sellers`}. Each block is ` +
      "paid after it has arrived.",
  };
}

/** The offer of the free peers. */
function freeRow(term: string, { peers, whole }: { peers: number; whole: boolean }, more: string): LedgerRow {
  if (peers === 0) return { term, value: "0", note: "Nobody gives it for nothing at the moment." };
  const [give, they] = peers === 1 ? ["gives", "it has"] : ["give", "they have"];
  return {
    term,
    value: "0",
    note: `${plural(peers, "peer")} ${give} ${whole ? "it" : `what ${they}`} for nothing. ${more}`,
  };
}
