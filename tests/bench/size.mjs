// The weight of a paying page: the player is opened and pays for a title, and the server's log names the scripts and
// modules that it asked for.
import { linkSync, readFileSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { gzipSync } from "node:zlib";
import { Viewer } from "../browser/support/demo/viewer.mjs";
import { ending, folder, run } from "../browser/support/harness.mjs";
import { Scene } from "../browser/support/paid/scene.mjs";
import { siteFor } from "./sites.mjs";

const root = join(dirname(fileURLToPath(import.meta.url)), "../..");
const player = join(root, "www/player/dist");
/** The wallet that stands in for the visitor's own: no site loads it. */
const WALLET = /^\/dev-wallet\./;

export async function size({ video }, out) {
  const scene = await Scene.open();
  const film = join(scene.folder, "film.mp4");
  linkSync(video, film);
  const made = await run(["create", film, "--tracker", scene.tracker, "--output", `${film}.torrent`]);
  const [magnet] = /magnet:\?\S+/.exec(made);
  await scene.seeder([{ path: `${film}.torrent` }], 50_000_000);

  const { payments } = scene.options();
  const { privateKey } = scene.anvil.accounts.find(({ address }) => address === scene.payer);
  const settings = join(folder("size"), "demo.json");
  const config = {
    trackers: [scene.tracker],
    rpc: payments.rpcUrl,
    chainId: payments.chainId,
    vault: payments.vault,
    token: payments.token.address,
    deployBlock: payments.deployBlock,
    symbol: "pwUSD",
    maxPricePerGB: "15",
    wallet: "batch",
    walletKeys: [{ address: scene.payer, privateKey }],
  };
  writeFileSync(settings, JSON.stringify(config));
  const requests = [];
  const url = await siteFor({
    folder: player,
    files: { "/demo.json": settings, "/film.torrent": `${film}.torrent` },
    strict: true,
    requests,
  });
  const viewer = await Viewer.open("size", {
    kind: "chromium",
    paths: { chromium: process.env.PIECEWORK_CHROMIUM ?? "/usr/bin/chromium" },
    url: `${url}/?wallet=auto`,
    screenshots: folder("screenshots"),
  });
  ending(() => viewer.close());
  await viewer.openMagnet(magnet, 1);
  await viewer.chooseWallet(1);
  await viewer.arm();
  await viewer.play();
  await viewer.wholeFile();
  const { spentFine } = await viewer.look();
  if (!(spentFine > 0n)) throw new Error("the page paid nothing");

  const loaded = [...new Set(requests)].filter((path) => /\.(m?js|wasm)$/.test(path) && !WALLET.test(path));
  for (const path of loaded) {
    const bytes = readFileSync(join(player, path));
    out.result("size", { path, raw: bytes.length, gzip: gzipSync(bytes, { level: 9 }).length });
  }
  out.say(`a paying page asked for ${loaded.join(", ")}`);
}
