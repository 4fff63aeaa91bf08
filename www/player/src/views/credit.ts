/** What the connected wallet is credited with as a creator of titles: a line of the view of money. */

import { byId, reason, setText, show } from "../dom.ts";
import { shortAddress, units } from "../format.ts";
import type { Host } from "../host.ts";

/** The part of the page that it uses. */
type Page = Pick<Host, "config" | "engine">;

/** The line. It asks the chain when it is told to, and shows nothing before a wallet is connected. */
export class CreditLine {
  readonly #host: Page;
  /** Token units; `null`: not read. */
  #credit: bigint | null = null;
  #of: string | null = null;
  #failed = "";

  constructor(host: Page, claim: () => void) {
    this.#host = host;
    byId("credit").addEventListener("click", claim);
    byId("credit-again").addEventListener("click", () => void this.read());
  }

  /** Asks the chain, and shows the answer. */
  async read(): Promise<void> {
    const account = this.#host.engine.connected?.account ?? null;
    if (account !== this.#of) this.#credit = null;
    this.#of = account;
    if (account === null) return this.show(false);
    try {
      const credit = await this.#host.engine.credit();
      // Another wallet may have been connected meanwhile.
      if (this.#of !== account) return;
      [this.#credit, this.#failed] = [credit, ""];
    } catch (error) {
      if (this.#of !== account) return;
      this.#failed = reason(error);
    }
    this.show(true);
  }

  /** Shows what was read; `able`: the wallet can be asked. */
  show(able: boolean): void {
    const { payment } = this.#host.config;
    const [account, credit] = [this.#of, this.#credit];
    show(byId("credit-row"), payment !== null && account !== null && (credit !== null || this.#failed !== ""));
    if (!payment || account === null) return;
    const has = credit !== null && credit > 0n;
    setText(byId("credit-title"), has ? "Claim your share as a creator" : "Your share as a creator");
    setText(
      byId("credit-hint"),
      this.#failed
        ? `It could not be read. ${this.#failed}`
        : `${has ? "It is credited" : "Nothing is credited"} to ${shortAddress(account)}. A title that is registered ` +
            "with this address as its creator brings its share whenever a seller redeems.",
    );
    byId("credit-hint").classList.toggle("warns", this.#failed !== "");
    const button = byId<HTMLButtonElement>("credit");
    show(button, has);
    button.disabled = !able;
    setText(button, has ? `Claim ${units(credit, payment.token)}` : "");
    show(byId("credit-again"), this.#failed !== "");
  }
}
