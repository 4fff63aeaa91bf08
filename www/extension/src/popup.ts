/** The button's page: what moves now, what was spent and earned today, who asks, and the pause. */

import type { Client } from "piecework";
import { byId, make, reason, setLedger, setText, type LedgerRow } from "../../player/src/dom.ts";
import { fine, label, plural, rate } from "../../player/src/format.ts";
import { api } from "./browser.ts";
import { ask, client, state } from "./ours.ts";
import type { State } from "./words.ts";

/** Milliseconds. */
const EVERY = 1_000;
let own: Client | null = null;

async function draw(): Promise<void> {
  const now = await state();
  const { settings } = now;
  if (!settings.started) {
    setText(byId("state"), "Nothing runs yet.");
    byId("questions").replaceChildren(link("Set it up", "welcome.html"));
    return;
  }
  own ??= client(settings.payment);
  setText(byId("state"), now.fault || (now.quiet ? `Nothing is uploaded. ${now.quiet}` : "It shares your library."));
  const pause = byId("pause");
  setText(pause, settings.paused ? "Go on uploading" : "Pause uploading");
  pause.setAttribute("aria-pressed", String(settings.paused));
  byId("questions").replaceChildren(
    ...now.sites
      .filter(({ allowed }) => allowed === null)
      .map(({ origin }) => link(`${label(origin)} asks \u2026`, `ask.html?site=${encodeURIComponent(origin)}`)),
  );
  setLedger(byId("now"), [...(await rates(own, now)), ...(await today(own, now))]);
}

function link(text: string, page: string): HTMLElement {
  const button = make("button", { type: "button", className: "secondary", textContent: text });
  button.addEventListener("click", () => {
    void api.tabs.create({ url: api.runtime.getURL(page) });
    close();
  });
  return button;
}

async function rates(from: Client, { pages }: State): Promise<LedgerRow[]> {
  const { downloadRate, uploadRate } = await from.stats();
  return [
    { term: "Up", value: rate(uploadRate) },
    { term: "Down", value: rate(downloadRate) },
    { term: "In the library", value: plural((await from.stored()).length, "title") },
    { term: "In use by", value: plural(pages, "page") },
  ];
}

async function today(from: Client, { settings: { payment } }: State): Promise<LedgerRow[]> {
  if (!payment) return [];
  const day = new Date().toISOString().slice(0, 10);
  const lines = (await from.history()).filter(({ date }) => date === day);
  const sum = (kind: "bought" | "sold") =>
    lines.filter((line) => line.kind === kind).reduce((all, { amountFine }) => all + (amountFine ?? 0n), 0n);
  return [
    { term: "Spent today", value: fine(sum("bought"), payment.token) },
    { term: "Earned today", value: fine(sum("sold"), payment.token) },
  ];
}

async function pauseOrNot(): Promise<void> {
  const { settings } = await state();
  await ask({ to: "host", t: "settings", settings: { paused: !settings.paused } });
  await draw();
}

const fails = (error: unknown) => setText(byId("state"), reason(error));
byId("pause").addEventListener("click", () => void pauseOrNot().catch(fails));
byId("library").addEventListener("click", () => void api.tabs.create({ url: api.runtime.getURL("library.html") }));
byId("options").addEventListener("click", () => void api.runtime.openOptionsPage());
async function again(): Promise<void> {
  await draw().catch(fails);
  setTimeout(() => void again(), EVERY);
}
void again();
