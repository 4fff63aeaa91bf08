/**
 * The page as a whole: the view that is shown, the errors, and the regular look at the engine.
 *
 * The part of the URL behind `#` chooses the view: nothing, `/title/<info hash>`, `/money`, or `magnet=<link>`. So
 * back, reload and bookmarks work as everywhere. `document.body.dataset` names view and phase for style sheets and
 * tests.
 */

import type { Config } from "./config.ts";
import { announce, byId, reason, setText, show } from "./dom.ts";
import type { Engine, Notice } from "./engine.ts";
import { rate } from "./format.ts";
import type { Host, ViewName } from "./host.ts";
import type { ClientLook } from "./model.ts";
import { MoneyView } from "./views/money.ts";
import { OpenView } from "./views/open.ts";
import { TitleView } from "./views/title.ts";

/** Pauses between looks at the engine, while the page is visible and while it is not. */
const LOOK_MS = 300;
const LOOK_HIDDEN_MS = 2000;

/** One page. */
export class App implements Host {
  readonly config: Config;
  readonly engine: Engine;
  /** The view that is shown. */
  view: ViewName = "start";
  /** The last look at the engine. */
  look: ClientLook | null = null;
  readonly title: TitleView;
  readonly #open: OpenView;
  readonly #money: MoneyView;

  constructor(config: Config, engine: Engine) {
    this.config = config;
    this.engine = engine;
    this.#open = new OpenView(this);
    this.title = new TitleView(this);
    this.#money = new MoneyView(this);
    engine.onNotice = (notice) => this.#notice(notice);
    for (const unit of document.querySelectorAll("[data-symbol]")) setText(unit, config.payment?.token.symbol ?? "");
    byId("banner-close").addEventListener("click", () => this.clearProblem());
    document.querySelector(".skip")?.addEventListener("click", (event) => {
      event.preventDefault();
      byId("main").focus();
    });
    addEventListener("hashchange", () => void this.#route());
    addEventListener("online", () => this.#online());
    addEventListener("offline", () => this.#online());
    document.addEventListener("visibilitychange", () => {
      if (!document.hidden) void this.lookNow();
    });
  }

  /** Shows the view the URL names, and begins to look. */
  async start(): Promise<void> {
    this.#online();
    void this.#lookOnAndOn();
    const shared = this.engine.shareAsBefore();
    await this.#route();
    await shared.catch((error: unknown) => this.problem("What is on this device is not shared.", reason(error)));
    this.#open.showSharing();
  }

  /** Goes to a place in this page. */
  go(hash: string): void {
    if (location.hash === hash || (hash === "#/" && location.hash === "")) void this.#route();
    else location.hash = hash;
  }

  /** Shows an error at the top of every view, until it is dismissed. */
  problem(title: string, text: string, action?: { label: string; run: () => void }): void {
    const banner = byId("banner");
    // A screen reader reads an alert that is filled while it is hidden once, when it is shown.
    show(banner, false);
    delete banner.dataset.kind;
    setText(byId("banner-title"), title);
    setText(byId("banner-text"), text);
    const button = byId("banner-action");
    show(button, action !== undefined);
    setText(button, action?.label ?? "");
    button.onclick = action ? () => action.run() : null;
    show(banner, true);
  }

  /** Takes the banner away. */
  clearProblem(): void {
    show(byId("banner"), false);
  }

  async #route(): Promise<void> {
    const hash = location.hash.replace(/^#\/?/, "");
    const title = /^title\/([0-9a-fA-F]{40,64})$/.exec(hash)?.[1];
    if (/^magnet[:=]/.test(hash)) {
      const { readUrl } = await import("./config.ts");
      const { magnet } = readUrl(new URL(location.href));
      this.#show("open");
      // The link is replaced by the title's own place, so that "back" does not open it again.
      history.replaceState(null, "", `${location.pathname}${location.search}#/`);
      if (magnet) await this.#open.open({ magnet });
    } else if (title) {
      this.#show("title");
      await this.title.enter(title.toLowerCase());
    } else if (hash === "money") {
      this.#show("money");
      this.#money.enter();
    } else {
      this.#show("open");
      this.#open.enter();
    }
  }

  #show(view: ViewName): void {
    const before = this.view;
    this.view = view;
    document.body.dataset.view = view;
    for (const name of ["start", "open", "title", "money"]) show(byId(`view-${name}`), name === view);
    byId("nav-watch").toggleAttribute("aria-current", false);
    byId("nav-money").toggleAttribute("aria-current", false);
    byId(view === "money" ? "nav-money" : "nav-watch").setAttribute("aria-current", "page");
    if (before !== "start" && before !== view) {
      byId(view === "title" ? "title-name" : `${view}-title`).focus({ preventScroll: true });
      scrollTo({ top: 0 });
    }
    if (view !== "title") {
      delete document.body.dataset.phase;
      document.title = view === "money" ? "Money \u2013 Piecework" : "Piecework";
      this.title.leave();
    }
  }

  async #lookOnAndOn(): Promise<void> {
    for (;;) {
      await this.lookNow();
      await new Promise((resolve) => setTimeout(resolve, document.hidden ? LOOK_HIDDEN_MS : LOOK_MS));
    }
  }

  /** Looks at the engine, and brings the view up to date. */
  async lookNow(): Promise<void> {
    try {
      // The page asks for the title first: its spending is then never more than the spending in all.
      const title = this.view === "title" ? this.title.current : null;
      const asked = title?.look();
      asked?.catch(() => undefined); // handled below, unless the next line fails first
      this.look = await this.engine.look();
      this.#net(this.look);
      if (this.view === "title") await this.title.refresh(title && asked ? { title, look: await asked } : null);
      if (this.view === "money") this.#money.refresh();
    } catch (error) {
      this.#stopped(reason(error));
    }
  }

  #net(look: ClientLook): void {
    const net = byId("net");
    const offline = !navigator.onLine;
    const connected = look.trackers.some((tracker) => tracker.connected);
    net.dataset.state = offline ? "offline" : connected ? "online" : "";
    const parts = [];
    if (offline) parts.push("Offline");
    else if (look.downloadRate > 0 || look.uploadRate > 0)
      parts.push(`\u2193 ${rate(look.downloadRate)}`, `\u2191 ${rate(look.uploadRate)}`);
    else if (look.trackers.length > 0) parts.push(connected ? "Connected" : "Connecting\u2026");
    else parts.push("Ready");
    // Not announced: rates change all the time. The page announces the important changes when they happen.
    setText(byId("net-text"), parts.join("  "));
  }

  #online(): void {
    if (this.look) this.#net(this.look);
    if (this.view === "money") this.#money.refresh();
    if (!navigator.onLine) {
      // The banner is an alert: a screen reader reads it by itself.
      this.problem(
        "You are offline.",
        "What is already here plays on. The rest continues by itself when the connection is back.",
      );
      byId("banner").dataset.kind = "note";
    } else if (byId("banner-title").textContent === "You are offline.") {
      this.clearProblem();
      announce("Online again");
    }
  }

  #notice(notice: Notice): void {
    this.title.notice(notice);
    if (notice.kind === "stopped") this.#stopped(notice.text);
    else if (notice.kind === "error") this.problem("This title cannot go on.", notice.text);
    else if (notice.kind === "warning" && notice.infoHash === null) announce(notice.text);
  }

  #stopped(text: string): void {
    if (byId("banner-title").textContent === "The peer in this page has stopped." && !byId("banner").hidden) return;
    this.problem("The peer in this page has stopped.", `${text} Nothing that was verified is lost.`, {
      label: "Load the page again",
      run: () => location.reload(),
    });
  }
}
