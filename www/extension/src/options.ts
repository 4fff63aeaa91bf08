/** The options: limits, network, the vault, and what each site may do. */

import { formatAmount, parseIceServers, parseTypedAmount } from "piecework";
import { deploymentFrom } from "piecework/deployment";
import { announce, byId, make, reason, setText, show } from "../../player/src/dom.ts";
import { label, plural, units } from "../../player/src/format.ts";
import { ask, state } from "./ours.ts";
import type { Payment, Settings } from "./settings.ts";
import { left, type Site } from "./sites.ts";

const KB = 1_000;
const GB = 1_000_000_000;
const field = (id: string) => byId<HTMLInputElement>(id);
const area = (id: string) => byId<HTMLTextAreaElement>(id);

/** A number that was typed; null: none. */
function typed(id: string, times: number, most = Number.MAX_SAFE_INTEGER): number | null {
  const text = field(id).value.trim();
  if (text === "") return null;
  const number = Number(text) * times;
  if (!(number >= 0 && number <= most)) throw new Error(`${text} is no number from 0 to ${most / times}.`);
  return Math.floor(number);
}

async function save(settings: Partial<Settings>): Promise<void> {
  await ask({ to: "host", t: "settings", settings });
  announce("Saved");
  await draw();
}

function limits(): Partial<Settings> {
  const [from, to] = [typed("from", 1, 23), typed("to", 1, 24)];
  if ((from === null) !== (to === null)) throw new Error("Name both hours, or none.");
  return {
    uploadLimit: typed("up", KB),
    downloadLimit: typed("down", KB),
    storageLimit: typed("storage", GB),
    hours: from === null || to === null ? null : { from, to },
    onMetered: field("metered").checked,
    onBattery: field("battery").checked,
  };
}

function network(): Partial<Settings> {
  const lines = (id: string) => area(id).value.split(/\s+/).filter(Boolean);
  const trackers = lines("trackers");
  const wrong = trackers.find((url) => !/^wss?:\/\//i.test(url) || !URL.canParse(url));
  if (wrong) throw new Error(`${wrong} is no address of a signaling server: it begins with wss://.`);
  const ice = lines("ice");
  return { trackers, iceServers: ice.length === 0 ? null : ice[0] === "none" ? [] : parseIceServers(ice.join(" ")) };
}

/** The vault that is in use; its price can be changed without its file. */
let used: Payment | null = null;

function vault(): Partial<Settings> {
  const text = area("deployment").value.trim();
  const { exitDelaySeconds: _, ...deployment } =
    used && text === "" ? { ...used, exitDelaySeconds: 0 } : deploymentFrom(text);
  const rpcUrl = field("rpc").value.trim() || deployment.rpcUrl;
  if (!rpcUrl) throw new Error("Name a node: the extension has no wallet to read the chain by.");
  const maxPricePerGB = field("most").value.trim();
  if (parseTypedAmount(maxPricePerGB, deployment.token.decimals) === null)
    throw new Error(`${maxPricePerGB || "Nothing"} is no price for a gigabyte.`);
  return { payment: { ...deployment, rpcUrl, maxPricePerGB } };
}

async function draw(): Promise<void> {
  const { settings, sites, brought } = await state();
  const { payment } = settings;
  used = payment;
  if (payment) field("most").value = payment.maxPricePerGB;
  const number = (value: number | null, by: number) => (value === null ? "" : String(value / by));
  field("up").value = number(settings.uploadLimit, KB);
  field("down").value = number(settings.downloadLimit, KB);
  field("storage").value = number(settings.storageLimit, GB);
  field("from").value = settings.hours ? String(settings.hours.from) : "";
  field("to").value = settings.hours ? String(settings.hours.to) : "";
  field("metered").checked = settings.onMetered;
  field("battery").checked = settings.onBattery;
  area("trackers").value = settings.trackers.join("\n");
  area("ice").value =
    settings.iceServers === null ? "" : settings.iceServers.flatMap(({ urls }) => urls).join("\n") || "none";
  setText(
    byId("vault-now"),
    payment
      ? `Vault ${payment.vault} on chain ${payment.chainId}, which is read at ${payment.rpcUrl}. ` +
          `It is paid in ${payment.token.symbol}.`
      : "No money is used.",
  );
  show(byId("no-vault"), payment !== null);
  show(byId("no-sites"), sites.length === 0);
  byId("sites").replaceChildren(...sites.map((site) => row(site, payment, brought[site.origin] ?? 0)));
}

function row(site: Site, payment: Payment | null, brought: number): HTMLElement {
  const { origin, allowed } = site;
  const money =
    payment && allowed
      ? `, may still spend ${units(left(site), payment.token)} of ${amount(site.budget, payment)}`
      : "";
  const says = allowed === null ? "asked" : allowed ? `allowed${money}` : "not allowed";
  const change = make("a", { href: `ask.html?site=${encodeURIComponent(origin)}`, textContent: "Change" });
  const forget = make("button", { type: "button", className: "quiet", textContent: allowed ? "Take back" : "Forget" });
  forget.setAttribute("aria-label", `${forget.textContent}: ${label(origin)}`);
  const words = `also delete the ${plural(brought, "title")} that it brought`;
  const titles = make("input", { type: "checkbox" });
  forget.addEventListener("click", () => {
    ask({ to: "host", t: "forget", origin, withTitles: titles.checked }).then(draw).catch(fails);
  });
  const withTitles = make("label", {}, titles, ` ${words}`);
  titles.setAttribute("aria-label", `${words}: ${label(origin)}`);
  const name = make("span", { className: "name", textContent: label(origin) });
  return make("li", {}, name, ` ${says} `, change, forget, ...(brought > 0 ? [withTitles] : []));
}

function amount(sum: bigint, { token }: Payment): string {
  return formatAmount(sum, token.decimals);
}

const fails = (error: unknown) => setText(byId("failed"), reason(error));
function saves(form: string, read: () => Partial<Settings>): void {
  byId(form).addEventListener("submit", (event) => {
    event.preventDefault();
    setText(byId("failed"), "");
    Promise.resolve().then(read).then(save).catch(fails);
  });
}
saves("limits", limits);
saves("network", network);
saves("vault", vault);
// Firefox has the manifest's `protocol_handlers` for it.
show(byId("links"), location.protocol === "chrome-extension:" && "registerProtocolHandler" in navigator);
byId("magnets").addEventListener("click", () => {
  try {
    navigator.registerProtocolHandler("magnet", `${location.origin}/magnet.html?link=%s`);
  } catch (error) {
    fails(error);
  }
});
byId("no-vault").addEventListener("click", () => void save({ payment: null }).catch(fails));
draw().catch(fails);
