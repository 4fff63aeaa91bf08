/** The sum that is put down at once: enough for the title, or more, for others too, as radio buttons. */

import { proposedDeposit, type DepositWish, type ProposedDeposit } from "piecework";
import { byId, make, setText, show } from "../dom.ts";
import { units, type Token } from "../format.ts";

/** So many times what is enough. */
const TIMES = [
  [1n, "Enough for this title"],
  [2n, "Twice as much, for others too"],
  [5n, "Five times as much"],
] as const;

/** The choice among the sums. */
export class SumChoice {
  readonly #box = byId("sums");
  readonly #inside = byId("sum-options");
  readonly #changed: () => void;
  #shown = "";
  #times = 1n;

  constructor(changed: () => void) {
    this.#changed = changed;
  }

  /** A title was opened. */
  begin(): void {
    this.#times = 1n;
    this.hide();
  }

  /** No wallet is asked for anything. */
  hide(): void {
    show(this.#box, false);
  }

  /** Shows the sums for a wish; gives the chosen one. */
  update(wish: DepositWish, token: Token): ProposedDeposit {
    const sums = TIMES.map(([times, why]) => ({ times, why, ...proposedDeposit({ ...wish, times }) }));
    // The site's most may make them one.
    const offered = sums.filter(({ amount }, at) => amount !== sums[at - 1]?.amount);
    const chosen = offered.findLast(({ times }) => times <= this.#times) ?? sums[0];
    this.#fill(offered, chosen?.times ?? 1n, token);
    show(this.#box, offered.length > 1);
    return chosen ?? proposedDeposit(wish);
  }

  #fill(sums: { times: bigint; why: string; amount: bigint; isEnough: boolean }[], chosen: bigint, token: Token): void {
    const facts = sums.map(({ amount, why, isEnough }) => [
      isEnough ? why : "A part of what it can cost",
      units(amount, token),
    ]);
    if (sums.map(({ times }) => times).join() !== this.#shown) {
      this.#shown = sums.map(({ times }) => times).join();
      this.#inside.replaceChildren(
        ...sums.map(({ times }) => {
          const radio = make("input", { type: "radio", name: "sum", value: String(times) });
          radio.addEventListener("change", () => {
            this.#times = times;
            this.#changed();
          });
          return make(
            "label",
            { className: "option" },
            radio,
            make("span", { className: "grow" }),
            make("span", { className: "facts" }),
          );
        }),
      );
    }
    for (const [at, option] of [...this.#inside.children].entries()) {
      for (const [i, span] of [...option.querySelectorAll("span")].entries()) setText(span, facts[at]?.[i] ?? "");
      const radio = option.querySelector("input");
      if (radio) radio.checked = radio.value === String(chosen);
    }
  }
}
