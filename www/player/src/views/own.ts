/**
 * Sharing one's own files: they are chosen or dropped, described, and sent from here once the visitor has agreed to
 * upload.
 */

import { parseTypedAmount } from "piecework";
import { announce, byId, reason, setText, show } from "../dom.ts";
import { bytes, label, plural } from "../format.ts";
import type { Host } from "../host.ts";
import { parseCap } from "./sharing.ts";

/** The part of the page that it uses. */
type Page = Pick<Host, "config" | "engine" | "go">;

/** The form for one's own files. */
export class Own {
  readonly #host: Page;
  readonly #picker = byId<HTMLInputElement>("share-files");
  readonly #price = byId<HTMLInputElement>("share-price");
  readonly #cap = byId<HTMLInputElement>("share-cap");
  #files: File[] = [];

  constructor(host: Page) {
    this.#host = host;
    byId("share-choose").addEventListener("click", () => this.#picker.click());
    this.#picker.addEventListener("change", () => {
      const files = [...(this.#picker.files ?? [])];
      this.#picker.value = "";
      if (files.length > 0) void this.choose(files);
    });
    byId("share-cancel").addEventListener("click", () => {
      this.#show([]);
      byId("share-choose").focus();
    });
    byId("share-form").addEventListener("submit", (event) => {
      event.preventDefault();
      void this.#share();
    });
    show(byId("share-priced"), host.config.payment !== null);
  }

  /** Shows the chosen files; nothing of them is read yet. */
  async choose(files: File[]): Promise<void> {
    this.#show(files);
    const { cap } = this.#host.engine.sharingWish;
    this.#cap.value = cap === null ? "" : String(cap);
    byId("share-form").scrollIntoView({ block: "nearest" });
    byId("share-go").focus({ preventScroll: true });
    announce(`${byId("share-name").textContent}, ${byId("share-facts").textContent}. Nothing is uploaded yet.`);
  }

  async #share(): Promise<void> {
    const { payment } = this.#host.config;
    const cap = parseCap(this.#cap.value);
    const price =
      this.#price.value.trim() === "" ? 0n : parseTypedAmount(this.#price.value, payment?.token.decimals ?? 0);
    // The smallest price is one unit of the token for a GB.
    const example = payment?.token.decimals === 0 ? "3, without decimals" : "2.50";
    mark(this.#cap, cap !== undefined);
    mark(this.#price, price !== null);
    if (cap === undefined || price === null || this.#files.length === 0) {
      this.#fail(
        price === null
          ? `Give a price such as ${example}, or leave it empty to give it away.`
          : "Give a whole number of kB/s, or leave it empty for no cap.",
      );
      (price === null ? this.#price : this.#cap).focus();
      return;
    }
    this.#fail("");
    this.#busy(true);
    try {
      const title = await this.#host.engine.share(this.#files, price);
      await this.#host.engine.setSharing({ on: true, cap });
      this.#show([]);
      this.#host.go(`#/title/${title.infoHash}`);
    } catch (error) {
      this.#fail(`It could not be shared. ${reason(error)}`);
      byId("share-go").focus();
    } finally {
      this.#busy(false);
    }
  }

  #show(files: File[]): void {
    this.#files = files;
    const [first] = files;
    show(byId("share-start"), !first);
    show(byId("share-chosen"), first !== undefined);
    this.#fail("");
    if (!first) return;
    setText(byId("share-name"), files.length === 1 ? label(first.name) : plural(files.length, "file"));
    setText(byId("share-facts"), bytes(files.reduce((sum, file) => sum + file.size, 0)));
  }

  #busy(busy: boolean): void {
    byId("share-form").setAttribute("aria-busy", String(busy));
    for (const control of byId("share-form").querySelectorAll<HTMLInputElement | HTMLButtonElement>("input, button"))
      control.disabled = busy;
    setText(byId("share-go"), busy ? "Reading and checking\u2026" : "Share and upload");
    if (busy) announce("Reading and checking");
  }

  #fail(text: string): void {
    setText(byId("share-error"), text);
  }
}

function mark(field: HTMLInputElement, good: boolean): void {
  if (good) field.removeAttribute("aria-invalid");
  else field.setAttribute("aria-invalid", "true");
}
