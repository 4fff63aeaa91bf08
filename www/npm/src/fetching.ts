/** The answers of `torrent.fetch`: a module that a page loads when it first calls that. */
import { asked, bare, headersOf, outside, plain, tagOf } from "./answering.js";
import { typeOfBytes } from "./mime.js";
import { unescaped } from "./percent.js";

/** What is asked of a file, as `fetch` takes it. */
export type FetchOptions = Pick<RequestInit, "method" | "headers" | "signal">;

/** A torrent's file, as far as an answer needs it. */
interface Source {
  readonly index: number;
  readonly length: number;
  readonly name: string;
  isNamed(name: number | string): boolean;
  late(start: number, end: number, signal: AbortSignal | null | undefined): ReadableStream<Uint8Array<ArrayBuffer>>;
}

/**
 * @internal Answers a request for a file of the torrent `of`, by index or path. The answer's body opens a reader when
 * it is read.
 *
 * @throws TypeError for anything else.
 */
export function respond(
  of: { infoHash: string; name: string; files: readonly Source[] },
  named: number | string | readonly string[],
  { method = "GET", headers, signal }: FetchOptions,
): Response {
  const path = Array.isArray(named) ? named.join("/") : named;
  if (typeof path !== "string" && typeof path !== "number")
    throw new TypeError(`fetch takes a file's path or its index, and this is neither: ${path}`);
  const file = find(of, path);
  if (!file) return plain(404, `there is no file ${path} in ${of.name}: see torrent.files`);
  const tag = tagOf(of.infoHash, file.index);
  const wanted = asked(method.toUpperCase(), new Headers(headers), tag);
  if (wanted.status !== 200) return bare(wanted.status, tag);
  const { range, isHead } = wanted;
  const { length } = file;
  const start = range?.suffix === undefined ? (range?.start ?? 0) : Math.max(0, length - range.suffix);
  const end = Math.min(range?.end ?? length, length);
  // No range lies in an empty file, and Content-Range could not name it.
  if (range && start >= end) return outside(length);
  const head = headersOf({ start, end, length }, range !== null, tag, typeOfBytes(file.name));
  const body = isHead || start === end ? null : file.late(start, end, signal);
  return new Response(body, { status: range ? 206 : 200, headers: head });
}

/** By its index or path, as it is or as a URL writes it, with the torrent's name before it or without. */
function find({ name, files }: { name: string; files: readonly Source[] }, path: number | string): Source | undefined {
  const forms = typeof path === "number" ? [path] : [path, unescaped(path)].map((form) => form.replace(/^\/+/, ""));
  for (const form of forms) {
    const found = files.find((file) => file.isNamed(form)) ?? files.find((file) => file.isNamed(`${name}/${form}`));
    if (found) return found;
  }
  return undefined;
}
