/** How a file plays where no service worker streams it: whole, from a Blob of this page. Loaded when it is needed. */

/** A file that is all here plays up to this size, in bytes, because browsers may hold it in memory. */
export const MOST_WHOLE = 512 << 20;
/** A file that is not all here plays up to this size, in bytes: it is fetched whole before it plays. */
export const MOST_FETCHED = 32 << 20;

/**
 * A Blob's URL is of the page's own origin, and its bytes are a stranger's: a browser that is led there makes no
 * document of this type. Players look into the bytes.
 */
const OPAQUE = "application/octet-stream";

/** Why a file cannot be played whole, with the way out; null: it can. `pays`: fetching it may cost money. */
export function refusal(name: string, length: number, isHere: boolean, pays: boolean): string | null {
  const most = isHere ? MOST_WHOLE : MOST_FETCHED;
  if (length > most)
    return `${name} is longer than ${most >> 20} MiB, the most that plays ${isHere ? "" : "before it is all here "}`;
  return pays && !isHere ? `${name} is not all here, and a page that may pay buys nothing for a player ` : null;
}

/** The pieces of a torrent that are here, first piece in the highest bit, and all of its files, padding too. */
export interface Pieces {
  have: Uint8Array;
  pieceLength: number;
  files: readonly { length: number }[];
}

/** Whether every piece of a file is here. */
export function isHere({ have, pieceLength, files }: Pieces, index: number): boolean {
  const length = files[index]?.length ?? 0;
  const start = files.slice(0, index).reduce((sum, file) => sum + file.length, 0);
  const end = length > 0 ? start + length : 0;
  for (let piece = Math.floor(start / pieceLength); piece * pieceLength < end; piece++)
    if (!((have[piece >> 3] ?? 0) & (0x80 >> (piece & 7)))) return false;
  return true;
}

/** A URL of the whole file, or the reason why there is none. `lacking`: why nothing streams it. */
export async function wholeUrl(
  file: { name: string; length: number; index: number; blob(): Promise<Blob> },
  torrent: Pieces,
  pays: boolean,
  lacking: Error,
): Promise<{ url: string } | { why: string }> {
  const why = refusal(file.name, file.length, isHere(torrent, file.index), pays);
  if (why !== null) return { why: `${why}without a service worker. ${lacking.message}` };
  const bytes = await file.blob();
  return { url: URL.createObjectURL(bytes.slice(0, bytes.size, OPAQUE)) };
}
