/**
 * Sources of a torrent that are no link and no bytes: a module that a page loads when it first adds one.
 */
import type { Refusal } from "./kinds.js";
import { sourceOf } from "./parsed.js";
import type { ParsedTorrent } from "./source.js";

/** What the engine takes in the place of a file, an address, or a torrent as `parse-torrent` describes it. */
export async function loaded(
  source: { file: Blob } | { url: string } | { parsed: ParsedTorrent },
  signal: AbortSignal | null | undefined,
  refuse: Refusal,
): Promise<{ torrent: Uint8Array } | { magnet: string }> {
  if ("parsed" in source) return sourceOf(source.parsed);
  if ("url" in source) return { torrent: await fetchTorrent(source.url, signal, refuse) };
  return { torrent: await torrentBytes(source.file.stream(), refuse) };
}

/** No .torrent file is longer. A longer file was taken for one by mistake, and would fill the memory. */
export const MOST_TORRENT_BYTES = 16 << 20;

/** The bytes of a .torrent file; throws as soon as there are too many. */
export async function torrentBytes(stream: ReadableStream<Uint8Array>, refuse: Refusal): Promise<Uint8Array> {
  const chunks: Uint8Array<ArrayBuffer>[] = [];
  let left = MOST_TORRENT_BYTES;
  const reader = stream.getReader();
  for (let chunk = await reader.read(); !chunk.done; chunk = await reader.read()) {
    left -= chunk.value.length;
    if (left < 0) {
      void reader.cancel().catch(() => undefined);
      throw refuse("this is no .torrent file: it is longer than 16 MiB");
    }
    chunks.push(chunk.value as Uint8Array<ArrayBuffer>);
  }
  return new Uint8Array(await new Blob(chunks).arrayBuffer());
}

/** The .torrent file at an address. */
async function fetchTorrent(url: string, signal: AbortSignal | null | undefined, refuse: Refusal): Promise<Uint8Array> {
  const response = await fetch(url, { signal: signal ?? null }).catch((error: Error) => {
    signal?.throwIfAborted();
    throw refuse(`The .torrent file could not be loaded from ${url}: ${error.message}`);
  });
  if (!response.ok) throw refuse(`The .torrent file could not be loaded from ${url} (status ${response.status}).`);
  return response.body ? torrentBytes(response.body, refuse) : new Uint8Array();
}
