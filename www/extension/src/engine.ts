/** The engine of the extension: its worker and its peer connections, and another one after a trap. */

import { Broker } from "../../npm/src/broker.ts";
import type { EngineConfig, FromWorker, ToWorker } from "../../npm/src/protocol.ts";
import { scriptUrl } from "../../npm/src/trusted.ts";

/** After so many traps it waits for {@link RESTART_AFTER}. */
const MAX_RESTARTS = 3;
/** Milliseconds. */
const RESTART_AFTER = 60_000;

export interface EngineEvents {
  /** An engine is there; an earlier one's pages are gone. */
  started(): void;
  fault(text: string): void;
}

export class Engine {
  readonly #events: EngineEvents;
  #config: EngineConfig | null = null;
  #iceServers: RTCIceServer[] = [];
  #worker: Worker | null = null;
  #broker: Broker | null = null;
  #restarts = 0;
  #stopped: (() => void) | null = null;

  constructor(events: EngineEvents) {
    this.#events = events;
  }

  get runs(): boolean {
    return this.#worker !== null;
  }

  /** Starts it with this configuration; one that runs says goodbye first. */
  async start(config: EngineConfig, iceServers: RTCIceServer[]): Promise<void> {
    await this.stop();
    this.#config = config;
    this.#iceServers = iceServers;
    this.#begin();
  }

  async stop(): Promise<void> {
    if (!this.#worker) return;
    const gone = new Promise<void>((resolve) => (this.#stopped = resolve));
    this.#tell({ t: "shutdown" });
    await gone;
    this.#end();
  }

  /** The engine serves this page from now on. */
  attach(port: MessagePort): void {
    this.#tell({ t: "page", port }, [port]);
  }

  #begin(): void {
    if (!this.#config) return;
    const worker = new Worker(scriptUrl(new URL("worker.js", location.href)), { type: "module", name: "piecework" });
    const broker = new Broker({ iceServers: this.#iceServers, relayOnly: false, bridge: false }, (message, transfer) =>
      worker.postMessage(message, transfer),
    );
    this.#worker = worker;
    this.#broker = broker;
    worker.onerror = (event) => {
      event.preventDefault();
      if (this.#worker === worker) this.#trapped(event.message || "its script could not be loaded");
    };
    worker.onmessage = ({ data }: MessageEvent<FromWorker>) => {
      if (this.#worker !== worker || broker.handle(data)) return;
      if (data.t === "started") this.#events.started();
      else if (data.t === "trap") this.#trapped(data.text);
      else if (data.t === "stopped") this.#stopped?.();
      else if (data.t === "failedStart") {
        this.#end();
        this.#events.fault(data.text);
      }
    };
    this.#tell({ t: "module", module: null });
    const own = (name: string) => new URL(name, location.href).href;
    this.#tell({ t: "start", config: this.#config, wasm: own("piecework_bg.wasm"), rest: own("piecework_rest.wasm") });
  }

  #trapped(reason: string): void {
    this.#end();
    this.#stopped?.();
    this.#events.fault(`The engine stopped: ${reason}`);
    if (++this.#restarts <= MAX_RESTARTS) this.#begin();
    else
      setTimeout(() => {
        this.#restarts = 0;
        if (!this.#worker) this.#begin();
      }, RESTART_AFTER);
  }

  #end(): void {
    this.#broker?.closeAll();
    this.#worker?.terminate();
    this.#worker = this.#broker = null;
  }

  #tell(message: ToWorker, transfer: Transferable[] = []): void {
    this.#worker?.postMessage(message, transfer);
  }
}
