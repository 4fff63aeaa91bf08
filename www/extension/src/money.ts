/** The library's part about money: what was earned is redeemed, and what was deposited comes back. */

import type { Client } from "piecework";
import { announce, byId, confirm, make, reason, setText, show } from "../../player/src/dom.ts";
import { fine, label, moment, units } from "../../player/src/format.ts";
import { state } from "./ours.ts";
import type { Payment } from "./settings.ts";
import { walletIn } from "./wallet.ts";

/** Shows it from now on; `update` brings it up to date. */
export function offerMoney(own: Client, payment: Payment): { update(): Promise<void> } {
  const { token } = payment;
  const pages = byId<HTMLSelectElement>("wallet-page");
  show(byId("money"), true);

  /** Connects the wallet in the chosen page; gives its account. */
  const connect = async (): Promise<string> => {
    if (!payment.rpcUrl) throw new Error("Name a node in the options.");
    if (!pages.value)
      throw new Error("Open a page of a site that pays, with your wallet in it, and allow it to use Piecework.");
    return own.connectWallet({ provider: walletIn(pages.value, payment.rpcUrl) });
  };
  const redeem = async (): Promise<void> => {
    const account = await connect();
    const { money } = await own.stats();
    // The page names the account: a hostile one would name its own.
    const words = [`${units(money.redeemable, token)} go to the account ${account}.`, "Is this your account?"];
    if (!(await confirm("Redeem what you earned?", words, "Redeem"))) return;
    const { paid } = await own.redeem();
    say(`${units(paid, token)} came to ${account}.`);
  };
  const exit = async (): Promise<void> => {
    const account = await connect();
    const words = [`The deposit of ${account} cannot buy any more from now on.`, "This cannot be cancelled."];
    if (!(await confirm("Ask for the deposit back?", words, "Ask for it"))) return;
    const { exitAt } = await own.exit();
    say(exitAt ? `It can be withdrawn from ${moment(exitAt.getTime() / 1000)} on.` : "It can be withdrawn.");
  };
  const withdraw = async (): Promise<void> => {
    await connect();
    await own.withdraw();
    say("The deposit came back.");
  };
  const say = (text: string) => {
    setText(byId("money-state"), text);
    announce(text);
  };
  for (const [id, press] of Object.entries({ redeem, exit, withdraw }))
    byId(id).addEventListener("click", () => {
      press()
        .then(update)
        .catch((error) => say(reason(error)));
    });

  async function update(): Promise<void> {
    const [{ withWallet }, { money }] = await Promise.all([state(), own.stats()]);
    const options = withWallet.map((origin) => make("option", { value: origin, textContent: label(origin) }));
    const before = [...pages.options].map(({ value }) => value);
    if (before.join() !== withWallet.join()) pages.replaceChildren(...options);
    setText(
      byId("sums"),
      `To redeem: ${fine(money.redeemableFine, token)}. Redeemed: ${units(money.redeemed, token)}. ` +
        `On deposit: ${units(money.balance, token)}.`,
    );
  }
  return { update };
}
