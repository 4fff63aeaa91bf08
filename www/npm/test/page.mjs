// The surroundings of a client: a page, and in place of the engine one that notes its messages.
import { finePerBlock } from "./build/units.js";

export const payments = (vault = "44", more = {}) => ({
  vault: `0x${vault.repeat(20)}`,
  chainId: 31337,
  token: { address: `0x${"55".repeat(20)}`, decimals: 6, symbol: "DUSD" },
  maxPricePerGB: "20",
  budget: "20",
  ...more,
});
export const price = (tokens) => finePerBlock(BigInt(tokens) * 1_000_000n);
export const HASH = "ab".repeat(20);
export const MAGNET = `magnet:?xt=urn:btih:${HASH}`;

/** How many times the page asked for lasting storage. */
export const asked = { times: 0 };

/** The engines that were started, the last one last. */
export const engines = [];
let tell = () => undefined;
/** The next one that is started. */
export const started = () => new Promise((resolve) => (tell = resolve));

/** A worker with an engine in it. */
class Engine {
  /** Requests, in the order they came. */
  told = [];
  #ports = [];

  postMessage(message) {
    if (message.t === "start") {
      engines.push(this);
      tell(this);
      this.payment = message.config.payment;
      this.budget = this.payment?.budget;
      this.#say({ t: "started" });
    } else if (message.t === "shutdown") {
      this.#say({ t: "stopped" });
    } else if (message.t === "page") {
      const { port } = message;
      this.#ports.push(port);
      port.onmessage = ({ data }) => port.postMessage({ t: "ok", id: data.id, v: this.#answer(data) });
    }
  }

  #answer(request) {
    this.told.push(request);
    if (request.t === "budget") this.budget = request.total;
    switch (request.t) {
      case "hello":
        return {
          stored: [],
          vault: this.payment?.vault ?? null,
          chainId: this.payment?.chainId ?? null,
          sessionKey: null,
          payee: null,
          generation: null,
        };
      case "snapshot":
        return { downloadRate: 0, uploadRate: 0, trackers: [], money: { budget: this.budget, spentFine: 0n } };
      case "add":
        return HASH;
      case "seed":
        return new Uint8Array(1);
      case "torrent":
        return null;
    }
  }

  #say(data) {
    setImmediate(() => this.onmessage?.({ data }));
  }

  trap() {
    this.#say({ t: "trap", text: "a trap" });
  }

  terminate() {
    for (const port of this.#ports) port.close();
  }
}

/** Web Locks, as far as one holder and a queue go. */
const holders = new Map();
async function lock(name, options, hold) {
  const before = holders.get(name) ?? Promise.resolve();
  let free;
  holders.set(
    name,
    before.then(() => new Promise((resolve) => (free = resolve))),
  );
  await before;
  try {
    if (!options.signal?.aborted) await hold();
  } finally {
    setImmediate(() => free());
  }
}

/** A service worker that hands each port back to the page, which is the only one. */
let toPage;
const registration = {
  active: {
    scriptURL: "http://localhost/piecework-sw.js",
    postMessage(message, [port] = []) {
      if (message.piecework === "whoami") port.postMessage("the page");
      if (message.piecework === "connect") toPage({ data: message, ports: [port], stopImmediatePropagation() {} });
    },
  },
};

const define = (name, value) => Object.defineProperty(globalThis, name, { value, configurable: true, writable: true });
define("isSecureContext", true);
define("document", { baseURI: "http://localhost/", URL: "http://localhost/" });
define("location", { search: "" });
define("addEventListener", () => undefined);
define("removeEventListener", () => undefined);
define("dispatchEvent", () => true); // nobody hears it
define("RTCPeerConnection", class {});
define("Worker", Engine);
define("fetch", () => Promise.reject(new Error("there is no server")));
define("navigator", {
  onLine: true,
  storage: {
    getDirectory: () => undefined,
    persist: async () => {
      asked.times++;
      return true;
    },
  },
  locks: { request: lock },
  serviceWorker: {
    controller: {},
    ready: Promise.resolve(registration),
    getRegistration: async () => registration,
    register: async () => ({ scope: "http://localhost/" }),
    startMessages: () => undefined,
    addEventListener: (_, listener) => (toPage = listener),
    removeEventListener: () => undefined,
  },
});
