// A WebDriver session with Firefox: geckodriver is started for it and ends with it. Commands that act as a person does go over HTTP
// (WebDriver); scripts, events and whole-page pictures over one socket (WebDriver BiDi). It knows nothing of any page.
import { spawn } from "node:child_process";
import { readdirSync, readFileSync, rmSync } from "node:fs";
import { access, mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import WebSocket from "ws";

const root = join(dirname(fileURLToPath(import.meta.url)), "../../..");
/** Debian's firefox-esr and what other systems call it. */
const FIREFOXES = ["/usr/bin/firefox-esr", "/usr/bin/firefox"];
/** Where `cargo xtask setup` puts it. */
const GECKODRIVERS = [join(root, "target/tools/bin/geckodriver"), "/usr/bin/geckodriver"];

/** What two peers on one machine need. */
const LOOPBACK = { "media.peerconnection.ice.obfuscate_host_addresses": false, "media.peerconnection.ice.loopback": true };
/** Keeps the browser from talking to the world. geckodriver sets most of what there is. */
const QUIET = {
  "network.captive-portal-service.enabled": false,
  "network.connectivity-service.enabled": false,
  "services.settings.server": "data:,#remote-settings-dummy/v1",
  "app.normandy.enabled": false,
  "media.gmp-manager.updateEnabled": false,
};

const START_LIMIT_MS = 120_000;
const COMMAND_LIMIT_MS = 120_000;

/** Where Firefox and geckodriver are: as told, or where systems put them. */
export async function firefoxPaths({ firefox = process.env.PIECEWORK_FIREFOX, geckodriver = process.env.PIECEWORK_GECKODRIVER } = {}) {
  return {
    firefox: await found("Firefox", "PIECEWORK_FIREFOX", firefox ? [firefox] : FIREFOXES),
    geckodriver: await found("geckodriver", "PIECEWORK_GECKODRIVER", geckodriver ? [geckodriver] : GECKODRIVERS),
  };
}

async function found(what, variable, places) {
  for (const path of places) {
    if (await access(path).then(() => true, () => false)) return path;
  }
  throw new Error(`no ${what} found at ${places.join(", ")}: run \`cargo xtask setup\`, or name it in ${variable}`);
}

/** A Firefox without a window, with a profile of its own (or the one named), driven until `close`. */
export class Session {
  #driver;
  #home;
  #base;
  #socket = null;
  #next = 1;
  #waiting = new Map();
  #listeners = new Map();
  /** What the browser printed: its console's lines among them. */
  output = [];

  /**
   * `profile`: a folder that outlives the session; without it the profile is new and is removed. `wholeBrowser`: scripts may also run
   * in the browser itself, see `inBrowser`.
   */
  static async start({ firefox, geckodriver }, { profile = null, preferences = {}, wholeBrowser = false } = {}) {
    const session = new Session();
    try {
      await session.#start(firefox, geckodriver, profile, wholeBrowser, { ...QUIET, ...LOOPBACK, ...preferences });
    } catch (error) {
      await session.close();
      throw new Error(`Firefox did not start: ${error.message}\n${session.output.slice(-10).join("\n")}`);
    }
    return session;
  }

  async #start(firefox, geckodriver, profile, wholeBrowser, preferences) {
    this.#home = await mkdtemp(join(tmpdir(), "piecework-firefox-"));
    process.on("exit", this.#onExit);
    const given = ["--host", "127.0.0.1", "--port", "0", "--websocket-port", "0", "--profile-root", this.#home, ...(wholeBrowser ? ["--allow-system-access"] : [])];
    // Firefox keeps its crash reports and caches under HOME: this one leaves nothing behind.
    const env = { ...process.env, HOME: this.#home, MOZ_CRASHREPORTER_DISABLE: "1" };
    this.#driver = spawn(geckodriver, given, { stdio: ["ignore", "pipe", "pipe"], env });
    const port = await within(START_LIMIT_MS, "geckodriver's port", new Promise((resolve, reject) => {
      this.#driver.once("error", reject);
      this.#driver.once("exit", (code) => reject(new Error(`geckodriver ended with ${code}`)));
      const read = (line) => {
        this.output.push(line);
        const match = /Listening on 127\.0\.0\.1:(\d+)/.exec(line);
        if (match) resolve(match[1]);
      };
      createInterface({ input: this.#driver.stdout }).on("line", read);
      createInterface({ input: this.#driver.stderr }).on("line", read);
    }));
    const server = `http://127.0.0.1:${port}/session`;
    const args = ["-headless", ...(profile ? ["-profile", profile] : [])];
    const { sessionId, capabilities } = await request("POST", server, {
      capabilities: {
        alwaysMatch: {
          browserName: "firefox",
          webSocketUrl: true,
          timeouts: { pageLoad: COMMAND_LIMIT_MS, script: COMMAND_LIMIT_MS },
          "moz:firefoxOptions": { binary: firefox, args, prefs: preferences },
        },
      },
    });
    this.#base = `${server}/${sessionId}`;
    this.version = capabilities.browserVersion;
    this.profile = capabilities["moz:profile"];
    await this.#connect(capabilities.webSocketUrl);
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

  /** A WebDriver command, as `command("POST", "/url", {url})`. */
  command(verb, path, body) {
    return request(verb, `${this.#base}${path}`, body);
  }

  /** Runs a script in the browser around the page, for what only its menus and keys can do. */
  async inBrowser(script) {
    await this.command("POST", "/moz/context", { context: "chrome" });
    try {
      return await this.command("POST", "/execute/sync", { script, args: [] });
    } finally {
      await this.command("POST", "/moz/context", { context: "content" });
    }
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

  /** Ends the browser as a person does, and geckodriver with it. */
  async close() {
    if (this.#base) await request("DELETE", this.#base).catch(() => undefined);
    await this.#end("SIGTERM");
  }

  /** Kills every process of the browser at once, as a power cut would. */
  async kill() {
    this.#killBrowser();
    await this.#end("SIGKILL");
  }

  async #end(signal) {
    this.#socket?.terminate();
    const driver = this.#driver;
    if (driver && driver.exitCode === null && driver.signalCode === null && driver.pid) {
      const gone = new Promise((resolve) => driver.once("exit", resolve));
      driver.kill(signal);
      await gone;
    }
    this.#killBrowser(); // geckodriver's end does not end a browser that did not want to
    process.off("exit", this.#onExit);
    if (this.#home) await rm(this.#home, { recursive: true, force: true, maxRetries: 10, retryDelay: 50 });
  }

  /** Only synchronous work is done at a process's end. */
  #onExit = () => {
    this.#driver?.kill("SIGKILL");
    this.#killBrowser();
    rmSync(this.#home, { recursive: true, force: true, maxRetries: 5 });
  };

  /** The browser's processes carry this session's HOME in their environment, and nobody else's do. */
  #killBrowser() {
    if (!this.#home) return;
    const mark = `HOME=${this.#home}\0`;
    for (const pid of readdirSync("/proc")) {
      if (!/^\d+$/.test(pid) || Number(pid) === this.#driver?.pid) continue;
      try {
        if (readFileSync(`/proc/${pid}/environ`, "latin1").includes(mark)) process.kill(Number(pid), "SIGKILL");
      } catch {
        // not ours to look at, or ended meanwhile
      }
    }
  }
}

async function request(verb, url, body) {
  const answer = await fetch(url, {
    method: verb,
    headers: { "content-type": "application/json" },
    body: verb === "POST" ? JSON.stringify(body ?? {}) : null,
    signal: AbortSignal.timeout(COMMAND_LIMIT_MS),
  });
  const { value } = await answer.json();
  if (!answer.ok) throw new Error(`${verb} ${new URL(url).pathname.replace(/.*session\/[^/]+/, "")}: ${value.error}: ${value.message}`);
  return value;
}

async function within(limit, what, promise) {
  let timer;
  const late = new Promise((_, reject) => (timer = setTimeout(() => reject(new Error(`no ${what} within ${limit / 1000} s`)), limit)));
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
      for (const [key, item] of value) made[typeof key === "string" ? key : fromRemote(key, seen)] = fromRemote(item, seen);
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
