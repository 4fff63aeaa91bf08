/** The list of wallets that announced themselves (EIP-6963), as radio buttons. Names and icons are the wallets' own. */

import { make } from "../dom.ts";
import type { WalletInfo } from "../engine.ts";

/** An icon may only be a small picture inside its own URL (EIP-6963 asks for a data URI). */
const LARGEST_ICON = 128 * 1024;

/** The list inside one element. */
export class WalletList {
  readonly #inside: HTMLElement;
  readonly #group: string;
  readonly #changed: () => void;
  #shown = "";

  constructor(inside: HTMLElement, group: string, changed: () => void = () => undefined) {
    this.#inside = inside;
    this.#group = group;
    this.#changed = changed;
  }

  /** The chosen wallet's id. */
  get chosen(): string | null {
    return this.#inside.querySelector<HTMLInputElement>("input:checked")?.value ?? null;
  }

  /** Shows these; the chosen one stays chosen. */
  update(wallets: WalletInfo[], prefer: string | null = null): void {
    const key = wallets.map((wallet) => wallet.id).join("\n");
    if (key === this.#shown) return;
    this.#shown = key;
    const before = this.chosen ?? prefer ?? wallets[0]?.id;
    this.#inside.replaceChildren(
      ...wallets.map((wallet) => {
        const radio = make("input", {
          type: "radio",
          name: this.#group,
          value: wallet.id,
          checked: wallet.id === before,
        });
        radio.addEventListener("change", this.#changed);
        const option = make("label", { className: "option" }, radio);
        if (/^data:image\//.test(wallet.icon) && wallet.icon.length <= LARGEST_ICON)
          option.append(make("img", { src: wallet.icon, alt: "" }));
        option.append(make("span", { className: "grow", textContent: wallet.name }));
        return option;
      }),
    );
  }
}
