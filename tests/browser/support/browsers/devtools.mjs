// The DevTools protocol to every target of a browser at once: pages, their workers, service workers. (Playwright's own
// session knows pages only.)
import { readFileSync } from "node:fs";
import { join } from "node:path";
import WebSocket from "ws";
import { browser, ending } from "../harness.mjs";

/** A new browser that this module can attach to. */
export async function inspectable() {
  const started = await browser(undefined, { flags: ["--remote-debugging-port=0"] });
  const [port, path] = readFileSync(join(started.profile, "DevToolsActivePort"), "utf8").split("\n");
  return { ...started, devtools: await DevTools.attach(`ws://127.0.0.1:${port}${path}`) };
}

/** One socket; a session for each target. */
class DevTools {
  /** The attached targets, by session. A service worker has one session of the browser's and one of each page's. */
  #attached = new Map();
  #socket;
  #next = 1;
  #waiting = new Map();

  static async attach(url) {
    const devtools = new DevTools();
    const socket = new WebSocket(url, { perMessageDeflate: false });
    devtools.#socket = socket;
    await new Promise((resolve, reject) => socket.once("open", resolve).once("error", reject));
    ending(() => socket.close());
    socket.on("message", (data) => devtools.#read(JSON.parse(data)));
    socket.on("close", () => {
      for (const { reject } of devtools.#waiting.values()) reject(new Error("the browser is gone"));
      devtools.#waiting.clear();
    });
    await devtools.#send({ method: "Target.setAutoAttach", params: FOLLOW });
    return devtools;
  }

  /** `{type, url, send}` of every target whose address begins with this: a page, its workers, its service worker. */
  async of(origin) {
    const { targetInfos } = await this.#send({ method: "Target.getTargets", params: { filter: [{}] } });
    const addresses = new Map(targetInfos.map(({ targetId, url }) => [targetId, url]));
    const targets = new Map();
    for (const target of this.#attached.values()) {
      const url = addresses.get(target.id) || target.url;
      if (url.startsWith(origin)) targets.set(target.id, { ...target, url });
    }
    return [...targets.values()];
  }

  #send(message) {
    const id = this.#next++;
    return new Promise((resolve, reject) => {
      this.#waiting.set(id, { resolve, reject });
      this.#socket.send(JSON.stringify({ id, ...message }));
    });
  }

  #read(message) {
    if (message.id) {
      const waiting = this.#waiting.get(message.id);
      this.#waiting.delete(message.id);
      if (message.error) waiting?.reject(new Error(message.error.message));
      else waiting?.resolve(message.result);
    } else if (message.method === "Target.attachedToTarget") {
      const { sessionId, targetInfo } = message.params;
      const send = (method, params = {}) => this.#send({ method, params, sessionId });
      this.#attached.set(sessionId, { id: targetInfo.targetId, type: targetInfo.type, url: targetInfo.url, send });
      // A target that ends meanwhile has nothing to follow.
      const quietly = (method, params) => send(method, params).catch(() => undefined);
      // A page attaches its own workers, which wait until they note their memories.
      if (targetInfo.type === "page") quietly("Target.setAutoAttach", { ...FOLLOW, waitForDebuggerOnStart: true });
      if (targetInfo.type === "worker") quietly("Runtime.evaluate", { expression: `(${noteMemories})()` });
      if (message.params.waitingForDebugger) quietly("Runtime.runIfWaitingForDebugger");
    } else if (message.method === "Inspector.targetCrashed") {
      const { url } = this.#attached.get(message.sessionId) ?? {};
      for (const { reject } of this.#waiting.values()) reject(new Error(`${url} crashed`));
      this.#waiting.clear();
    } else if (message.method === "Target.detachedFromTarget") {
      this.#attached.delete(message.params.sessionId);
    }
  }
}

/** In a worker, before its script: `wasmMemories` holds the memory of every WebAssembly instance. */
function noteMemories() {
  const noted = [];
  globalThis.wasmMemories = noted;
  const note = (instance) => {
    const memories = Object.values(instance.exports).filter((one) => one instanceof WebAssembly.Memory);
    for (const memory of memories) if (!noted.includes(memory)) noted.push(memory);
  };
  for (const name of ["instantiate", "instantiateStreaming"]) {
    const before = WebAssembly[name];
    WebAssembly[name] = async (...given) => {
      const made = await before.apply(WebAssembly, given);
      note(made.instance ?? made);
      return made;
    };
  }
  const { Instance } = WebAssembly;
  WebAssembly.Instance = class extends Instance {
    constructor(...given) {
      super(...given);
      note(this);
    }
  };
}

const FOLLOW = { autoAttach: true, waitForDebuggerOnStart: false, flatten: true };
