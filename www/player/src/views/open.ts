/**
 * The first view: open a magnet link or a .torrent file, go on with a title on this device, or share one's own files.
 */

import { announce, byId, confirm, make, reason, setText, show } from "../dom.ts";
import type { Source } from "../engine.ts";
import { bytes, label, percent } from "../format.ts";
import type { Host } from "../host.ts";
import type { Stored } from "../model.ts";
import { Own } from "./own.ts";

/** A .torrent of more than this is not read into memory; the engine's own bound is the same. */
const LARGEST_TORRENT_BYTES = 16 * 1024 * 1024;

/** The part of the page that it uses. */
type Page = Pick<Host, "clearProblem" | "config" | "engine" | "go" | "problem" | "view">;

/** The opening view. */
export class OpenView {
  readonly #host: Page;
  readonly #form = byId<HTMLFormElement>("open-form");
  readonly #magnet = byId<HTMLInputElement>("magnet");
  readonly #file = byId<HTMLInputElement>("file");
  readonly #error = byId("open-error");
  readonly #own: Own;
  #busy = false;

  constructor(host: Page) {
    this.#host = host;
    this.#own = new Own(host);
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
    const { featured } = host.config;
    show(byId("featured"), featured !== null);
    if (featured) {
      setText(byId("featured-name"), label(featured.name ?? nameIn(featured.magnet) ?? "A title this site offers"));
      byId("featured-open").addEventListener("click", () => void this.#openFeatured());
    }
    byId("library-share").addEventListener("click", () => void this.#toggleSharing());
    this.#dropping();
    addEventListener("paste", (event) => {
      const text = magnetIn(event.clipboardData);
      if (!text || isEditable(event.target)) return;
      event.preventDefault();
      void this.open({ magnet: text });
    });
  }

  /** Says whether the titles on this device are shared now. */
  showSharing(): void {
    const { sharing } = this.#host.engine;
    const cap = sharing.cap === null ? "" : `, with at most ${sharing.cap} kB/s`;
    setText(
      byId("library-shared"),
      sharing.on
        ? `Others can get these from you while this page is open${cap}.`
        : "These are not shared: nobody gets them from you.",
    );
    setText(byId("library-share"), sharing.on ? "Stop sharing" : "Share them");
  }

  async #toggleSharing(): Promise<void> {
    const { engine } = this.#host;
    const on = !engine.sharing.on;
    try {
      await engine.setSharing({ on, cap: engine.sharingWish.cap });
      announce(on ? "Uploading is on" : "Uploading is off");
    } catch (error) {
      this.#host.problem("Sharing could not be changed.", reason(error));
    }
    this.showSharing();
  }

  /** Comes into view. */
  enter(): void {
    this.#fail("");
    void this.refresh();
  }

  /** Brings the list of titles on this device up to date. */
  async refresh(): Promise<void> {
    let stored: Stored[];
    try {
      stored = await this.#host.engine.stored();
    } catch (error) {
      // An empty list would say that nothing is here.
      const again = (): void => {
        this.#host.clearProblem();
        void this.refresh();
      };
      this.#host.problem("What is on this device could not be listed.", reason(error), {
        label: "Try again",
        run: again,
      });
      return;
    } finally {
      show(byId("library-reading"), false);
    }
    const list = byId("library");
    list.replaceChildren(...stored.map((title) => this.#row(title)));
    show(byId("library-empty"), stored.length === 0);
    show(byId("library-sharing"), stored.length > 0);
    this.showSharing();
  }

  /** Opens a dropped or chosen file. */
  async openFile(file: File): Promise<void> {
    if (file.size > LARGEST_TORRENT_BYTES) {
      this.#fail(
        `${label(file.name)} is ${bytes(file.size)}: too large for a .torrent file, which describes a video ` +
          "and does not hold it.",
      );
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
      const title = await this.#host.engine.open(source);
      this.#magnet.value = "";
      this.#fail("");
      this.#host.go(`#/title/${title.infoHash}`);
    } catch (error) {
      if (this.#host.view !== "open") this.#host.go("#/");
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
    const { featured } = this.#host.config;
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
    const name = label(title.name) || title.infoHash;
    const link = make("a", { className: "name", href: `#/title/${title.infoHash}`, textContent: name });
    const remove = make("button", { type: "button", className: "quiet", textContent: "Remove" });
    remove.setAttribute("aria-label", `Remove ${name}`);
    remove.addEventListener("click", () => void this.#remove(title, name));
    const facts =
      title.length > 0
        ? `${bytes(title.length)} \u00b7 ${percent(title.verified, title.length)} % here`
        : "Not looked at yet";
    return make("li", {}, make("div", {}, link, make("p", { className: "facts", textContent: facts })), remove);
  }

  async #remove(title: Stored, name: string): Promise<void> {
    const yes = await confirm(
      "Remove this title?",
      [`\u201c${name}\u201d and what is here of it is deleted from this device.`],
      "Remove",
    );
    if (!yes) return;
    try {
      await this.#host.engine.remove(title.infoHash);
      announce("Removed");
    } catch (error) {
      this.#host.problem("It could not be removed.", reason(error));
    }
    await this.refresh();
    byId("open-title").focus();
  }

  #dropping(): void {
    const veil = byId("drop");
    const welcome = ({ dataTransfer, target }: DragEvent): boolean =>
      dataTransfer !== null &&
      (dataTransfer.types.includes("Files") || (dataTransfer.types.includes("text/plain") && !isEditable(target)));
    addEventListener("dragenter", (event) => {
      if (welcome(event)) show(veil, true);
    });
    addEventListener("dragover", (event) => {
      if (welcome(event)) event.preventDefault();
    });
    addEventListener("dragleave", (event) => {
      if (event.relatedTarget === null) show(veil, false);
    });
    addEventListener("drop", (event) => {
      show(veil, false);
      if (!welcome(event)) return;
      event.preventDefault();
      void this.#dropped(event.dataTransfer);
    });
  }

  /** Any file but a .torrent is one to share. */
  async #dropped(transfer: DataTransfer | null): Promise<void> {
    const magnet = magnetIn(transfer);
    const files = [...(transfer?.files ?? [])];
    const folder = [...(transfer?.items ?? [])].some((item) => item.webkitGetAsEntry()?.isDirectory);
    if (this.#host.view !== "open") this.#host.go("#/");
    const [first] = files;
    if (folder) this.#fail("A folder cannot be dropped here. Drop the files in it.");
    else if (first && files.length === 1 && isTorrent(first)) await this.openFile(first);
    else if (first) {
      this.#fail("");
      await this.#own.choose(files);
    } else if (magnet) await this.open({ magnet });
    else this.#fail("What was dropped is neither a magnet link nor a file.");
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

/** A magnet link that is dragged or pasted as text. */
function magnetIn(transfer: DataTransfer | null): string | null {
  const text = transfer?.getData("text/plain").trim() ?? "";
  return /^magnet:\?\S+$/i.test(text) ? text : null;
}

function isTorrent(file: File): boolean {
  return /\.torrent$/i.test(file.name) || file.type === "application/x-bittorrent";
}

function isEditable(target: EventTarget | null): boolean {
  return target instanceof HTMLInputElement && target.type === "text";
}
