// The service worker that answers a player's requests for a torrent's files. It keeps no state: every
// request goes through the page that made it to the engine, and bytes are pulled a chunk at a time.
//
// Registered by Piecework as it is. A site with a service worker of its own adds one line to it:
// importScripts("piecework-sw.js"); (with a trusted URL where its policy requires one) and, if it wants to decide
// itself which handler comes first, sets `self.pieceworkManual = true` before that line and calls
// `self.piecework.handleFetch(event)` (true: it has answered) and `self.piecework.handleMessage(event)` in its own
// listeners.

import { asked, bare, headersOf, outside, plain, tagOf } from "./answering.js";
import { typeOf } from "./mime.js";

interface PieceworkServiceWorker {
  handleFetch(event: FetchEvent): boolean;
  handleMessage(event: ExtendableMessageEvent): boolean;
}

type Head = { length: number; start: number; end: number } | { error: string; status: number; length?: number };
type FromEngine = Head | ArrayBuffer | "end";

((scope: ServiceWorkerGlobalScope & { pieceworkManual?: boolean; piecework?: PieceworkServiceWorker }) => {
  /** Of the messages to and from pages; `protocol.ts` has the same. */
  const VERSION = 1;
  /** One response covers at most this much of a range, however much was asked: players ask again. */
  const LONGEST = 1 << 20;
  const PATH = /\/__piecework\/([0-9a-f]{40})\/(\d{1,7})(?:\/([^/]*))?$/;
  /**
   * The buffer of one chunk that carries the next one too. Browsers free such buffers late, and would hold a hundred
   * megabytes of a film.
   */
  let spent: ArrayBuffer | null = null;

  function handleFetch(event: FetchEvent): boolean {
    const url = new URL(event.request.url);
    const match = url.origin === scope.location.origin ? PATH.exec(url.pathname) : null;
    if (!match) return false;
    const [, hash = "", file, name = ""] = match;
    // Two engines of one page may have the same title, and each pays from a deposit of its own.
    const what = { store: url.searchParams.get("store"), hash, file: Number(file) };
    event.respondWith(respond(event, what, name));
    return true;
  }

  async function respond(
    event: FetchEvent,
    what: { store: string | null; hash: string; file: number },
    name: string,
  ): Promise<Response> {
    const { method, headers } = event.request;
    const tag = tagOf(what.hash, what.file);
    const wanted = asked(method, headers, tag);
    if (wanted.status !== 200) return bare(wanted.status, tag);
    const { range, isHead } = wanted;
    const client = await scope.clients.get(event.clientId || event.resultingClientId);
    if (!client) return plain(503, "the page that plays this is gone");
    const { port1, port2 } = new MessageChannel();
    const messages = reader(port1);
    // Without a range the answer is the whole file, still pulled a chunk at a time.
    const longest = range ? { longest: LONGEST } : {};
    client.postMessage({ piecework: "read", version: VERSION, ...what, ...range, ...longest }, [port2]);
    const head = (await messages.next()) as Head;
    if ("error" in head) {
      port1.close();
      return head.status === 416 ? outside(head.length ?? 0) : plain(head.status, head.error);
    }
    // No range lies in an empty file, and Content-Range could not name it.
    if (range && head.start === head.end) {
      port1.close();
      return outside(head.length);
    }
    const answer = headersOf(head, range !== null, tag, typeOf(name));
    const status = range ? 206 : 200;
    if (isHead || head.start === head.end) {
      port1.postMessage("cancel");
      port1.close();
      return new Response(null, { status, headers: answer });
    }
    return new Response(body(port1, messages, head.end - head.start), { status, headers: answer });
  }

  function body(port: MessagePort, messages: ReturnType<typeof reader>, length: number): ReadableStream<Uint8Array> {
    let left = length;
    let taken: ArrayBuffer | null = null;
    return new ReadableStream<Uint8Array>(
      {
        async pull(controller) {
          // The player must take a chunk whole before the next one is asked for.
          spent = taken ?? spent;
          if (left <= 0) {
            port.close();
            return controller.close();
          }
          if (spent) port.postMessage(spent, [spent]);
          else port.postMessage("pull");
          spent = taken = null;
          const message = await messages.next();
          if (!(message instanceof ArrayBuffer)) {
            port.close();
            const text = typeof message === "object" && "error" in message ? message.error : "the data ended early";
            return controller.error(new Error(text));
          }
          taken = message;
          left -= message.byteLength;
          controller.enqueue(new Uint8Array(message));
        },
        cancel() {
          port.postMessage("cancel");
          port.close();
        },
      },
      { highWaterMark: 0 },
    );
  }

  /** A port's messages one by one. At most one is ever outstanding, so nothing piles up. */
  function reader(port: MessagePort): { next(): Promise<FromEngine> } {
    const here: FromEngine[] = [];
    let waiting: ((message: FromEngine) => void) | null = null;
    port.onmessage = ({ data }: MessageEvent<FromEngine>) => {
      if (waiting) waiting(data);
      else here.push(data);
      waiting = null;
    };
    return {
      next: () =>
        new Promise((resolve) => {
          const first = here.shift();
          if (first === undefined) waiting = resolve;
          else resolve(first);
        }),
    };
  }

  function handleMessage(event: ExtendableMessageEvent): boolean {
    const data: unknown = event.data;
    if (typeof data !== "object" || data === null || !("piecework" in data)) return false;
    const message = data as { piecework: string; version?: number; to?: string; alive?: string };
    const port = event.ports[0];
    const source = event.source as Client | null;
    if (message.version !== VERSION) {
      port?.postMessage({ t: "unlike" });
    } else if (message.piecework === "claim") {
      event.waitUntil(scope.clients.claim());
    } else if (message.piecework === "whoami" && port && source) {
      port.postMessage(source.id);
    } else if (message.piecework === "connect" && port && message.to) {
      event.waitUntil(
        scope.clients.get(message.to).then((host) => {
          if (host) host.postMessage({ piecework: "connect", version: VERSION, alive: message.alive }, [port]);
          else port.close();
        }),
      );
    }
    return true;
  }

  scope.piecework = { handleFetch, handleMessage };
  if (!scope.pieceworkManual) {
    scope.addEventListener("fetch", handleFetch);
    scope.addEventListener("message", handleMessage);
  }
  // Only as a service worker of its own, never inside a site's: a site decides by itself when to take over.
  if (new URLSearchParams(scope.location.search).has("piecework")) {
    scope.addEventListener("install", () => void scope.skipWaiting());
    scope.addEventListener("activate", (event) => event.waitUntil(scope.clients.claim()));
  }
})(self as unknown as ServiceWorkerGlobalScope);
