import { PieceworkError } from "./errors.js";
import { Link, type LinkEvents, type LinkOptions } from "./link.js";
import { askWallet } from "./paying.js";
import { REQUEST, type Announcement, type Way } from "./provider.js";

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
  const late = new Promise<null>((resolve) => setTimeout(resolve, EXTENSION_WITHIN, null));
  // A file of its own: few visitors have the extension.
  const opened = async (): Promise<Way> => {
    const { openedBy } = await import("./remote.js");
    const failure = (text: string) => new PieceworkError(text);
    const more = { ...events, failure, wallet: askWallet, left: left.signal };
    return openedBy(found, late, choice === "auto", options, more, Link);
  };
  const instead = (error: Error): Way => {
    if (left.signal.aborted) throw error;
    if (choice === "auto") return own();
    events.failed(error instanceof PieceworkError ? error : new PieceworkError(error.message));
    throw error;
  };
  return eventually(opened().catch(instead), left);
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

/**
 * A way that is being found: what is asked of it waits. `left` is aborted when its client is destroyed, for it may
 * wait for a user's word.
 */
function eventually(found: Promise<Way>, left: AbortController): Way {
  let way: Way | null = null;
  found.then(
    (one) => (way = one),
    () => undefined, // whoever asks is told
  );
  type Name = "request" | "tell" | "read" | "setLimits" | "setBudget" | "setTitleLimit" | "streaming";
  const ask = async (name: Name, args: unknown[]) => {
    const one = await found;
    return Reflect.apply(one[name], one, args);
  };
  const asks =
    (name: Name) =>
    (...args: unknown[]): Promise<never> =>
      ask(name, args) as Promise<never>;
  const tells =
    (name: Name) =>
    (...args: unknown[]): void =>
      void ask(name, args).catch(() => undefined);
  return {
    get isHost() {
      return way?.isHost ?? false;
    },
    get scope() {
      return way?.scope ?? null;
    },
    request: asks("request"),
    setLimits: asks("setLimits"),
    setBudget: asks("setBudget"),
    streaming: asks("streaming"),
    tell: tells("tell"),
    setTitleLimit: tells("setTitleLimit"),
    read: (message, port) =>
      void ask("read", [message, port]).catch(({ message: error }: Error) => port.postMessage({ error, status: 503 })),
    titleLimit: (hash) => way?.titleLimit(hash),
    async destroy() {
      left.abort();
      await (await found.catch(() => null))?.destroy();
    },
  };
}
