// The payer's state of one connection: docs/protocol.md from "Messages" to "Coming back". It has no clock, no network
// and no torrent of its own: messages come in by `read`, go out by `send`, and the download reports the blocks that
// came.
import { drawTip, linksOf, walk } from "./hash_chain.mjs";
import { MAX_STEPS, allocate, bound, cap, chainSteps, owed, usableSteps, wellFormed } from "./numbers.mjs";
import { ZERO32, recover, sign, tagOf, voucherDigest } from "./voucher.mjs";

/** Time between COMMITs of a connection, and the paid steps that stand for it before a new range. */
const COMMIT_SPACING_MS = 1_100;
const COMMIT_SPACING_STEPS = 32;
/** A fold with this many paid steps since the range's last COMMIT needs no wait. */
const FOLD_STEPS = 64;
/** Waits before the same COMMIT again, after a REJECT 13, and after a REJECT 4 of a seller that is behind. */
const CHAIN_PENDING_MS = [2_000, 4_000, 8_000, 16_000, 30_000];
const BEHIND_MS = [2_000, 4_000, 8_000];
/** A fold that was refused is tried again after this. */
const FOLD_RETRY_MS = 2_000;
const ANSWER_LIMIT_MS = 60_000;
const QUOTES_REFUSED = 4;
/** After a REJECT 5 the next range needs no wait, this many times on a connection. */
const NEXT_AT_ONCE = 2;
const EVIDENCE_CHECKS = 4;

/** Codes of REJECT that this file treats by themselves; every other one ends the range. */
const CODE = {
  version: 1,
  vault: 2,
  notCovered: 4,
  consumed: 5,
  conflict: 6,
  quote: 9,
  preimage: 11,
  overCredit: 12,
  pending: 13,
  rate: 14,
  closing: 15,
};
const NEED = { fold: 1, nextRange: 2, closed: 5 };
const STOPS_SELLING = 0x80;

const most = (a, b) => (a > b ? a : b);

/**
 * Why a buyer must not promise on this quote, or null: "The buyer's checks before it promises", 1 to 9. `account` is
 * the chain's state of it, `limits` `{ ceiling, budget, content }` the owner's settings.
 */
export function refusal({ quote, account, records, limits, payee, now }) {
  const checks = [
    [account.known && account.tranche > 0n && account.exitAt === 0 && !records.held, "the account cannot be used"],
    [
      quote.unit >= 1n && quote.unit <= limits.ceiling && quote.unit <= cap(256, account.tranche),
      "the price is too high",
    ],
    [quote.unit <= limits.budget - records.revealed(), "the budget is used up"],
    [quote.content === ZERO32 || quote.content === limits.content, "the content is another title's"],
    [quote.credit0 > 0 && quote.creditMax > 0 && quote.maxSteps > 0, "there is no credit, or no step"],
    [account.bond * 100n >= account.balance * BigInt(quote.minBondPercent), "the bond is too low"],
    [now - quote.at <= 900 * quote.ttl, "the quote is too old"],
    [payee === null || payee === quote.payee, "the payee is another one than before"],
  ];
  return checks.find(([holds]) => !holds)?.[1] ?? null;
}

/** A range on this connection: its chain, the old one while a fold waits for its ACK, and the state of its COMMIT. */
class LiveRange {
  acknowledged = false;
  old = null;
  paidSinceCommit = 0;
  retries = 0;
  stateBelieved = false;

  constructor(promised, q) {
    Object.assign(this, promised, { q });
  }

  /** Fine units revealed. */
  get paid() {
    return owed(this.chain.voucher, this.chain.k);
  }

  get usable() {
    return Number(
      most(usableSteps({ count: this.count, q: this.q, paid: this.paid, unit: this.chain.voucher.unit }), 0n),
    );
  }

  /** Steps that may be revealed now: before a fold's ACK no more than the old chain had left. */
  get room() {
    if (!this.acknowledged) return 0;
    const left = this.chain.voucher.steps - this.chain.k;
    return this.old === null ? left : Math.min(left, this.old.voucher.steps - this.old.k - this.chain.k);
  }

  get tag() {
    return tagOf(this.chain.voucher);
  }
}

/** The payments of one connection. */
export class Payments {
  #account;
  #records;
  #send;
  #limits;
  #longestChain;
  #tip;
  #now;
  #after;
  #changed;
  #live = [];
  #quote = null;
  #payee = null;
  #lastPay = null;
  #lastCommitAt = -Infinity;
  #paidSinceCommit = 0;
  #quotesRefused = 0;
  #nextAtOnce = NEXT_AT_ONCE;
  #checks = 0;
  #timers = new Set();
  #waitsToCommit = false;
  #acknowledged = false;

  /** Why buying ended here, or why nothing is promised; null while all is well. */
  ended = null;
  refused = null;
  credit = 0;
  phantom = 0;
  /** Requests that are out, blocks that came and are not verified, and verified ones without a step. */
  inFlight = 0;
  unverified = 0;
  payable = 0;
  /** Blocks that the download still wants beyond those. */
  wanted = 0;
  /** The events: `[name, number]`, for a caller that wants to know how it went. */
  log = [];

  /**
   * `account`: `{ vault, chainId, owner, sessionKey, sessionAddress, ...state }`; `limits`:
   * `{ ceiling, budget, content }`; `longestChain`: a chain may be shorter than the seller allows; `tip` draws the end
   * of a chain; `after` is setTimeout; `changed` is called when a timer did something.
   */
  constructor({
    account,
    records,
    send,
    limits,
    longestChain = MAX_STEPS,
    tip = drawTip,
    now = () => performance.now(),
    after = setTimeout,
    changed = () => undefined,
  }) {
    this.#account = account;
    this.#records = records;
    this.#send = send;
    this.#limits = limits;
    this.#longestChain = longestChain;
    this.#tip = tip;
    this.#now = now;
    this.#after = after;
    this.#changed = changed;
  }

  /** Takes a message of the seller. */
  read(message) {
    const take = {
      TERMS: this.#terms,
      ACK: this.#ack,
      REJECT: this.#reject,
      NEED: this.#need,
      STATE: this.#state,
      SEEN: this.#seen,
      BYE: this.#bye,
    }[message.type];
    this.log.push([message.type, message.code ?? message.reason ?? message.k ?? 0]);
    take?.call(this, message);
  }

  /** The number of requests that may still go out: "The number of requests". */
  allowance() {
    if (!this.#acknowledged || this.ended !== null || this.#live.length === 0) return 0;
    const outstanding = this.#outstanding();
    const unit = this.#live.at(-1).chain.voucher.unit;
    const budget = (this.#limits.budget - this.#records.revealed() - unit * BigInt(outstanding)) / unit;
    return Math.max(
      0,
      Math.min(this.credit - outstanding - this.phantom, this.#usable() - outstanding - this.phantom, Number(budget)),
    );
  }

  /**
   * Reveals a step for each payable block, as far as the chains reach, the oldest range first. Folds and commits where
   * that becomes necessary.
   */
  settle() {
    for (const range of this.#live) {
      const unit = range.chain.voucher.unit;
      const affordable = Number((this.#limits.budget - this.#records.revealed()) / unit);
      const steps = Math.min(this.payable, range.room, affordable);
      if (steps > 0) this.#reveal(range, steps);
    }
    this.#live = this.#live.filter((range) => range.usable > 0 || range.old !== null || !range.acknowledged);
    for (const range of this.#live) this.#foldIfDue(range);
    this.#nextRangeIfDue();
  }

  /** Whether every block is paid, and the last step was acknowledged. */
  get settled() {
    return (
      this.inFlight + this.unverified + this.payable === 0 && (this.#lastPay === null || this.#lastPay.acknowledged)
    );
  }

  /** Whether a range is attached. */
  get attached() {
    return this.#acknowledged && this.#live.some((range) => range.acknowledged);
  }

  /** The tags of the newest vouchers here, the oldest range's first. */
  get tags() {
    return this.#live.map(({ tag }) => tag);
  }

  /** Stops buying with a BYE; the revealed steps are on record then. */
  leave(reason = 0) {
    this.settle();
    this.#records.save();
    if (this.ended === null && this.#live.length > 0) this.#send({ type: "BYE", reason });
    this.#end("left");
  }

  /** The connection is gone: no timer fires any more. Nothing is written: a crash looks the same. */
  close(why = "the connection is gone") {
    for (const timer of this.#timers) clearTimeout(timer);
    this.#end(why);
  }

  #outstanding() {
    return this.inFlight + this.unverified + this.payable;
  }

  #usable() {
    return this.#live.filter((range) => range.acknowledged).reduce((sum, range) => sum + range.usable, 0);
  }

  #later(ms, act) {
    const timer = this.#after(() => {
      this.#timers.delete(timer);
      act();
      this.#changed();
    }, ms);
    this.#timers.add(timer);
  }

  #end(why) {
    this.ended ??= why;
  }

  // ------------------------------------------------------------------------------------------ promises

  #terms(terms) {
    if (terms.unit === 0n) return;
    if (terms.version !== 1 || terms.luck !== ZERO32) return this.#end("terms of another version");
    this.#quote = { ...terms, at: this.#now() };
    if (this.#live.length === 0) this.#commitARange();
  }

  /** Milliseconds until the next COMMIT of a range may go, or a fold with few steps. */
  #wait(ofFold = false) {
    if (!ofFold && this.#paidSinceCommit >= COMMIT_SPACING_STEPS) return 0;
    return Math.max(0, this.#lastCommitAt + COMMIT_SPACING_MS - this.#now());
  }

  /** Commits a range that is on record and not used up, or a new one. */
  #commitARange({ atOnce = false } = {}) {
    if (this.ended !== null || this.#quote === null) return;
    const wait = atOnce ? 0 : this.#wait();
    if (wait > 0) return this.#commitLater(wait);
    this.refused = this.#refusal();
    if (this.refused !== null) return;
    const range = this.#recordedRange() ?? this.#newRange();
    if (range === null) {
      this.refused = "no range is to be had";
      return;
    }
    const live = new LiveRange(this.#promise(range, range.revealed), this.#account.tranche);
    this.#live.push(live);
    this.#commit(live);
  }

  /** Looks again when a COMMIT may go. */
  #commitLater(wait) {
    if (this.#waitsToCommit) return;
    this.#waitsToCommit = true;
    this.#later(wait, () => {
      this.#waitsToCommit = false;
      const needed = !this.#acknowledged || this.wanted + this.payable > 0;
      if (this.#live.length === 0 && needed) this.#commitARange();
      else this.settle();
    });
  }

  #refusal() {
    return refusal({
      quote: this.#quote,
      account: this.#account,
      records: this.#records,
      limits: this.#limits,
      payee: this.#payee,
      now: this.#now(),
    });
  }

  /** Serials that a range must have for the seller. */
  #needed() {
    const { minRange, unit } = this.#quote;
    const serial = cap(1, this.#account.tranche);
    return Number((most(minRange, unit) + serial - 1n) / serial);
  }

  #recordedRange() {
    const { payee, content, unit } = this.#quote;
    const fits = (range) => {
      const usable = usableSteps({ count: range.count, q: this.#account.tranche, paid: range.revealed, unit });
      return (
        !range.closed &&
        range.payee === payee &&
        range.content === content &&
        range.count >= this.#needed() &&
        usable > 0n
      );
    };
    return (
      [...this.#records.ranges.values()].find(
        (range) => fits(range) && !this.#live.some(({ first }) => first === range.first),
      ) ?? null
    );
  }

  #newRange() {
    const needed = this.#needed();
    const serials = allocate({ next: this.#records.next, bound: bound(this.#account), needed, wanted: needed });
    if (serials === null) return null;
    const { payee, content } = this.#quote;
    this.#records.reserve({ ...serials, payee, content });
    return this.#records.ranges.get(serials.first);
  }

  /** A voucher for this range with a fresh chain; its base is durable before it is signed. */
  #promise({ first, count, payee, content }, base, unit = this.#quote.unit) {
    this.#records.base(first, base);
    const steps = Math.min(
      this.#longestChain,
      chainSteps({ count, q: this.#account.tranche, base, unit, maxSteps: this.#quote.maxSteps }),
    );
    const links = linksOf(this.#tip(), steps);
    const voucher = {
      owner: this.#account.owner,
      payee,
      first,
      count,
      content,
      base,
      unit,
      steps,
      root: links[0],
      luck: ZERO32,
    };
    const signature = sign(this.#account.sessionKey, voucherDigest(this.#account, voucher));
    const { quoteId, credit0, creditMax } = this.#quote;
    return {
      first,
      count,
      payee,
      content,
      chain: { voucher, signature, links, k: 0, quoteId, creditMost: Math.max(creditMax, credit0) },
    };
  }

  /** Sends a range's COMMIT, for the first time or again. */
  #commit(range) {
    const { voucher, signature, quoteId } = range.chain;
    this.#payee ??= voucher.payee;
    this.#lastCommitAt = this.#now();
    this.#paidSinceCommit = 0;
    range.paidSinceCommit = 0;
    range.answered = false;
    this.log.push(["COMMIT", voucher.first]);
    this.#send({ type: "COMMIT", quoteId, ...voucher, ...signature });
    const { chain } = range;
    this.#later(ANSWER_LIMIT_MS, () => {
      if (range.chain === chain && !range.answered) this.#end("a COMMIT was not answered");
    });
  }

  /** The identical COMMIT, later. */
  #repeat(range, ms) {
    const { chain } = range;
    this.#later(ms, () => {
      if (range.chain === chain && this.#live.includes(range) && this.ended === null) this.#commit(range);
    });
  }

  #nextRangeIfDue() {
    if (this.ended !== null || !this.#acknowledged || this.wanted === 0) return;
    const waiting = this.#live.some((range) => !range.acknowledged);
    const usable = this.#usable();
    const enough = Math.min(this.credit + FOLD_STEPS, this.#outstanding() + this.wanted);
    if (!waiting && this.#live.length < 2 && usable < enough) this.#commitARange();
  }

  // ------------------------------------------------------------------------------------------ steps and folds

  #reveal(range, steps) {
    const { chain } = range;
    chain.k += steps;
    this.payable -= steps;
    range.paidSinceCommit += steps;
    this.#paidSinceCommit += steps;
    this.#records.reveal(range.first, range.paid, steps);
    this.#pay(range);
  }

  #pay({ first, chain }) {
    const message = { type: "PAY", first, tag: tagOf(chain.voucher), k: chain.k, w: chain.links[chain.k] };
    this.#lastPay = { ...message, acknowledged: false };
    this.log.push(["PAY", chain.k]);
    this.#send(message);
  }

  #foldIfDue(range) {
    const { k, voucher } = range.chain;
    const due =
      range.acknowledged && range.old === null && 4 * k >= 3 * voucher.steps && range.usable > voucher.steps - k;
    if (due && this.ended === null) this.#fold(range);
  }

  #fold(range) {
    if (range.foldLater) return;
    const wait =
      range.paidSinceCommit >= FOLD_STEPS
        ? 0
        : Math.max(this.#wait(true), (range.foldNotBefore ?? -Infinity) - this.#now());
    if (wait > 0) {
      range.foldLater = true;
      return this.#later(wait, () => {
        range.foldLater = false;
        if (this.#live.includes(range) && range.old === null && this.ended === null) this.#fold(range);
      });
    }
    const { chain } = range;
    range.chain = this.#promise(range, range.paid, chain.voucher.unit).chain;
    range.old = chain;
    this.log.push(["fold", chain.k]);
    this.#commit(range);
    this.settle();
  }

  /** The old chain goes on, at the step that both chains reached together. */
  #rollBack(range) {
    const { k } = range.chain;
    range.chain = range.old;
    range.old = null;
    range.answered = true;
    range.chain.k += k;
    if (k > 0) this.#pay(range);
  }

  // ------------------------------------------------------------------------------------------ answers

  #ack({ first, tag, k, owedBlocks, creditBlocks }) {
    const range = this.#live.find((live) => live.first === first && live.tag === tag);
    const last = this.#lastPay;
    const ofLastPay = last !== null && last.first === first && last.tag === tag && last.k === k;
    if (range === undefined && !ofLastPay) return;
    // The ACK of a fold covers the steps of the chain before it.
    if (ofLastPay || (range !== undefined && last?.first === first && last.tag !== tag)) last.acknowledged = true;
    const attaches = !this.#acknowledged;
    if (range !== undefined) this.#acknowledge(range);
    this.credit = Math.min(creditBlocks, range?.chain.creditMost ?? this.credit);
    if (attaches || (ofLastPay && this.#outstanding() === 0))
      this.phantom = Math.max(0, owedBlocks - this.#outstanding());
    else this.phantom = Math.min(this.phantom, owedBlocks);
    this.settle();
  }

  #acknowledge(range) {
    range.acknowledged = true;
    range.answered = true;
    range.old = null;
    range.retries = 0;
    this.#acknowledged = true;
    this.#quotesRefused = 0;
  }

  #reject({ code, first, tag, aux }) {
    if ([CODE.version, CODE.vault, CODE.closing].includes(code)) return this.#stop(`REJECT ${code}`);
    const range = this.#live.find(
      (live) => live.first === first && (live.tag === tag || (live.old !== null && tagOf(live.old.voucher) === tag)),
    );
    if (range === undefined) return code === CODE.overCredit ? this.#overCredit(aux, !this.#acknowledged) : undefined;
    range.answered = true;
    if (code === CODE.overCredit) return this.#overCredit(aux, !range.acknowledged);
    if (range.old !== null && range.tag === tag) {
      this.#rollBack(range);
      if ([CODE.quote, CODE.preimage, CODE.pending, CODE.rate].includes(code)) {
        range.foldNotBefore = this.#now() + (code === CODE.rate ? aux : FOLD_RETRY_MS);
        return this.settle();
      }
    }
    this.#refuse(range, code, aux);
  }

  /** A REJECT of a range, or of a fold whose old chain is in force again. */
  #refuse(range, code, aux) {
    const again = (waits) =>
      range.retries < waits.length
        ? this.#repeat(range, waits[range.retries++])
        : this.#endRange(range, `REJECT ${code}, again and again`);
    if (code === CODE.preimage) return;
    if (code === CODE.quote) return range.acknowledged ? undefined : this.#takeBack(range);
    if (code === CODE.pending) return again(CHAIN_PENDING_MS);
    if (code === CODE.rate) return this.#repeat(range, Math.min(Math.max(aux, 50), 60_000));
    if (code === CODE.notCovered && !range.acknowledged && aux >= 1 && aux < range.first + range.count)
      return again(BEHIND_MS);
    if (code === CODE.consumed || code === CODE.conflict) this.#records.close(range.first);
    if (code === CODE.consumed && range.acknowledged && range.chain.k > 0)
      return this.#goOnWithout(range, { atOnce: this.#nextAtOnce-- > 0 });
    this.#endRange(range, `REJECT ${code}`);
  }

  /** The quote was refused: the range stays this payee's, and new TERMS follow. */
  #takeBack(range) {
    this.#live = this.#live.filter((live) => live !== range);
    this.#quote = null;
    if (++this.#quotesRefused >= QUOTES_REFUSED) this.#end("the quotes are refused");
  }

  #overCredit(aux, opening) {
    if (opening) return this.#end("REJECT 12");
    const nothingIsOwed = this.payable === 0 && this.#lastPay === null;
    if (nothingIsOwed && aux >= this.credit) return this.#end("REJECT 12");
    this.settle();
  }

  #endRange(range, why) {
    this.#live = this.#live.filter((live) => live !== range);
    this.#end(why);
  }

  /** The range was closed: the next one follows if there is something to buy or to pay. */
  #goOnWithout(range, { atOnce = false } = {}) {
    this.#live = this.#live.filter((live) => live !== range);
    if (this.wanted > 0 || this.payable > 0) this.#commitARange({ atOnce });
  }

  #stop(why) {
    this.settle();
    this.#end(why);
  }

  #need({ reason, first }) {
    const range = this.#live.find((live) => live.first === first);
    if (range === undefined) return;
    if (reason === NEED.fold && range.acknowledged && range.old === null && range.chain.k > 0) this.#fold(range);
    if (reason === NEED.nextRange && this.#live.length < 2) this.#commitARange();
    if (reason !== NEED.closed) return;
    this.settle();
    this.#records.close(first);
    this.#goOnWithout(range);
  }

  /** The seller holds more than our records: its proof is checked, and the range is folded to it. */
  #state(state) {
    const { first } = state;
    const range = this.#live.find((live) => live.first === first);
    if (this.ended !== null || range?.stateBelieved || !this.#proves(state, range)) return this.#end("a false STATE");
    const amount = owed(state, state.k);
    if (!this.#records.ranges.has(first)) return this.#adopt(state);
    if (range === undefined) return this.#records.base(first, amount);
    range.stateBelieved = true;
    this.#records.base(first, amount);
    const usable = usableSteps({ count: range.count, q: range.q, paid: amount, unit: this.#quote.unit });
    this.refused = this.#refusal();
    if (this.refused !== null || usable === 0n) {
      this.#live = this.#live.filter((live) => live !== range);
      return this.#commitARange();
    }
    range.old = null;
    range.acknowledged = false;
    range.chain = this.#promise(range, amount).chain;
    this.#commit(range);
  }

  #proves(state, range) {
    if (state.payee !== this.#quote?.payee || (this.#payee !== null && state.payee !== this.#payee)) return false;
    if (
      state.owner !== this.#account.owner ||
      state.luck !== ZERO32 ||
      state.k > state.steps ||
      state.steps > MAX_STEPS ||
      !wellFormed(state)
    )
      return false;
    if (
      ++this.#checks > EVIDENCE_CHECKS ||
      recover(voucherDigest(this.#account, state), state) !== this.#account.sessionAddress
    )
      return false;
    if (walk(state.w, state.k) !== state.root) return false;
    const recorded = this.#records.ranges.get(state.first);
    if (recorded && ["payee", "count", "content"].some((name) => recorded[name] !== state[name])) return false;
    if (!recorded && this.#overlapsARecord(state)) return false;
    const amount = owed(state, state.k);
    return (
      amount > (recorded?.revealed ?? 0n) &&
      amount <= cap(state.count, this.#account.tranche) &&
      !recorded?.closed &&
      (range === undefined || !range.acknowledged)
    );
  }

  #overlapsARecord({ first, count }) {
    return Array.from({ length: count }, (_, i) => first + i).some((serial) => this.#records.names(serial));
  }

  /** A range that our records never had: they are behind where its serials are. */
  #adopt(state) {
    const behind = state.first + state.count > this.#records.next;
    this.#records.reserve(state);
    this.#records.base(state.first, owed(state, state.k));
    if (behind) this.#records.hold();
  }

  /** Evidence: with our own signature over a serial that we never promised, the records are old. */
  #seen(seen) {
    if (!wellFormed(seen) || ++this.#checks > EVIDENCE_CHECKS) return;
    if (recover(voucherDigest(this.#account, seen), seen) !== this.#account.sessionAddress) return;
    const promised = Array.from({ length: seen.count }, (_, i) => seen.first + i).every((serial) =>
      this.#records.names(serial),
    );
    if (!promised) this.#records.hold();
  }

  #bye({ reason }) {
    if ((reason & STOPS_SELLING) !== 0) this.#stop("the seller said BYE");
  }
}
