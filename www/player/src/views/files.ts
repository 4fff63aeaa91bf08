/** The files of the title that is watched: the one that plays, and saving each out of the page. */

import { announce, byId, make, reason, setText } from "../dom.ts";
import { Cancelled, type Title } from "../engine.ts";
import { bytes, label, plural } from "../format.ts";
import type { Host } from "../host.ts";
import type { Look } from "../model.ts";

/** More are not listed: nobody reads them. */
const MOST_FILES = 200;
const PLAYABLE = /\.(mp4|m4v|webm|ogv|mov|mkv|mp3|m4a|ogg|opus|flac|wav)$/i;

/** Can a browser be asked to play a file of this name? */
export function isPlayable(path: string): boolean {
  return PLAYABLE.test(path);
}

/**
 * The file to play unless the visitor says otherwise: the largest selected one that may be playable, else the largest
 * other one, else the first.
 */
export function bestFile(look: Look): number {
  const playable = look.files.map((_, index) => index).filter((index) => isPlayable(look.files[index]?.path ?? ""));
  const selected = playable.filter((index) => look.files[index]?.selected);
  const indexes = selected.length > 0 ? selected : playable;
  const size = (index: number): number => look.files[index]?.length ?? 0;
  return indexes.reduce((best, index) => (size(index) > size(best) ? index : best), indexes[0] ?? 0);
}

/** The part of the page that it uses. */
type Page = Pick<Host, "problem">;

/** The list. */
export class Files {
  readonly #host: Page;
  readonly #play: (file: number) => void;
  #shown = "";
  /** Of each file that is listed, in their order. */
  #boxes: HTMLInputElement[] = [];

  constructor(host: Page, play: (file: number) => void) {
    this.#host = host;
    this.#play = play;
  }

  /** Shows the files of a title, `playing` among them. */
  update(title: Title, look: Look, playing: number): void {
    this.#list(title, look, playing);
    this.#boxes.forEach((box, index) => {
      box.checked = look.files[index]?.selected ?? true;
    });
    const out = look.files.filter(({ selected }) => !selected).length;
    const facts = [
      look.files.length > MOST_FILES ? `the first ${MOST_FILES} of ${plural(look.files.length, "file")}` : "",
      out > 0 ? `${out} of ${look.files.length} left out` : "",
    ];
    setText(byId("files-text"), facts.filter(Boolean).join(", "));
  }

  #list(title: Title, look: Look, playing: number): void {
    const key = `${title.infoHash} ${look.files.length} ${playing}`;
    if (key === this.#shown) return;
    this.#shown = key;
    this.#boxes = [];
    byId("files").replaceChildren(
      ...look.files.slice(0, MOST_FILES).map((file, index) => {
        const name = label(file.path);
        const buttons = make("div", { className: "buttons" });
        if (isPlayable(file.path) && index !== playing)
          buttons.append(this.#button("Play", name, () => this.#play(index)));
        const save = this.#button("Save", name, () => void this.#save(title, index, save));
        buttons.append(save);
        return make(
          "li",
          {},
          ...(look.files.length > 1 ? [this.#box(title, index, name)] : []),
          make("span", { className: "name", textContent: name }),
          make("span", {
            className: "facts",
            textContent:
              index === playing && look.files.length > 1 && isPlayable(file.path)
                ? `${bytes(file.length)} \u00b7 in the player`
                : bytes(file.length),
          }),
          buttons,
        );
      }),
    );
  }

  /** Whether the file is fetched where all that is selected is. */
  #box(title: Title, index: number, name: string): HTMLInputElement {
    const box = make("input", { type: "checkbox" });
    box.setAttribute("aria-label", `Select ${name}`);
    box.addEventListener("change", () => void this.#select(title, index, name, box));
    this.#boxes.push(box);
    return box;
  }

  async #select(title: Title, index: number, name: string, box: HTMLInputElement): Promise<void> {
    const { checked } = box;
    try {
      await title.select(index, checked);
      announce(checked ? `${name} is selected` : `${name} is left out`);
    } catch (error) {
      box.checked = !checked;
      this.#host.problem("The selection could not be changed.", reason(error));
    }
  }

  #button(word: string, name: string, run: () => void): HTMLButtonElement {
    const button = make("button", { type: "button", className: "quiet", textContent: word });
    button.setAttribute("aria-label", `${word} ${name}`);
    button.addEventListener("click", run);
    return button;
  }

  async #save(title: Title, index: number, button: HTMLButtonElement): Promise<void> {
    button.disabled = true;
    setText(button, "Saving\u2026");
    try {
      await title.save(index);
      announce("Saved");
    } catch (error) {
      if (!(error instanceof Cancelled)) this.#host.problem("The file could not be saved.", reason(error));
    } finally {
      button.disabled = false;
      setText(button, "Save");
    }
  }
}
