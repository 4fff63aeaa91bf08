/**
 * Where the page begins: configuration, engine, views.
 *
 * `window.pieceworkPlayer` is for the console and for tests: it shows the page's data, and the page itself does not use
 * it.
 */

import { App } from "./app.ts";
import { load, readUrl } from "./config.ts";
import { byId, make, offerTheme, reason, setText } from "./dom.ts";
import { Engine, Unsupported } from "./engine.ts";

async function start(): Promise<void> {
  offerTheme();
  const asked = readUrl(new URL(location.href));
  const config = await load();
  if (config.devWallet && config.payment?.rpcUrl) {
    // A script of its own: a real site neither names nor loads it.
    const script = new URL("dev-wallet.js", import.meta.url).href;
    const { install, modeOf } = (await import(script)) as typeof import("../dev-wallet.ts");
    const words = (asked.wallet ?? "").split(",");
    const mode = words.find((word) => ["5792", "permit", "plain"].includes(word)) ?? config.devWallet.mode;
    install({
      keys: config.devWallet.keys,
      rpcUrl: config.payment.rpcUrl,
      chainId: config.payment.chainId,
      mode: modeOf(mode),
      auto: words.includes("auto"),
    });
  }
  const engine = Engine.start(config, asked.bridge);
  const app = new App(config, engine);
  Object.assign(window, { pieceworkPlayer: { app, client: engine.client } });
  if (asked.magnet && new URL(location.href).searchParams.has("magnet")) {
    // Moved behind the `#`, where it is not sent to the server again.
    history.replaceState(null, "", `${location.pathname}#magnet=${asked.magnet}`);
  }
  await app.start();
}

start().catch((error: unknown) => {
  const starting = document.querySelector("#view-start .starting");
  const title = make("h1", {
    textContent: error instanceof Unsupported ? "This browser cannot run the player yet" : "The player could not start",
  });
  const lines = error instanceof Unsupported ? error.lines : [reason(error)];
  const again = make("button", { type: "button", className: "primary", textContent: "Load the page again" });
  again.addEventListener("click", () => location.reload());
  const box = make(
    "div",
    { className: "card failed-start" },
    title,
    ...lines.map((line) => make("p", { textContent: line })),
    make("div", { className: "buttons" }, again),
  );
  box.setAttribute("role", "alert");
  starting?.replaceWith(box);
  document.body.dataset.view = "failed";
  setText(byId("net-text"), "");
});
