/**
 * Requests to web seeds (BEP 19), for the engine in this worker.
 *
 * The engine says which bytes to ask for, and judges every answer; this file owns the browser's `fetch`. It sends no
 * cookie, no credentials and no referrer, keeps nothing in the browser's cache, and reads on only when the engine has
 * taken what came before.
 */
import type { WebSeedAnswer } from "./protocol.js";

/** `WebSeeds` of `crate/src/web/driver.rs` calls it: with a URL to ask, without one to end the request. */
export type AskWebSeed = (request: number, url?: string, first?: number, last?: number) => void;

/** A fault, as the rest of a sentence that begins with the web seed's name. */
class Fault extends Error {}

export function webSeeds(tell: (answer: WebSeedAnswer) => void): AskWebSeed {
  const asked = new Map<number, AbortController>();
  return (r, url, first, last) => {
    asked.get(r)?.abort();
    asked.delete(r);
    if (url === undefined) return;
    const control = new AbortController();
    const { signal } = control;
    asked.set(r, control);
    const end = (error: string | null) => {
      if (signal.aborted) return;
      asked.delete(r);
      tell({ t: "web", r, error });
    };
    get(r, url, `bytes=${first}-${last}`, signal, tell).then(
      () => end(null),
      (error: unknown) => {
        // The engine trapped on what it was told: no fault of the web seed, and the worker reports it.
        if (error instanceof WebAssembly.RuntimeError) throw error;
        end(error instanceof Fault ? error.message : "broke off its answer");
      },
    );
  };
}

async function get(
  r: number,
  url: string,
  range: string,
  signal: AbortSignal,
  tell: (answer: WebSeedAnswer) => void,
): Promise<void> {
  const answer = await fetch(url, {
    headers: { Range: range },
    mode: "cors",
    credentials: "omit",
    referrerPolicy: "no-referrer",
    cache: "no-store",
    signal,
  }).catch(() => {
    throw new Fault(unreadable(url));
  });
  if (url.startsWith("https:") && answer.url.startsWith("http:"))
    throw new Fault("redirects from https to http, which everybody on the way could change");
  // Other origins show the first of these headers, and Content-Encoding, only if they say so.
  const head = (name: string) => answer.headers.get(name);
  tell({
    t: "web",
    r,
    status: answer.status,
    range: head("Content-Range"),
    encoding: head("Content-Encoding"),
    retryAfter: head("Retry-After"),
  });
  const reader = answer.body?.getReader();
  while (reader && !signal.aborted) {
    const { done, value } = await reader.read();
    if (done) return;
    if (!signal.aborted) tell({ t: "web", r, bytes: value });
  }
}

/** The browser says nothing of why: a page could else find out what lies behind a firewall. */
function unreadable(url: string): string {
  if (location.protocol === "https:" && url.startsWith("http:"))
    return "cannot be asked by this page, which came by https: name it by https://";
  return (
    "could not be read: either it is out of reach, or its server does not let this page read it " +
    `(it must answer with "Access-Control-Allow-Origin: ${location.origin}" or "*", and where a browser asks first, ` +
    'with "Access-Control-Allow-Headers: Range"), or this page\u2019s policy does not name it (connect-src)'
  );
}
