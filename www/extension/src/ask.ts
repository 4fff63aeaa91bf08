/** The question whether a site may use the extension, in a window of the extension's own. */

import { parseTypedAmount } from "piecework";
import { byId, make, reason, setText, show } from "../../player/src/dom.ts";
import { label } from "../../player/src/format.ts";
import { finePerBlock } from "../../npm/src/units.ts";
import { ask, state } from "./ours.ts";
import { originOf } from "./sites.ts";

/**
 * Milliseconds that the window is looked at before it allows anything: a press may be meant for what was there before.
 */
const LOOKED_AT = 1_000;

/** Allows only while the window has had the focus for so long. */
function guard(yes: HTMLButtonElement): void {
  let looks: ReturnType<typeof setTimeout> | undefined;
  const look = () => {
    clearTimeout(looks);
    yes.disabled = true;
    if (document.hasFocus()) looks = setTimeout(() => (yes.disabled = false), LOOKED_AT);
  };
  addEventListener("focus", look);
  addEventListener("blur", look);
  look();
}

async function begin(): Promise<void> {
  const origin = originOf(new URLSearchParams(location.search).get("site") ?? "");
  if (origin === null) throw new Error("No site is named.");
  setText(byId("site"), label(origin));
  const { settings, sites } = await state();
  const { payment } = settings;
  const before = sites.find((site) => site.origin === origin);
  const [budget, ceiling] = [byId<HTMLInputElement>("budget"), byId<HTMLInputElement>("ceiling")];
  show(byId("money"), payment !== null);
  if (payment) {
    ceiling.value = payment.maxPricePerGB;
    for (const place of document.querySelectorAll(".symbol"))
      place.append(make("span", { textContent: `(${payment.token.symbol})` }));
  }
  const decide = async (allowed: boolean): Promise<void> => {
    const decimals = payment?.token.decimals ?? 0;
    const most = payment ? amount(payment.maxPricePerGB, decimals) : 0n;
    const price = payment ? amount(ceiling.value, decimals) : 0n;
    if (price > most) throw new Error(`The options allow no site more than ${payment?.maxPricePerGB} for a gigabyte.`);
    await ask({
      to: "host",
      t: "decide",
      origin,
      allowed,
      // What it spent before counts.
      budget: payment && allowed ? amount(budget.value, decimals) + spent(before?.spentFine) : 0n,
      ceiling: allowed ? finePerBlock(price) : 0n,
    });
    close();
  };
  const press = (allowed: boolean) => decide(allowed).catch((error) => setText(byId("failed"), reason(error)));
  guard(byId<HTMLButtonElement>("yes"));
  byId("answer").addEventListener("submit", (event) => {
    event.preventDefault();
    void press(true);
  });
  byId("no").addEventListener("click", () => void press(false));
}

/** Base units of what was typed. */
function amount(text: string, decimals: number): bigint {
  const units = parseTypedAmount(text || "0", decimals);
  if (units === null) throw new Error(`${text} is no amount: write it with at most ${decimals} places.`);
  return units;
}

/** Base units, rounded up. */
function spent(fine = 0n): bigint {
  return (fine + (1n << 24n) - 1n) >> 24n;
}

begin().catch((error) => setText(byId("failed"), reason(error)));
