// docs/protocol.md, "The hash chain". Links are 0x texts of 32 bytes.
import { randomBytes } from "node:crypto";
import { ethers } from "./ethers.mjs";
import { MAX_STEPS } from "./numbers.mjs";

/** A fresh tip, `w_steps`. */
export const drawTip = () => `0x${randomBytes(32).toString("hex")}`;

/** The links `w_0` to `w_steps` of a chain, by step. */
export function linksOf(tip, steps) {
  if (steps < 1 || steps > MAX_STEPS) throw new RangeError(`a chain of ${steps} steps`);
  const links = [tip];
  for (let i = 0; i < steps; i++) links.unshift(ethers.keccak256(links[0]));
  return links;
}

/** Hashes a link this many times. */
export function walk(link, times) {
  for (let i = 0; i < times; i++) link = ethers.keccak256(link);
  return link;
}

/** Whether link `k` follows the known one. */
export function advances({ knownK, knownW, k, w }, steps = MAX_STEPS) {
  return k > knownK && k <= steps && walk(w, k - knownK) === knownW;
}
