/**
 * Follows a transaction that was sent to its end: in a block, reverted, replaced by another (the user sped it up or
 * cancelled it), forgotten by the network, or still open when the time is over. A look that fails decides nothing; the
 * next look comes later.
 */

import { judge, logsIn, numberIn, read, type Log } from "./answers.js";

/** The part of a receipt that is used. */
export interface Receipt {
  logs: Log[];
  /** See {@link feeIn}. */
  fee: bigint | null;
}

/** A fee above this many bits is a wallet's mistake. */
const FEE_BITS = 96n;

/**
 * What the address paid for the transaction of a receipt, in the smallest unit of the chain's coin, with what OP-stack
 * chains take on top (`l1Fee`); null where the receipt does not say, or names another payer.
 */
export function feeIn(receipt: unknown, address: string): bigint | null {
  if (typeof receipt !== "object" || receipt === null) return null;
  const from = read(receipt, "from");
  if (typeof from !== "string" || from.toLowerCase() !== address.toLowerCase()) return null;
  const [gas, price, more] = ["gasUsed", "effectiveGasPrice", "l1Fee"].map((name) => {
    const field = read(receipt, name) ?? (name === "l1Fee" ? "0x0" : null);
    return typeof field === "string" && /^0x[0-9a-f]{1,24}$/i.test(field) ? BigInt(field) : null;
  });
  if (gas == null || price == null || more == null) return null;
  const fee = gas * price + more;
  return fee >> FEE_BITS === 0n ? fee : null;
}

/** A transaction that was sent. `nonce` is the sender's, if it is known. */
export interface Sent {
  hash: string;
  from: string;
  nonce: number | null;
}

/** The end of a transaction. */
export type Fate = { kind: "mined" | "reverted"; receipt: Receipt } | { kind: "replaced" | "dropped" | "open" };

/** The end of calls that were sent as one (EIP-5792). `refused`: none of them happened. */
export type CallsFate = { kind: "mined" | "reverted" | "refused" | "dropped" | "open"; hashes?: string[] };

/** A read of the chain through the wallet, without a prompt. */
export type Ask = <T>(method: string, params: unknown[]) => Promise<T>;

/** How long a transaction is followed before it is given up for now. It can be followed again later. */
export const MOST_WAIT_MS = 600_000;
/**
 * How long the network may not know a transaction. Some wallets send through a relay of their own, and then the
 * transaction shows only in a block.
 */
export const UNKNOWN_WAIT_MS = 180_000;
/**
 * Looks in a row that must show another transaction in its place, because the nodes behind one address are not at the
 * same block.
 */
const REPLACED_LOOKS = 3;
/** The chains in question make a block about every second. */
const FIRST_PAUSE_MS = 500;
const LONGEST_PAUSE_MS = 15_000;
/** For this long the pause between looks does not grow. */
const BRISK_MS = 30_000;

/** EIP-5792: no such calls. A wallet that has just taken them up may answer this once. */
const UNKNOWN_CALLS = 5730;

/** Follows a transaction. `unknownFor`: how long the network may not know it. */
export async function follow(ask: Ask, sent: Sent, unknownFor = UNKNOWN_WAIT_MS): Promise<Fate> {
  let { nonce } = sent;
  let knownAt = Date.now();
  let passed = 0;
  const fate = await looking<Fate>(async () => {
    const receipt = await ask<unknown>("eth_getTransactionReceipt", [sent.hash]);
    const kind = outcomeOf(receipt);
    if (kind) {
      const logs = logsIn(read(receipt as object, "logs"));
      return { kind, receipt: { logs, fee: feeIn(receipt, sent.from) } };
    }
    const shown = await ask<unknown>("eth_getTransactionByHash", [sent.hash]);
    if (typeof shown === "object" && shown !== null)
      [nonce, knownAt] = [numberIn(read(shown, "nonce")) ?? nonce, Date.now()];
    const used = nonce === null ? null : numberIn(await ask("eth_getTransactionCount", [sent.from, "latest"]));
    passed = nonce !== null && used !== null && used > nonce ? passed + 1 : 0;
    if (passed >= REPLACED_LOOKS) return { kind: "replaced" };
    return !shown && passed === 0 && Date.now() - knownAt >= unknownFor ? { kind: "dropped" } : null;
  });
  return fate ?? { kind: "open" };
}

/**
 * The end that a receipt shows; null: nothing yet. A receipt without a status is judged by its logs, because every
 * transaction sent here logs something.
 */
function outcomeOf(receipt: unknown): "mined" | "reverted" | null {
  if (typeof receipt !== "object" || receipt === null) return null;
  const [status, logs] = [read(receipt, "status"), read(receipt, "logs")];
  if (status === true || numberIn(status) === 1) return "mined";
  if (status === false || numberIn(status) === 0) return "reverted";
  if (!Array.isArray(logs)) return null;
  return logs.length > 0 ? "mined" : "reverted";
}

/** Follows calls that were sent as one. */
export async function followCalls(ask: Ask, id: string, unknownFor = UNKNOWN_WAIT_MS): Promise<CallsFate> {
  let knownAt = Date.now();
  const fate = await looking<CallsFate>(async () => {
    let answer: unknown;
    try {
      answer = await ask<unknown>("wallet_getCallsStatus", [id]);
    } catch (error) {
      const never = judge(error) === "unsupported" || (error as { code?: unknown } | null)?.code === UNKNOWN_CALLS;
      if (never && Date.now() - knownAt >= unknownFor) return { kind: "dropped" };
      throw error;
    }
    knownAt = Date.now();
    return callsFate(answer);
  });
  return fate ?? { kind: "open" };
}

/** Statuses of EIP-5792, and the words of wallets that use its first draft; null: not yet. */
function callsFate(answer: unknown): CallsFate | null {
  const { status, receipts } = (answer ?? {}) as { status?: unknown; receipts?: unknown };
  const all: ({ status?: unknown; transactionHash?: unknown } | null)[] = Array.isArray(receipts) ? receipts : [];
  const hashes = all.flatMap((receipt) =>
    typeof receipt?.transactionHash === "string" ? [receipt.transactionHash] : [],
  );
  if (status === "CONFIRMED") {
    const failed = all.some((receipt) => receipt?.status !== undefined && Number(receipt.status) !== 1);
    return { kind: failed ? "reverted" : "mined", hashes };
  }
  const number = Number(status);
  if (number >= 500) return { kind: "reverted", hashes };
  if (number >= 400) return { kind: "refused" };
  return number >= 200 ? { kind: "mined", hashes } : null;
}

/**
 * Looks until a look finds something, with longer and longer pauses, for at most {@link MOST_WAIT_MS}; null: nothing
 * was found.
 */
async function looking<T>(look: () => Promise<T | null>): Promise<T | null> {
  const begun = Date.now();
  for (let pause = FIRST_PAUSE_MS; ; ) {
    let failed = false;
    const found = await look().catch(() => {
      failed = true;
      return null;
    });
    if (found) return found;
    const waited = Date.now() - begun;
    if (waited >= MOST_WAIT_MS) return null;
    if (failed || waited > BRISK_MS)
      pause = Math.min(pause * (failed ? 2 : 1.2), failed ? LONGEST_PAUSE_MS : LONGEST_PAUSE_MS / 3);
    else pause = FIRST_PAUSE_MS;
    await new Promise((resolve) => setTimeout(resolve, pause));
  }
}
