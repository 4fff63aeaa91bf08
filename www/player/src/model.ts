/**
 * The data that the views show: plain, and made anew for each look. Amounts ending in `Fine` are 2^-24 token units. It
 * imports nothing, so that engine, memory and views share it without importing each other.
 */

/** Where a title stands. */
export type Phase = "metadata" | "checking" | "downloading" | "seeding" | "paused" | "failed";

/** Money with one peer in one direction. */
export interface Side {
  /** Token units per GB; `null`: no price was named. */
  pricePerGB: bigint | null;
  active: boolean;
  paidFine: bigint;
  blocks: number;
  /** Why nothing is paid; empty if there is no reason to name. */
  note: string;
}

/** One peer. Its texts come from strangers. */
export interface Peer {
  id: number;
  client: string;
  haveCount: number;
  downloaded: number;
  uploaded: number;
  downloadRate: number;
  uploadRate: number;
  peerChoking: boolean;
  amChoking: boolean;
  requestsOut: number;
  buying: Side;
  selling: Side;
}

/** A web server that has the title's files (BEP 19). */
export interface WebSeed {
  url: string;
  state: "idle" | "downloading" | "waiting" | "dropped" | "banned";
  /** Why it is not asked; else empty. */
  note: string;
  downloaded: number;
  downloadRate: number;
}

/** One title. */
export interface Look {
  infoHash: string;
  name: string;
  phase: Phase;
  /** Only what is watched is fetched. */
  onDemand: boolean;
  /** The visitor chose to keep all of it, now or at an earlier visit. */
  kept: boolean;
  length: number;
  pieceLength: number;
  pieceCount: number;
  /** BEP 3 bitfield. */
  have: Uint8Array;
  verified: number;
  /** Bytes of the pieces of the files that are selected, and the verified ones among them. */
  selectedLength: number;
  selectedVerified: number;
  files: { path: string; length: number; selected: boolean }[];
  downloaded: number;
  uploaded: number;
  wasted: number;
  downloadRate: number;
  uploadRate: number;
  /** Token units per GB, the most that is paid. */
  maxPerGB: bigint;
  spentFine: bigint;
  earnedFine: bigint;
  /**
   * Token units: the most that the missing pieces can cost at `maxPerGB`, with the sum that a v1 title may lose to
   * corrupt data.
   */
  maxCost: bigint;
  peers: Peer[];
  webSeeds: WebSeed[];
}

/** The fault of a deposit, by the package's name for it. */
export type Lack = "none" | "usedup" | "budget" | "exiting" | "withdrawn" | "held";

/** The account of money. Amounts without `Fine` are token units. */
export interface Money {
  accountReady: boolean;
  /** Why nothing more is bought from it; `null`: nothing is in the way. */
  lack: Lack | null;
  balance: bigint;
  locked: bigint;
  /** Can still be promised to sellers. */
  free: bigint;
  spentFine: bigint;
  budget: bigint;
  redeemable: bigint;
  redeemableFine: bigint;
  redeemed: bigint;
  redeemableRanges: number;
  vouchersSigned: number;
  preimagesReleased: number;
  preimagesReceived: number;
}

/** A line of the history: of a day, a month, or all the time before (`date` is empty). */
export interface HistoryLine {
  date: string;
  kind: "bought" | "sold" | "redeemed" | "gas";
  infoHash: string | null;
  /** From strangers. */
  name: string | null;
  peer: string | null;
  /** Token units, or the smallest units of the chain's coin. */
  amount: bigint;
  /** Of what was bought and sold. */
  amountFine: bigint | null;
}

/** Everything at one look. */
export interface ClientLook {
  downloadRate: number;
  uploadRate: number;
  trackers: { url: string; connected: boolean; error: string | null }[];
  money: Money | null;
}

/** A title that is on this device, as far as this page remembers it. */
export interface Stored {
  infoHash: string;
  name: string;
  length: number;
  verified: number;
  /** Trackers that its own link or file named. */
  trackers: string[];
}

/** The visitor's decision. `cap` is kB/s; `null` is no cap. */
export interface Sharing {
  on: boolean;
  cap: number | null;
}
