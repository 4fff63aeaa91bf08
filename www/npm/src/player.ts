import {
  BOND_EXPLAINED,
  Client,
  PieceworkRejectedError,
  PieceworkUnsupportedError,
  proposedDeposit,
  titleCost,
  whyNotBought,
  type ClientOptions,
  type Eip1193Provider,
  type PaymentLack,
  type ProposedDeposit,
  type Torrent,
  type TorrentFile,
  type TorrentStats,
  parseIceServers,
} from "./index.js";
import { NAMED_BY_DEPLOYMENT, WHOLE, misspelt } from "./attributes.js";
import type { Deployment } from "./deployment.js";
import { aboveLimit, askedPrices, diagnose, tooDear } from "./diagnosis.js";
import { STYLE } from "./player_style.js";
import { Subtitles } from "./subtitles.js";
import type { TitleCard } from "./title_card.js";
import { keepUploadAnswer, uploadAnswer } from "./upload_consent.js";

/** The sums that are offered: so many times what is enough for the title. */
const TIMES = [
  ["1", "enough for this title"],
  ["2", "twice as much, for others too"],
  ["5", "five times as much"],
] as const;
/** Why a deposit is offered again. */
const LACKS: Record<PaymentLack, string> = {
  none: "",
  usedup: "The deposit is used up: a second one is added to it. ",
  budget: "",
  exiting: "The former deposit is on its way back, and a new one is made. ",
  withdrawn: "The former deposit went back, and a new one is made. ",
  held:
    "More was promised from the former deposit than this browser knows, as after a restored profile: it stays " +
    "yours, and a new one is made. ",
};
/** Beside the switch; before anything is uploaded, from when it is stands after it. */
const UPLOADS = "Watching also uploads to other viewers";
/** A deposit's privacy notice. */
const SEEN_BY_OTHERS =
  "Others can see it: your wallet\u2019s address goes to each seller you buy from, and the amounts stand on " +
  "the public chain.";

const ATTRIBUTES = ["src", "magnet", "torrent"] as const;
/** Attributes that the video inside takes as they are, at any time. */
const OF_VIDEO = ["poster", "muted", "loop", "controls", "crossorigin"] as const;
/** Events of the video that the element passes on: none of them bubbles. */
const VIDEO_EVENTS = [
  "canplay",
  "canplaythrough",
  "durationchange",
  "emptied",
  "ended",
  "enterpictureinpicture",
  "leavepictureinpicture",
  "loadeddata",
  "loadedmetadata",
  "loadstart",
  "pause",
  "play",
  "playing",
  "progress",
  "ratechange",
  "resize",
  "seeked",
  "seeking",
  "stalled",
  "suspend",
  "timeupdate",
  "volumechange",
  "waiting",
] as const;
/** On a server, where pages are made ahead, there are no elements, and the module may be loaded all the same. */
const Base = (globalThis.HTMLElement ?? class {}) as typeof HTMLElement;

const PLAYABLE = /\.(mp4|m4v|webm|mkv|mov|ogv|mp3|m4a|ogg|opus|flac|wav)$/i;
const DEFAULT_UPLOAD = 2_500_000;
/** A deposit that can pay this part of the one that is offered is used before another is made. */
const WORTH_USING = 10n;
const LOOKING = "Looking for the title …";

/**
 * `<piecework-player src|magnet|torrent="...">`: plays the largest file of a torrent that looks playable by its name,
 * else the largest.
 *
 * The attributes stand in docs/page.md: the title (`src`, `magnet`, `torrent`), what a video takes (`poster`, `muted`,
 * `loop`, `autoplay`, `crossorigin`; `controls="none"` for a page with controls of its own), uploading (`consent`,
 * `upload-agreed`, `upload-limit`, `seed-library`), the network (`trackers`, `web-seeds`, `ice-servers`), `keep`,
 * payments, `engine`, and where the package's files are (`worker-url`, `wasm-url`, `service-worker-url`). `<track>`
 * children are the video's, and so are the torrent's `.vtt` files that are named as the film is. A page that has a
 * client of its own sets the property `client` before the element is connected.
 *
 * Events, none of which bubbles: those of the video but `error`; `torrent` (its `detail` is the {@link Torrent}, which
 * is ready), `done` (all that was wanted is here), `paymentneeded` (`{ pricePerGB, cost, reason }`, in base units;
 * the element shows its offer), `pricetoohigh` (`{ pricePerGB, maxPricePerGB, cost }`, in base units: every price
 * that is asked is above the page's limit, and nothing is offered), `funded` (a deposit pays for the title), `warning`
 * (a sentence) and `error` (the error; the element shows its message).
 *
 * The element says that watching uploads, with a switch, and uploads nothing before the visitor presses play (or, with
 * `autoplay`, sets the switch), unless `upload-agreed` says that the page has asked. With `consent` it asks, and plays
 * without uploading until it has an answer, which it keeps for the site. A client of the page's own uploads as the page
 * says. The element asks for a deposit only by a button. When its source changes or it leaves the page, the
 * torrent that it played is fetched, paid and served no longer, unless another user of the client uses it; the data
 * stays. The element reports an error once, to a screen reader too. It does not report numbers that change all the
 * time.
 */
export class PieceworkPlayer extends Base {
  static readonly observedAttributes: readonly string[] = [...ATTRIBUTES, ...OF_VIDEO];

  /** Use this client instead of one made from the attributes. */
  client: Client | null = null;
  /** Pay by this wallet, which the page connected itself, instead of one that announces itself in the page. */
  provider: Eip1193Provider | null = null;
  /** The torrent that plays, or is about to; null where there is none, or while the element looks for it. */
  torrent: Torrent | null = null;

  readonly #video = document.createElement("video");
  /** Numbers, brought up to date each second. */
  readonly #facts = document.createElement("p");
  /** The last event. */
  readonly #said = document.createElement("p");
  /** Why nothing plays. */
  readonly #failed = document.createElement("p");
  readonly #again = document.createElement("button");
  readonly #upload = document.createElement("input");
  /** Says what the switch does. */
  readonly #notice = document.createElement("span");
  readonly #keep = document.createElement("button");
  /** Asks whether the element may upload. */
  readonly #consent = document.createElement("div");
  readonly #subtitles = new Subtitles(this.#video, this, (error) => this.#say(message(error)));
  readonly #children = new MutationObserver(() => this.#subtitles.bringIn());
  readonly #offer = document.createElement("div");
  readonly #offerText = document.createElement("p");
  readonly #sums = document.createElement("select");
  readonly #wallets = document.createElement("select");
  readonly #pay = document.createElement("button");
  #own: Client | null = null;
  /** What the file of the attribute `deployment` says. */
  #deployment: Deployment | null = null;
  #timer: ReturnType<typeof setInterval> | undefined;
  /** Counts loads: results of an earlier load are of no use any more. */
  #turn = 0;
  /** The visitor, or the page, agreed to uploading. */
  #agreed = false;
  #off: (() => void)[] = [];
  /** What stays to be said while nothing else is. */
  #standing = "";
  /** What the account lacks, as it was told last; null: nothing was told, or it is offered for. */
  #unoffered: PaymentLack | null = null;
  /** Since when somebody is connected, while the player has nothing; a time of `performance.now()`. */
  #connectedAt = 0;
  /** Ends the listening to the torrent. */
  #left: (() => void) | null = null;
  /** Who published the torrent, where something may be paid for it. */
  #card: TitleCard | null = null;
  /** The turn whose torrent has one. */
  #carded = -1;

  constructor() {
    super();
    const root = this.attachShadow({ mode: "open" });
    const sheet = new CSSStyleSheet();
    sheet.replaceSync(STYLE);
    root.adoptedStyleSheets = [sheet];
    this.#facts.className = "facts";
    this.#said.className = "said";
    this.#said.setAttribute("role", "status");
    this.#failed.className = "failed";
    this.#failed.setAttribute("role", "alert");
    this.#again.type = "button";
    this.#again.textContent = "Try again";
    this.#again.hidden = true;
    this.#again.onclick = () => void this.#load();
    this.#video.setAttribute("aria-label", "Video");
    this.#video.controls = true;
    this.#video.playsInline = true;
    this.#video.addEventListener("play", () => this.#played());
    this.#video.addEventListener("error", () => this.#stopped());
    for (const name of VIDEO_EVENTS) this.#video.addEventListener(name, () => this.dispatchEvent(new Event(name)));
    this.#keep.type = "button";
    this.#keep.hidden = true;
    this.#keep.onclick = () => void this.#keepIt();
    this.#upload.type = "checkbox";
    this.#upload.onchange = () => this.#switched();
    const label = document.createElement("label");
    label.append(this.#upload, this.#notice);
    const bar = document.createElement("div");
    bar.className = "bar";
    bar.append(this.#facts, this.#keep, label, this.#said, this.#failed, this.#again);
    this.#offer.className = "offer";
    this.#offer.hidden = true;
    this.#offer.setAttribute("role", "group");
    this.#offer.setAttribute("aria-label", "Payment");
    this.#sums.setAttribute("aria-label", "Deposit");
    this.#sums.onchange = () => this.#chose();
    this.#wallets.setAttribute("aria-label", "Wallet");
    this.#pay.type = "button";
    this.#pay.className = "pay";
    this.#pay.onclick = () => {
      this.#agree(); // the button says "and play"
      void this.#deposit();
      void this.#keepAsBefore();
    };
    const buttons = document.createElement("div");
    buttons.append(this.#sums, this.#wallets, this.#pay);
    this.#offer.append(this.#offerText, buttons);
    this.#consent.hidden = true;
    this.#consent.className = "consent";
    this.#consent.setAttribute("role", "group");
    this.#consent.setAttribute("aria-label", "Uploading");
    this.#consent.append(this.#question(), this.#answers());
    root.append(this.#video, this.#consent, this.#offer, bar);
    const parts = {
      video: this.#video,
      bar,
      facts: this.#facts,
      status: this.#said,
      error: this.#failed,
      again: this.#again,
      keep: this.#keep,
      upload: label,
      consent: this.#consent,
      offer: this.#offer,
      pay: this.#pay,
    };
    for (const [name, element] of Object.entries(parts)) element.setAttribute("part", name);
  }

  #question(): HTMLElement {
    const question = document.createElement("p");
    question.textContent =
      "Viewers of this page pass the video on to each other. May this browser upload what you watch to others? It " +
      "takes some of your connection, and they see its address.";
    return question;
  }

  #answers(): HTMLElement {
    const answers = document.createElement("div");
    for (const [text, answer] of [
      ["Upload while I watch", true],
      ["Watch without uploading", false],
    ] as const) {
      const button = document.createElement("button");
      button.type = "button";
      button.textContent = text;
      button.onclick = () => {
        this.#upload.checked = answer;
        this.#switched();
        this.#video.focus({ preventScroll: true }); // the button that had the focus is gone
      };
      answers.append(button);
    }
    return answers;
  }

  /** The video element inside, with its time, volume and tracks. */
  get video(): HTMLVideoElement {
    return this.#video;
  }

  /** Plays, as the video does. */
  play(): Promise<void> {
    return this.#video.play();
  }

  /** Pauses, as the video does. */
  pause(): void {
    this.#video.pause();
  }

  /** @internal */
  connectedCallback(): void {
    this.#video.autoplay = this.hasAttribute("autoplay");
    // Before anybody plays it, no more than its beginning is fetched.
    this.#video.preload = "metadata";
    addEventListener("online", this.#online);
    addEventListener("offline", this.#online);
    this.#agreed = this.hasAttribute("upload-agreed") || (this.#asksFirst && uploadAnswer() === true);
    this.#announceUploading();
    this.#subtitles.bringIn();
    this.#children.observe(this, {
      childList: true,
      attributes: true,
      attributeFilter: ["src", "label", "srclang", "default", "kind"],
      subtree: true,
    });
    void this.#load();
  }

  /** @internal */
  disconnectedCallback(): void {
    this.#turn++;
    this.#children.disconnect();
    removeEventListener("online", this.#online);
    removeEventListener("offline", this.#online);
    this.#stop();
    for (const off of this.#off.splice(0)) off();
    void this.#own?.destroy();
    if (this.client === this.#own) this.client = null;
    this.#own = null;
  }

  /** @internal */
  attributeChangedCallback(name: string, _: string | null, value: string | null): void {
    if (name === "controls") this.#video.controls = value !== "none";
    else if (!(OF_VIDEO as readonly string[]).includes(name)) {
      if (this.isConnected) void this.#load();
    } else if (value === null) this.#video.removeAttribute(name);
    else this.#video.setAttribute(name, value);
    if (name === "muted") this.#video.muted = value !== null;
  }

  async #load(): Promise<void> {
    const turn = ++this.#turn;
    this.#stop();
    this.#fail("");
    this.#again.hidden = true;
    await null; // attributes that are set one after another are one change
    if (turn !== this.#turn) return;
    const source = ATTRIBUTES.map((name) => this.getAttribute(name)?.trim()).find((value) => value);
    if (!source) return this.#say("Nothing to play: this player was given no title.");
    this.#say(LOOKING);
    try {
      this.#check();
      this.#warnOfSlip();
      await this.#readDeployment();
      if (turn !== this.#turn) return;
      const client = this.#connect();
      const named = /^[^\w]*magnet:/i.test(source) ? source : new URL(source, document.baseURI);
      const torrent = await client.add(named, {
        onDemand: !this.hasAttribute("keep"),
        webSeeds: this.#list("web-seeds"),
      });
      if (turn !== this.#turn) return void torrent.leave().catch(() => undefined);
      this.torrent = torrent;
      this.#left = torrent.on("done", () => this.#tell("done", torrent));
      this.#timer = setInterval(() => void this.#show(torrent), 1_000);
      await torrent.ready;
      if (turn !== this.#turn) return;
      const file = fileToPlay(torrent);
      if (!file) throw new Error("There is no file in it.");
      const url = await file.url();
      if (turn !== this.#turn) return;
      this.#video.src = url;
      file.follow(this.#video);
      this.#subtitles.offer(torrent, file);
      this.#say("");
      this.#video.setAttribute("aria-label", `Video: ${file.name}`);
      this.#tell("torrent", torrent);
    } catch (error) {
      if (turn !== this.#turn) return;
      this.#say("");
      this.#fail(message(error), error);
      this.#again.hidden = error instanceof PieceworkUnsupportedError;
    }
  }

  /** Says who published it. The code for it is loaded when there is something to pay. */
  async #showCard(torrent: Torrent, turn: number): Promise<void> {
    const { CARD_STYLE, TitleCard } = await import("./title_card.js");
    const root = this.shadowRoot;
    if (turn !== this.#turn || !root) return;
    if (root.adoptedStyleSheets.length === 1) {
      const sheet = new CSSStyleSheet();
      sheet.replaceSync(CARD_STYLE);
      root.adoptedStyleSheets.push(sheet);
    }
    this.#card = new TitleCard(torrent);
    const { element } = this.#card;
    element.setAttribute("part", "title");
    element.setAttribute("role", "group");
    element.setAttribute("aria-label", "Who published it");
    root.insertBefore(element, this.#offer);
  }

  /** Refuses numbers that are none, and a vault without a price. The client checks the rest of its options. */
  #check(): void {
    const place = ["deployment", "vault"].find((name) => this.getAttribute(name));
    if (place && !this.client && !this.getAttribute("max-price-per-gb")?.trim())
      throw new Error(
        `The attribute max-price-per-gb is missing beside ${place}: write the most that is paid for 10^9 bytes, in ` +
          "tokens, or 0 to pay nothing.",
      );
    for (const [name, most] of Object.entries(WHOLE)) {
      const value = this.getAttribute(name)?.trim();
      if (value && !(/^[0-9]+$/.test(value) && Number(value) <= most))
        throw new Error(`The attribute ${name} is ${JSON.stringify(value)}: write a whole number, at most ${most}.`);
    }
  }

  /** Says which attribute may be misspelt: the page hears it, and its developer reads it. */
  #warnOfSlip(): void {
    const slip = misspelt(this.getAttributeNames());
    if (!slip) return;
    const text = `<piecework-player> has no attribute ${slip.written}: ${slip.meant} may be meant.`;
    console.warn(text);
    this.#tell("warning", text);
  }

  /** The vault of the attribute `deployment`, before the element makes its client. */
  async #readDeployment(): Promise<void> {
    const url = this.getAttribute("deployment");
    if (!url || this.client || this.#deployment) return;
    const more = NAMED_BY_DEPLOYMENT.find((name) => this.hasAttribute(name));
    if (more) throw new Error(`The attributes deployment and ${more} both name it: leave out ${more}.`);
    const { loadDeployment } = await import("./deployment.js");
    this.#deployment = await loadDeployment(url);
  }

  /** The client, made if the page has none, and its events. */
  #connect(): Client {
    if (!this.client) {
      this.client = this.#own = new Client(this.#options());
      this.#seedLibrary();
    }
    const client = this.client;
    if (this.#off.length === 0) {
      const ours = (torrent: Torrent | null) => torrent === null || torrent === this.torrent;
      this.#off.push(
        client.on("error", ({ error, torrent }) => ours(torrent) && this.#fail(error.message, error)),
        client.on("warning", ({ text, torrent }) => {
          if (!ours(torrent)) return;
          this.#say(text);
          this.#tell("warning", text);
        }),
        client.on(
          "paymentneeded",
          ({ pricePerGB, torrent, reason }) =>
            ours(torrent) && this.#offerDeposit(pricePerGB, reason).catch((error) => this.#fail(message(error))),
        ),
      );
    }
    return client;
  }

  /** The torrent that played until now plays no longer, and is not fetched, paid or served for this element's sake. */
  #stop(): void {
    clearInterval(this.#timer);
    if (this.#video.hasAttribute("src")) {
      this.#video.removeAttribute("src");
      this.#video.load(); // or it would go on reading
    }
    this.#subtitles.clear();
    this.#video.setAttribute("aria-label", "Video");
    this.#facts.textContent = "";
    this.#keep.hidden = true;
    this.#offer.hidden = true;
    this.#standing = "";
    this.#unoffered = null;
    this.#connectedAt = 0;
    this.#left?.();
    this.#left = null;
    this.#card?.end();
    this.#card?.element.remove();
    this.#card = null;
    this.torrent?.leave().catch(() => undefined); // its client may be gone
    this.torrent = null;
  }

  /** Says that watching uploads, and from when. Where nobody presses play, the visitor presses the switch. */
  #announceUploading(): void {
    const settled = this.client !== null || this.#agreed;
    const asks = this.#video.autoplay || this.#asksFirst;
    const waits = asks ? ": only once you switch it on here" : ", from when you press play";
    this.#notice.textContent = settled ? UPLOADS : UPLOADS + waits;
    this.#upload.checked = this.client ? this.client.uploading : this.#agreed || !asks;
    this.#consent.hidden = settled || !this.#asksFirst || uploadAnswer() !== null;
  }

  /** The site wants the visitor asked before anything is uploaded. */
  get #asksFirst(): boolean {
    return this.hasAttribute("consent");
  }

  /**
   * A visitor who presses play has read the notice beside it; nobody asked for a video that plays by itself. Where the
   * site has the visitor asked, playing is no answer.
   */
  #played(): void {
    if (this.#video.autoplay || navigator.userActivation?.isActive === false) return;
    this.#agree();
    void this.#keepAsBefore();
  }

  #agree(): void {
    if (this.#agreed || this.#asksFirst) return;
    this.#agreed = true;
    this.#notice.textContent = UPLOADS;
    this.#applyUploading();
    this.#seedLibrary();
  }

  /** What earlier visits left here is served too, if the site says so and the visitor agreed to uploading. */
  #seedLibrary(): void {
    if (this.#agreed && this.hasAttribute("seed-library")) void this.#own?.seedLibrary().catch(() => undefined);
  }

  #switched(): void {
    const before = this.#agreed;
    this.#agreed ||= this.#upload.checked;
    if (this.#agreed) this.#notice.textContent = UPLOADS;
    this.#consent.hidden = true;
    if (this.#asksFirst && this.client === this.#own) keepUploadAnswer(this.#upload.checked);
    if (this.#agreed && !before) this.#seedLibrary();
    if (this.#own) this.#applyUploading();
    else void this.client?.setUploading(this.#upload.checked);
  }

  #applyUploading(): void {
    const on = this.#agreed && this.#upload.checked;
    this.#own?.setUploadLimit(on ? this.#uploadCap() : 0).catch((error: unknown) => this.#fail(message(error)));
  }

  #uploadCap(): number {
    const cap = Number(this.getAttribute("upload-limit"));
    return cap > 0 ? cap : DEFAULT_UPLOAD;
  }

  readonly #online = (): void =>
    this.#say(navigator.onLine ? "" : "You are offline. What is already here plays on; the rest continues by itself.");

  async #show(torrent: Torrent): Promise<void> {
    const stats = await torrent.stats().catch(() => null);
    if (!stats || torrent !== this.torrent) return;
    await this.#diagnose(stats);
    if (stats.length === 0 || torrent !== this.torrent) return;
    const percent = stats.length > 0 ? Math.floor((100 * stats.verified) / stats.length) : 0;
    const rate = (bytes: number) => `${(bytes / 1e6).toFixed(1)} MB/s`;
    this.#facts.textContent =
      `${torrent.name}: ${percent} %, ${stats.peers.length} peers, down ${rate(stats.downloadRate)}, up ` +
      `${rate(stats.uploadRate)}${leftOut(torrent)}`;
    this.#keep.textContent = `Keep the whole title${this.#most(stats)}`;
    const hides = !stats.onDemand || stats.selectedVerified === stats.selectedLength;
    if (hides && this.#keep.matches(":focus")) this.#video.focus({ preventScroll: true });
    this.#keep.hidden = hides;
  }

  /** Says what is in the way, and offers a deposit where it was not offered and now helps. */
  async #diagnose(torrent: TorrentStats): Promise<void> {
    const client = await this.client?.stats().catch(() => null);
    if (!client || torrent.infoHash !== this.torrent?.infoHash) return;
    const asked = askedPrices(torrent);
    const lack = this.#unoffered;
    const why = whyNotBought(this.torrent);
    // The card asks the chain. Where nothing is sold, no chain is asked.
    if (this.#pays && asked.length > 0 && this.#carded !== this.#turn) {
      this.#carded = this.#turn;
      void this.#showCard(this.torrent, this.#turn).catch((error: unknown) => this.#say(message(error)));
    }
    if (lack !== null && why === null && asked.length > 0 && aboveLimit(asked, torrent) === null)
      await this.#offerDeposit(null, lack).catch((error: unknown) => this.#fail(message(error)));
    const isWaiting = torrent.peers.length > 0 && this.#video.readyState === HTMLMediaElement.HAVE_NOTHING;
    this.#connectedAt = isWaiting ? this.#connectedAt || performance.now() : 0;
    const before = this.#standing;
    const standing = diagnose({
      torrent,
      client,
      pays: this.#pays,
      waited: isWaiting ? performance.now() - this.#connectedAt : 0,
      format: (units) => this.#sum(units),
    });
    this.#standing = asked.length > 0 && why !== null ? why : standing;
    // The title may come after the offer.
    if (why !== null && !this.#offer.hidden) {
      this.#unoffered ??= "none";
      this.#offer.hidden = true;
    }
    if (this.#standing !== before && (this.#standing !== "" || this.#said.textContent === before))
      this.#say(this.#standing || (torrent.length > 0 ? "" : LOOKING));
  }

  /** The page names a vault. */
  get #pays(): boolean {
    return this.#deployment !== null || this.hasAttribute("vault");
  }

  /** Base units as text. */
  #sum(units: bigint): string {
    return `${this.client?.format(units)} ${this.#symbol}`;
  }

  /** What the rest of a title can cost, as the offer says it. */
  #most(stats: TorrentStats): string {
    if (stats.maxPricePerGB <= 0n || !this.client) return "";
    const isAsked = askedPrices(stats).some((price) => price <= stats.maxPricePerGB);
    const by = isAsked ? "the prices that are asked" : "this page's limit";
    return `, for at most ${this.#sum(titleCost(stats))} at ${by}`;
  }

  /** A visitor who chose at an earlier visit to keep the title keeps it again by playing it. */
  async #keepAsBefore(): Promise<void> {
    const stats = await this.torrent?.stats().catch(() => null);
    if (stats?.kept && stats.onDemand)
      await this.#keepIt(`All of it is fetched, as you chose before${this.#most(stats)}.`);
  }

  async #keepIt(said = "All of it is fetched."): Promise<void> {
    const torrent = this.torrent;
    try {
      await torrent?.keep();
      this.#say(said);
      if (torrent) await this.#show(torrent);
    } catch (error) {
      this.#say(message(error));
    }
  }

  /** `heard`: a price of a peer that need not be connected any more. */
  async #offerDeposit(heard: bigint | null, lack: PaymentLack): Promise<void> {
    const client = this.client;
    const torrent = this.torrent;
    if (!client || !torrent || !this.#pays) return;
    if (lack === "budget")
      return this.#say("The limit that this page set for your deposit is reached: nothing more is bought.");
    const symbol = this.#symbol;
    const [stats, { money }] = await Promise.all([torrent.stats(), client.stats()]);
    if (torrent !== this.torrent) return;
    const asked = askedPrices(stats, heard);
    const why = whyNotBought(torrent);
    if (why !== null) {
      // It is offered when the title comes that is awaited.
      this.#unoffered = lack;
      this.#offer.hidden = true;
      return this.#say(why);
    }
    const lowest = aboveLimit(asked, stats);
    if (lowest !== null) return this.#refusePrices(stats, lowest, lack);
    this.#unoffered = null;
    const limit = stats.maxPricePerGB;
    const pricePerGB = asked.reduce((low, price) => (price <= limit && price < low ? price : low), limit);
    const cost = titleCost(stats, limit, heard);
    // What is left of a deposit that is used up goes on paying.
    const left = lack === "usedup" ? money.free : 0n;
    const sum = (name: string) => (this.getAttribute(name) ? client.parse(this.getAttribute(name) ?? "") : null);
    this.#proposed = TIMES.map(([times]) =>
      proposedDeposit({
        cost: cost > left ? cost - left : 0n,
        decimals: client.parse("1").toString().length - 1,
        tranche: client.depositSlice,
        least: sum("deposit"),
        most: sum("max-deposit"),
        times: BigInt(times),
      }),
    );
    const before = this.#sums.value;
    const options = this.#proposed.flatMap(({ amount, isEnough }, at) => {
      const why = isEnough ? TIMES[at]?.[1] : "a part of what this title can cost";
      // The site's most may cut them to one.
      const isOther = amount !== this.#proposed[at - 1]?.amount;
      return isOther ? [new Option(`${client.format(amount)} ${symbol}: ${why}`, String(at))] : [];
    });
    this.#sums.replaceChildren(...options);
    this.#sums.hidden = options.length < 2;
    if (options.some(({ value }) => value === before)) this.#sums.value = before;
    this.#asks =
      `${LACKS[lack]}This title costs ${client.format(pricePerGB)} ${symbol} per GB, at most ` +
      `${client.format(cost)} ${symbol} at the prices that are asked. `;
    // An account of an earlier visit is seen only once the wallet is connected, where no node is named.
    this.#isUnseen = lack === "none";
    this.#chose();
    const wallets = this.provider ? [{ id: "", name: "" }] : await client.wallets();
    this.#wallets.replaceChildren(...wallets.map(({ id, name }) => new Option(name, id)));
    this.#wallets.hidden = wallets.length < 2;
    this.#pay.textContent = wallets.length > 0 ? "Deposit and play" : "Install a wallet, then reload";
    this.#pay.disabled = wallets.length === 0;
    this.#offer.hidden = false;
    this.#tell("paymentneeded", { pricePerGB, cost, reason: lack });
  }

  /** Nothing is offered where nothing would be bought. */
  #refusePrices(stats: TorrentStats, lowest: bigint, lack: PaymentLack): void {
    const isNews = this.#unoffered === null;
    this.#unoffered = lack;
    this.#offer.hidden = true;
    this.#standing = tooDear(lowest, stats.maxPricePerGB, (units) => this.#sum(units));
    this.#say(this.#standing);
    const cost = titleCost({ ...stats, peers: [] }, lowest, lowest);
    if (isNews) this.#tell("pricetoohigh", { pricePerGB: lowest, maxPricePerGB: stats.maxPricePerGB, cost });
  }

  /** The sums that are offered. */
  #proposed: ProposedDeposit[] = [];
  /** There may be a deposit that the engine did not see yet. */
  #isUnseen = false;
  /** What the title costs, in words. */
  #asks = "";

  get #chosen(): ProposedDeposit | undefined {
    return this.#proposed[Number(this.#sums.value)];
  }

  get #symbol(): string {
    return this.#deployment?.token.symbol ?? this.getAttribute("token-symbol") ?? "";
  }

  /** Says what goes into the vault. */
  #chose(): void {
    if (!this.client || !this.#chosen) return;
    const [amount, bond] = [this.#chosen.amount, this.#chosen.bond].map((sum) => this.client?.format(sum));
    const symbol = this.#symbol;
    this.#offerText.textContent =
      `${this.#asks}A deposit of ${amount} ${symbol} and a bond of ${bond} ${symbol} go into the vault; what is not ` +
      `spent comes back after you ask for it and the waiting time is over. ${BOND_EXPLAINED} ${SEEN_BY_OTHERS}`;
  }

  async #deposit(): Promise<void> {
    const [client, chosen] = [this.client, this.#chosen];
    if (!client || !chosen) return;
    const hadFocus = this.shadowRoot?.activeElement === this.#pay;
    this.#pay.disabled = true;
    try {
      if (!client.walletAddress)
        await client.connectWallet(this.provider ? { provider: this.provider } : this.#wallets.value || undefined);
      const { amount, bond } = chosen;
      await client.deposit({
        amount: client.format(amount),
        bond: client.format(bond),
        // What an earlier visit deposited is used up first: then another deposit is offered.
        ...(this.#isUnseen ? { ifBelow: client.format(amount / WORTH_USING) } : {}),
      });
      this.#offer.hidden = true;
      this.#tell("funded", null);
      this.#say("");
      this.#video.focus({ preventScroll: true }); // the button that had the focus is gone
      await this.#video.play().catch(() => undefined); // the user may have to press play
    } catch (error) {
      this.#say(error instanceof PieceworkRejectedError ? "Nothing was deposited." : message(error));
    } finally {
      this.#pay.disabled = false;
      // It lost the focus as it was disabled.
      if (hadFocus && !this.#offer.hidden) this.#pay.focus();
    }
  }

  #list(name: string): string[] {
    return (this.getAttribute(name) ?? "").split(/\s+/).filter(Boolean);
  }

  #options(): ClientOptions {
    const text = (name: string) => this.getAttribute(name) ?? "";
    const vault = text("vault");
    const rpcUrl = text("rpc-url");
    const place =
      this.#deployment ??
      (vault
        ? {
            vault,
            chainId: Number(text("chain-id")),
            token: {
              address: text("token"),
              decimals: Number(text("token-decimals") || "6"),
              symbol: text("token-symbol"),
            },
          }
        : null);
    const engine = text("engine");
    return {
      trackers: this.#list("trackers"),
      workerUrl: text("worker-url"),
      wasmUrl: text("wasm-url"),
      ...(this.hasAttribute("service-worker-url") ? { serviceWorkerUrl: text("service-worker-url") } : {}),
      ...(engine === "own" || engine === "extension" ? { engine } : {}),
      ...(this.hasAttribute("ice-servers") ? { iceServers: parseIceServers(text("ice-servers")) } : {}),
      // Nothing goes up before the visitor agreed to it.
      uploadLimit: this.#agreed && this.#upload.checked ? this.#uploadCap() : 0,
      ...(place
        ? {
            payments: {
              ...place,
              ...(rpcUrl ? { rpcUrl } : {}),
              maxPricePerGB: text("max-price-per-gb"),
              ...(text("budget") ? { budget: text("budget") } : {}),
              ...(text("min-redeem") ? { minRedeem: text("min-redeem") } : {}),
              ...(text("coin-price") ? { coinPrice: text("coin-price") } : {}),
              ...(text("max-gas-percent") ? { maxGasPercent: Number(text("max-gas-percent")) } : {}),
            },
          }
        : {}),
    };
  }

  /** The video ended by itself: it cannot be decoded, or reading it failed. */
  #stopped(): void {
    const error = this.#video.error;
    if (!error || !this.torrent) return;
    const { MEDIA_ERR_DECODE, MEDIA_ERR_SRC_NOT_SUPPORTED } = MediaError;
    const isForeign = error.code === MEDIA_ERR_SRC_NOT_SUPPORTED || error.code === MEDIA_ERR_DECODE;
    const text = isForeign
      ? "This browser cannot play the file: its format or codecs are unknown to it, or its beginning could not be read."
      : "Reading the file was interrupted.";
    this.#fail(text, error);
    this.#again.hidden = false;
  }

  /** Says why nothing plays, and tells the page. */
  #fail(text: string, error: unknown = new Error(text)): void {
    if (this.#failed.textContent === text) return;
    this.#failed.textContent = text;
    if (text) this.#tell("error", error);
  }

  #tell(name: string, detail: unknown): void {
    this.dispatchEvent(new CustomEvent(name, { detail }));
  }

  #say(text: string): void {
    text ||= this.#standing;
    if (this.#said.textContent !== text) this.#said.textContent = text;
  }
}

/** What a link, or an earlier visit, leaves out. */
function leftOut({ files }: Torrent): string {
  const selected = files.filter((file) => file.selected).length;
  return selected < files.length ? `, ${files.length - selected} of ${files.length} files left out` : "";
}

/** The film, not the sample beside it. */
function fileToPlay({ files }: Torrent): TorrentFile | undefined {
  const selected = files.filter((file) => file.selected);
  const playable = selected.filter(({ name }) => PLAYABLE.test(name));
  return (playable.length > 0 ? playable : selected).sort((a, b) => b.length - a.length)[0];
}

function message(error: unknown): string {
  if (error instanceof PieceworkUnsupportedError) return error.missing.map(({ text }) => text).join(" ");
  return error instanceof Error ? error.message : String(error);
}

declare global {
  interface HTMLElementTagNameMap {
    "piecework-player": PieceworkPlayer;
  }
}

if (globalThis.customElements && !customElements.get("piecework-player"))
  customElements.define("piecework-player", PieceworkPlayer);
