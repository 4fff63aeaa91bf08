// The engine's dedicated worker: loads the wasm, then every message goes to it.
import init, { Engine } from "../wasm/piecework.js";
import type { FromWorker, ToWorker } from "./protocol.js";

/** What this build's wasm carries in its section `piecework`. */
declare const BUILD_MARK: string;

const scope = globalThis as unknown as {
  onmessage: ((event: MessageEvent<ToWorker>) => void) | null;
  onunhandledrejection: ((event: PromiseRejectionEvent) => void) | null;
  postMessage(message: FromWorker): void;
};

const text = (error: unknown) => (error instanceof Error ? error.message : String(error));
let starting = false;

// A trap is terminal and says nothing itself. One in an event's handler or a task reaches the page as the worker's error;
// one in a promise would end here unheard. Whatever ends unheard before the engine is there would leave it waited for.
scope.onunhandledrejection = ({ reason }) => {
  if (starting) scope.postMessage({ t: "failedStart", text: text(reason) });
  else if (reason instanceof WebAssembly.RuntimeError) scope.postMessage({ t: "trap", text: reason.message });
};

/** The module, if it is there and of this build: another one's imports and exports have other meanings under the same names. */
async function load(url: string): Promise<WebAssembly.Module> {
  const response = await fetch(url);
  if (!response.ok) throw new Error(`${url} could not be loaded (status ${response.status}): serve it, or name it by wasmUrl.`);
  // A server that does not know the type costs a little time, not the engine.
  const streams = response.headers.get("Content-Type") === "application/wasm";
  const module = await (streams ? WebAssembly.compileStreaming(response) : WebAssembly.compile(await response.arrayBuffer()));
  const [mark] = WebAssembly.Module.customSections(module, "piecework");
  if (new TextDecoder().decode(mark) !== BUILD_MARK) throw new Error(`${url} is of another build than worker.js: serve both from one.`);
  return module;
}

let loading: Promise<unknown> | null = null;
const loaded = (url: string) => (loading ??= load(url).then((module) => init({ module_or_path: module })));

scope.onmessage = async ({ data }) => {
  // Before it is known whether this page is to run the engine; what goes wrong is said when it is.
  if (data.t === "load") loaded(data.wasm).catch(() => undefined);
  if (data.t !== "start") return;
  // Until the engine is there, messages wait: none is about a connection yet.
  const early: ToWorker[] = [];
  scope.onmessage = (event) => early.push(event.data);
  starting = true;
  try {
    await loaded(data.wasm);
    const engine = await Engine.start(data.config);
    scope.onmessage = (event) => engine.handle(event.data);
    for (const message of early) engine.handle(message);
    starting = false;
    scope.postMessage({ t: "started" });
  } catch (error) {
    scope.postMessage({ t: "failedStart", text: text(error) });
  }
};
