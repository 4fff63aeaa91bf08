/** The readers of files, each with a port of its own, which ends with the right to read. */

import type { RuntimePort } from "./browser.ts";

/** Of one site's pages together; the engine has room for 128. */
export const MAX_READERS_OF_SITE = 32;
/** And of all: the rest is for the extension's own pages. */
const MAX_READERS = 120;

interface Session {
  engine: MessagePort | null;
}

interface Reader {
  /** Null: of the extension's own pages. */
  site: string | null;
  hash: unknown;
  /** To the engine; null: it did not begin yet. */
  engine: MessagePort | null;
}

export interface ReadersHost {
  /** Who is at the port's other end. */
  of(port: RuntimePort): { isOwn: boolean; origin: string | null };
  /** A page of the site that may read the title now. */
  session(site: string | null, hash: unknown): Session | undefined;
  /** The site reads the title no more with one of its readers. */
  ended(site: string | null, hash: unknown): void;
  /** Resolves when the title is as its page wants it. */
  settled(site: string | null, hash: string): Promise<void>;
}

export class Readers {
  readonly #host: ReadersHost;
  readonly #all = new Map<RuntimePort, Reader>();

  constructor(host: ReadersHost) {
    this.#host = host;
  }

  /** Whether the site reads the title now. */
  reads(site: string, hash: string): boolean {
    return [...this.#all.values()].some((one) => one.site === site && one.hash === hash && one.engine !== null);
  }

  /** Whether the site reads the title, or is about to. */
  asks(site: string, hash: string): boolean {
    return [...this.#all.values()].some((one) => one.site === site && one.hash === hash);
  }

  /** Ends those that may not read any more. */
  look(): void {
    for (const [port, { site, hash, engine }] of this.#all)
      if (engine && !this.#host.session(site, hash)) this.#refuse(port, "the extension does not let this page in", 503);
  }

  arrived(port: RuntimePort): void {
    const { isOwn, origin } = this.#host.of(port);
    if (!isOwn && origin === null) return void port.disconnect();
    const site = isOwn ? null : origin;
    const ofSite = [...this.#all.values()].filter((one) => one.site === site).length;
    if (ofSite >= MAX_READERS_OF_SITE || this.#all.size >= MAX_READERS)
      return void this.#refuse(port, "too many readers at once", 503);
    this.#all.set(port, { site, hash: null, engine: null });
    port.onDisconnect.addListener(() => this.#ended(port));
    port.onMessage.addListener((message) => {
      const reader = this.#all.get(port);
      if (!reader) return;
      if (reader.engine) reader.engine.postMessage(message === "cancel" ? "cancel" : "pull");
      else if (reader.hash === null) void this.#begin(port, reader, message);
    });
  }

  async #begin(port: RuntimePort, reader: Reader, message: unknown): Promise<void> {
    const { hash, file, start, end, suffix, longest } = (message ?? {}) as Record<string, unknown>;
    reader.hash = typeof hash === "string" ? hash : "";
    await this.#host.settled(reader.site, String(reader.hash));
    if (!this.#all.has(port)) return;
    const session = this.#host.session(reader.site, hash);
    if (!session?.engine) return void this.#refuse(port, "no such file", 404);
    const { port1, port2 } = new MessageChannel();
    reader.engine = port1;
    port1.onmessage = ({ data }: MessageEvent<unknown>) => port.postMessage(data);
    const wanted = Object.entries({ file, start, end, suffix, longest }).filter(
      ([, value]) => typeof value === "number",
    );
    session.engine.postMessage({ t: "stream", hash, ...Object.fromEntries(wanted), port: port2 }, [port2]);
  }

  #refuse(port: RuntimePort, error: string, status: number): void {
    port.postMessage({ error, status });
    this.#ended(port);
    port.disconnect();
  }

  #ended(port: RuntimePort): void {
    const reader = this.#all.get(port);
    this.#all.delete(port);
    reader?.engine?.postMessage("cancel");
    reader?.engine?.close();
    if (reader?.engine) this.#host.ended(reader.site, reader.hash);
  }
}
