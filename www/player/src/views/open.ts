/** The first view: open a magnet link or a .torrent file, or go on with what is on this device. */

import type { App } from "../app.ts";
import { announce, byId, confirm, make, reason, setText, show } from "../dom.ts";
import { bytes, percent } from "../format.ts";
import type { Source, Stored } from "../engine.ts";

/** A .torrent of more than this is not read into memory; the engine's own bound is the same. */
const LARGEST_TORRENT_BYTES = 16 * 1024 * 1024;

/** The opening view. */
export class OpenView {
  readonly #app: App;
  readonly #form = byId<HTMLFormElement>("open-form");
  readonly #magnet = byId<HTMLInputElement>("magnet");
  readonly #file = byId<HTMLInputElement>("file");
  readonly #error = byId("open-error");
  #busy = false;

  constructor(app: App) {
    this.#app = app;
    this.#form.addEventListener("submit", (event) => {
      event.preventDefault();
      void this.#openMagnet(this.#magnet.value.trim());
    });
    this.#magnet.addEventListener("input", () => this.#fail(""));
    byId("choose-file").addEventListener("click", () => this.#file.click());
    this.#file.addEventListener("change", () => {
      const file = this.#file.files?.[0];
      this.#file.value = "";
      if (file) void this.openFile(file);
    });
    const { featured } = app.config;
    show(byId("featured"), featured !== null);
    if (featured) {
      setText(byId("featured-name"), featured.name ?? nameIn(featured.magnet) ?? "A title this site offers");
      byId("featured-open").addEventListener("click", () => void this.#openFeatured());
    }
    this.#dropping();
  }

  /** Comes into view. */
  enter(): void {
    this.#fail("");
    void this.refresh();
  }

  /** Brings the list of what is here up to date. */
  async refresh(): Promise<void> {
    let stored: Stored[] = [];
    try {
      stored = await this.#app.engine.stored();
    } catch (error) {
      this.#app.problem("What is on this device could not be listed.", reason(error));
    }
    const list = byId("library");
    list.replaceChildren(...stored.map((title) => this.#row(title)));
    show(byId("library-empty"), stored.length === 0);
  }

  /** Opens a dropped or chosen file. */
  async openFile(file: File): Promise<void> {
    if (file.size > LARGEST_TORRENT_BYTES) {
      this.#fail(`${file.name} is ${bytes(file.size)}: too large for a .torrent file, which describes a video and does not hold it.`);
      return;
    }
    await this.open({ torrent: new Uint8Array(await file.arrayBuffer()) });
  }

  /** Opens a title and goes to it. */
  async open(source: Source): Promise<void> {
    if (this.#busy) return;
    this.#setBusy(true);
    announce("Opening");
    try {
      const title = await this.#app.engine.open(source);
      this.#magnet.value = "";
      this.#fail("");
      this.#app.go(`#/title/${title.infoHash}`);
    } catch (error) {
      if (this.#app.view !== "open") this.#app.go("#/");
      this.#fail(reason(error));
    } finally {
      this.#setBusy(false);
    }
  }

  async #openMagnet(text: string): Promise<void> {
    if (text === "") {
      this.#fail("Paste a magnet link first. It begins with magnet:?xt=");
    } else if (!/^magnet:\?/i.test(text)) {
      this.#fail("This is not a magnet link. It must begin with magnet:?xt=");
    } else {
      await this.open({ magnet: text });
    }
    if (this.#error.textContent) this.#magnet.focus();
  }

  async #openFeatured(): Promise<void> {
    const { featured } = this.#app.config;
    if (featured?.magnet) {
      await this.open({ magnet: featured.magnet });
    } else if (featured?.torrent) {
      try {
        const answer = await fetch(new URL(featured.torrent, document.baseURI));
        if (!answer.ok) throw new Error(`The site's .torrent file could not be loaded (HTTP ${answer.status}).`);
        await this.open({ torrent: new Uint8Array(await answer.arrayBuffer()) });
      } catch (error) {
        this.#fail(reason(error));
      }
    }
  }

  #row(title: Stored): HTMLLIElement {
    const name = title.name || title.infoHash;
    const link = make("a", { href: `#/title/${title.infoHash}`, textContent: name });
    const remove = make("button", { type: "button", className: "quiet", textContent: "Remove" });
    remove.setAttribute("aria-label", `Remove ${name}`);
    remove.addEventListener("click", () => void this.#remove(title, name));
    const facts = title.length > 0 ? `${bytes(title.length)} \u00b7 ${percent(title.verified, title.length)} % here` : "Not looked at yet";
    return make("li", {}, make("div", {}, link, make("p", { className: "facts", textContent: facts })), remove);
  }

  async #remove(title: Stored, name: string): Promise<void> {
    const yes = await confirm("Remove this title?", [`\u201c${name}\u201d and what is here of it is deleted from this device.`], "Remove");
    if (!yes) return;
    try {
      await this.#app.engine.remove(title.infoHash);
      announce("Removed");
    } catch (error) {
      this.#app.problem("It could not be removed.", reason(error));
    }
    await this.refresh();
    byId("open-title").focus();
  }

  #dropping(): void {
    const veil = byId("drop");
    const hasFile = (event: DragEvent): boolean => event.dataTransfer?.types.includes("Files") ?? false;
    addEventListener("dragenter", (event) => {
      if (hasFile(event)) show(veil, true);
    });
    addEventListener("dragover", (event) => {
      if (hasFile(event)) event.preventDefault();
    });
    addEventListener("dragleave", (event) => {
      if (event.relatedTarget === null) show(veil, false);
    });
    addEventListener("drop", (event) => {
      show(veil, false);
      const file = event.dataTransfer?.files[0];
      if (!file) return;
      event.preventDefault();
      if (this.#app.view !== "open") this.#app.go("#/");
      void this.openFile(file);
    });
  }

  #setBusy(busy: boolean): void {
    this.#busy = busy;
    byId<HTMLButtonElement>("open-button").disabled = busy;
    byId<HTMLButtonElement>("featured-open").disabled = busy;
    setText(byId("open-button"), busy ? "Opening\u2026" : "Open");
    this.#form.setAttribute("aria-busy", String(busy));
  }

  #fail(text: string): void {
    setText(this.#error, text);
    this.#magnet.toggleAttribute("aria-invalid", false);
    if (text) this.#magnet.setAttribute("aria-invalid", "true");
  }
}

/** The display name in a magnet link (BEP 9 `dn`). */
function nameIn(magnet: string | null): string | null {
  const query = magnet?.split("?")[1];
  return query ? new URLSearchParams(query).get("dn") : null;
}
