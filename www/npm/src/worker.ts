// The engine's dedicated worker: loads the wasm, then every message goes to it.
import init, { Engine } from "../wasm/piecework.js";
import type { FromWorker, ToWorker } from "./protocol.js";

const scope = globalThis as unknown as {
  onmessage: ((event: MessageEvent<ToWorker>) => void) | null;
  onunhandledrejection: ((event: PromiseRejectionEvent) => void) | null;
  postMessage(message: FromWorker): void;
};

// A trap is terminal and says nothing itself. One in an event's handler or a task reaches the page as the worker's error;
// one in a promise would end here unheard.
scope.onunhandledrejection = (event) => {
  if (event.reason instanceof WebAssembly.RuntimeError) scope.postMessage({ t: "trap", text: event.reason.message });
};

scope.onmessage = async ({ data }) => {
  if (data.t !== "start") return;
  // Until the engine is there, messages wait: none is about a connection yet.
  const early: ToWorker[] = [];
  scope.onmessage = (event) => early.push(event.data);
  try {
    await init({ module_or_path: data.wasm });
    const engine = await Engine.start(data.config);
    scope.onmessage = (event) => engine.handle(event.data);
    for (const message of early) engine.handle(message);
    scope.postMessage({ t: "started" });
  } catch (error) {
    scope.postMessage({ t: "failedStart", text: error instanceof Error ? error.message : String(error) });
  }
};
