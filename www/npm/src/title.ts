/** What a publisher says of a torrent and signed (docs/titles.md). */

/**
 * A title that fits its torrent: its publisher signed these words about this content. Whether it is registered on a
 * chain, the chain alone says. `name` and `licence` are the publisher's words: show them as text only. Addresses and
 * words are `0x` and lower-case digits.
 */
export interface Title {
  readonly name: string;
  /** Who signed. */
  readonly publisher: string;
  /** Who is credited with the share. */
  readonly creator: string;
  /** The creator's part of every sale, in percent, from 0 to 100. */
  readonly share: number;
  /** An SPDX identifier or a URL; empty: none is granted. */
  readonly licence: string;
  /** When it was signed, by the publisher's word; null: it does not say, or says no date. */
  readonly created: Date | null;
  /** Id of its registration, if it is registered. */
  readonly id: string;
  /** With publisher and info hash it makes the id. */
  readonly salt: string;
  /** EIP-712 hash of these words, which a registry keeps. */
  readonly hash: string;
  /** EIP-155 id of the chain that it was signed for. */
  readonly chainId: number;
  /** The contract that it was signed for; null: it is signed only. */
  readonly registry: string | null;
  /** The content is encrypted. */
  readonly encrypted: boolean;
  /** Id of the edition that it follows. */
  readonly previous: string | null;
}

/**
 * Whether a torrent has a title: "unknown" until {@link Torrent.ready}, and always where only engines without payments
 * run; "unsigned": nobody says who published it, which is allowed; "awaited": its link names who must have signed it
 * (`pw.by`), and no peer has brought that title yet; "fits"; or why it is `wrong`: not of this content, not signed by
 * its publisher, not by whom the link names, or not the one under whose id it is sold. While it is awaited or wrong,
 * nothing is paid for.
 */
export type Signature = "unknown" | "unsigned" | "awaited" | "fits" | { readonly wrong: string };

/** @internal As the engine has it; null: it does not have the torrent. */
export type EngineTitle =
  | Exclude<Signature, "fits">
  | (Omit<Title, "share" | "created"> & { readonly bps: number; readonly created: number })
  | null;

/** @internal A title with its signature's standing. */
export function titleOf(found: EngineTitle): { title: Title | null; signature: Signature } {
  if (found === null || typeof found === "string" || "wrong" in found)
    return { title: null, signature: found ?? "unknown" };
  const { bps, created, ...title } = found;
  const date = new Date(created * 1000);
  return {
    title: { ...title, share: bps / 100, created: created && !Number.isNaN(date.getTime()) ? date : null },
    signature: "fits",
  };
}
