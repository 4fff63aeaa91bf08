/** Carries a page's port to the host, and a port of its own for each of its readers. */

import type { FromProvider, Open } from "../../npm/src/provider.ts";
import { api, type RuntimePort } from "./browser.ts";
import { PAGE, READER, type Ensure } from "./words.ts";

/** Readers of one page at once; the engine has room for 128 of all pages. */
const MAX_READERS = 32;
/** Milliseconds before a host that ends at once is asked for again. */
const AGAIN_AFTER = 5_000;
const GONE = "The Piecework extension was updated, switched off or removed: reload the page.";

/** What a page's port brings. */
interface FromPage {
  t?: unknown;
  port?: unknown;
}

/** From the page's next message on. */
export function relay(page: MessagePort): void {
  let host: Promise<RuntimePort> | null = null;
  let open: (Open & { gesture: boolean }) | null = null;
  let readers = 0;
  const say = (message: FromProvider) => page.postMessage(message);

  async function connect(): Promise<RuntimePort> {
    const ensure: Ensure = { to: "shell", t: "ensure" };
    await api.runtime.sendMessage(ensure);
    const port = api.runtime.connect({ name: PAGE });
    port.onMessage.addListener((message) => page.postMessage(message));
    // The host ended, and another one may begin: it is told again.
    const since = Date.now();
    port.onDisconnect.addListener(() => {
      if (Date.now() - since > AGAIN_AFTER) begin();
      else setTimeout(begin, AGAIN_AFTER);
    });
    if (open) port.postMessage(open);
    return port;
  }

  function begin(): void {
    // The page's other messages are for the host that it opened.
    host = api.runtime?.id ? connect() : Promise.reject(new Error(GONE));
    host.catch(() => say({ t: "gone", message: GONE }));
  }

  page.onmessage = ({ data }: MessageEvent<FromPage | null>) => {
    if (typeof data !== "object" || data === null) return;
    if (data.t === "open") {
      const { version, payment, ask } = data as Open;
      const gesture = navigator.userActivation?.isActive ?? false;
      open = { t: "open", version, payment, ask, gesture };
      begin();
    } else if (data.t === "stream" && data.port instanceof MessagePort) {
      const { port, ...wanted } = data;
      if (readers >= MAX_READERS) return void port.postMessage({ error: "too many readers at once", status: 503 });
      readers++;
      let isOpen = true;
      read(port, wanted, () => {
        if (isOpen) readers--;
        isOpen = false;
      });
    } else void host?.then((port) => port.postMessage(data)).catch(() => undefined);
  };
}

/** Carries a reader's pulls and its chunks; nobody sends a chunk that was not pulled. */
function read(reader: MessagePort, wanted: object, ended: () => void): void {
  let port: RuntimePort;
  try {
    port = api.runtime.connect({ name: READER });
  } catch {
    ended();
    return void reader.postMessage({ error: GONE, status: 503 });
  }
  let isOver = false;
  port.onMessage.addListener((message) => {
    if (message instanceof ArrayBuffer) reader.postMessage(message, [message]);
    else reader.postMessage(message);
    isOver = message === "end" || (typeof message === "object" && message !== null && "error" in message);
    if (isOver) port.disconnect();
    if (isOver) ended();
  });
  port.onDisconnect.addListener(() => {
    isOver = true;
    reader.postMessage({ error: "the extension\u2019s engine stopped", status: 503 });
    ended();
  });
  reader.onmessage = ({ data }: MessageEvent<unknown>) => {
    if (isOver) return;
    // A buffer that the reader gives back would travel for nothing.
    port.postMessage(data === "cancel" ? "cancel" : "pull");
    if (data !== "cancel") return;
    isOver = true;
    port.disconnect();
    reader.close();
    ended();
  };
  port.postMessage(wanted);
}
