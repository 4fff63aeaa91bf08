// The memory of a site's page, its workers and its service worker: JavaScript heap, array buffers, WebAssembly memory.

const look = (send, { objectId }) => send("Runtime.queryObjects", { prototypeObjectId: objectId });

/** The bytes of all targets of a site, each kind by itself. */
export class Heaps {
  #devtools;
  #origin;
  #memories = new Map();

  constructor(devtools, origin) {
    this.#devtools = devtools;
    this.#origin = origin;
  }

  /** Looks for WebAssembly memories. It collects garbage, so it never runs while something is timed. */
  async find() {
    for (const { id, type, send } of await this.#devtools.of(this.#origin)) {
      if (this.#memories.has(id) || type === "service_worker") continue;
      await send("HeapProfiler.collectGarbage");
      // A worker noted them from its start on: Chromium crashes when it looks for them beside an engine of two modules.
      const { result } = await send("Runtime.evaluate", {
        expression: type === "worker" ? "wasmMemories" : "WebAssembly.Memory.prototype",
      });
      const found = type === "worker" ? result : (await look(send, result)).objects;
      this.#memories.set(id, found.objectId);
    }
  }

  /** The bytes now, each kind and each place by itself. The goal is about `sum`: everything but code. */
  async look() {
    const now = { js: 0, buffers: 0, wasm: 0, page: 0, worker: 0, service_worker: 0 };
    for (const { id, type, send } of await this.#devtools.of(this.#origin)) {
      const { usedSize, backingStorageSize } = await send("Runtime.getHeapUsage");
      now.js += usedSize;
      now.buffers += backingStorageSize ?? 0;
      now[type] += usedSize + (backingStorageSize ?? 0);
      const memories = this.#memories.get(id);
      if (!memories) continue;
      const { result } = await send("Runtime.callFunctionOn", {
        objectId: memories,
        functionDeclaration: "function () { return this.reduce((sum, memory) => sum + memory.buffer.byteLength, 0); }",
        returnByValue: true,
      });
      now.wasm += result.value;
      now[type] += result.value;
    }
    return { ...now, sum: now.js + now.buffers + now.wasm };
  }
}
