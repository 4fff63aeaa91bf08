// Two films that other processes seed, one for nothing and one for money, and a viewer of both on a developer's page.
import assert from "node:assert/strict";
import { copyFileSync, mkdirSync, readFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { videoTitle } from "../../browser/support/harness.mjs";
import { Scene } from "../../browser/support/paid/scene.mjs";
import { RemoteWallet } from "../../browser/support/paid/wallet.mjs";

/** For `favicon.ico`: Chromium asks every site for one, and reports it if it is missing. */
export const ICON = join(dirname(fileURLToPath(import.meta.url)), "../../../www/player/icon.svg");
/** Whole tokens per 10^9 bytes, below the most that the README's page pays. */
export const PRICE = 17.6;

/** A chain with a vault and its deployment file, a wallet, a tracker, and both films. */
export async function market() {
  const scene = await Scene.deployed();
  const free = await videoTitle(scene.tracker);
  await free.seed("4M");
  const sold = await scene.title("sold.mp4", readFileSync(process.env.PIECEWORK_VIDEO));
  const seeder = await scene.seeder([sold], 20_000_000, { price: PRICE });
  const wallet = await RemoteWallet.start(scene.chain, scene.payer);
  return { scene, tracker: scene.tracker, free, sold, seeder, wallet };
}

/** Puts what a site has besides into its folder: the file that names the vault, and an icon. */
export function furnish(folder, { scene }) {
  mkdirSync(folder, { recursive: true });
  copyFileSync(scene.deployment, join(folder, "deployment.json"));
  copyFileSync(ICON, join(folder, "favicon.ico"));
}

/**
 * Watches the free film on the page, with a seek, and without a question to the wallet; then buys the other one, from
 * a deposit that the element asks for. `page` is a tab of either browser, with the element in it.
 */
export async function watchesBoth(page, { free, sold, seeder, wallet, scene }) {
  await page.until(() => document.querySelector("piecework-player")?.video?.readyState >= 1);
  await page.evaluate(async () => {
    const { video } = document.querySelector("piecework-player");
    video.muted = true;
    await video.play();
  });
  await page.until(() => document.querySelector("piecework-player").video.currentTime > 1);
  await page.evaluate(() => {
    const { video } = document.querySelector("piecework-player");
    video.currentTime = video.duration * 0.8;
  });
  await page.until(() => {
    const { video } = document.querySelector("piecework-player");
    return !video.seeking && video.currentTime > video.duration * 0.8 + 0.5;
  });
  const watched = await page.evaluate(() => {
    const { video, torrent } = document.querySelector("piecework-player");
    return { error: video.error?.message ?? null, hash: torrent.infoHash };
  });
  assert.deepEqual(watched, { error: null, hash: hashIn(free.magnet) });
  assert.deepEqual(wallet.prompts, []);

  await buys(page, sold.magnet, wallet);
  const [opened] = (await scene.chain.events()).filter(({ name }) => name === "Opened");
  assert.deepEqual([opened.amount, opened.bond], [500_000n, 630_000n]);
  assert.equal((await seeder.ask("redeem")).ok, true);
  assert.deepEqual(page.problems, []);
}

/** Gives the element on the page this wallet and this link, and buys what it plays, from the deposit it asks for. */
export async function buys(page, magnet, wallet) {
  await page.evaluate(
    ({ magnet, wallet }) => {
      const player = document.querySelector("piecework-player");
      player.provider = {
        async request({ method, params }) {
          const headers = { "content-type": "application/json" };
          const answer = await fetch(wallet, { method: "POST", headers, body: JSON.stringify({ method, params }) });
          const { result, error } = await answer.json();
          if (error) throw Object.assign(new Error(error.message), { code: error.code });
          return result;
        },
      };
      player.setAttribute("src", magnet);
    },
    { magnet, wallet: wallet.url },
  );
  await page.until(() => {
    const { shadowRoot } = document.querySelector("piecework-player");
    return !shadowRoot.querySelector(".offer").hidden && !shadowRoot.querySelector(".pay").disabled;
  });
  assert.deepEqual(wallet.prompts, []);
  await page.evaluate(() => document.querySelector("piecework-player").shadowRoot.querySelector(".pay").click());
  await page.until((hash) => {
    const { video, torrent } = document.querySelector("piecework-player");
    return torrent?.infoHash === hash && video.currentTime > 1;
  }, hashIn(magnet));
  await page.until(async () => {
    const { money } = await document.querySelector("piecework-player").client.stats();
    return money.spent > 0n;
  });
}

function hashIn(magnet) {
  return /btih:([0-9a-f]{40})/.exec(magnet)[1];
}
