/**
 * A request for a torrent's file as RFC 9110 reads it, and the head of its answer: for the service worker, and for
 * `torrent.fetch`.
 */

import { parseRange, type Range } from "./range.js";

/** A request to be answered with bytes (`range`: a part of them), or by a status alone. */
export type Asked = { status: 304 | 405 | 412 } | { status: 200; isHead: boolean; range: Range | null };

/** The entity tag of a file. The info hash stands for every byte and every length behind it. */
export function tagOf(hash: string, file: number): string {
  return `"${hash}-${file}"`;
}

/**
 * What a request asks (RFC 9110, section 13.2.2). A `Range` that is not valid, or names several ranges, is ignored
 * (section 14.2), and so is one of HEAD.
 */
export function asked(method: string, headers: Headers, tag: string): Asked {
  const isHead = method === "HEAD";
  if (!isHead && method !== "GET") return { status: 405 };
  const match = headers.get("if-match");
  if (match !== null && !lists(match, tag, false)) return { status: 412 };
  const noneMatch = headers.get("if-none-match");
  if (noneMatch !== null && lists(noneMatch, tag, true)) return { status: 304 };
  // Another tag or a date belongs to another file, so the whole of this one is sent (section 13.1.5).
  const same = (headers.get("if-range") ?? tag) === tag;
  return { status: 200, isHead, range: !isHead && same ? parseRange(headers.get("range")) : null };
}

/** Whether a list of entity tags has this one, or stands for all (`*`). `weak`: as a weak one too. */
function lists(header: string, tag: string, weak: boolean): boolean {
  const tags = header.split(",").map((one) => one.trim());
  return tags.includes("*") || tags.includes(tag) || (weak && tags.includes(`W/${tag}`));
}

/** The headers of an answer with these bytes of a file; `isPart`: the request named a range. */
export function headersOf(
  { start, end, length }: { start: number; end: number; length: number },
  isPart: boolean,
  tag: string,
  type: string,
): Headers {
  const headers = new Headers({
    "Accept-Ranges": "bytes",
    "Cache-Control": "no-store",
    ETag: tag,
    "Content-Length": String(end - start),
    "Content-Type": type,
    // The bytes are a stranger's: never a document of this site.
    "Content-Security-Policy": "default-src 'none'; sandbox",
    "X-Content-Type-Options": "nosniff",
  });
  if (isPart) headers.set("Content-Range", `bytes ${start}-${end - 1}/${length}`);
  return headers;
}

/** The answer to a request that {@link asked} answers by its status. */
export function bare(status: 304 | 405 | 412, tag: string): Response {
  if (status === 304) return new Response(null, { status, headers: { ETag: tag } });
  if (status === 405) return plain(status, "only GET and HEAD", { Allow: "GET, HEAD" });
  return plain(status, "the file has another ETag");
}

/** The answer to a range that lies outside a file of this length. */
export function outside(length: number): Response {
  return plain(416, "the range lies outside the file", { "Content-Range": `bytes */${length}` });
}

/** An answer with a sentence. */
export function plain(status: number, text: string, headers: Record<string, string> = {}): Response {
  return new Response(text, { status, headers: { "Content-Type": "text/plain; charset=utf-8", ...headers } });
}
