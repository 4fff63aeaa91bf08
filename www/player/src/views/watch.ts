/** The view while playing: the video, the pieces that are here, the peers that send them, and the cost. */

import { FINE_BITS } from "piecework";
import { announce, byId, make, reason, setLedger, setText, show } from "../dom.ts";
import type { Title } from "../engine.ts";
import { bytes, exact, fine, label, percent, plural, priceShort, rate, units } from "../format.ts";
import type { Host, TitleHost } from "../host.ts";
import { holds, PieceMap } from "../piece_map.ts";
import type { Look, Peer, WebSeed } from "../model.ts";
import { Files, isPlayable } from "./files.ts";
import { restOf } from "./kept.ts";
import { SharingFields } from "./sharing.ts";

/** The text of an empty cell. */
const NONE = "\u2013";
/** Columns of the table of peers, as in `index.html`. */
const COLUMNS = ["Client", "Received", "Paid", "Sent", "Earned", "Price", "State"];
/** At most this many rows; the busiest come first. */
const MOST_ROWS = 60;

/** A shorter standstill is not announced to a screen reader. */
const STALL_MS = 2_000;

/** The part of the page that it uses. */
type Page = Pick<Host, "clearProblem" | "config" | "engine" | "look" | "problem">;

/** The view while playing. */
export class Watch {
  readonly #host: Page;
  readonly #view: Pick<TitleHost, "look">;
  readonly #video = byId<HTMLVideoElement>("video");
  readonly #status = byId("stage-status");
  readonly #map = new PieceMap(byId<HTMLCanvasElement>("buffer"), byId<HTMLCanvasElement>("pieces"), byId("legend"));
  readonly #files: Files;
  readonly #keep = byId<HTMLInputElement>("keep");
  readonly #sharing: SharingFields;
  readonly #rows = new Map<number, HTMLTableRowElement>();
  #title: Title | null = null;
  #file = 0;
  #wasPlaying = false;
  #stall: ReturnType<typeof setTimeout> | undefined;

  constructor(host: Page, view: Pick<TitleHost, "look">) {
    this.#host = host;
    this.#view = view;
    this.#sharing = new SharingFields({ switch: "share", cap: "cap", error: "cap-error" }, () => void this.#share());
    this.#files = new Files(host, (file) => void this.#other(file));
    this.#keep.addEventListener("change", () => void this.#keepIt());
    const video = this.#video;
    video.addEventListener("waiting", () =>
      this.#say(video.seeking ? "Fetching this part" : "Waiting for the next piece"),
    );
    video.addEventListener("seeking", () => this.#say("Fetching this part"));
    for (const name of ["playing", "seeked", "canplay"]) video.addEventListener(name, () => this.#say(""));
    video.addEventListener("error", () => this.#failed());
  }

  /** Begins with a file; plays it at once if `now`. */
  async start(title: Title, file: number, look: Look, now: boolean): Promise<void> {
    this.#title = title;
    this.#choice = null;
    this.#file = file;
    const plays = isPlayable(look.files[file]?.path ?? "");
    show(byId("stage"), plays);
    show(byId("buffer"), plays);
    this.#sharing.fill(this.#host.engine.sharing);
    show(byId("watch-money"), this.#host.config.payment !== null);
    this.#rows.clear();
    byId("peers").querySelector("tbody")?.replaceChildren();
    this.#say(now ? "Waiting for the first pieces" : "");
    this.update(look);
    if (!plays) {
      byId("title-name").focus({ preventScroll: true });
      return;
    }
    await title.playInto(file, this.#video);
    if (!now) return;
    this.#video.focus({ preventScroll: true });
    try {
      await this.#video.play();
      announce("Playing");
    } catch (error) {
      // The wallet may have taken so long that the browser wants another gesture. A load that was replaced is no
      // failure.
      if (error instanceof DOMException && error.name === "NotAllowedError") this.#say("Ready. Press play");
      else if (!(error instanceof DOMException && error.name === "AbortError") && this.#video.error === null)
        throw error;
    }
  }

  /** The player stands still, because it lacks data. */
  get waits(): boolean {
    const { paused, ended, readyState, HAVE_FUTURE_DATA } = this.#video;
    return this.#title !== null && !paused && !ended && readyState < HAVE_FUTURE_DATA;
  }

  /** Comes back into view. */
  enter(): void {
    if (this.#title && this.#wasPlaying) void this.#video.play().catch(() => this.#say("Ready. Press play"));
  }

  /** Goes out of view. */
  leave(): void {
    this.#wasPlaying = !this.#video.paused;
    this.#video.pause();
  }

  /** Lets go of the video. */
  stop(): void {
    if (!this.#title) return;
    this.#title = null;
    this.#wasPlaying = false;
    this.#video.pause();
    this.#video.removeAttribute("src");
    this.#video.load();
  }

  /** Another look. */
  update(look: Look): void {
    this.#figures(look);
    this.#pieces(look);
    if (this.#title) this.#files.update(this.#title, look, this.#file);
    this.#peers(look);
    this.#money(look);
    this.#kept(look);
    const { sharing } = this.#host.engine;
    const sent = look.uploaded > 0 ? ` ${bytes(look.uploaded)} of this title so far.` : "";
    setText(
      byId("share-state"),
      sharing.on
        ? `Uploading is on${sharing.cap === null ? "" : `, at most ${sharing.cap} kB/s`}.${sent}`
        : `Uploading is off.${sent}`,
    );
  }

  async #other(file: number): Promise<void> {
    const look = this.#view.look;
    if (!this.#title || !look) return;
    try {
      await this.start(this.#title, file, look, true);
    } catch (error) {
      this.#host.problem("The file could not be played.", reason(error));
    }
  }

  #figures(look: Look): void {
    const { payment } = this.#host.config;
    const figures: [string, string][] = [
      ["Here", `${percent(look.verified, look.length)} %`],
      ["Receiving", rate(look.downloadRate)],
      ["Sending", rate(look.uploadRate)],
      ["Peers", String(look.peers.length)],
    ];
    if (payment)
      figures.push(["Spent", fine(look.spentFine, payment.token)], ["Earned", fine(look.earnedFine, payment.token)]);
    else figures.push(["Received", bytes(look.downloaded)], ["Sent", bytes(look.uploaded)]);
    const list = byId("figures");
    figures.forEach(([term, value], at) => {
      const cell = list.children[at] ?? list.appendChild(make("div", {}, make("dt"), make("dd")));
      const [dt, dd] = cell.children;
      if (dt && dd) {
        setText(dt, term);
        setText(dd, value);
      }
    });
  }

  #pieces(look: Look): void {
    const span = this.#span(look);
    const { duration, currentTime } = this.#video;
    const playhead = Number.isFinite(duration) && duration > 0 ? currentTime / duration : null;
    this.#map.update({ have: look.have, count: look.pieceCount, playhead, ...span });
    const here = count(look.have);
    const text = `${here.toLocaleString("en")} of ${plural(look.pieceCount, "piece")}, ${bytes(look.pieceLength)} each`;
    setText(
      byId("pieces-text"),
      here === look.pieceCount ? `all ${plural(look.pieceCount, "piece")} here and checked` : text,
    );
    byId("pieces").setAttribute(
      "aria-label",
      `Piece map: ${here} of ${look.pieceCount} pieces are here, ${percent(here, look.pieceCount)} percent`,
    );
    byId("buffer").setAttribute("aria-label", `Buffer: ${ahead(look.have, span, playhead)}`);
    const { each } = this.#map;
    show(byId("legend-each"), each > 1);
    setText(byId("legend-each"), `a square is ${each} pieces`);
  }

  /** The pieces that the playing file lies in. */
  #span(look: Look): { from: number; to: number } {
    const before = look.files.slice(0, this.#file).reduce((sum, file) => sum + file.length, 0);
    const length = look.files[this.#file]?.length ?? look.length;
    const from = Math.floor(before / look.pieceLength);
    return { from, to: Math.max(from, Math.ceil((before + length) / look.pieceLength) - 1) };
  }

  #peers(look: Look): void {
    const body = byId("peers").querySelector("tbody");
    if (!body) return;
    const peers = look.peers
      .toSorted((a, b) => b.downloaded + b.uploaded - a.downloaded - a.uploaded || a.id - b.id)
      .slice(0, MOST_ROWS)
      .map((peer) => ({ id: peer.id, cells: this.#cells(peer) }));
    // Peers' numbers are not below zero.
    const rows = [...peers, ...look.webSeeds.map((seed, at) => ({ id: -1 - at, cells: webSeedCells(seed) }))];
    const gone = new Set(this.#rows.keys());
    rows.forEach(({ id, cells }, at) => {
      gone.delete(id);
      let row = this.#rows.get(id);
      if (!row) {
        row = make(
          "tr",
          {},
          ...COLUMNS.map((name, cell) => {
            const td = make("td", { className: cell === 0 ? "name" : cell < 6 ? "n" : "" });
            td.dataset.label = name;
            td.setAttribute("role", "cell");
            return td;
          }),
        );
        row.setAttribute("role", "row");
        this.#rows.set(id, row);
      }
      cells.forEach((text, cell) => {
        const td = row.children[cell];
        if (!td) return;
        setText(td, text);
        td.classList.toggle("none", text === NONE);
      });
      if (body.children[at] !== row) body.insertBefore(row, body.children[at] ?? null);
    });
    for (const id of gone) {
      this.#rows.get(id)?.remove();
      this.#rows.delete(id);
    }
    show(byId("peers-scroll"), rows.length > 0);
    show(byId("peers-empty"), rows.length === 0);
    setText(
      byId("peers-empty"),
      !navigator.onLine
        ? "You are offline."
        : look.length > 0 && look.verified === look.length
          ? "Nobody is connected. Whoever opens the magnet link gets it from here, as long as this page is open."
          : "Nobody is connected. This page keeps asking the trackers for peers.",
    );
    const paid = look.peers.filter((peer) => peer.buying.active).length;
    const paying = look.peers.filter((peer) => peer.selling.active).length;
    const parts = [
      paid > 0 ? `${paid} paid` : "",
      paying > 0 ? `${paying} paying you` : "",
      look.peers.length > MOST_ROWS ? `the busiest ${MOST_ROWS} shown` : "",
    ];
    setText(byId("peers-text"), parts.filter(Boolean).join(", "));
  }

  #cells(peer: Peer): string[] {
    const token = this.#host.config.payment?.token;
    const price = peer.buying.pricePerGB;
    return [
      label(peer.client) || "unnamed",
      peer.downloaded > 0 ? bytes(peer.downloaded) : NONE,
      token && peer.buying.paidFine > 0n ? fine(peer.buying.paidFine, token) : NONE,
      peer.uploaded > 0 ? bytes(peer.uploaded) : NONE,
      token && peer.selling.paidFine > 0n ? fine(peer.selling.paidFine, token) : NONE,
      price === null ? NONE : price === 0n ? "free" : token ? priceShort(price, token) : "paid",
      stateOf(peer),
    ];
  }

  #money(look: Look): void {
    const { payment } = this.#host.config;
    const money = this.#host.look?.money;
    if (!payment || !money) return;
    const { token } = payment;
    const spentUnits = money.spentFine >> FINE_BITS;
    const used = percent(Number(spentUnits), Number(money.budget));
    const meter = byId("budget-meter");
    meter.setAttribute("aria-valuenow", String(used));
    meter.setAttribute("aria-valuetext", `${used} percent of ${units(money.budget, token)}`);
    const fill = meter.firstElementChild;
    if (fill instanceof HTMLElement) fill.style.width = `${used}%`;
    const left = money.budget > spentUnits ? money.budget - spentUnits : 0n;
    setLedger(byId("watch-ledger"), [
      { term: "Spent, this title", value: fine(look.spentFine, token) },
      { term: "Spent, in all", value: fine(money.spentFine, token) },
      { term: "Left to spend", value: fine(left << FINE_BITS, token) },
      { term: "Earned, this title", value: fine(look.earnedFine, token) },
      {
        term: "Redeemable",
        value: fine(money.redeemable << FINE_BITS, token),
        note: money.redeemableFine > 0n ? `exactly ${exact(money.redeemableFine, token)}` : "",
      },
    ]);
  }

  /** The visitor's choice to keep all of it, or not, until a look shows it. */
  #choice: boolean | null = null;

  /** The choice to keep all of it, with what the rest costs. */
  #kept(look: Look): void {
    const missing = look.selectedLength - look.selectedVerified;
    show(byId("keep-choice"), missing > 0);
    // A look that began before the choice does not know of it.
    if (this.#choice === !look.onDemand) this.#choice = null;
    this.#keep.checked = this.#choice ?? !look.onDemand;
    const { payment } = this.#host.config;
    setText(
      byId("keep-cost"),
      missing > 0 ? `${this.#parts(look)} ${restOf(look, payment?.token ?? null)}` : "All of it is here.",
    );
  }

  #parts(look: Look): string {
    const { payment } = this.#host.config;
    const paid = payment && look.maxPerGB > 0n ? " and paid" : "";
    return look.onDemand ? `Only what you watch is fetched${paid}.` : `All of it is fetched${paid}.`;
  }

  async #keepIt(): Promise<void> {
    const whole = this.#keep.checked;
    this.#choice = whole;
    try {
      await this.#title?.keep(whole);
      announce(whole ? "All of it is fetched" : "Only what you watch is fetched");
    } catch (error) {
      this.#choice = null;
      this.#keep.checked = !whole;
      this.#host.problem("That could not be changed.", reason(error));
    }
  }

  async #share(): Promise<void> {
    const sharing = this.#sharing.read();
    if (!sharing) return;
    try {
      await this.#host.engine.setSharing(sharing);
      announce(sharing.on ? "Uploading is on" : "Uploading is off");
    } catch (error) {
      this.#sharing.fill(this.#host.engine.sharing);
      this.#host.problem("Sharing could not be changed.", reason(error));
    }
  }

  /** Over the picture at once; to a screen reader only when it lasts. */
  #say(text: string): void {
    setText(this.#status, text);
    clearTimeout(this.#stall);
    if (text) this.#stall = setTimeout(() => announce(text), STALL_MS);
  }

  #failed(): void {
    const { error } = this.#video;
    if (!error || !this.#title) return;
    const text =
      error.code === MediaError.MEDIA_ERR_SRC_NOT_SUPPORTED || error.code === MediaError.MEDIA_ERR_DECODE
        ? "This browser cannot play the file. It can still be kept, saved and passed on."
        : "Reading the file was interrupted.";
    this.#say("Stopped");
    const title = this.#title;
    this.#host.problem("The video stopped.", text, {
      label: "Try again",
      run: () => {
        this.#host.clearProblem();
        if (this.#view.look)
          void this.start(title, this.#file, this.#view.look, true).catch((again: unknown) =>
            this.#host.problem("The video stopped.", reason(again)),
          );
      },
    });
  }
}

/** A peer in a few words. Its own note wins: it says why nothing is paid. */
function webSeedCells({ url, state, note, downloaded, downloadRate }: WebSeed): string[] {
  const rests = { idle: "web server, not needed now", waiting: "is tried again later" };
  const text =
    state === "downloading"
      ? `web server, sending to you, ${rate(downloadRate)}`
      : state === "idle" || state === "waiting"
        ? rests[state]
        : "not used any more";
  const host = URL.canParse(url) ? new URL(url).host : url;
  return [
    label(host),
    downloaded > 0 ? bytes(downloaded) : NONE,
    NONE,
    NONE,
    NONE,
    "free",
    note && state !== "downloading" ? `${text}: ${label(note)}` : text,
  ];
}

function stateOf(peer: Peer): string {
  if (peer.buying.note) return label(peer.buying.note);
  if (peer.selling.note) return label(peer.selling.note);
  const words = [];
  if (peer.downloadRate > 0) words.push(`sending to you, ${rate(peer.downloadRate)}`);
  else if (peer.requestsOut > 0) words.push("asked");
  if (peer.uploadRate > 0) words.push(`getting from you, ${rate(peer.uploadRate)}`);
  if (words.length === 0) words.push(peer.peerChoking && peer.haveCount > 0 ? "makes you wait" : "connected");
  return words.join("; ");
}

/** The stretch that can be played without a gap from the playhead on, in words. */
function ahead(have: Uint8Array, { from, to }: { from: number; to: number }, playhead: number | null): string {
  const span = to - from + 1;
  let at = from + Math.min(span - 1, Math.floor((playhead ?? 0) * span));
  while (at <= to && holds(have, at)) at += 1;
  const end = percent(at - from, span);
  const where = playhead === null ? "" : `playing at ${Math.floor(playhead * 100)} percent, `;
  return `${where}${at > to ? "the rest is here" : `here without a gap up to ${end} percent`}`;
}

function count(have: Uint8Array): number {
  let sum = 0;
  for (let byte of have) for (; byte !== 0; byte &= byte - 1) sum += 1;
  return sum;
}
