// `<piecework-player>` with a film that costs money, for tests in either browser.
import { readFileSync } from "node:fs";
import { EMBED, serve } from "../player_site.mjs";
import { ending } from "../harness.mjs";
import { Scene } from "./scene.mjs";
import { RemoteWallet } from "./wallet.mjs";

/** At this price per 10^9 bytes the film of the demo, and the sum that it may lose to bad data, cost 0.4576. */
const PRICE = 17.6;

/** The demo's film at a native seller, a wallet, and a page with the element's script in it. */
export async function soldFilm(bytesPerSecond = 20_000_000) {
  const scene = await Scene.open();
  const title = await scene.title("film.mp4", readFileSync(process.env.PIECEWORK_VIDEO));
  const seeder = await scene.seeder([title], bytesPerSecond, { price: PRICE });
  const wallet = await RemoteWallet.start(scene.chain, scene.payer);
  const connect = "ws://127.0.0.1:* http://127.0.0.1:*";
  const site = await serve({ config: () => null, connect, documents: EMBED });
  ending(site.close);
  const { payments } = scene.options();
  const attributes = {
    magnet: title.magnet,
    trackers: scene.tracker,
    vault: payments.vault,
    "chain-id": payments.chainId,
    "rpc-url": payments.rpcUrl,
    token: payments.token.address,
    "token-symbol": "pwUSD",
    "max-price-per-gb": "20",
  };
  return { scene, title, seeder, wallet, url: `${site.url}embed.html`, attributes };
}

/** Runs in the page: puts the element into it. */
export async function make(attributes) {
  await customElements.whenDefined("piecework-player");
  const player = Object.assign(document.createElement("piecework-player"), { id: "player" });
  for (const [name, value] of Object.entries(attributes)) player.setAttribute(name, value);
  player.video.muted = true;
  document.querySelector("main").append(player);
}
