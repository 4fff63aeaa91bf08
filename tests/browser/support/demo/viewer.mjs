// One viewer: a browser profile of its own, the page, and a person's steps in it. It always waits for something that
// the page shows, never for time to pass. It does not know which browser it has: `chromium_tab.mjs` and
// `firefox_tab.mjs` have the same methods. Functions that run in the page keep their notes on `window`, because each of
// Selenium's scripts has a `globalThis` of its own.
import { join } from "node:path";
import { ChromiumTab } from "../browsers/chromium_tab.mjs";
import { FirefoxTab } from "../browsers/firefox_tab.mjs";

const TABS = { chromium: ChromiumTab, firefox: FirefoxTab };
const WHOLE_FILE_MS = 10 * 60_000;

/** A person with a browser. */
export class Viewer {
  #screenshots;

  constructor(name, tab, screenshots) {
    this.name = name;
    this.tab = tab;
    this.#screenshots = screenshots;
  }

  /** Starts a browser of this kind and opens the page. `paths` names the programs. */
  static async open(name, { kind, paths, url, screenshots }) {
    const tab = await TABS[kind].start(paths);
    const viewer = new Viewer(name, tab, screenshots);
    try {
      await tab.open(url);
      await tab.until(() => window.pieceworkPlayer !== undefined || document.body.dataset.view === "failed");
      if ((await viewer.view()) === "failed") throw new Error(`${name}: ${await tab.text("#view-start")}`);
    } catch (error) {
      await tab.close();
      throw error;
    }
    return viewer;
  }

  get requests() {
    return this.tab.requests;
  }

  get problems() {
    return this.tab.problems;
  }

  async close() {
    await this.tab.close();
  }

  view() {
    return this.tab.evaluate(() => document.body.dataset.view);
  }

  async screenshot(name, options = {}) {
    const path = join(this.#screenshots, `${this.name}-${name}.png`);
    await this.tab.screenshot(path, options);
    return path;
  }

  /** The whole state of the page, for a report of a failure. */
  state() {
    return this.tab.evaluate(() => {
      const { app } = window.pieceworkPlayer;
      const { have, ...look } = app.title.look ?? {};
      const log = [...document.querySelectorAll("#log li")].map((line) => line.textContent);
      const state = {
        dataset: { ...document.body.dataset },
        banner: document.querySelector("#banner").hidden ? "" : document.querySelector("#banner").textContent.trim(),
        look,
        comings: window.demoComings?.slice(-10),
        client: app.look,
        log: log.slice(0, 20),
        notes: window.demoNotes,
      };
      return JSON.stringify(state, (_, value) => (typeof value === "bigint" ? String(value) : value));
    });
  }

  /** Prompts of the development wallet so far. */
  prompts() {
    return this.tab.evaluate(() => structuredClone(window.__pieceworkDevWallet?.prompts ?? []));
  }

  /**
   * Opens the magnet link by hand and waits until the offer is complete, with the price of so many sellers: the page
   * proposes a deposit that is enough at the highest of them. One that comes later would be paid out of a deposit for
   * the price of the first, which may be used up before the end.
   */
  async openMagnet(magnet, sellers) {
    await this.tab.fill("#magnet", magnet);
    await this.tab.press("#magnet", "Enter");
    await this.tab.until(() => document.body.dataset.phase === "offer");
    await this.tab.until((sellers) => {
      const peers = window.pieceworkPlayer.app.title.look?.peers ?? [];
      return peers.filter(({ buying }) => (buying.pricePerGB ?? 0n) > 0n).length >= sellers;
    }, sellers);
    await this.tab.until(() => !document.querySelector("#play").disabled);
    return this.tab.evaluate(() => ({
      title: document.querySelector("#title-name").textContent,
      summary: document.querySelector("#cost-summary").textContent,
      costs: [...document.querySelectorAll("#costs > div")].map((row) => [
        row.children[0].textContent,
        row.children[1].textContent,
      ]),
      button: document.querySelector("#play").textContent,
      walletAsked: !document.querySelector("#wallets").hidden,
      uploaded: window.pieceworkPlayer.app.title.look.uploaded,
      sharing: window.pieceworkPlayer.app.engine.sharing.on,
    }));
  }

  /** Sets the upload limit, in kB/s; "" is no cap. */
  async capUpload(cap) {
    await this.tab.fill("#offer-cap", cap);
  }

  /** Chooses the wallet with this number, counted from 1. */
  async chooseWallet(number) {
    await this.tab.click("#wallet-options .option", number - 1);
  }

  /**
   * Arms the page to note the time from the gesture to the first frame. In the very moment of that frame it seeks to a
   * part without any piece here, and notes when it plays there.
   */
  async arm() {
    await this.tab.evaluate(() => {
      const { app } = window.pieceworkPlayer;
      const video = document.querySelector("#video");
      const notes = { gesture: 0, firstFrame: 0, seek: null, seeks: 0 };
      window.demoNotes = notes;
      video.addEventListener("seeking", () => notes.seeks++);
      document
        .querySelector("#play")
        .addEventListener("click", () => (notes.gesture = performance.now()), { capture: true, once: true });

      const piecesAt = (look, share) => {
        // The pieces under the moment itself and its neighbours: the picture there cannot come from anything else.
        const at = Math.floor(share * look.pieceCount);
        return [at - 1, at, at + 1].filter((piece) => piece >= 0 && piece < look.pieceCount);
      };
      const has = (look, piece) => ((look.have[piece >> 3] >> (7 - (piece & 7))) & 1) === 1;
      const seek = async () => {
        const look = await app.title.current.look();
        const shares = [0.9, 0.85, 0.8, 0.75, 0.7, 0.65, 0.6, 0.55, 0.5];
        const missing = shares.find((share) => piecesAt(look, share).every((piece) => !has(look, piece)));
        const share = missing ?? 0.9;
        const target = share * video.duration;
        notes.seek = {
          share,
          target,
          missing: missing !== undefined,
          verifiedBefore: look.verified,
          at: performance.now(),
          seeked: 0,
          playing: 0,
        };
        video.addEventListener("seeked", () => (notes.seek.seeked = performance.now()), { once: true });
        const plays = () => {
          if (video.currentTime < target + 0.3 || video.paused || video.seeking) return;
          notes.seek.playing = performance.now();
          video.removeEventListener("timeupdate", plays);
        };
        video.addEventListener("timeupdate", plays);
        video.currentTime = target;
      };
      video.requestVideoFrameCallback(() => {
        notes.firstFrame = performance.now();
        void seek();
      });

      // The peers that came and the reasons why they went, for a report of a failure.
      const comings = [];
      window.demoComings = comings;
      for (const torrent of window.pieceworkPlayer.client.torrents) {
        torrent.on("peer", ({ peer }) => comings.push(`connected ${peer}`));
        torrent.on("peerclosed", ({ text }) => comings.push(text));
      }

      // The bytes that each connection gave and got, also of those that are gone by the end.
      const connections = new Map();
      window.demoPeers = connections;
      setInterval(() => {
        for (const peer of app.title.look?.peers ?? []) connections.set(peer.id, peer);
      }, 50);
    });
  }

  /** Presses the one button. Resolves when the page says that it plays. */
  async play() {
    await this.tab.click("#play");
    await this.tab.until(
      () => document.body.dataset.phase === "watching" || document.querySelector("#play-error").textContent !== "",
    );
    const error = await this.tab.evaluate(() => document.querySelector("#play-error").textContent);
    if (error) throw new Error(`${this.name}: ${error}`);
    await this.tab.until(() => window.demoNotes.firstFrame > 0);
  }

  /** Waits until the picture moves at the place that was sought. */
  async playsAtSeek() {
    await this.tab.until(() => window.demoNotes.seek?.playing > 0);
    return this.tab.evaluate(() => window.demoNotes);
  }

  /** Keeps the whole title, and waits until every piece is here and checked. */
  async wholeFile() {
    await this.tab.evaluate(() => {
      const keep = document.querySelector("#keep");
      if (!keep.checked) keep.click();
    });
    await this.tab.until(
      () => {
        const { look } = window.pieceworkPlayer.app.title;
        return look && look.length > 0 && look.verified === look.length;
      },
      undefined,
      { timeout: WHOLE_FILE_MS },
    );
  }

  /** SHA-256 of every MiB of the file as the service worker gives it out of the page's own storage. */
  hashes() {
    return this.tab.evaluate(async () => {
      const url = document.querySelector("#video").currentSrc;
      const size = 1 << 20;
      const hashes = [];
      let length = Infinity;
      for (let at = 0; at < length; at += size) {
        const answer = await fetch(url, { headers: { range: `bytes=${at}-${at + size - 1}` } });
        if (answer.status !== 206) throw new Error(`HTTP ${answer.status} for byte ${at}`);
        length = Number(answer.headers.get("content-range").split("/")[1]);
        const digest = new Uint8Array(await crypto.subtle.digest("SHA-256", await answer.arrayBuffer()));
        hashes.push([...digest].map((byte) => byte.toString(16).padStart(2, "0")).join(""));
      }
      return { length, hashes };
    });
  }

  /** The state of the page's engine. */
  async look() {
    return this.tab.evaluate(async () => {
      const { app } = window.pieceworkPlayer;
      const { have, ...look } = await app.title.current.look();
      const { money } = await app.engine.look();
      const last = new Map(window.demoPeers);
      for (const peer of look.peers) last.set(peer.id, peer);
      return {
        ...look,
        money,
        connections: [...last.values()],
        notes: window.demoNotes,
        comings: window.demoComings,
      };
    });
  }

  /** Resolves when the numbers of money agree and stand still over several looks: all in flight has arrived. */
  async settled() {
    await this.tab.evaluate(() => (window.demoSettled = { key: "", times: 0 }));
    await this.tab.until(
      async () => {
        const { app } = window.pieceworkPlayer;
        const { money } = await app.engine.look();
        const { uploaded, earnedFine, spentFine } = await app.title.current.look();
        const key = [money?.spentFine, money?.redeemableFine, uploaded, earnedFine, spentFine].join();
        const settled = window.demoSettled;
        // The account's sum is exact at once, the only title's when its records are stored.
        const isStored = spentFine === (money?.spentFine ?? 0n);
        settled.times = isStored && settled.key === key ? settled.times + 1 : 0;
        settled.key = key;
        return settled.times >= 5;
      },
      undefined,
      { polling: 200 },
    );
  }

  /** Goes to the view of money. */
  async money() {
    await this.tab.click("#nav-money");
    await this.tab.until(() => document.body.dataset.view === "money");
  }

  /** Presses a button there and waits for the page's message about it. */
  async press(id, confirmFirst = false) {
    await this.tab.until((button) => !document.getElementById(button).disabled, id);
    await this.tab.click(`#${id}`);
    if (confirmFirst) await this.tab.click("#confirm-yes");
    await this.tab.until(() => !document.querySelector("#money-message").hidden);
    return this.tab.evaluate(() => ({
      text: document.querySelector("#money-message").textContent,
      good: document.querySelector("#money-message").classList.contains("ok"),
    }));
  }
}
