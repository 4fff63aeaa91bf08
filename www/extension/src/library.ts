/** The library: titles with size, price and what they earned; adding, removing, the history. */

import { historyCSV, type Client, type Torrent, type TorrentStats } from "piecework";
import { announce, byId, confirm, make, reason, setText, show } from "../../player/src/dom.ts";
import { bytes, fine, label, percent, rate, units } from "../../player/src/format.ts";
import { HistoryCard } from "../../player/src/views/history.ts";
import type { Config } from "../../player/src/config.ts";
import type { Engine } from "../../player/src/engine.ts";
import { offerMoney } from "./money.ts";
import { client, library, state } from "./ours.ts";
import type { Payment } from "./settings.ts";

/** Milliseconds. */
const EVERY = 2_000;

const fails = (error: unknown) => setText(byId("failed"), reason(error));
/** The elements of each title that is shown. */
const rows = new Map<string, Row>();

interface Row {
  row: HTMLElement;
  text: HTMLElement;
  /** Says in each control's name which title it is about. */
  call(name: string): void;
}

async function begin(): Promise<void> {
  const { settings } = await state();
  if (!settings.started) throw new Error("Nothing runs yet: open the extension\u2019s first page from its button.");
  const { payment } = settings;
  const own = client(payment);
  const add = (source: string | Blob) => own.add(source, { onDemand: false }).then(() => draw(own, payment));
  byId("add").addEventListener("submit", (event) => {
    event.preventDefault();
    const link = byId<HTMLInputElement>("link");
    setText(byId("failed"), "");
    add(link.value)
      .then(() => (link.value = ""))
      .catch(fails);
  });
  byId<HTMLInputElement>("file").addEventListener("change", ({ target }) => {
    const [file] = (target as HTMLInputElement).files ?? [];
    if (file) add(file).catch(fails);
  });
  // A magnet link that was opened with the extension is only put into the field: the user adds it.
  byId<HTMLInputElement>("link").value = new URLSearchParams(location.search).get("add") ?? "";
  offerHistory(own, payment);
  const money = payment ? offerMoney(own, payment) : null;
  const again = async (): Promise<void> => {
    await draw(own, payment).catch(fails);
    await money?.update().catch(fails);
    setTimeout(() => void again(), EVERY);
  };
  await again();
}

/** The player's own card. */
function offerHistory(own: Client, payment: Payment | null): void {
  show(byId("history"), payment !== null);
  if (!payment) return;
  const engine: Pick<Engine, "history" | "historyCSV" | "clearHistory"> = {
    history: () => own.history(),
    historyCSV: async () => historyCSV(await own.history(), payment.token),
    clearHistory: () => own.clearHistory(),
  };
  const card = new HistoryCard({ config: { payment: { token: payment.token } } as Config, engine: engine as Engine });
  byId("history").addEventListener("toggle", () => void card.read());
}

async function draw(own: Client, payment: Payment | null): Promise<void> {
  const titles = new Set<string>();
  for (const title of await library(own)) {
    // One that another page removed, or the user with its site, is known to this page and not to the engine.
    const stats = await title.stats().catch(() => null);
    if (!stats) continue;
    titles.add(title.infoHash);
    const { row, text, call } = rows.get(title.infoHash) ?? made(own, title, payment);
    const name = label(stats.name || title.infoHash);
    setText(text, `${name}: ${facts(stats, payment)}`);
    call(name);
    if (!row.isConnected) byId("titles").append(row);
  }
  for (const [hash, { row }] of rows) {
    if (titles.has(hash)) continue;
    row.remove();
    rows.delete(hash);
  }
  show(byId("empty"), titles.size === 0);
}

function facts(stats: TorrentStats, payment: Payment | null): string {
  const here = `${bytes(stats.length)}, ${percent(stats.verified, stats.length)} % here, up ${rate(stats.uploadRate)}`;
  if (!payment) return here;
  const price = stats.sellPricePerGB > 0n ? `${units(stats.sellPricePerGB, payment.token)} per GB` : "free";
  const sum = (amount: bigint) => fine(amount, payment.token);
  return `${here}, ${price}, paid ${sum(stats.spentFine)}, earned ${sum(stats.earnedFine)}`;
}

function made(own: Client, title: Torrent, payment: Payment | null): Row {
  const text = make("p", { className: "name" });
  const controls: [HTMLElement, string][] = [];
  const button = (words: string, press: () => Promise<unknown>): HTMLElement => {
    const one = make("button", { type: "button", className: "secondary", textContent: words });
    controls.push([one, words]);
    one.addEventListener("click", () => void press().catch(fails));
    return one;
  };
  const price = make("input", { type: "text", inputMode: "decimal", size: 8 });
  controls.push([price, "Price for a gigabyte"]);
  const sets = button("Set price", async () => {
    await title.setSellPricePerGB(price.value);
    announce("Saved");
  });
  const buttons = make(
    "div",
    { className: "buttons" },
    ...(payment ? [make("label", {}, "Price for a gigabyte", price), sets] : []),
    button("Remove", async () => {
      const yes = await confirm(
        "Remove this title?",
        [`${label(title.name)} is deleted from this device.`],
        "Remove it",
      );
      if (!yes) return;
      await title.remove({ deleteData: true });
      await draw(own, payment);
    }),
  );
  const row = make("li", { className: "card" }, text, buttons);
  const call = (name: string) => {
    for (const [control, words] of controls) control.setAttribute("aria-label", `${words}: ${name}`);
  };
  rows.set(title.infoHash, { row, text, call });
  return { row, text, call };
}

begin().catch(fails);
