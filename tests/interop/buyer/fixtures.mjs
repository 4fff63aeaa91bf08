// The base of the checks without a seller: the files of docs/vectors, their buyer, and a clock that stands still.
import { readFileSync } from "node:fs";
import { Records } from "./records.mjs";
import { ZERO32 } from "./voucher.mjs";

const folder = new URL("../../../docs/vectors/", import.meta.url);

/** The vectors of a file. */
export const vectors = (name) => JSON.parse(readFileSync(new URL(name, folder), "utf8"));

/** A clock that moves only to the next timer, when a test says so. */
export function stoppedClock() {
  const timers = [];
  const clock = {
    time: 0,
    after: (act, ms) => void timers.push({ act, at: clock.time + ms }),
    next() {
      timers.sort((a, b) => a.at - b.at);
      const { act, at } = timers.shift();
      clock.time = at;
      act();
    },
  };
  return clock;
}

/** The buyer of the vectors: its records begin at serial 7. */
export function buyerOfTheVectors(path) {
  const {
    vault,
    chain_id: chainId,
    owner,
    session_key: sessionKey,
    session_address: sessionAddress,
    balance,
    tranche,
    bond,
  } = vectors("paid_piece.json");
  const state = {
    balance: BigInt(balance),
    tranche: BigInt(tranche),
    consumed: 1,
    known: true,
    bond: BigInt(bond),
    exitAt: 0,
  };
  const records = new Records(path);
  records.next = 7;
  return {
    account: { vault, chainId, owner, sessionKey, sessionAddress, ...state },
    records,
    limits: { ceiling: 1n << 40n, budget: 1n << 50n, content: ZERO32 },
  };
}
