/** The switch and the cap for uploading: shown before anything is uploaded, and again while watching. */

import { byId, setText, show } from "../dom.ts";
import type { Sharing } from "../model.ts";

/** A cap as typed; `undefined` if it is no number. Empty is no cap. */
export function parseCap(text: string): number | null | undefined {
  const trimmed = text.trim();
  if (trimmed === "") return null;
  return /^\d{1,7}$/.test(trimmed) && Number(trimmed) > 0 ? Number(trimmed) : undefined;
}

/** One switch with its cap. */
export class SharingFields {
  readonly #switch: HTMLInputElement;
  readonly #cap: HTMLInputElement;
  readonly #error: HTMLElement;

  constructor(ids: { switch: string; cap: string; error: string }, changed: () => void) {
    this.#switch = byId(ids.switch);
    this.#cap = byId(ids.cap);
    this.#error = byId(ids.error);
    this.#switch.addEventListener("change", () => {
      this.#enable();
      changed();
    });
    this.#cap.addEventListener("change", () => {
      if (this.read()) changed();
    });
  }

  /** The values of the fields; `null` if the cap is no number. A message beside the field says so then. */
  read(): Sharing | null {
    const cap = parseCap(this.#cap.value);
    const wrong = cap === undefined && this.#switch.checked;
    setText(this.#error, wrong ? "Give a whole number of kB/s, or leave it empty for no cap." : "");
    if (wrong) this.#cap.setAttribute("aria-invalid", "true");
    else this.#cap.removeAttribute("aria-invalid");
    return wrong ? null : { on: this.#switch.checked, cap: cap ?? null };
  }

  /** Fills the fields. */
  fill(sharing: Sharing): void {
    this.#switch.checked = sharing.on;
    this.#cap.value = sharing.cap === null ? "" : String(sharing.cap);
    this.#enable();
  }

  /** Puts the focus on the wrong field. */
  focus(): void {
    this.#cap.focus();
  }

  #enable(): void {
    this.#cap.disabled = !this.#switch.checked;
    show(this.#error, this.#switch.checked);
  }
}
