/** The history of the view of money: what was bought, sold, redeemed and paid for gas, by day, title and peer. */

import { announce, byId, confirm, make, reason, setText, show } from "../dom.ts";
import { COIN, fine, label, plural, shortAddress, units } from "../format.ts";
import type { Host } from "../host.ts";
import type { HistoryLine } from "../model.ts";

/** Lines that are shown at first, and that each press of "Show more" adds. */
const PAGE = 100;
const KINDS: Record<HistoryLine["kind"], string> = {
  bought: "Bought",
  sold: "Sold",
  redeemed: "Redeemed",
  gas: "Network fee",
};

/** The part of the page that it uses. */
type Page = Pick<Host, "config" | "engine">;

/** The card. It reads the history when it is opened, and when it is asked to. */
export class HistoryCard {
  readonly #host: Page;
  readonly #box = byId<HTMLDetailsElement>("history");
  readonly #kind = byId<HTMLSelectElement>("history-kind");
  #lines: HistoryLine[] = [];
  #shown = PAGE;

  constructor(host: Page) {
    this.#host = host;
    this.#kind.addEventListener("change", () => {
      this.#shown = PAGE;
      this.#draw();
    });
    byId("history-more").addEventListener("click", () => {
      this.#shown += PAGE;
      this.#draw();
    });
    byId("history-save").addEventListener("click", () => void this.#save());
    byId("history-clear").addEventListener("click", () => void this.#clear());
    byId("history-again").addEventListener("click", () => void this.read());
  }

  /** Reads the history and shows it. */
  async read(): Promise<void> {
    if (!this.#box.open) return;
    show(byId("history-failed"), false);
    try {
      this.#lines = await this.#host.engine.history();
      this.#draw();
    } catch (error) {
      setText(byId("history-reason"), `The history could not be read. ${reason(error)}`);
      show(byId("history-failed"), true);
      show(byId("history-all"), false);
      show(byId("history-empty"), false);
    }
  }

  #draw(): void {
    const kind = this.#kind.value;
    const lines = this.#lines.filter((line) => kind === "" || line.kind === kind);
    show(byId("history-empty"), this.#lines.length === 0);
    show(byId("history-all"), this.#lines.length > 0);
    byId("history-lines").replaceChildren(...lines.slice(0, this.#shown).map((line) => this.#row(line)));
    setText(byId("history-count"), lines.length === 0 ? "Nothing of this kind." : plural(lines.length, "line"));
    show(byId("history-more"), lines.length > this.#shown);
  }

  #row(line: HistoryLine): HTMLElement {
    const cells: [string, string, string][] = [
      ["When", line.date || "Earlier", ""],
      ["What", KINDS[line.kind], ""],
      ["Title", line.infoHash === null ? "" : line.name ? label(line.name) : shortAddress(line.infoHash), ""],
      [line.kind === "bought" ? "Paid to" : "Paid by", line.peer === null ? "" : shortAddress(line.peer), ""],
      ["Amount", this.#amount(line), "n"],
    ];
    const row = make("tr", {});
    row.setAttribute("role", "row");
    for (const [name, text, className] of cells) {
      const cell = make("td", { textContent: text, className: text ? className : "none" });
      cell.setAttribute("role", "cell");
      cell.dataset.label = name;
      row.append(cell);
    }
    return row;
  }

  #amount({ kind, amount, amountFine }: HistoryLine): string {
    const token = this.#host.config.payment?.token;
    if (kind === "gas" || !token) return units(amount, COIN);
    return amountFine === null ? units(amount, token) : fine(amountFine, token);
  }

  async #save(): Promise<void> {
    try {
      const csv = await this.#host.engine.historyCSV();
      const url = URL.createObjectURL(new Blob([csv], { type: "text/csv" }));
      make("a", { href: url, download: "piecework-history.csv" }).click();
      setTimeout(() => URL.revokeObjectURL(url), 10_000);
      announce("Saved");
    } catch (error) {
      this.#say(`The history could not be saved. ${reason(error)}`);
    }
  }

  async #clear(): Promise<void> {
    const yes = await confirm(
      "Delete the history?",
      [
        "It names what was watched here, from whom, and who paid for it. It is nowhere else, and cannot be brought back.",
        "What you hold, owe and earned stays as it is.",
      ],
      "Delete it",
    );
    if (!yes) return;
    try {
      await this.#host.engine.clearHistory();
      await this.read();
      announce("Deleted");
    } catch (error) {
      this.#say(`The history could not be deleted. ${reason(error)}`);
    }
  }

  #say(text: string): void {
    setText(byId("history-reason"), text);
    show(byId("history-failed"), true);
    announce(text);
  }
}
