/** The host's own page of the engine: it keeps the library, and asks how things stand. */

import type { FromEngine } from "../../npm/src/protocol.ts";

type Pending = { resolve(value: never): void; reject(error: Error): void };

export class Page {
  readonly #port: MessagePort;
  readonly #pending = new Map<number, Pending>();
  #nextId = 1;

  /** `event` hears the engine's events. */
  constructor(port: MessagePort, event: (message: Extract<FromEngine, { t: "event" }>) => void) {
    this.#port = port;
    port.onmessage = ({ data }: MessageEvent<FromEngine>) => {
      if (data.t === "event") event(data);
      else if (data.t === "ethCall")
        port.postMessage({ t: "ethCallAnswer", id: data.id, message: "no wallet is connected" });
      else if (data.t !== "progress") {
        const pending = this.#pending.get(data.id);
        this.#pending.delete(data.id);
        if (data.t === "ok") pending?.resolve(data.v as never);
        else pending?.reject(new Error(data.message));
      }
    };
  }

  ask<T>(t: string, fields: object = {}): Promise<T> {
    return new Promise<T>((resolve, reject) => {
      const id = this.#nextId++;
      this.#pending.set(id, { resolve, reject });
      this.#port.postMessage({ ...fields, t, id });
    });
  }

  /** Its engine is gone. */
  close(): void {
    this.#port.close();
    for (const { reject } of this.#pending.values()) reject(new Error("the engine stopped"));
    this.#pending.clear();
  }
}
