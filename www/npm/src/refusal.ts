import type { Torrent } from "./torrent.js";

/**
 * Why nothing of a torrent is bought, whatever there is to pay with: its title is not signed as it should be. A
 * sentence; null: its title is no reason.
 */
export function whyNotBought({ signature }: Pick<Torrent, "signature">): string | null {
  if (signature === "awaited")
    return (
      "Its link names who must have signed it, and nobody has sent the signed title yet: nothing is paid before it " +
      "comes."
    );
  return typeof signature === "object" ? `Nothing of it is paid for: ${signature.wrong}.` : null;
}
