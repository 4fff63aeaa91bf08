/** The log: payments, warnings and errors of one title, newest first, bounded. */

import { byId, make, setText, show } from "../dom.ts";
import type { Notice } from "../engine.ts";
import { clock, plural } from "../format.ts";

/** Older lines go. */
const MOST_LINES = 200;

/** The log of the title that is shown. */
export class Log {
  readonly #list = byId("log");

  /** Adds a line, if the event is one for people. */
  add(notice: Notice): void {
    if (notice.text === "" || notice.kind === "done") return;
    const now = Date.now();
    const time = make("time", { dateTime: new Date(now).toISOString(), textContent: clock(now) });
    this.#list.prepend(make("li", { className: notice.kind }, time, make("span", { textContent: notice.text })));
    while (this.#list.children.length > MOST_LINES) this.#list.lastElementChild?.remove();
    this.#count();
  }

  /** Forgets everything. */
  clear(): void {
    this.#list.replaceChildren();
    this.#count();
  }

  #count(): void {
    const lines = this.#list.children.length;
    show(byId("log-empty"), lines === 0);
    setText(byId("log-count"), lines === 0 ? "" : lines === MOST_LINES ? `last ${lines}` : plural(lines, "line"));
  }
}
