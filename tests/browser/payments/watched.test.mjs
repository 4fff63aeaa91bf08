// What a viewer pays who leaves a film of ten minutes after one: the part that was watched and the window ahead of it,
// on the page and in the element, for money and for nothing, in Chromium and in Firefox.
import assert from "node:assert/strict";
import { copyFileSync } from "node:fs";
import { join } from "node:path";
import { ChromiumTab } from "../support/browsers/chromium_tab.mjs";
import { FirefoxTab } from "../support/browsers/firefox_tab.mjs";
import { Seeder } from "../support/demo/seeder.mjs";
import { ending, folder, ours, run, signaling } from "../support/harness.mjs";
import { Scene, UNIT_FINE } from "../support/paid/scene.mjs";
import { EMBED, serve } from "../support/player_site.mjs";
import { test } from "../support/tests.mjs";

const MIB = 1 << 20;
const BLOCK = 16 * 1024;
/** Seconds of the film that are watched. */
const WATCHED = 60;
/** The film runs so many times as fast, so that a minute of it takes a few seconds. */
const SPEED = 8;
/**
 * Besides the part that was watched and the window: the film's index, the two ends of the file, and the pieces that
 * the window begins and ends in. A piece has 64 KiB.
 */
const MORE = 512 * 1024;
/** The bytes of the film that a seek may make fetch beyond the window (`JUMP` in torrent/players.rs). */
const JUMP = 512 * 1024;
/**
 * Blocks that a seller lends, and may not be paid for, when the viewer wants nothing more (docs/protocol.md, "Credit").
 */
const CREDIT = 128;

/** The window: `ahead` in torrent/players.rs. */
const ahead = (length, duration) => Math.max(MIB, Math.min(Math.ceil(length / duration) * 30, length / 8));

const TABS = { Chromium: ChromiumTab, Firefox: FirefoxTab };

/** The film with a seeder that has all of it, and the site's configuration; sold, or given away. */
async function world(paid) {
  const film = process.env.PIECEWORK_VIDEO_LONG;
  assert.ok(film, "PIECEWORK_VIDEO_LONG names no video");
  const scene = paid ? await Scene.open() : null;
  const [tracker, data] = [scene?.tracker ?? (await signaling()), scene?.folder ?? folder("native")];
  copyFileSync(film, join(data, "film.mp4"));
  const path = join(data, "film.torrent");
  const made = await run(["create", join(data, "film.mp4"), "--tracker", tracker, "-o", path, "--piece-length", "64K"]);
  const magnet = made.split(/\s/).find((word) => word.startsWith("magnet:"));
  const how = ["--upload-limit", "12M", "--json", "--stdin-commands", "--state", folder("seeder")];
  const seeder = scene
    ? await scene.seeder([{ path }], 12_000_000)
    : await Seeder.take({ command: [ours("piecework"), "seed", path, "--data", data, ...how] });
  if (!scene) ending(() => seeder.close());
  const config = !scene
    ? { trackers: [tracker] }
    : {
        trackers: [tracker],
        vault: scene.chain.vault,
        chainId: scene.chainId,
        rpc: scene.anvil.url,
        token: { address: scene.chain.token, decimals: 6, symbol: "pwUSD" },
        deployBlock: scene.chain.deployBlock,
        maxPricePerGB: "12",
        budget: "4",
        deposit: "4",
        walletKeys: [scene.anvil.accounts[1].privateKey],
      };
  return { magnet, seeder, config, paid };
}

/** A tab of this browser in which the film plays from its beginning; `video` is an expression for its player. */
async function plays(kind, surface, { magnet, config, paid }) {
  const site = await serve({
    config: () => config,
    connect: "ws://127.0.0.1:* http://127.0.0.1:*",
    documents: EMBED,
  });
  ending(site.close);
  const tab = await TABS[kind].start({});
  let open = true;
  tab.leave = async () => {
    if (open) await tab.close();
    open = false;
  };
  ending(tab.leave);
  if (surface === "page") {
    await tab.open(`${site.url}?wallet=auto`);
    await tab.until(() => document.body.dataset.view === "open");
    await tab.fill("#magnet", magnet);
    await tab.press("#magnet", "Enter");
    await tab.until(() => document.body.dataset.phase === "offer");
    await tab.until((paid) => {
      const play = document.querySelector("#play");
      const wallet = document.querySelector("#wallet-options input:not(:checked)");
      if (paid && play.disabled && wallet) wallet.click();
      return !play.disabled && (play.dataset.needsWallet === "true") === paid;
    }, paid);
    await tab.click("#play");
    await tab.until(() => document.body.dataset.phase === "watching");
    await tab.evaluate(() => {
      window.watched = { video: document.querySelector("#video"), torrent: window.pieceworkPlayer.client.torrents[0] };
    });
  } else {
    await tab.open(`${site.url}embed.html`);
    await tab.evaluate(
      async ({ magnet, config, paid }) => {
        if (paid) {
          const { install, modeOf } = await import("/dev-wallet.js");
          const { walletKeys: keys, rpc: rpcUrl, chainId } = config;
          install({ keys, rpcUrl, chainId, mode: modeOf("5792"), auto: true });
        }
        await customElements.whenDefined("piecework-player");
        const player = document.createElement("piecework-player");
        const attributes = { magnet, trackers: config.trackers.join(" ") };
        if (paid)
          Object.assign(attributes, {
            vault: config.vault,
            "chain-id": String(config.chainId),
            "rpc-url": config.rpc,
            token: config.token.address,
            "token-symbol": config.token.symbol,
            "max-price-per-gb": config.maxPricePerGB,
            deposit: config.deposit,
          });
        for (const [name, value] of Object.entries(attributes)) player.setAttribute(name, value);
        player.video.muted = true;
        document.querySelector("main").append(player);
        window.player = player;
      },
      { magnet, config, paid },
    );
    if (paid) {
      await tab.until(() => {
        const pay = window.player.shadowRoot.querySelector(".pay");
        return !pay.closest(".offer").hidden && !pay.disabled;
      });
      await tab.evaluate(() => window.player.shadowRoot.querySelector(".pay").click());
    }
    await tab.until(() => window.player.torrent?.length > 0 && window.player.video.src !== "");
    await tab.evaluate(() => {
      window.watched = { video: window.player.video, torrent: window.player.torrent };
      window.watched.video.play().catch(() => undefined); // after a deposit it may play already
    });
  }
  await tab.until(() => window.watched.video.currentTime > 0);
  return tab;
}

/** Where the film is, and what is here of it. */
const look = (tab) =>
  tab.evaluate(async () => {
    const { video, torrent } = window.watched;
    const { verified, downloaded, wasted, length, spentFine, state } = await torrent.stats();
    const { currentTime, duration } = video;
    return { currentTime, duration, verified, downloaded, wasted, length, state, spent: String(spentFine) };
  });

/** The bytes that the seeder sent, and the blocks that it was paid for, once that does not grow any more. */
async function atRest(seeder) {
  for (let [last, same] = ["", 0]; ; ) {
    const { money, torrents } = await seeder.ask("stats");
    const sent = torrents.reduce((sum, torrent) => sum + torrent.uploaded, 0);
    const paid = (BigInt(money?.redeemable_fine ?? 0) + (BigInt(money?.redeemed ?? 0) << 24n)) / UNIT_FINE;
    const now = `${sent} ${paid}`;
    same = now === last ? same + 1 : 0;
    last = now;
    if (same === 20) return { sent, paid: Number(paid) };
    await new Promise((resolve) => setTimeout(resolve, 100)); // between two looks at another process
  }
}

const say = (text) => process.env.PIECEWORK_TEST_VERBOSE && console.log(`  ${text}`);

for (const kind of ["Chromium", "Firefox"]) {
  for (const surface of ["page", "element"]) {
    for (const paid of [true, false]) {
      const what = `${kind}, ${surface}, ${paid ? "paid" : "free"}`;
      test(`who leaves after a minute has fetched that minute and the window, and paid no more (${what})`, async () => {
        const it = await world(paid);
        const tab = await plays(kind, surface, it);
        await tab.evaluate((speed) => (window.watched.video.playbackRate = speed), SPEED);
        await tab.until((end) => window.watched.video.currentTime >= end, WATCHED);
        await tab.evaluate(() => window.watched.video.pause());
        const now = await look(tab);
        // As long as nobody leaves, the window fills; then it stays.
        const { sent, paid: bought } = await atRest(it.seeder);
        const blocks = Math.ceil(sent / BLOCK); // the film's last block is short
        const watched = (now.currentTime / now.duration) * now.length;
        const most = watched + ahead(now.length, now.duration) + MORE;
        say(
          `${what}: ${now.currentTime} s, ${Math.round(watched)} watched, ${sent} sent, ${bought} blocks paid, ${most} most`,
        );
        assert.ok(now.currentTime >= WATCHED && now.currentTime < WATCHED + 2 * SPEED, `at ${now.currentTime}`);
        assert.ok(sent >= watched, `${sent} bytes were sent, and ${watched} watched`);
        assert.ok(sent <= most, `${sent} bytes were sent for ${watched}, at most ${most} are right`);
        assert.ok(bought <= blocks, `${bought} of ${blocks} blocks are paid`);
        assert.ok(paid ? bought >= blocks - CREDIT : bought === 0, `${bought} of ${blocks} blocks are paid`);
        await tab.leave();
        assert.deepEqual(await atRest(it.seeder), { sent, paid: bought }, "it went on after the viewer had left");
      });
    }
  }

  test(`ten seeks fetch ten windows at most, and nothing is paid twice (${kind})`, async () => {
    const it = await world(true);
    const tab = await plays(kind, "page", it);
    const { duration, length } = await look(tab);
    const places = Array.from({ length: 10 }, (_, at) => ((at * 7) % 10) / 10 + 0.05);
    let watched = 0;
    for (const place of places) {
      await tab.evaluate((to) => (window.watched.video.currentTime = to), place * duration);
      await tab.until((to) => {
        const { video } = window.watched;
        return !video.seeking && video.currentTime > to + 0.5;
      }, place * duration);
      watched += 10;
    }
    await tab.evaluate(() => window.watched.video.pause());
    const { sent, paid } = await atRest(it.seeder);
    const blocks = Math.ceil(sent / BLOCK);
    const now = await look(tab);
    const most = 11 * (ahead(length, duration) + JUMP + MORE) + (watched / duration) * length;
    say(`${kind}: ${sent} sent, ${paid} paid, ${now.verified} verified, ${most} most`);
    assert.ok(sent <= most, `${sent} bytes were sent, at most ${most} are right`);
    assert.ok(sent < length, "the whole film was fetched");
    // Each block came once.
    assert.equal(now.wasted, 0);
    assert.ok(sent - now.verified <= 4 * 64 * 1024, `${sent} bytes were sent for ${now.verified}`);
    assert.ok(BigInt(now.spent) / UNIT_FINE <= BigInt(blocks), `${now.spent} is spent for ${blocks} blocks`);
    assert.ok(paid <= blocks, `${paid} blocks are paid, and ${blocks} were sent`);
  });
}
