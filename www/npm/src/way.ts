import { PieceworkError } from "./errors.js";
import { Link, type LinkEvents, type LinkOptions } from "./link.js";
import { askWallet } from "./paying.js";
import type { EngineLimits } from "./protocol.js";
import { REQUEST, type Announcement, type Asked, type Way } from "./provider.js";
import type { Store } from "./stores.js";

/**
 * Which engine a client uses. "own": one in the pages of this site. "extension": that of the Piecework extension, which
 * asks its user if this site is new to it; without the extension the client cannot be made. "auto": the extension's
 * where its user allowed it to this site before, else an own one. A port: the one of a provider that the page has.
 */
export type EngineChoice = "auto" | "own" | "extension" | MessagePort;

/**
 * Milliseconds that a client waits for the extension's port, and one that may use an engine of its own for the engine.
 */
const EXTENSION_WITHIN = 3_000;

/** The way by this choice. Where it is not known at once, requests wait. */
export function wayBy(choice: EngineChoice, options: LinkOptions, events: LinkEvents): Way {
  const own = () => new Link(options, events);
  if (choice === "own") return own();
  const found = choice instanceof MessagePort ? Promise.resolve(choice) : provider();
  if (!found) {
    if (choice === "auto") return own();
    throw new PieceworkError(
      "This site needs the Piecework extension: install it, then reload the page. It serves pages of https:// and of " +
        "http://localhost.",
    );
  }
  const left = new AbortController();
  // A file of its own: few visitors have the extension.
  const opened = async (): Promise<Way> => {
    const [{ Remote }, port] = await Promise.all([import("./remote.js"), inTime(found)]);
    const failure = (text: string) => new PieceworkError(text);
    const more = { ...events, failure, wallet: askWallet, left: left.signal };
    return Remote.open(port, choice !== "auto", options, more, Link);
  };
  const instead = (error: Error): Way => {
    if (left.signal.aborted) throw error;
    if (choice === "auto") return own();
    events.failed(error instanceof PieceworkError ? error : new PieceworkError(error.message));
    throw error;
  };
  const remote = opened();
  return new Eventually((choice === "auto" ? wayInTime(remote) : remote).catch(instead), left);
}

/** Fails when it takes too long. */
async function inTime<T>(extension: Promise<T>): Promise<T> {
  const late = new Promise<null>((resolve) => setTimeout(resolve, EXTENSION_WITHIN, null));
  const first = await Promise.race([extension, late]);
  if (first) return first;
  throw new PieceworkError("The Piecework extension did not answer in time: reload the page.");
}

/** Takes leave of what comes too late. */
function wayInTime(remote: Promise<Way>): Promise<Way> {
  const inWay = inTime(remote);
  inWay.catch(() => remote.then((way) => way.destroy())).catch(() => undefined);
  return inWay;
}

/** The port of an extension that answers; null: none does. */
function provider(): Promise<MessagePort> | null {
  const stop = new AbortController();
  const port = new Promise<MessagePort>((resolve) => {
    const heard = ({ source, data, ports }: MessageEvent<Announcement | null>) => {
      const [first] = ports;
      if (source !== window || data?.piecework !== "provider" || !first) return;
      stop.abort();
      resolve(first);
    };
    addEventListener("message", heard, { signal: stop.signal });
  });
  if (!dispatchEvent(new CustomEvent(REQUEST, { cancelable: true }))) return port;
  stop.abort();
  return null;
}

/** A way that is being found. */
class Eventually implements Way {
  readonly #found: Promise<Way>;
  #way: Way | null = null;

  /** `left` is aborted when its client is destroyed: it may wait for a user's word. */
  constructor(
    found: Promise<Way>,
    readonly left: AbortController,
  ) {
    this.#found = found;
    found.then(
      (way) => (this.#way = way),
      () => undefined, // whoever asks is told
    );
  }

  get isHost(): boolean {
    return this.#way?.isHost ?? false;
  }

  async request<T>(t: string, fields?: object, more?: Asked): Promise<T> {
    return (await this.#found).request<T>(t, fields, more);
  }

  tell(message: { t: string }): void {
    this.#found.then((way) => way.tell(message)).catch(() => undefined);
  }

  read(message: { t: "stream" }, port: MessagePort): void {
    this.#found
      .then((way) => way.read(message, port))
      .catch((error: Error) => port.postMessage({ error: error.message, status: 503 }));
  }

  async setLimits(limits: EngineLimits): Promise<void> {
    await (await this.#found).setLimits(limits);
  }

  async setBudget(total: bigint): Promise<void> {
    await (await this.#found).setBudget(total);
  }

  setTitleLimit(hash: string, maxPricePerBlock: bigint | null): void {
    this.#found.then((way) => way.setTitleLimit(hash, maxPricePerBlock)).catch(() => undefined);
  }

  titleLimit(hash: string): bigint | undefined {
    return this.#way?.titleLimit(hash);
  }

  get scope(): { scope: string; store: Store } | null {
    return this.#way?.scope ?? null;
  }

  async streaming(): Promise<{ scope: string; store: Store }> {
    return (await this.#found).streaming();
  }

  async destroy(): Promise<void> {
    this.left.abort();
    await (await this.#found.catch(() => null))?.destroy();
  }
}
