/** Carries a page's port to the host, and a port of its own for each of its readers. */

import type { FromProvider, Open } from "../../npm/src/provider.ts";
import { api, type RuntimePort } from "./browser.ts";
import { PAGE, READER, type Ensure, type Opening } from "./words.ts";

/** Readers of one client at once; the host has a bound for all of a site. */
const MAX_READERS = 32;
/** Hosts that a reader asks, one after the other. */
const MAX_TRIES = 3;
/** Milliseconds before a host that ends at once is asked for again. */
const AGAIN_AFTER = 5_000;
/** Opens of one document in a row, and milliseconds until one more may come. */
const MAX_OPENS = 32;
const OPEN_EVERY = 1_000;
/** Milliseconds between two looks whether the extension is still there. */
const LOOK_EVERY = 1_000;
const GONE = "The Piecework extension was updated, switched off or removed: reload the page.";

/** What a page's port brings. */
interface FromPage {
  t?: unknown;
  port?: unknown;
}

/** When the opens of this document that count were. */
let opens: number[] = [];

function mayOpen(): boolean {
  const now = Date.now();
  opens = opens.filter((one) => now - one < MAX_OPENS * OPEN_EVERY);
  if (opens.length >= MAX_OPENS) return false;
  opens.push(now);
  return true;
}

/** From the page's next message on. `left` is called when the page's client takes its leave. */
export function relay(page: MessagePort, left: () => void = () => undefined): void {
  let host: Promise<RuntimePort> | null = null;
  let open: Opening | null = null;
  let readers = 0;
  /** The host lets the page in no more, or the extension is gone: nothing is begun again. */
  let isOver = false;
  /** Whether the host of the moment lets the page in, once it says so. */
  let letIn: (isIn: boolean) => void;
  let opened = new Promise<boolean>((resolve) => (letIn = resolve));
  const say = (message: FromProvider) => page.postMessage(message);

  /** What a script asks of an extension that goes away in that moment is never answered, nor refused. */
  let looks: ReturnType<typeof setInterval> | undefined;
  let refuse: (error: Error) => void;
  const gone = new Promise<never>((_, reject) => (refuse = reject));
  gone.catch(() => undefined);
  function lost(): void {
    clearInterval(looks);
    if (isOver) return;
    isOver = true;
    refuse(new Error(GONE));
    say({ t: "gone", message: GONE });
    left();
  }

  async function connect(): Promise<RuntimePort> {
    await ensure();
    const port = api.runtime.connect({ name: PAGE });
    port.onMessage.addListener((message) => {
      const { t } = message as FromProvider;
      if (t === "opened") letIn(true);
      else if (t === "refused" || t === "gone") {
        letIn(false);
        clearInterval(looks);
        isOver = true;
        left();
      }
      page.postMessage(message);
    });
    const since = Date.now();
    // The host ended, and another one begins: it is told again.
    port.onDisconnect.addListener(() => {
      void api.runtime.lastError; // read, or the browser complains in the page's console
      if (isOver) return;
      opened = new Promise((resolve) => (letIn = resolve));
      if (Date.now() - since > AGAIN_AFTER) begin(true);
      else setTimeout(begin, AGAIN_AFTER, true);
    });
    if (open) port.postMessage(open);
    return port;
  }

  function begin(again: boolean): void {
    if (isOver) return;
    // The press of then asks nothing now.
    if (open && again) open = { ...open, gesture: false, again };
    clearInterval(looks);
    looks = setInterval(() => isThere() || lost(), LOOK_EVERY);
    host = isThere() ? connect() : Promise.reject(new Error(GONE));
    host.catch(lost);
  }

  page.onmessage = ({ data }: MessageEvent<FromPage | null>) => {
    if (typeof data !== "object" || data === null) return;
    if (data.t === "open") {
      // One for each port, until the page takes its leave.
      if (host || isOver) return;
      if (!mayOpen()) return say({ t: "refused", message: "The page opens Piecework\u2019s extension too often." });
      const { version, payment, ask } = data as Open;
      const gesture = navigator.userActivation?.isActive ?? false;
      open = { t: "open", version, payment, ask, gesture, again: false };
      begin(false);
    } else if (data.t === "bye") {
      // The host sees it by the end of the port. A page that is brought back opens anew.
      clearInterval(looks);
      void host?.then((port) => port.disconnect()).catch(() => undefined);
      host = null;
      opened = new Promise((resolve) => (letIn = resolve));
      left();
    } else if (data.t === "stream" && data.port instanceof MessagePort) {
      const { port, ...wanted } = data;
      if (readers >= MAX_READERS) return void port.postMessage({ error: "too many readers at once", status: 503 });
      readers++;
      new Reader(port, wanted, () => opened, gone).ended.then(() => readers--);
    } else void host?.then((port) => port.postMessage(data)).catch(() => undefined);
  };
}

/** Without an id this script is of an extension that is gone. */
const isThere = () => api.runtime?.id !== undefined;

/** The host runs, or is started. */
async function ensure(): Promise<void> {
  await api.runtime.sendMessage({ to: "shell", t: "ensure" } satisfies Ensure);
}

/** Carries a reader's pulls and its chunks; nobody sends a chunk that was not pulled. */
class Reader {
  /** Resolves when nothing more is carried. */
  readonly ended: Promise<void>;
  readonly #reader: MessagePort;
  readonly #wanted: object;
  readonly #opened: () => Promise<boolean>;
  readonly #gone: Promise<never>;
  #end: () => void = () => undefined;
  #port: RuntimePort | null = null;
  /** Something came: what was asked cannot be asked again. */
  #began = false;

  constructor(reader: MessagePort, wanted: object, opened: () => Promise<boolean>, gone: Promise<never>) {
    this.#reader = reader;
    this.#wanted = wanted;
    this.#opened = opened;
    this.#gone = gone;
    this.ended = new Promise((resolve) => (this.#end = resolve));
    reader.onmessage = ({ data }: MessageEvent<unknown>) => {
      // A buffer that the reader gives back would travel for nothing.
      this.#port?.postMessage(data === "cancel" ? "cancel" : "pull");
      if (data === "cancel") this.#over();
    };
    void this.#ask(MAX_TRIES);
  }

  async #ask(tries: number): Promise<void> {
    try {
      if (tries < MAX_TRIES) await Promise.race([ensure(), this.#gone]);
      if (!(await Promise.race([this.#opened(), this.#gone])))
        return this.#fail("the extension does not let this page in");
      const port = api.runtime.connect({ name: READER });
      this.#port = port;
      port.onMessage.addListener((message) => this.#carry(message));
      port.onDisconnect.addListener(() => {
        void api.runtime.lastError;
        this.#port = null;
        // The host ended before it answered; the next one is asked once it lets the page in.
        if (!this.#began && tries > 1) void this.#ask(tries - 1);
        else this.#fail("the extension\u2019s engine stopped");
      });
      port.postMessage(this.#wanted);
    } catch {
      this.#fail(GONE);
    }
  }

  #carry(message: unknown): void {
    this.#began = true;
    if (message instanceof ArrayBuffer) this.#reader.postMessage(message, [message]);
    else this.#reader.postMessage(message);
    if (message === "end" || (typeof message === "object" && message !== null && "error" in message)) this.#over();
  }

  #fail(error: string): void {
    this.#reader.postMessage({ error, status: 503 });
    this.#end();
  }

  #over(): void {
    this.#port?.disconnect();
    this.#port = null;
    this.#end();
  }
}
