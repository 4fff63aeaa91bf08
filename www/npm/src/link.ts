import { Broker, type BrokerOptions } from "./broker.js";
import { PieceworkError } from "./errors.js";
import { PAYS } from "./paying.js";
import {
  VERSION,
  type Budget,
  type EngineConfig,
  type EngineLimits,
  type EnginePayment,
  type FromEngine,
  type FromServiceWorker,
  type FromWorker,
  type Hello,
  type Limit,
  type Rendezvous,
  type Shared,
  type ToServiceWorker,
  type ToWorker,
  type Unlike,
} from "./protocol.js";
import type { Asked, Progress } from "./provider.js";
import type { Range } from "./range.js";
import { aliveName, keepGeneration, lastGeneration, named, storeIn, storeOf, type Store } from "./stores.js";
import { scriptUrl } from "./trusted.js";

/** The page that holds this lock runs the engine of its store. */
const LOCK = "piecework-engine";
const CHANNEL = "piecework";
/** After a trap a new worker starts, but only so often. */
const MAX_RESTARTS = 3;
/** Titles whose limit is kept; twice as many as an engine takes up at once. */
const MAX_TITLE_LIMITS = 1_024;
/** Messages to the other pages that wait while this page looks for its store, some milliseconds; more are dropped. */
const MAX_UNSAID = 64;
const UNLIKE =
  "This page and its service worker are of different versions of Piecework: close the site's other tabs and " +
  "reload the page.";

/** What goes on without a service worker. */
const MEANWHILE = "Until then only files play that are all here, and small ones, and only one tab of the site does so.";
const UNREACHABLE =
  "Another tab of this site runs Piecework, and without a service worker this one cannot reach it: close the other " +
  "tab.";

export interface LinkOptions {
  config: EngineConfig;
  broker: BrokerOptions;
  /** Those of the page's options that count only where the page runs the engine. */
  shared: Shared;
  worker: URL;
  wasm: URL;
  rest: URL;
  serviceWorker: URL;
  serviceWorkerScope: URL | null;
}

export interface LinkEvents {
  event(message: Extract<FromEngine, { t: "event" }>): void;
  /** Whether this page uses a torrent. */
  uses(hash: string): boolean;
  /** A player of this page begins to read, by the service worker. */
  reads(wanted: { hash: string; file: number } & Range): void;
  /** A new engine answers: the page must tell it again what it wants. */
  connected(hello: Hello, again: boolean): Promise<void>;
  ethCall(to: string, data: string): Promise<string>;
  /** A sentence for the user. */
  warning(text: string): void;
  failed(error: PieceworkError): void;
}

/** A client that answers the service worker for its titles. */
interface Reader {
  uses(hash: string): boolean;
  read(message: { t: "stream"; [field: string]: unknown }, port: MessagePort): void;
}

interface Pending {
  message: { t: string; id: number };
  resolve(value: unknown): void;
  reject(error: Error): void;
  progress?: Progress | undefined;
}

/**
 * The way to the engine of the page's store, which is the origin's only one unless its pages pay by several vaults: in
 * a worker of this page if this page holds the lock, else in the worker of the page that does, through a port handed
 * over by the service worker. When that page goes, the lock comes to one of the others, which starts an engine from
 * what is stored.
 */
export class Link {
  /** The links of this page. The service worker speaks to the page, not to one of them. */
  static readonly #all = new Set<Link>();
  readonly #options: LinkOptions;
  readonly #events: LinkEvents;
  readonly #stop = new AbortController();
  /** Its place among the pages of one store, which a page leaves for another store at most once. */
  #seat: {
    store: Store;
    channel: BroadcastChannel;
    alive: string;
    held: Promise<void>;
    left: AbortController;
  } | null = null;
  /** Messages to the other pages from before it has a place. */
  #unsaid: Rendezvous[] = [];
  readonly #pending = new Map<number, Pending>();
  /** Readers that wait for an engine that is starting. */
  readonly #readers: { message: { t: "stream" }; port: MessagePort }[] = [];
  readonly #serviceWorkerReady: Promise<ServiceWorkerRegistration>;
  #port: MessagePort | null = null;
  #worker: Worker | null = null;
  /** A worker that loads while this page asks for the lock; dropped where another page runs the engine. */
  #spare: { worker: Worker; broker: Broker } | null = null;
  #broker: Broker | null = null;
  #started = false;
  /** Its engine, which cannot pay, ends for a page's that can. */
  #yields = false;
  #stopped: (() => void) | null = null;
  /** No engine answers, and none will before one starts here. */
  #failure: PieceworkError | null = null;
  #connectedOnce = false;
  #restarts = 0;
  #nextId = 1;
  /** Names the engine that runs here. */
  #engine = "";
  /** The engine whose options were compared last. */
  #compared: string | undefined;
  #shared: Shared;
  /** The last budget that a page of this origin set while this page was open. */
  #budget: Budget | null = null;
  /**
   * The last limit that a page of this origin set for each title; the limit that was set first is forgotten first.
   */
  readonly #titleLimits = new Map<string, Limit>();

  constructor(options: LinkOptions, events: LinkEvents) {
    this.#options = options;
    this.#events = events;
    this.#shared = options.shared;
    this.#serviceWorkerReady = Link.register(options.serviceWorker, options.serviceWorkerScope);
    this.#serviceWorkerReady
      .then(({ scope }) => (this.#scope = scope))
      .catch((error) => {
        if (!this.#stop.signal.aborted) this.#events.warning(`Films cannot be streamed. ${text(error)}`);
      });
    Link.#all.add(this);
    Link.#listen();
    this.#prepare();
    addEventListener("pagehide", this.#leave);
    addEventListener("pageshow", this.#back);
    void this.#begin();
  }

  async #begin(): Promise<void> {
    const { payment } = this.#options.config;
    const store = PAYS && payment ? await storeOf(payment) : null;
    if (!this.#stop.signal.aborted) this.#sit(store);
  }

  /** Takes its place among the pages of a store: waits to run the engine there, and asks who runs it. */
  #sit(store: Store): void {
    const channel = new BroadcastChannel(named(CHANNEL, store));
    const left = new AbortController();
    const { signal } = left;
    channel.onmessage = ({ data }: MessageEvent<Rendezvous>) => this.#fromPage(data);
    // The page's very first request for a lock, so that of several clients on one page the first runs the engine:
    // Chromium asks whether the page may store anything before it passes on the first requests, and a later request of
    // the page can overtake all of those but the first.
    navigator.locks
      .request(named(LOCK, store), { signal }, () => this.#host(signal))
      .catch((error) => {
        if (!signal.aborted) this.#fail(new PieceworkError(text(error)));
      });
    // Held as long as the client lives, because a page that the browser throws away sends no goodbye. An engine that
    // got the lock before the page would take the page for one that is gone.
    const alive = aliveName(store);
    const held = new Promise<void>((resolve) => {
      const hold = () => {
        resolve();
        return ends(signal);
      };
      navigator.locks.request(alive, { signal }, hold).catch(() => undefined);
    });
    this.#seat = { store, channel, alive, held, left };
    this.#tell({ t: "who" });
    for (const message of this.#unsaid.splice(0)) this.#tell(message);
  }

  #stand(): void {
    this.#seat?.left.abort();
    this.#seat?.channel.close();
    this.#seat = null;
    this.#joined = null;
  }

  /**
   * Leaves the first store for the vault's own, if the first has become another vault's since this page looked. Gives
   * whether it left.
   */
  async #moves(): Promise<boolean> {
    const { payment } = this.#options.config;
    const seat = this.#seat;
    if (!PAYS || !payment || seat?.store !== null) return false;
    const store = await storeOf(payment);
    if (store === null || this.#seat !== seat) return false;
    this.#disconnect();
    this.#stand();
    this.#sit(store);
    return true;
  }

  /** A message of another page of its store. */
  #fromPage(message: Rendezvous): void {
    switch (message.t) {
      case "who":
        void this.#announce();
        break;
      case "pay":
        void this.#adopt(message.payment, message.shared);
        break;
      case "budget":
        this.#keepBudget(message.budget);
        break;
      case "limit":
        this.#keepLimit(message.limit);
        break;
      case "host":
        if (!this.#budget && message.budget) this.#keepBudget(message.budget);
        for (const limit of message.limits ?? []) if (!this.#titleLimits.has(limit.hash)) this.#keepLimit(limit);
        if (!this.#worker) void this.#join(message);
        break;
      case "unreachable":
        if (!this.#worker) this.#events.warning(UNREACHABLE);
        break;
    }
  }

  /** This page runs the engine. */
  get isHost(): boolean {
    return this.#worker !== null;
  }

  /**
   * Asks the engine; survives a change of engines. Of a `seed` `progress` hears how far it is, and `signal` takes it
   * back.
   */
  request<T>(t: string, fields: object = {}, { progress, signal }: Asked = {}): Promise<T> {
    if (signal?.aborted) return Promise.reject(signal.reason);
    if (this.#stop.signal.aborted) return Promise.reject(new PieceworkError("this client was destroyed"));
    if (this.#failure) return Promise.reject(this.#failure);
    return new Promise<T>((resolve, reject) => {
      const message = { ...fields, t, id: this.#nextId++ };
      const takeBack = () => {
        this.tell({ t: "stop", id: message.id });
        if (this.#pending.delete(message.id)) reject(signal?.reason);
      };
      const over =
        <V>(then: (value: V) => void) =>
        (value: V) => {
          signal?.removeEventListener("abort", takeBack);
          then(value);
        };
      const pending = { message, resolve: over(resolve as (value: unknown) => void), reject: over(reject), progress };
      this.#pending.set(message.id, pending);
      signal?.addEventListener("abort", takeBack, { once: true });
      if (this.#started) this.#port?.postMessage(message);
      // A torrent waits for the engine: it will want connections.
      else if (t === "add") (this.#broker ?? this.#spare?.broker)?.prepare();
    });
  }

  /** No reader and no request waits for an engine that does not come. */
  #fail(error: PieceworkError): void {
    this.#failure = error;
    this.#events.failed(error);
    this.#refuseReaders(error);
    for (const [id, { message, reject }] of this.#pending) {
      this.#pending.delete(id);
      if (message.t !== "") reject(error);
    }
  }

  /** Sets limits, of this engine and of one that starts here later. */
  setLimits(limits: EngineLimits): Promise<void> {
    Object.assign(this.#options.config, limits);
    return this.request("limits", limits);
  }

  /** Sets the budget, of this engine and of one that starts later, here or on another page. */
  setBudget(total: bigint): Promise<void> {
    const { payment } = this.#options.config;
    if (PAYS && payment) {
      this.#budget = { vault: payment.vault, chainId: payment.chainId, total };
      this.#tell({ t: "budget", budget: this.#budget });
    }
    return this.request("budget", { total });
  }

  /**
   * Sets the most that is paid for a block of a title, for engines that start later, here or on another page; null: as
   * the site allows.
   */
  setTitleLimit(hash: string, maxPricePerBlock: bigint | null): void {
    const { payment } = this.#options.config;
    const limit = { vault: payment?.vault ?? null, chainId: payment?.chainId ?? null, hash, maxPricePerBlock };
    this.#keepLimit(limit);
    if (payment) this.#tell({ t: "limit", limit });
  }

  /** The last limit that a page set for a title, if one did. */
  titleLimit(hash: string): bigint | undefined {
    const limit = this.#titleLimits.get(hash);
    return limit && this.#concerns(limit) ? (limit.maxPricePerBlock ?? undefined) : undefined;
  }

  #keepBudget(budget: Budget): void {
    if (this.#concerns(budget)) this.#budget = budget;
  }

  #keepLimit(limit: Limit): void {
    if (!this.#concerns(limit)) return;
    this.#titleLimits.delete(limit.hash);
    if (limit.maxPricePerBlock !== null) this.#titleLimits.set(limit.hash, limit);
    const [oldest] = this.#titleLimits.keys();
    if (this.#titleLimits.size > MAX_TITLE_LIMITS && oldest !== undefined) this.#titleLimits.delete(oldest);
  }

  /** Whether a message counts here; one about another vault does not. */
  #concerns(said: Pick<Hello, "vault" | "chainId">): boolean {
    const { payment } = this.#options.config;
    return !payment || said.vault === null || isOf(payment, said);
  }

  /** The configuration of an engine that starts here. */
  #config(): EngineConfig {
    const { payment, ...config } = this.#options.config;
    const store = this.#seat?.store ?? null;
    const budget = this.#budget && this.#concerns(this.#budget) ? { budget: this.#budget.total } : {};
    return {
      ...config,
      ...(store === null ? {} : { store }),
      payment: payment ? { ...payment, ...budget, ...lastGeneration(store) } : null,
    };
  }

  /** Sends a message that has no answer. */
  tell(message: { t: string; [field: string]: unknown }, transfer: Transferable[] = []): void {
    this.#port?.postMessage(message, transfer);
  }

  /** Hands a reader's port to the engine, once it has started; without an engine the reader gets a refusal. */
  read(message: { t: "stream"; [field: string]: unknown }, port: MessagePort): void {
    if (this.#started) this.tell({ ...message, port }, [port]);
    else if (this.#port) this.#readers.push({ message, port });
    else refuse(port, this.#failure);
  }

  /** Refuses the waiting readers: no engine starts for them. */
  #refuseReaders(error: PieceworkError): void {
    for (const { port } of this.#readers.splice(0)) refuse(port, error);
  }

  /** Where the service worker answers, once {@link streaming} has found that it controls this page. */
  get scope(): { scope: string; store: Store } | null {
    const store = this.#seat?.store ?? null;
    return this.#scope !== null && navigator.serviceWorker.controller ? { scope: this.#scope, store } : null;
  }
  #scope: string | null = null;

  /** Resolves when the service worker controls this page, with its scope and the store whose engine answers here. */
  async streaming(): Promise<{ scope: string; store: Store }> {
    const registration = await this.#serviceWorkerReady;
    await Link.controlled(registration);
    this.#scope = registration.scope;
    return { scope: registration.scope, store: this.#seat?.store ?? null };
  }

  /** Ends; as the host it first lets the engine say goodbye and make everything durable. */
  async destroy(): Promise<void> {
    if (this.#stop.signal.aborted) return;
    await this.#shutDown();
    this.#leave();
    this.#stop.abort();
    removeEventListener("pagehide", this.#leave);
    removeEventListener("pageshow", this.#back);
    Link.#all.delete(this);
    Link.#unlisten();
    this.#stand();
    this.#endWorker();
    this.#dropSpare();
    const destroyed = new PieceworkError("this client was destroyed");
    this.#refuseReaders(destroyed);
    for (const { reject } of this.#pending.values()) reject(destroyed);
    this.#pending.clear();
  }

  // ------------------------------------------------------------------------------ as the host

  /** Runs the engine until this client leaves its place or it cannot run here; the lock is held that long. */
  async #host(left: AbortSignal): Promise<void> {
    // Under the lock the first store becomes nobody else's.
    if ((await this.#moves()) || left.aborted) return;
    this.#startWorker();
    await Promise.race([ends(left), new Promise<void>((resolve) => (this.#hostEnds = resolve))]);
  }
  #hostEnds: (() => void) | null = null;

  /**
   * Most visitors have one page of a site open, so this page fetches the engine's files before it knows that the engine
   * runs here.
   */
  #prepare(): void {
    try {
      this.#spare = this.#newWorker();
      const { worker } = this.#spare;
      // The page fetches the wasm, because it comes while the worker's script does. The worker reports a failure, and
      // tries again.
      const module = WebAssembly.compileStreaming(fetch(this.#options.wasm)).catch(() => null);
      void module.then((module) => worker.postMessage({ t: "module", module } satisfies ToWorker));
    } catch {
      // reported when the engine is to start
    }
  }

  #newWorker(): { worker: Worker; broker: Broker } {
    const worker = new Worker(scriptUrl(this.#options.worker), { type: "module", name: "piecework" });
    worker.onerror = (event) => {
      event.preventDefault();
      if (this.#worker === worker) this.#trapped(event.message || this.#notLoaded());
      else if (this.#spare?.worker === worker) this.#dropSpare(); // another try says why
    };
    const broker = new Broker(this.#options.broker, (message, transfer) => worker.postMessage(message, transfer));
    return { worker, broker };
  }

  #notLoaded(): string {
    return (
      `${this.#options.worker.href} could not be loaded: serve it there, or name it by \`workerUrl\`; for Vite there is ` +
      "the plugin `piecework/vite`"
    );
  }

  #dropSpare(): void {
    this.#spare?.broker.closeAll();
    this.#spare?.worker.terminate();
    this.#spare = null;
  }

  /** Lets the engine here, if there is one, say goodbye and make everything durable. */
  async #shutDown(): Promise<void> {
    if (!this.#worker || !this.#started) return;
    await new Promise<void>((resolve) => {
      this.#stopped = resolve;
      this.#toWorker({ t: "shutdown" });
    });
  }

  /**
   * Another page of this site pays and this one does not: the engine starts again with that page's payment options.
   */
  async #adopt(payment: EnginePayment, shared: Shared): Promise<void> {
    const worker = this.#worker;
    if (!worker || this.#options.config.payment || this.#yields) return;
    if (PAYS) {
      this.#options.config.payment = payment;
      this.#shared = { ...shared, ...this.#shared };
    }
    this.#yields = !PAYS;
    await this.#shutDown();
    this.#yields = false;
    if (this.#worker !== worker || this.#stop.signal.aborted) return;
    this.#endWorker();
    if (PAYS) return this.#startWorker();
    // The page that pays has the engine for it, and waits for its turn.
    const store = this.#seat?.store ?? null;
    this.#stand();
    this.#sit(store);
  }

  #startWorker(): void {
    this.#disconnect();
    this.#failure = null;
    this.#engine = crypto.randomUUID();
    const prepared = this.#spare;
    const { worker, broker } = prepared ?? this.#newWorker();
    this.#spare = null;
    this.#worker = worker;
    this.#broker = broker;
    worker.onmessage = ({ data }: MessageEvent<FromWorker>) => this.#fromWorker(data);
    // A later worker is of the version that the site serves by then, and so is its wasm.
    if (!prepared) this.#toWorker({ t: "module", module: null });
    const { wasm, rest } = this.#options;
    this.#toWorker({ t: "start", config: this.#config(), wasm: wasm.href, rest: rest.href });
    this.#attach();
  }

  /** This page is one that the engine here serves. */
  #attach(): void {
    const { port1, port2 } = new MessageChannel();
    this.#toWorker({ t: "page", port: port2 }, [port2]);
    this.#connect(port1);
  }

  #fromWorker(message: FromWorker): void {
    if (this.#broker?.handle(message)) return;
    switch (message.t) {
      case "started":
        void this.#announce();
        break;
      case "failedStart":
        this.#endWorker();
        this.#fail(new PieceworkError(message.text));
        this.#hostEnds?.();
        break;
      case "trap":
        this.#trapped(message.text);
        break;
      case "stopped":
        this.#stopped?.();
        break;
    }
  }

  /** A trap ends the worker: the next one starts from the stored records. */
  #trapped(reason: string): void {
    this.#endWorker();
    this.#stopped?.();
    if (this.#stop.signal.aborted) return;
    if (++this.#restarts > MAX_RESTARTS) {
      this.#fail(
        new PieceworkError(`The engine stopped (${reason}) and was restarted ${MAX_RESTARTS} times: reload the page.`),
      );
      this.#hostEnds?.();
      return;
    }
    this.#events.warning(`The engine stopped (${reason}); a new one starts from what is stored.`);
    this.#startWorker();
  }

  #endWorker(): void {
    this.#broker?.closeAll();
    this.#worker?.terminate();
    this.#broker = this.#worker = null;
    this.#disconnect();
  }

  #toWorker(message: ToWorker, transfer: Transferable[] = []): void {
    this.#worker?.postMessage(message, transfer);
  }

  /** Tells the other pages how to reach the engine here. */
  async #announce(): Promise<void> {
    if (!this.#worker || !this.#started) return;
    const registration = await this.#serviceWorkerReady.catch(() => null);
    if (this.#stop.signal.aborted) return;
    if (!registration?.active) return this.#tell({ t: "unreachable" });
    const client = await whoami(registration);
    if (this.#stop.signal.aborted) return;
    if (client)
      this.#tell({
        t: "host",
        client,
        engine: this.#engine,
        shared: this.#shared,
        budget: this.#budget,
        limits: [...this.#titleLimits.values()],
      });
    else this.#events.warning(UNLIKE);
  }

  // ------------------------------------------------------------------------------ as a client

  async #join(host: Extract<Rendezvous, { t: "host" }>): Promise<void> {
    const seat = this.#seat;
    const registration = await this.#serviceWorkerReady.catch(() => null);
    await seat?.held;
    if (!registration?.active || this.#worker || !seat || this.#seat !== seat) return;
    // An engine that answers us already announced itself again: it is not a new one.
    if (this.#joined?.client === host.client && this.#joined.engine === host.engine && this.#started) return;
    this.#joined = host;
    this.#disconnect();
    const { port1, port2 } = new MessageChannel();
    toServiceWorker(
      registration,
      { version: VERSION, piecework: "connect", to: host.client, alive: seat.alive },
      port2,
    );
    this.#connect(port1);
  }
  #joined: Extract<Rendezvous, { t: "host" }> | null = null;

  /** Says which of this page's options another page's engine leaves without effect. */
  #compare(theirs: Shared): void {
    const text = (value: unknown) => JSON.stringify(value);
    const idle = Object.keys(this.#shared).filter((name) => text(this.#shared[name]) !== text(theirs[name]));
    if (idle.length > 0)
      this.#events.warning(
        "Another page of this site already runs Piecework. While it does, these options of this page have no " +
          `effect: ${idle.join(", ")}.`,
      );
  }

  #connect(port: MessagePort): void {
    this.#port = port;
    port.onmessage = ({ data }: MessageEvent<FromEngine | Unlike>) => this.#fromEngine(port, data);
    const id = this.#nextId++;
    this.#pending.set(id, {
      message: { t: "", id }, // not to be reported again: the next connection reports its own
      resolve: (hello) => void this.#greeted(port, hello as Hello),
      reject: (error) => this.#fail(new PieceworkError(error.message)),
    });
    port.postMessage({ t: "hello", id });
  }

  async #greeted(port: MessagePort, hello: Hello): Promise<void> {
    const { config } = this.#options;
    // Another page's engine answers, whether or not it suits this one.
    if (!this.#worker) this.#dropSpare();
    if (this.#port !== port) return;
    const { payment } = config;
    // It starts again with our payments, and says so. (A message without a name comes from an earlier version, which
    // cannot.)
    if (PAYS && payment && hello.vault === null && this.#joined?.engine)
      return this.#tell({ t: "pay", payment, shared: this.#shared });
    if (PAYS && payment && !isOf(payment, hello)) {
      if ((await this.#moves()) || this.#port !== port) return;
      const theirs =
        hello.vault === null ? "without payments" : `with the vault ${hello.vault} on chain ${hello.chainId}`;
      return this.#fail(
        new PieceworkError(
          `Another page of this site runs Piecework ${theirs}, this one is set to the vault ${payment.vault} ` +
            `on chain ${payment.chainId}: close that page, then reload this one.`,
        ),
      );
    }
    if (!this.#worker && this.#joined?.shared && this.#compared !== this.#joined.engine) {
      this.#compared = this.#joined.engine;
      this.#compare(this.#joined.shared);
    }
    this.#failure = null;
    if (hello.generation !== null) keepGeneration(this.#seat?.store ?? null, hello.generation);
    const before = [...this.#pending.values()].filter(({ message }) => message.t !== "");
    this.#started = true;
    if (this.#worker) void this.#announce();
    const again = this.#connectedOnce;
    this.#connectedOnce = true;
    try {
      await this.#events.connected(hello, again);
    } catch (error) {
      this.#events.warning(text(error));
    }
    // Requests that an earlier engine left unanswered, and requests from before there was one.
    if (this.#port === port) {
      for (const { message } of before) if (this.#pending.has(message.id)) port.postMessage(message);
      for (const { message, port: reader } of this.#readers.splice(0))
        port.postMessage({ ...message, port: reader }, [reader]);
    }
  }

  #disconnect(): void {
    this.#started = false;
    if (!this.#port) return;
    this.#port.onmessage = null;
    this.#port.close();
    this.#port = null;
    for (const [id, { message }] of this.#pending) if (message.t === "") this.#pending.delete(id);
  }

  #fromEngine(port: MessagePort, message: FromEngine | Unlike): void {
    switch (message.t) {
      case "unlike":
        this.#fail(new PieceworkError(UNLIKE));
        break;
      case "ok":
      case "err": {
        const pending = this.#pending.get(message.id);
        this.#pending.delete(message.id);
        if (message.t === "ok") pending?.resolve(message.v);
        else pending?.reject(new PieceworkError(message.message));
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
          (v) => port.postMessage({ t: "ethCallAnswer", id: message.id, v }),
          (error) => port.postMessage({ t: "ethCallAnswer", id: message.id, message: text(error) }),
        );
        break;
    }
  }

  readonly #leave = (): void => {
    this.tell({ t: "bye" });
  };

  /** The browser brought the page back as it was left, as by the back button; the engine has taken leave of it. */
  readonly #back = ({ persisted }: PageTransitionEvent): void => {
    if (!persisted) return;
    this.#disconnect();
    this.#joined = null;
    if (this.#worker) this.#attach();
    else this.#tell({ t: "who" });
  };

  // ------------------------------------------------------------------------------ service worker

  /** The service worker, of this version. */
  static async register(serviceWorker: URL, serviceWorkerScope: URL | null): Promise<ServiceWorkerRegistration> {
    if (!navigator.serviceWorker)
      throw new PieceworkError(
        `This window has no service workers: leave private browsing, or allow site data for this page. ${MEANWHILE}`,
      );
    // A site with a service worker of its own has imported ours into it.
    const own = await navigator.serviceWorker.getRegistration(serviceWorkerScope ?? document.baseURI);
    const ours = own?.active ?? own?.waiting ?? own?.installing;
    const theirs = ours && new URL(ours.scriptURL).pathname !== serviceWorker.pathname;
    if (!theirs) {
      const url = new URL(serviceWorker);
      url.searchParams.set("piecework", "");
      const { scope } = await navigator.serviceWorker
        .register(scriptUrl(url), serviceWorkerScope ? { scope: serviceWorkerScope.href } : {})
        .catch((error) => {
          throw new PieceworkError(
            `There is no service worker at ${serviceWorker.pathname} (${text(error)}): place it by ` +
              "`npx piecework copy` in the folder that the site serves, or by the Vite plugin `piecework/vite`. " +
              MEANWHILE,
          );
        });
      if (!document.URL.startsWith(scope)) {
        throw new PieceworkError(
          `The service worker's scope ${scope} leaves this page out: put piecework-sw.js into the page's ` +
            "folder, or above it.",
        );
      }
    }
    const registration = await navigator.serviceWorker.ready;
    if (await whoami(registration)) return registration;
    // Ours is of an earlier visit: its successor is on the way. A site decides by itself when its own worker gives way.
    if (!theirs) {
      await registration.update();
      const next = registration.installing ?? registration.waiting;
      if (next) await settled(next);
      if (await whoami(registration)) return registration;
    }
    throw new PieceworkError(UNLIKE);
  }

  /** Resolves when it controls this page. */
  static async controlled(registration: ServiceWorkerRegistration): Promise<void> {
    if (navigator.serviceWorker.controller) return;
    // On a first visit, or after a hard reload, the browser does not let it control this page by itself.
    await new Promise<void>((resolve) => {
      navigator.serviceWorker.addEventListener("controllerchange", () => resolve(), { once: true });
      toServiceWorker(registration, { version: VERSION, piecework: "claim" });
    });
  }

  static #listen(): void {
    navigator.serviceWorker?.addEventListener("message", Link.#fromServiceWorker);
    navigator.serviceWorker?.startMessages();
  }

  static #unlisten(): void {
    if (Link.#all.size === 0 && Link.#others.size === 0)
      navigator.serviceWorker?.removeEventListener("message", Link.#fromServiceWorker);
  }

  /** Clients of this page whose engine is not the site's. */
  static readonly #others = new Set<Reader>();

  static addReader(reader: Reader): void {
    Link.#others.add(reader);
    Link.#listen();
  }

  static removeReader(reader: Reader): void {
    Link.#others.delete(reader);
    Link.#unlisten();
  }

  static readonly #fromServiceWorker = (event: MessageEvent<FromServiceWorker>): void => {
    const { data } = event;
    const port = event.ports[0];
    if (!port || typeof data !== "object" || data === null || !("piecework" in data)) return;
    // A port has one taker, also where a page has loaded this module twice.
    event.stopImmediatePropagation();
    if (data.piecework === "read" && data.version === VERSION) {
      const { piecework: _, version: __, store: ___, ...wanted } = data;
      const reader = [...Link.#others].find((one) => one.uses(data.hash));
      if (reader) return void reader.read({ ...wanted, t: "stream" }, port);
    }
    const links = [...Link.#all];
    // Clients of several stores in one page each have an engine.
    const store = data.piecework === "connect" ? storeIn(data.alive) : data.store;
    const isKnown = data.version === VERSION && store !== undefined;
    const own = isKnown ? links.filter((link) => link.#seat?.store === store) : links;
    const using = data.piecework === "read" ? own.filter((link) => link.#events.uses(data.hash)) : own;
    const all = using.length > 0 ? using : own;
    const best =
      all.find((link) => link.#worker) ?? all.find((link) => link.#started) ?? all.find((link) => link.#port) ?? all[0];
    if (best) best.#serve(data, port);
    else if (data.piecework === "read") refuse(port, null);
    else port.close();
  };

  #serve(data: FromServiceWorker, port: MessagePort): void {
    if (data.version !== VERSION) {
      // A reader takes it for an answer, another page for an engine's message.
      port.postMessage({ t: "unlike", error: UNLIKE, status: 503 });
      this.#events.warning(UNLIKE);
    } else if (data.piecework === "connect") {
      if (this.#worker) this.#toWorker({ t: "page", port, alive: data.alive }, [port]);
      else port.close();
    } else if (data.piecework === "read") {
      const { piecework: _, version: __, store: ___, ...wanted } = data;
      this.#events.reads(wanted);
      this.read({ ...wanted, t: "stream" }, port);
    }
  }

  #tell(message: Rendezvous): void {
    if (this.#seat) this.#seat.channel.postMessage(message);
    else if (this.#unsaid.length < MAX_UNSAID) this.#unsaid.push(message);
  }
}

/** Resolves when the signal aborts. */
function ends(signal: AbortSignal): Promise<void> {
  if (signal.aborted) return Promise.resolve();
  return new Promise((resolve) => signal.addEventListener("abort", () => resolve(), { once: true }));
}

/** Whether it is about the vault that a page pays by. */
function isOf(payment: EnginePayment, { vault, chainId }: Pick<Hello, "vault" | "chainId">): boolean {
  return vault?.toLowerCase() === payment.vault.toLowerCase() && chainId === payment.chainId;
}

function refuse(port: MessagePort, error: PieceworkError | null): void {
  port.postMessage({ error: error?.message ?? "no engine is running", status: 503 });
}

function toServiceWorker(
  registration: ServiceWorkerRegistration,
  message: ToServiceWorker,
  ...ports: MessagePort[]
): void {
  registration.active?.postMessage(message, ports);
}

/** The service worker's name for this page; null if the worker is of another version. */
async function whoami(registration: ServiceWorkerRegistration): Promise<string | null> {
  const { port1, port2 } = new MessageChannel();
  const answer = await new Promise<string | Unlike>((resolve) => {
    port1.onmessage = ({ data }: MessageEvent<string | Unlike>) => resolve(data);
    toServiceWorker(registration, { version: VERSION, piecework: "whoami" }, port2);
  });
  port1.close();
  return typeof answer === "string" ? answer : null;
}

/** Resolves when it has taken over, or will not. */
function settled(worker: ServiceWorker): Promise<void> {
  return new Promise((resolve) => {
    const look = () => void (/^(activated|redundant)$/.test(worker.state) && resolve());
    worker.addEventListener("statechange", look);
    look();
  });
}

function text(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
