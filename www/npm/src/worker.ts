// The engine's dedicated worker: loads the wasm, then every message goes to it.
import init, { Engine } from "../wasm/piecework.js";
import type { FromWorker, ToWorker } from "./protocol.js";

const scope = globalThis as unknown as {
  onmessage: ((event: MessageEvent<ToWorker>) => void) | null;
  postMessage(message: FromWorker): void;
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
