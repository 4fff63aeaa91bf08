import type { PieceworkError } from "./errors.js";
import type { Link, LinkEvents, LinkOptions } from "./link.js";
import type { EngineLimits, Hello } from "./protocol.js";
import {
  PROVIDER_VERSION,
  type Asked,
  type FromProvider,
  type Open,
  type Progress,
  type WalletAnswer,
  type Way,
} from "./provider.js";
import type { Store } from "./stores.js";

/** What the client gives this file, which loads alone: it must not bring a second copy of them. */
interface Events extends LinkEvents {
  failure(text: string): PieceworkError;
  /** Asks a wallet of the page. */
  wallet(method: string, params: unknown): Promise<unknown>;
  /** The client is destroyed. */
  left: AbortSignal;
}

/** Milliseconds after which a page that waits for the user's word is told where that is asked. */
const ASKS_AFTER = 10_000;
const ASKS =
  "The Piecework extension did not let this page in yet: its question is in a window of its own, or behind its button.";
/**
 * The way through a provider's port; `isChoice`: the client has another and asks no user. The port comes before `late`,
 * and so does the engine where there is another.
 */
export function openedBy(
  found: Promise<MessagePort>,
  late: Promise<null>,
  isChoice: boolean,
  options: LinkOptions,
  events: Events,
  pages: typeof Link,
): Promise<Way> {
  const remote = before(late, found, events).then((port) => Remote.open(port, !isChoice, options, events, pages));
  if (!isChoice) return remote;
  const way = before(late, remote, events);
  // What comes too late is taken leave of.
  way.catch(() => remote.then((one) => one.destroy())).catch(() => undefined);
  return way;
}

async function before<T>(late: Promise<null>, extension: Promise<T>, { failure }: Events): Promise<T> {
  const first = await Promise.race([extension, late]);
  if (first) return first;
  throw failure("The Piecework extension did not answer in time: reload the page.");
}

/** As bencoding writes the flag. Where it stands elsewhere, the client's trackers are left out needlessly. */
const PRIVATE = /7:privatei1e/;

interface Pending {
  message: { t: string; id: number };
  resolve(value: unknown): void;
  reject(error: Error): void;
  progress?: Progress | undefined;
}

/**
 * The way to an engine outside the page, through a provider's port: that of the browser extension. The provider decides
 * what the page may ask; an engine of its own that it starts anew is told again what the page wants.
 */
export class Remote implements Way {
  readonly isHost = false;
  readonly #port: MessagePort;
  readonly #options: LinkOptions;
  readonly #events: Events;
  readonly #pages: typeof Link;
  readonly #pending = new Map<number, Pending>();
  readonly #limits = new Map<string, bigint>();
  #registration: Promise<ServiceWorkerRegistration> | null = null;
  #scope: string | null = null;
  #nextId = 1;
  #greeted = false;
  #wasGreeted = false;
  #ended: Error | null = null;
  #open: Open | null = null;

  /** Waits for the provider's word; rejects with its reason. `ask`: it may ask its user. */
  static open(port: MessagePort, ask: boolean, options: LinkOptions, events: Events, pages: typeof Link) {
    return new Promise<Remote>((resolve, reject) => {
      const asks = ask ? setTimeout(() => events.warning(ASKS), ASKS_AFTER) : undefined;
      const opened = (error: Error | null) => {
        clearTimeout(asks);
        if (error) reject(error);
        else resolve(remote);
      };
      const remote = new Remote(port, options, events, pages, opened);
      const { payment } = options.config;
      const open: Open = {
        t: "open",
        version: PROVIDER_VERSION,
        payment: payment && { vault: payment.vault, chainId: payment.chainId },
        ask,
      };
      remote.#open = open;
      port.postMessage(open);
      // Also while the user is asked.
      const leave = () => {
        void remote.destroy();
        opened(events.failure("this client was destroyed"));
      };
      events.left.addEventListener("abort", leave);
      if (events.left.aborted) leave();
    });
  }

  private constructor(
    port: MessagePort,
    options: LinkOptions,
    events: Events,
    pages: typeof Link,
    opened: (error: Error | null) => void,
  ) {
    this.#port = port;
    this.#options = options;
    this.#events = events;
    this.#pages = pages;
    port.onmessage = ({ data }: MessageEvent<FromProvider>) => {
      if (data.t === "opened") {
        opened(null);
        this.#begin();
      } else if (data.t === "refused") {
        const error = events.failure(data.message);
        opened(error);
        this.#end(error);
      } else if (data.t === "gone") {
        const error = events.failure(data.message);
        opened(error);
        this.#end(error);
        events.failed(error);
      } else if (data.t === "wallet") void this.#askWallet(data.id, data.method, data.params);
      else this.#fromEngine(data);
    };
    addEventListener("pagehide", this.#leave);
    addEventListener("pageshow", this.#back);
  }

  /** An engine that knows nothing of this page answers. */
  #begin(): void {
    this.#greeted = false;
    for (const [id, { message }] of this.#pending) if (message.t === "") this.#pending.delete(id);
    const id = this.#nextId++;
    this.#pending.set(id, {
      message: { t: "", id }, // not to be repeated: each engine is greeted by itself
      resolve: (hello) => void this.#hello(hello as Hello),
      reject: (error) => this.#events.warning(error.message),
    });
    this.#port.postMessage({ t: "hello", id });
  }

  async #hello(hello: Hello): Promise<void> {
    // Those from before there was an engine, and those that the last one left unanswered.
    const before = [...this.#pending.values()];
    this.#greeted = true;
    const again = this.#wasGreeted;
    this.#wasGreeted = true;
    try {
      await this.#events.connected(hello, again);
    } catch (error) {
      this.#events.warning(error instanceof Error ? error.message : String(error));
    }
    for (const { message } of before) if (this.#pending.has(message.id)) this.#port.postMessage(message);
  }

  async #askWallet(id: number, method: string, params: unknown): Promise<void> {
    const answer: WalletAnswer = await this.#events.wallet(method, params).then(
      (v) => ({ t: "walletAnswer", id, v }),
      ({ message, code }: PieceworkError) => ({ t: "walletAnswer", id, message, code }),
    );
    this.#port.postMessage(answer);
  }

  #fromEngine(message: Exclude<FromProvider, { t: "opened" | "refused" | "gone" | "wallet" }>): void {
    switch (message.t) {
      case "ok":
      case "err": {
        const pending = this.#pending.get(message.id);
        this.#pending.delete(message.id);
        if (message.t === "ok") pending?.resolve(message.v);
        else pending?.reject(this.#events.failure(message.message));
        break;
      }
      case "progress":
        this.#pending.get(message.id)?.progress?.(message.done, message.total);
        break;
      case "event":
        this.#events.event(message);
        break;
      case "ethCall":
        this.#events.ethCall(message.to, message.data).then(
          (v) => this.tell({ t: "ethCallAnswer", id: message.id, v }),
          (error: Error) => this.tell({ t: "ethCallAnswer", id: message.id, message: error.message }),
        );
        break;
    }
  }

  request<T>(t: string, fields: object = {}, { progress, signal }: Asked = {}): Promise<T> {
    if (signal?.aborted) return Promise.reject(signal.reason);
    if (this.#ended) return Promise.reject(this.#ended);
    return new Promise<T>((resolve, reject) => {
      const more = t === "add" ? { besides: this.#besides(fields) } : {};
      const message = { ...fields, ...more, t, id: this.#nextId++ };
      this.#pending.set(message.id, { message, resolve: resolve as (value: unknown) => void, reject, progress });
      const takeBack = () => {
        this.tell({ t: "stop", id: message.id });
        if (this.#pending.delete(message.id)) reject(signal?.reason);
      };
      signal?.addEventListener("abort", takeBack, { once: true });
      if (this.#greeted) this.#port.postMessage(message);
    });
  }

  /** The client's trackers: the provider's engine has others. A private torrent takes its own alone (BEP 27). */
  #besides({ torrent }: { torrent?: Uint8Array }): string[] {
    const isPrivate = torrent && PRIVATE.test(new TextDecoder("latin1").decode(torrent));
    return isPrivate ? [] : this.#options.config.trackers;
  }

  tell(message: { t: string; [field: string]: unknown }): void {
    this.#port.postMessage(message);
  }

  read(message: { t: "stream"; [field: string]: unknown }, port: MessagePort): void {
    if (this.#ended) port.postMessage({ error: this.#ended.message, status: 503 });
    else this.#port.postMessage({ ...message, port }, [port]);
  }

  /** A reader of the page's service worker. */
  uses(hash: string): boolean {
    return this.#events.uses(hash);
  }

  setLimits(limits: EngineLimits): Promise<void> {
    return this.request("limits", limits);
  }

  setBudget(total: bigint): Promise<void> {
    return this.request("budget", { total });
  }

  setTitleLimit(hash: string, maxPricePerBlock: bigint | null): void {
    if (maxPricePerBlock === null) this.#limits.delete(hash);
    else this.#limits.set(hash, maxPricePerBlock);
  }

  titleLimit(hash: string): bigint | undefined {
    return this.#limits.get(hash);
  }

  async streaming(): Promise<{ scope: string; store: Store }> {
    const { serviceWorker, serviceWorkerScope } = this.#options;
    this.#registration ??= this.#pages.register(serviceWorker, serviceWorkerScope);
    this.#pages.addReader(this);
    const registration = await this.#registration;
    await this.#pages.controlled(registration);
    this.#scope = registration.scope;
    return { scope: registration.scope, store: null };
  }

  get scope(): { scope: string; store: Store } | null {
    return this.#scope !== null && navigator.serviceWorker.controller ? { scope: this.#scope, store: null } : null;
  }

  async destroy(): Promise<void> {
    if (this.#ended) return;
    this.#leave();
    this.#end(this.#events.failure("this client was destroyed"));
  }

  readonly #leave = (): void => {
    this.tell({ t: "bye" });
  };

  /** The browser brought the page back as it was left; the provider has taken leave of it. */
  readonly #back = ({ persisted }: PageTransitionEvent): void => {
    if (!persisted || !this.#open) return;
    this.#greeted = false;
    this.#port.postMessage(this.#open);
  };

  #end(error: Error): void {
    this.#ended = error;
    removeEventListener("pagehide", this.#leave);
    removeEventListener("pageshow", this.#back);
    this.#pages.removeReader(this);
    this.#port.close();
    for (const { reject } of this.#pending.values()) reject(error);
    this.#pending.clear();
  }
}
