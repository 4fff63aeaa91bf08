// A session with Firefox over the socket that it opens itself (WebDriver BiDi). It knows nothing of any page.
import { spawn } from "node:child_process";
import { readdirSync, readFileSync, rmSync } from "node:fs";
import { access, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import WebSocket from "ws";

/** Debian's firefox-esr and what other systems call it. */
const FIREFOXES = ["/usr/bin/firefox-esr", "/usr/bin/firefox"];

/** What two peers on one machine need. */
const LOOPBACK = {
  "media.peerconnection.ice.obfuscate_host_addresses": false,
  "media.peerconnection.ice.loopback": true,
};
/** Keeps the browser from talking to the world, and from asking. The rest it sets itself when it is driven. */
const QUIET = {
  "app.normandy.enabled": false,
  "app.update.disabledForTesting": true,
  "browser.sessionstore.resume_from_crash": false,
  "browser.shell.checkDefaultBrowser": false,
  "browser.startup.page": 0,
  "datareporting.policy.dataSubmissionEnabled": false,
  "dom.max_script_run_time": 0,
  "media.gmp-manager.updateEnabled": false,
  "network.captive-portal-service.enabled": false,
  "network.connectivity-service.enabled": false,
  "services.settings.server": "data:,#remote-settings-dummy/v1",
  "toolkit.startup.max_resumed_crashes": -1,
};

const START_LIMIT_MS = 120_000;
/** What it prints when it can be driven. */
const LISTENING = /WebDriver BiDi listening on (ws:\/\/127\.0\.0\.1:\d+)/;

/** Where Firefox is: as told, or where systems put it. */
export async function firefoxPath(told = process.env.PIECEWORK_FIREFOX) {
  const places = told ? [told] : FIREFOXES;
  for (const path of places) {
    if (
      await access(path).then(
        () => true,
        () => false,
      )
    )
      return path;
  }
  throw new Error(
    `no Firefox found at ${places.join(", ")}: run \`cargo xtask setup\`, or name it in PIECEWORK_FIREFOX`,
  );
}

/** A Firefox without a window, with a profile of its own (or the one named), driven until `close`. */
export class Session {
  #browser;
  #home;
  #socket = null;
  #next = 1;
  #waiting = new Map();
  #listeners = new Map();
  /** What the browser printed last. */
  output = [];

  /**
   * `profile`: a folder that outlives the session; without it the profile is new and is removed. `wholeBrowser`: scripts may also run
   * in the browser itself, see `inBrowser`.
   */
  static async start(firefox, { profile = null, preferences = {}, wholeBrowser = false } = {}) {
    const session = new Session();
    try {
      await session.#start(firefox, profile, wholeBrowser, { ...QUIET, ...LOOPBACK, ...preferences });
    } catch (error) {
      await session.kill();
      throw new Error(`Firefox did not start: ${error.message}\n${session.output.join("\n")}`);
    }
    return session;
  }

  async #start(firefox, profile, wholeBrowser, preferences) {
    this.#home = await mkdtemp(join(tmpdir(), "piecework-firefox-"));
    process.on("exit", this.#onExit);
    const folder = profile ?? (await mkdtemp(join(this.#home, "profile-")));
    const lines = Object.entries(preferences).map(
      ([name, value]) => `user_pref(${JSON.stringify(name)}, ${JSON.stringify(value)});\n`,
    );
    await writeFile(join(folder, "user.js"), lines.join(""));
    const given = [
      "--headless",
      "--no-remote",
      "--profile",
      folder,
      "--remote-debugging-port",
      "0",
      ...(wholeBrowser ? ["--remote-allow-system-access"] : []),
      "about:blank",
    ];
    // Firefox keeps its crash reports and caches under HOME: this one leaves nothing behind.
    const env = { ...process.env, HOME: this.#home, MOZ_CRASHREPORTER_DISABLE: "1" };
    this.#browser = spawn(firefox, given, { stdio: ["ignore", "pipe", "pipe"], env });
    const url = await within(
      START_LIMIT_MS,
      "socket of Firefox",
      new Promise((resolve, reject) => {
        this.#browser.once("error", reject);
        this.#browser.once("exit", (code) => reject(new Error(`Firefox ended with ${code}`)));
        const read = (line) => {
          this.output = [...this.output.slice(-9), line];
          const match = LISTENING.exec(line);
          if (match) resolve(match[1]);
        };
        createInterface({ input: this.#browser.stdout }).on("line", read);
        createInterface({ input: this.#browser.stderr }).on("line", read);
      }),
    );
    await this.#connect(`${url}/session`);
    const { capabilities } = await this.send("session.new", { capabilities: {} });
    this.version = capabilities.browserVersion;
  }

  async #connect(url) {
    const socket = new WebSocket(url, { maxPayload: 1 << 30, perMessageDeflate: false });
    await new Promise((resolve, reject) => {
      socket.once("open", resolve);
      socket.once("error", reject);
    });
    this.#socket = socket;
    socket.on("message", (text) => this.#read(JSON.parse(text)));
    socket.on("close", () => {
      for (const { reject } of this.#waiting.values()) reject(new Error("Firefox is gone"));
      this.#waiting.clear();
    });
  }

  #read(message) {
    if (message.type === "event") {
      for (const listener of this.#listeners.get(message.method) ?? []) listener(message.params);
      return;
    }
    const waiting = this.#waiting.get(message.id);
    this.#waiting.delete(message.id);
    if (message.type === "success") waiting?.resolve(message.result);
    else waiting?.reject(new Error(`${waiting.method}: ${message.error}: ${message.message}`));
  }

  /** The pages that are open, the first one first; with `scope` "chrome", the windows around them. */
  async contexts(scope = "content") {
    const { contexts } = await this.send("browsingContext.getTree", { "moz:scope": scope });
    return contexts.map(({ context }) => context);
  }

  /** Runs an expression in the browser around the page, for what only its menus and keys can do. */
  async inBrowser(expression) {
    const [context] = await this.contexts("chrome");
    return this.evaluated(await this.send("script.evaluate", { expression, awaitPromise: true, target: { context } }));
  }

  /** What a script gave, or threw. */
  evaluated(answer) {
    if (answer.type === "exception") throw new Error(answer.exceptionDetails.text);
    return fromRemote(answer.result);
  }

  /** A WebDriver BiDi command. It has no limit of its own: a script may wait for something in the page. */
  send(method, params) {
    if (this.#socket?.readyState !== WebSocket.OPEN) return Promise.reject(new Error(`${method}: Firefox is gone`));
    const id = this.#next++;
    return new Promise((resolve, reject) => {
      this.#waiting.set(id, { method, resolve, reject });
      this.#socket.send(JSON.stringify({ id, method, params }));
    });
  }

  /** Calls `listener` with every event of this name, from every page and worker. */
  async on(event, listener) {
    const listeners = this.#listeners.get(event);
    if (listeners) return void listeners.push(listener);
    this.#listeners.set(event, [listener]);
    await this.send("session.subscribe", { events: [event] });
  }

  /** Ends the browser as a person does. */
  async close() {
    const gone = this.#gone();
    // A browser that closes may take its socket away before it answers.
    await this.send("browser.close", {}).catch(() => undefined);
    await within(START_LIMIT_MS, "end of Firefox", gone).catch(() => undefined);
    await this.kill();
  }

  /** Kills every process of the browser at once, as a power cut would. */
  async kill() {
    const gone = this.#gone();
    this.#killBrowser();
    await gone;
    this.#socket?.terminate();
    process.off("exit", this.#onExit);
    if (this.#home) await rm(this.#home, { recursive: true, force: true, maxRetries: 10, retryDelay: 50 });
  }

  async #gone() {
    const browser = this.#browser;
    if (!browser?.pid || browser.exitCode !== null || browser.signalCode !== null) return;
    await new Promise((resolve) => browser.once("exit", resolve));
  }

  /** Only synchronous work is done at a process's end. */
  #onExit = () => {
    this.#killBrowser();
    rmSync(this.#home, { recursive: true, force: true, maxRetries: 5 });
  };

  /** The browser's processes carry this session's HOME in their environment, and nobody else's do. */
  #killBrowser() {
    if (!this.#home) return;
    const mark = `HOME=${this.#home}\0`;
    for (const pid of readdirSync("/proc")) {
      if (!/^\d+$/.test(pid)) continue;
      try {
        if (readFileSync(`/proc/${pid}/environ`, "latin1").includes(mark)) process.kill(Number(pid), "SIGKILL");
      } catch {
        // not ours to look at, or ended meanwhile
      }
    }
  }
}

async function within(limit, what, promise) {
  let timer;
  const late = new Promise(
    (_, reject) => (timer = setTimeout(() => reject(new Error(`no ${what} within ${limit / 1000} s`)), limit)),
  );
  try {
    return await Promise.race([promise, late]);
  } finally {
    clearTimeout(timer);
  }
}

/** A BiDi value as the JavaScript value it stands for; what has none (functions, DOM nodes) is undefined. */
export function fromRemote(remote, seen = new Map()) {
  const { type, value, internalId } = remote;
  const remembered = (made) => {
    if (internalId !== undefined) seen.set(internalId, made);
    return made;
  };
  switch (type) {
    case "null":
      return null;
    case "string":
    case "boolean":
      return value;
    case "number":
      return Number(value); // NaN, -0 and the infinities come as words
    case "bigint":
      return BigInt(value);
    case "date":
      return new Date(value);
    case "array":
    case "set":
    case "object":
    case "map": {
      // The second time an object occurs, only its number comes.
      if (value === undefined) return seen.get(internalId);
      if (type === "array" || type === "set") {
        const list = remembered([]);
        for (const item of value) list.push(fromRemote(item, seen));
        return list;
      }
      const made = remembered({});
      for (const [key, item] of value)
        made[typeof key === "string" ? key : fromRemote(key, seen)] = fromRemote(item, seen);
      return made;
    }
    default:
      return undefined;
  }
}

/** A plain value as BiDi wants an argument. */
export function toLocal(value) {
  switch (typeof value) {
    case "undefined":
      return { type: "undefined" };
    case "string":
    case "boolean":
      return { type: typeof value, value };
    case "number":
      return { type: "number", value };
    case "bigint":
      return { type: "bigint", value: String(value) };
    default:
      if (value === null) return { type: "null" };
      if (Array.isArray(value)) return { type: "array", value: value.map(toLocal) };
      return { type: "object", value: Object.entries(value).map(([key, item]) => [key, toLocal(item)]) };
  }
}
