// The engine's dedicated worker: loads the wasm, then every message goes to it.
import { Engine, initSync, setRest } from "../wasm/piecework.js";
import type { FromWorker, ToWorker } from "./protocol.js";
import { RestMissing, restAt } from "./rest.js";
import { webSeeds } from "./webseeds.js";

/** The name of the build, from the section `piecework` of this build's wasm. */
declare const BUILD_MARK: string;

const scope = globalThis as unknown as {
  onmessage: ((event: MessageEvent<ToWorker>) => void) | null;
  onunhandledrejection: ((event: PromiseRejectionEvent) => void) | null;
  postMessage(message: FromWorker): void;
};

const text = (error: unknown) => (error instanceof Error ? error.message : String(error));
let starting = false;

// A trap ends the engine and reports nothing itself. A trap in an event's handler or in a task reaches the page as the
// worker's error; a trap in a promise would end here unheard. A fault before the engine is there would leave the page
// waiting.
scope.onunhandledrejection = ({ reason }) => {
  if (starting) scope.postMessage({ t: "failedStart", text: text(reason) });
  else if (reason instanceof WebAssembly.RuntimeError || reason instanceof RestMissing)
    scope.postMessage({ t: "trap", text: reason.message });
};

/** The worker loads it where the page could not. */
async function load(url: string): Promise<WebAssembly.Module> {
  const response = await fetch(url);
  if (!response.ok)
    throw new Error(`${url} could not be loaded (status ${response.status}): serve it, or name it by wasmUrl.`);
  // A server that does not know the type costs a little time, not the engine.
  const streams = response.headers.get("Content-Type") === "application/wasm";
  return streams ? WebAssembly.compileStreaming(response) : WebAssembly.compile(await response.arrayBuffer());
}

/** The module, if it is of this build: another one's imports and exports have other meanings under the same names. */
function checked(module: WebAssembly.Module, url: string): WebAssembly.Module {
  const [mark] = WebAssembly.Module.customSections(module, "piecework");
  if (new TextDecoder().decode(mark) !== BUILD_MARK)
    throw new Error(`${url} is of another build than worker.js: serve both from one.`);
  return module;
}

/**
 * The browser needs time to open its storage for a site: it does so while the wasm comes. The engine reports a fault of
 * it.
 */
async function open(storage: () => Promise<unknown>): Promise<void> {
  await storage().catch(() => undefined);
}
void open(async () => navigator.storage.getDirectory());
void open(async () => indexedDB.databases());

/** The module that the page compiled meanwhile; null: the page could not, and this worker finds out why. */
let compiled!: (module: WebAssembly.Module | null) => void;
const compiling = new Promise<WebAssembly.Module | null>((resolve) => (compiled = resolve));

/** Channels of offers that no engine has asked for yet. */
let early: (RTCDataChannel | MessagePort)[] = [];

/** Whether the message was for this script. */
function keep(message: ToWorker): boolean {
  if (message.t === "module") compiled(message.module);
  else if (message.t === "earlyChannel") early.push(message.channel);
  else if (message.t === "noEarlyChannels") early = [];
  else return false;
  return true;
}

/**
 * A port to the engine beside another page's own. It says goodbye for a page that is gone without a word, as a page
 * that the browser threw away.
 */
function watched(page: MessagePort, alive: string): MessagePort {
  const { port1, port2 } = new MessageChannel();
  page.onmessage = ({ data, ports }) => port1.postMessage(data, ports as MessagePort[]);
  port1.onmessage = ({ data }) => page.postMessage(data);
  void navigator.locks.request(alive, () => port1.postMessage({ t: "bye" }));
  return port2;
}

function hand(engine: Engine, message: ToWorker): void {
  if (keep(message)) return;
  if (message.t === "page" && message.alive) message = { t: "page", port: watched(message.port, message.alive) };
  engine.handle(message.t === "channel" && !message.channel ? { ...message, channel: early.shift() } : message);
}

scope.onmessage = async ({ data }) => {
  if (keep(data)) return;
  if (data.t !== "start") return;
  // Messages wait until the engine is there: none is about a connection yet.
  const waiting: ToWorker[] = [];
  scope.onmessage = (event) => void (keep(event.data) || waiting.push(event.data));
  starting = true;
  try {
    setRest((functions, first) => {
      new WebAssembly.Instance(checked(restAt(data.rest), data.rest), { a: functions, b: first });
    });
    initSync({ module: checked((await compiling) ?? (await load(data.wasm)), data.wasm) });
    const engine = await Engine.start(
      data.config,
      webSeeds((answer) => engine.handle(answer)),
    );
    scope.onmessage = (event) => hand(engine, event.data);
    for (const message of waiting) hand(engine, message);
    starting = false;
    scope.postMessage({ t: "started" });
  } catch (error) {
    scope.postMessage({ t: "failedStart", text: text(error) });
  }
};
