import { Client, PieceworkRejectedError, PieceworkUnsupportedError, type ClientOptions, type PaymentLack, type Torrent } from "./index.js";

const STYLE = `
:host { display: block; position: relative; background: #000; color: #eee; color-scheme: dark; font: 14px/1.45 system-ui, sans-serif; }
video { display: block; width: 100%; height: auto; min-height: 9em; }
p { margin: 0; overflow-wrap: anywhere; unicode-bidi: isolate; }
.bar { display: flex; flex-wrap: wrap; gap: 0 1em; align-items: center; padding: .2em .8em; background: #181818; }
.facts, .said { flex: 1 1 14em; padding: .5em 0; }
.said { flex-basis: 100%; color: #ffd9a0; }
.said:empty, .facts:empty { display: none; }
label { display: flex; gap: .6em; align-items: center; min-height: 44px; }
.offer { display: grid; gap: .7em; padding: .9em .8em; background: #1d2733; }
.offer div { display: flex; flex-wrap: wrap; gap: .6em; }
button, select { font: inherit; min-height: 44px; padding: 0 1em; border: 1px solid #8b929c; border-radius: 8px; background: #181818; color: #eee; }
.pay { background: #4ecbb5; border-color: #4ecbb5; color: #05231e; font-weight: 600; }
button:disabled { background: #333; border-color: #555; color: #aaa; }
:focus-visible { outline: 3px solid #4ecbb5; outline-offset: 2px; }
[hidden] { display: none; }
`;

/** Whole tokens that nobody deposits: without a cap of the page's own, what the user puts down is the cap. */
const ALL_THAT_IS_DEPOSITED = "1000000000000";
/** Why a deposit is offered again. */
const LACKS: Record<PaymentLack, string> = {
  none: "",
  usedup: "The deposit is used up: a second one is added to it. ",
  budget: "",
  exiting: "The former deposit is on its way back, and a new one is made. ",
  withdrawn: "The former deposit went back, and a new one is made. ",
  held: "More was promised from the former deposit than this browser knows, as after a restored profile: it stays yours, and a new one is made. ",
};
/** What a deposit tells others. */
const SEEN_BY_OTHERS = "Others can see it: your wallet\u2019s address goes to each seller you buy from, and the amounts stand on the public chain.";

const ATTRIBUTES = ["src", "magnet", "torrent"] as const;

/**
 * `<piecework-player src|magnet|torrent="...">`: plays the first playable file of a torrent.
 *
 * Attributes: `magnet` (a link), `torrent` (URL of a .torrent), `src` (either), `trackers` (separated by
 * blanks), `autoplay`, `upload-limit` (bytes per second); for paid titles `vault`, `chain-id`, `rpc-url`,
 * `token`, `token-decimals`, `token-symbol`, `max-price-per-gb`, `deposit` (default 2), `budget` (default: all that is deposited; where it
 * is given, the cap on what is ever spent from the deposit, which `client.setBudget` raises). A page that has a client of its own sets the
 * property `client` before the element is connected.
 *
 * It says that watching uploads, with a switch, and asks for a deposit only by a button. What goes wrong is said once, to a screen
 * reader too; numbers that change all the time are not.
 */
export class PieceworkPlayer extends HTMLElement {
  static readonly observedAttributes: readonly string[] = ATTRIBUTES;

  /** Use this client instead of one made from the attributes. */
  client: Client | null = null;
  /** What is playing. */
  torrent: Torrent | null = null;

  readonly #video = document.createElement("video");
  /** Numbers, brought up to date each second. */
  readonly #facts = document.createElement("p");
  /** What happened last. */
  readonly #said = document.createElement("p");
  readonly #again = document.createElement("button");
  readonly #upload = document.createElement("input");
  readonly #offer = document.createElement("div");
  readonly #offerText = document.createElement("p");
  readonly #wallets = document.createElement("select");
  readonly #pay = document.createElement("button");
  #own: Client | null = null;
  #timer: ReturnType<typeof setInterval> | undefined;
  #loading = 0;
  #off: (() => void)[] = [];

  constructor() {
    super();
    const root = this.attachShadow({ mode: "open" });
    const sheet = new CSSStyleSheet();
    sheet.replaceSync(STYLE);
    root.adoptedStyleSheets = [sheet];
    this.#facts.className = "facts";
    this.#said.className = "said";
    this.#said.setAttribute("role", "status");
    this.#again.type = "button";
    this.#again.textContent = "Try again";
    this.#again.hidden = true;
    this.#again.onclick = () => void this.#load();
    this.#video.setAttribute("aria-label", "Video");
    this.#video.controls = true;
    this.#video.playsInline = true;
    this.#upload.type = "checkbox";
    this.#upload.checked = true;
    this.#upload.onchange = () => void this.client?.setUploading(this.#upload.checked);
    const label = document.createElement("label");
    label.append(this.#upload, " Watching also uploads to other viewers");
    const bar = document.createElement("div");
    bar.className = "bar";
    bar.append(this.#facts, label, this.#said, this.#again);
    this.#offer.className = "offer";
    this.#offer.hidden = true;
    this.#offer.setAttribute("role", "group");
    this.#offer.setAttribute("aria-label", "Payment");
    this.#wallets.setAttribute("aria-label", "Wallet");
    this.#pay.type = "button";
    this.#pay.className = "pay";
    this.#pay.onclick = () => void this.#deposit();
    const buttons = document.createElement("div");
    buttons.append(this.#wallets, this.#pay);
    this.#offer.append(this.#offerText, buttons);
    root.append(this.#video, this.#offer, bar);
  }

  /** The video element inside. */
  get video(): HTMLVideoElement {
    return this.#video;
  }

  /** @internal */
  connectedCallback(): void {
    this.#video.autoplay = this.hasAttribute("autoplay");
    addEventListener("online", this.#online);
    addEventListener("offline", this.#online);
    void this.#load();
  }

  /** @internal */
  disconnectedCallback(): void {
    this.#loading++;
    clearInterval(this.#timer);
    removeEventListener("online", this.#online);
    removeEventListener("offline", this.#online);
    this.#video.removeAttribute("src");
    for (const off of this.#off.splice(0)) off();
    void this.#own?.destroy();
    if (this.client === this.#own) this.client = null;
    this.#own = null;
  }

  /** @internal */
  attributeChangedCallback(): void {
    if (this.isConnected) void this.#load();
  }

  async #load(): Promise<void> {
    const turn = ++this.#loading;
    const source = ATTRIBUTES.map((name) => this.getAttribute(name)).find((value) => value);
    if (!source) return this.#say("Nothing to play.");
    this.#again.hidden = true;
    try {
      if (!this.client) {
        this.client = this.#own = new Client(this.#options());
        this.#off.push(
          this.client.on("error", ({ error }) => this.#say(error.message)),
          this.client.on("warning", ({ text }) => this.#say(text)),
          this.client.on("paymentneeded", ({ pricePerGB, reason }) => void this.#offerDeposit(pricePerGB, reason)),
        );
      }
      this.#say("Looking for the title …");
      const wanted = source.startsWith("magnet:") ? source : await fetchTorrent(source);
      const torrent = await this.client.add(wanted);
      this.torrent = torrent;
      await torrent.ready;
      if (turn !== this.#loading) return;
      const file = torrent.files.find(({ name }) => /\.(mp4|m4v|webm|mkv|mov|ogv|mp3|m4a|ogg|opus|flac)$/i.test(name)) ?? torrent.files[0];
      if (!file) return this.#say("There is no file in it.");
      await file.streamTo(this.#video);
      this.#say("");
      this.#video.setAttribute("aria-label", `Video: ${file.name}`);
      clearInterval(this.#timer);
      this.#timer = setInterval(() => void this.#show(torrent), 1_000);
      this.dispatchEvent(new CustomEvent("torrent", { detail: torrent }));
    } catch (error) {
      if (turn !== this.#loading) return;
      this.#say(message(error));
      this.#again.hidden = error instanceof PieceworkUnsupportedError;
    }
  }

  readonly #online = (): void => this.#say(navigator.onLine ? "" : "You are offline. What is already here plays on; the rest continues by itself.");

  async #show(torrent: Torrent): Promise<void> {
    const stats = await torrent.stats().catch(() => null);
    if (!stats) return;
    const percent = stats.length > 0 ? Math.floor((100 * stats.verified) / stats.length) : 0;
    const rate = (bytes: number) => `${(bytes / 1e6).toFixed(1)} MB/s`;
    this.#facts.textContent = `${torrent.name}: ${percent} %, ${stats.peers.length} peers, down ${rate(stats.downloadRate)}, up ${rate(stats.uploadRate)}`;
  }

  async #offerDeposit(pricePerGB: bigint, lack: PaymentLack): Promise<void> {
    const client = this.client;
    const torrent = this.torrent;
    if (!client || !torrent || !this.hasAttribute("vault")) return;
    if (lack === "budget") return this.#say("The limit that this page set for your deposit is reached: nothing more is bought.");
    const symbol = this.getAttribute("token-symbol") ?? "";
    const { maxCost } = await torrent.stats();
    this.#offerText.textContent =
      `${LACKS[lack]}This title costs ${client.format(pricePerGB)} ${symbol} per GB, at most ${client.format(maxCost)} ${symbol}. ` +
      `A deposit of ${this.#depositAmount} ${symbol} and a bond of 1.25 times as much go into the vault; what is not spent comes back after you ask for it and the waiting time is over. ` +
      SEEN_BY_OTHERS;
    const wallets = await client.wallets();
    this.#wallets.replaceChildren(...wallets.map(({ id, name }) => new Option(name, id)));
    this.#wallets.hidden = wallets.length < 2;
    this.#pay.textContent = wallets.length > 0 ? "Deposit and play" : "Install a wallet, then reload";
    this.#pay.disabled = wallets.length === 0;
    this.#offer.hidden = false;
  }

  get #depositAmount(): string {
    return this.getAttribute("deposit") || "2";
  }

  async #deposit(): Promise<void> {
    const client = this.client;
    if (!client) return;
    this.#pay.disabled = true;
    try {
      if (!client.walletAddress) await client.connectWallet(this.#wallets.value || undefined);
      await client.deposit({ amount: this.#depositAmount });
      this.#offer.hidden = true;
      this.#say("");
      this.#video.focus({ preventScroll: true }); // the button that had the focus is gone
      await this.#video.play().catch(() => undefined); // the user may have to press play
    } catch (error) {
      this.#say(error instanceof PieceworkRejectedError ? "Nothing was deposited." : message(error));
    } finally {
      this.#pay.disabled = false;
    }
  }

  #options(): ClientOptions {
    const text = (name: string) => this.getAttribute(name) ?? "";
    const limit = Number(text("upload-limit"));
    const vault = text("vault");
    const rpcUrl = text("rpc-url");
    return {
      trackers: text("trackers").split(/\s+/).filter(Boolean),
      ...(limit > 0 ? { uploadLimit: limit } : {}),
      ...(vault
        ? {
            payments: {
              vault,
              chainId: Number(text("chain-id")),
              ...(rpcUrl ? { rpcUrl } : {}),
              token: { address: text("token"), decimals: Number(text("token-decimals") || "6"), symbol: text("token-symbol") },
              maxPricePerGB: text("max-price-per-gb") || "0",
              budget: text("budget") || ALL_THAT_IS_DEPOSITED,
            },
          }
        : {}),
    };
  }

  #say(text: string): void {
    if (this.#said.textContent !== text) this.#said.textContent = text;
  }
}

async function fetchTorrent(url: string): Promise<ArrayBuffer> {
  const response = await fetch(url);
  if (!response.ok) throw new Error(`The .torrent file could not be loaded (${response.status}).`);
  return response.arrayBuffer();
}

function message(error: unknown): string {
  if (error instanceof PieceworkUnsupportedError) return error.missing.map(({ text }) => text).join(" ");
  return error instanceof Error ? error.message : String(error);
}

if (!customElements.get("piecework-player")) customElements.define("piecework-player", PieceworkPlayer);
