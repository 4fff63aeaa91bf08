/** One title: first its price and effects (`offer`), then the player and everything around it (`watch`). */

import { LACKS } from "../deposit.ts";
import { announce, byId, confirm, reason, setText, show } from "../dom.ts";
import type { Notice, Title } from "../engine.ts";
import { bytes, label, percent, plural } from "../format.ts";
import type { Host, TitleHost, TitlePhase } from "../host.ts";
import type { Look } from "../model.ts";
import { bestFile } from "./files.ts";
import { Log } from "./log.ts";
import { Offer } from "./offer.ts";
import { Watch } from "./watch.ts";

/** How long metadata may take before the page names the likely fault. */
const PATIENCE_MS = 15_000;
/** How long a title that others sell may stand still before the page says what keeps it. */
const STANDSTILL_MS = 5_000;
/** Below this rate, in bytes per second, a title stands still: a block of 16 KiB each second. */
const STANDSTILL_RATE = 16_384;

/** The part of the page that it uses. */
type Page = Pick<Host, "clearProblem" | "config" | "engine" | "go" | "look" | "problem">;

/** One title's view. */
export class TitleView implements TitleHost {
  readonly #host: Page;
  readonly #offer: Offer;
  readonly #watch: Watch;
  readonly #log = new Log();
  /** The title that is shown. */
  current: Title | null = null;
  /** The last look at it. */
  look: Look | null = null;
  #phase: TitlePhase = "opening";
  #since = 0;
  /**
   * The time since which next to nothing comes, though others sell it; `null`: something comes. A time in the future:
   * the page has said so.
   */
  #still: number | null = null;
  #copied: ReturnType<typeof setTimeout> | undefined;

  constructor(host: Page) {
    this.#host = host;
    this.#offer = new Offer(host, this);
    this.#watch = new Watch(host, this);
    byId("copy-magnet").addEventListener("click", () => void this.#copyMagnet());
    byId("see-price").addEventListener("click", () => this.#showPrice(this.current));
    byId("pause").addEventListener("click", () => void this.#pause());
    byId("remove").addEventListener("click", () => void this.#remove());
  }

  /** The present phase. */
  get phase(): TitlePhase {
    return this.#phase;
  }

  set phase(phase: TitlePhase) {
    this.#phase = phase;
    document.body.dataset.phase = phase;
    show(byId("waiting"), phase === "opening" || phase === "metadata" || phase === "gone");
    byId("waiting")
      .querySelector<HTMLElement>(".spinner")
      ?.toggleAttribute("hidden", phase === "gone");
    show(byId("offer"), phase === "offer" || phase === "paying");
    show(byId("watch"), phase === "watching");
    show(byId("copy-magnet"), phase !== "opening" && phase !== "gone");
    show(byId("pause"), phase === "watching");
    show(byId("remove"), phase !== "opening" && phase !== "gone" && phase !== "paying");
  }

  /** Comes into view with this title. */
  async enter(infoHash: string): Promise<void> {
    if (this.current?.infoHash === infoHash) {
      this.phase = this.#phase;
      this.#watch.enter();
      return;
    }
    this.#watch.stop();
    this.#log.clear();
    this.current = null;
    this.look = null;
    this.#since = performance.now();
    this.#still = null;
    this.phase = "opening";
    setText(byId("title-name"), "Opening\u2026");
    setText(byId("title-facts"), "");
    setText(byId("waiting-text"), "Reading what is here");
    setText(byId("waiting-hint"), "");
    try {
      this.current = await this.#host.engine.open({ stored: infoHash });
      this.#offer.begin(this.current);
      await this.refresh();
    } catch (error) {
      this.phase = "gone";
      setText(byId("title-name"), "This title is not here");
      setText(byId("waiting-text"), reason(error));
      setText(byId("waiting-hint"), "Open its magnet link or .torrent file again.");
    }
  }

  /** Goes out of view: the video pauses, the transfer goes on. */
  leave(): void {
    this.#watch.leave();
  }

  /** Looks again, or takes what was seen just now. */
  async refresh(seen: { title: Title; look: Look } | null = null): Promise<void> {
    const title = this.current;
    if (!title) return;
    const look = seen?.title === title ? seen.look : await title.look();
    if (this.current !== title) return;
    this.look = look;
    this.#head(look);
    if (
      look.phase === "metadata" ||
      (look.phase === "checking" && this.#phase !== "watching" && this.#phase !== "paying")
    ) {
      this.#wait(look);
      return;
    }
    if (this.#phase === "opening" || this.#phase === "metadata") {
      if (look.length > 0 && look.verified === look.length && this.#host.engine.sharing.on) {
        // Nothing is left to fetch, to pay or to ask: uploading was agreed to before.
        this.phase = "watching";
        await this.#watch.start(title, bestFile(look), look, false);
        return;
      }
      this.phase = "offer";
      announce(`${label(look.name)} is ready`);
    }
    if (this.#phase !== "watching") return this.#offer.update(look);
    this.#watch.update(look);
    show(byId("price-box"), this.#isSold(look) && look.maxPerGB === 0n);
    this.#standsStill(look);
  }

  /** It goes on, and somebody sells the missing pieces. */
  #isSold(look: Look): boolean {
    return (
      this.#host.config.payment !== null &&
      look.phase === "downloading" &&
      look.peers.some((peer) => peer.buying.pricePerGB)
    );
  }

  /** Why nothing of it is bought: the visitor takes only free offers, or the deposit pays no more. */
  #unpaid(look: Look): { title: string; text: string } | null {
    if (look.maxPerGB === 0n) {
      return {
        title: "Nobody sends the rest for nothing at the moment.",
        text:
          "Next to nothing comes from those who ask nothing. Others ask for money, and nothing is paid before " +
          "you allow it.",
      };
    }
    const lack = this.#host.look?.money?.lack;
    // The page may not have read yet which deposit there is.
    return lack && lack !== "none" ? { title: "Nothing more is bought at the moment.", text: LACKS[lack] } : null;
  }

  /**
   * Next to nothing of this title comes, and nothing is bought. The page shows the visitor the price of the rest, and
   * lets the visitor allow it.
   */
  #standsStill(look: Look): void {
    // On demand nothing comes as long as the player has enough.
    const wanted = !look.onDemand || this.#watch.waits;
    const unpaid = wanted && this.#isSold(look) && look.downloadRate < STANDSTILL_RATE ? this.#unpaid(look) : null;
    if (!unpaid) {
      this.#still = null;
      return;
    }
    const now = performance.now();
    this.#still ??= now;
    if (now - this.#still < STANDSTILL_MS) return;
    this.#still = Infinity;
    const title = this.current;
    this.#host.problem(unpaid.title, unpaid.text, { label: "See the price", run: () => this.#showPrice(title) });
  }

  /** Back to the title's price, where the visitor can allow paying. */
  #showPrice(title: Title | null): void {
    this.#host.clearProblem();
    if (!this.look || this.current !== title || this.#phase !== "watching") return;
    this.#still = null;
    this.#watch.stop();
    this.phase = "offer";
    this.#offer.showPrice(this.look);
    byId("cost-title").focus({ preventScroll: true });
  }

  /** Begins to watch a file of this title. */
  async play(file: number): Promise<void> {
    if (!this.current || !this.look) return;
    this.phase = "watching";
    await this.#watch.start(this.current, file, this.look, true);
  }

  /** Handles an event of the engine. */
  notice(notice: Notice): void {
    if (notice.infoHash !== null && notice.infoHash !== this.current?.infoHash) return;
    this.#log.add(notice);
    if (notice.kind === "done" && this.current) announce("The whole title is here, every piece checked.");
  }

  #head(look: Look): void {
    const name = label(look.name) || "Untitled";
    setText(
      byId("title-name"),
      look.phase === "metadata" && (!look.name || look.name === look.infoHash) ? "Finding out what this is" : name,
    );
    document.title = `${name} \u2013 Piecework`;
    const facts = [];
    if (look.length > 0) facts.push(bytes(look.length), plural(look.files.length, "file"));
    if (look.length > 0)
      facts.push(look.verified === look.length ? "all here" : `${percent(look.verified, look.length)} % here`);
    facts.push(look.peers.length > 0 ? plural(look.peers.length, "peer") : "no peers yet");
    if (look.phase === "paused") facts.push("paused");
    if (look.phase === "failed") facts.push("stopped");
    setText(byId("title-facts"), facts.join(" \u00b7 "));
    setText(byId("pause"), look.phase === "paused" ? "Resume" : "Pause");
  }

  #wait(look: Look): void {
    this.phase = "metadata";
    const late = performance.now() - this.#since > PATIENCE_MS;
    if (look.phase === "checking") {
      setText(byId("waiting-text"), "Checking what is already here");
      setText(byId("waiting-hint"), "");
      return;
    }
    const trackers = this.#host.look?.trackers ?? [];
    const unreached = trackers.length > 0 && trackers.every((tracker) => !tracker.connected);
    const hint = !navigator.onLine
      ? "You are offline. This goes on by itself when the connection is back."
      : trackers.length === 0
        ? "The link names no tracker that a web page can reach (wss://), and this site has none of its own."
        : unreached && late
          ? `${trackers.map((tracker) => tracker.url).join(", ")} cannot be reached. It is tried again by ` +
            "itself; check the connection, or open a link that names another tracker."
          : late
            ? "Nobody who has this title is connected at the moment. You can leave this page open."
            : "This takes a few seconds.";
    setText(
      byId("waiting-text"),
      look.peers.length > 0
        ? "Asking peers what this title is"
        : unreached && late && navigator.onLine
          ? "No tracker answers"
          : "Looking for peers",
    );
    setText(byId("waiting-hint"), hint);
  }

  async #copyMagnet(): Promise<void> {
    const button = byId("copy-magnet");
    const link = this.current?.magnet() ?? "";
    try {
      await navigator.clipboard.writeText(link);
      setText(button, "Copied");
      announce("Magnet link copied");
      clearTimeout(this.#copied);
      this.#copied = setTimeout(() => setText(button, "Copy magnet link"), 2000);
    } catch {
      await this.#copyByHand(link);
    }
  }

  /** For browsers that do not let the page write to the clipboard. */
  async #copyByHand(link: string): Promise<void> {
    const dialog = byId<HTMLDialogElement>("copy-dialog");
    const field = byId<HTMLInputElement>("copy-link");
    field.value = link;
    dialog.showModal();
    field.select();
  }

  async #pause(): Promise<void> {
    const paused = this.look?.phase === "paused";
    try {
      await (paused ? this.current?.resume() : this.current?.pause());
      announce(paused ? "Going on" : "Paused: nothing is fetched or sent");
      await this.refresh();
    } catch (error) {
      this.#host.problem(paused ? "It could not be resumed." : "It could not be paused.", reason(error));
    }
  }

  async #remove(): Promise<void> {
    const name = label(this.look?.name ?? "") || "This title";
    const yes = await confirm(
      "Remove this title?",
      [`\u201c${name}\u201d and what is here of it is deleted from this device. What was paid is not refunded.`],
      "Remove",
    );
    if (!yes || !this.current) return;
    try {
      this.#watch.stop();
      await this.#host.engine.remove(this.current.infoHash);
      this.current = null;
      this.#host.go("#/");
    } catch (error) {
      this.#host.problem("It could not be removed.", reason(error));
    }
  }
}
