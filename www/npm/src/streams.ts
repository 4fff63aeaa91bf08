/**
 * What players of streams in segments (HLS, DASH) need of a torrent: an address for each file, and an answer for each
 * address. Addresses lead to files of that torrent and nowhere else: playlists and manifests are written by strangers.
 */
import { unescaped } from "./percent.js";
import type { Torrent } from "./torrent.js";

/** As much of a torrent as a player of a stream needs. */
export type Streamed = Pick<Torrent, "infoHash" | "fetch">;

/** Addresses are `piecework://INFOHASH/path/in/the/torrent`; a relative one in a playlist leads to the same torrent. */
export const SCHEME = "piecework";
/** Bytes of one answer; a larger one is refused, because players hold a segment in memory as a whole. */
export const MAX_ANSWER = 256 * 1024 * 1024;

/** An address that is not answered, or an answer that broke off. */
export class Unanswered extends Error {
  /** As a web server would say it: players try 0 again while the browser is offline, so an address elsewhere is 403. */
  readonly status: number;

  constructor(status: number, message: string) {
    super(message);
    this.status = status;
  }
}

/**
 * The address of a torrent's file for a player: `path` is as `torrent.fetch` takes it, plain, with `/` between its
 * parts.
 *
 * @throws RangeError for a path that leads out of the torrent, or nowhere.
 */
export function urlOf(torrent: Pick<Torrent, "infoHash">, path: string): string {
  const parts = path.replace(/^\/+/, "").split("/");
  if (!parts.every(isName)) throw new RangeError(`${path} is no path of a file in a torrent: see torrent.files`);
  return `${SCHEME}://${torrent.infoHash}/${parts.map(encodeURIComponent).join("/")}`;
}

/** The info hash that an address names; null if it is no address of a torrent's file. */
export function hashIn(url: string): string | null {
  return /^piecework:\/\/([0-9a-f]{40})\//i.exec(url)?.[1]?.toLowerCase() ?? null;
}

/** The path that an address of this torrent names, without query and fragment. */
export function pathIn({ infoHash }: Pick<Torrent, "infoHash">, url: string): string {
  const shown = url.slice(0, 200);
  if (hashIn(url) !== infoHash.toLowerCase())
    throw new Unanswered(403, `${shown} is no address in this torrent, and a player is given nothing from elsewhere`);
  const written = url.slice(`${SCHEME}://${infoHash}/`.length).replace(/[?#].*$/s, "");
  // Playlists write a name as it is as often as they encode it.
  const parts = written.split("/").map(unescaped);
  if (!parts.every(isName)) throw new Unanswered(400, `${shown} names no file of a torrent`);
  return parts.join("/");
}

/** What a part of a path may be: never the folder itself or the one above, and no second path. */
function isName(part: string): boolean {
  return part !== "" && part !== "." && part !== ".." && !/[/\\\0]/.test(part);
}

/** What is asked beside the address. */
export interface Asking {
  readonly method?: string | undefined;
  readonly headers: Record<string, string>;
  readonly signal: AbortSignal;
}

/** The answer to an address, and the bytes of its body. Nothing is fetched or paid before the body is read. */
export async function answer(
  torrent: Streamed,
  url: string,
  { method = "GET", headers, signal }: Asking,
): Promise<{ response: Response; length: number }> {
  const response = await torrent.fetch(pathIn(torrent, url), { method, headers, signal });
  if (!response.ok) throw new Unanswered(response.status, await response.text());
  // A range that is none, as of a playlist's segment of no bytes, would be answered with the whole file, and buy it.
  if (method === "GET" && response.status === 200 && new Headers(headers).has("range"))
    throw new Unanswered(416, `${url.slice(0, 200)} is asked for a range that names no bytes`);
  const length = Number(response.headers.get("content-length") ?? 0);
  if (length > MAX_ANSWER && method !== "HEAD")
    throw new Unanswered(413, `${url} has ${length} bytes: a player is given ${MAX_ANSWER} at once, at most`);
  return { response, length };
}

/** The body's chunks as they come, each of verified bytes. Who stops early ends the fetching. */
export async function* chunksIn({ body }: Response): AsyncGenerator<Uint8Array<ArrayBuffer>, void, undefined> {
  if (!body) return;
  const reader = body.getReader();
  try {
    for (let chunk = await reader.read(); !chunk.done; chunk = await reader.read()) yield chunk.value;
  } finally {
    await reader.cancel().catch(() => undefined);
  }
}

/** Chunks as one buffer. */
export function joined(chunks: readonly Uint8Array<ArrayBuffer>[]): ArrayBuffer {
  const bytes = new Uint8Array(chunks.reduce((sum, chunk) => sum + chunk.length, 0));
  let at = 0;
  for (const chunk of chunks) {
    bytes.set(chunk, at);
    at += chunk.length;
  }
  return bytes.buffer;
}
