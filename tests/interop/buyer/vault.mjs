// docs/protocol.md, "The vault": its calls, answers and events, by ethers from the signatures that the page lists.
import { ethers } from "./ethers.mjs";
import { ZERO32 } from "./voucher.mjs";

const CLAIM =
  "tuple(address owner,uint32 first,uint16 count,bytes32 content,uint96 base,uint96 unit,uint16 steps," +
  "uint16 k,bytes32 w,bytes32 salt,bytes32 r,bytes32 vs)";
const VOUCHER =
  "tuple(address owner,address payee,uint32 first,uint16 count,bytes32 content,uint96 base,uint96 unit," +
  "uint16 steps,bytes32 root,bytes32 luck)";

/** The vault's calls and events. */
export const vaultInterface = new ethers.Interface([
  "function open(address key,uint96 tranche,uint112 amount,uint112 bond,tuple(uint256 deadline,uint8 v," +
    "bytes32 r,bytes32 s) permit) returns (bytes32)",
  "function openWithAuthorization(address owner,address key,uint96 tranche,uint112 amount,uint112 bond," +
    "uint256 validBefore,uint8 v,bytes32 r,bytes32 s) returns (bytes32)",
  "function topUp(address key,uint112 amount,uint112 bond,tuple(uint256 deadline,uint8 v,bytes32 r,bytes32 s) permit)",
  "function exit(address key)",
  "function withdraw(address key,address to)",
  `function redeem(${CLAIM}[] claims,address to) returns (uint256)`,
  `function redeemFor(address payee,${CLAIM}[] claims,address to,uint256 fee,uint256 deadline,bytes32 r,` +
    "bytes32 vs) returns (uint256)",
  "function claimCredit(address to) returns (uint256)",
  `function slash(${VOUCHER} x,bytes32 rx,bytes32 vx,${VOUCHER} y,bytes32 ry,bytes32 vy)`,
  "function state(bytes32 id,uint256 word) view returns (uint112 balance,uint96 tranche,uint40 consumed," +
    "bool known,uint112 bond,uint48 exitAt,uint256 spentWord,uint256 chainId,uint256 blockNumber,uint256 timestamp)",
  "function token() view returns (address)",
  "function exitDelay() view returns (uint256)",
  "event Opened(bytes32 indexed id,address indexed owner,address indexed key,uint96 tranche,uint112 amount," +
    "uint112 bond)",
  "event ToppedUp(bytes32 indexed id,uint112 amount,uint112 bond)",
  "event Exiting(bytes32 indexed id,uint48 at)",
  "event Withdrawn(bytes32 indexed id,uint256 amount)",
  "event Redeemed(bytes32 indexed id,address indexed payee,address indexed owner,uint256 packed," +
    "bytes32 content,bytes32 root,bytes32 luck,bytes32 r,bytes32 vs,uint256 gross,uint256 cut)",
  "event Skipped(uint256 index,uint8 reason)",
  "event Slashed(bytes32 indexed id,address indexed reporter,uint256 burned,uint256 bounty)",
]);

/** A claim of step `k` of a signed voucher. */
export const claimOf = (voucher, { r, vs }, k, w) => ({ ...voucher, k, w, salt: ZERO32, r, vs });

/** The message that a payee signs for the claims of `redeemFor`. */
export function claimsHash(claims) {
  return ethers.keccak256(ethers.AbiCoder.defaultAbiCoder().encode([`${CLAIM}[]`], [claims]));
}

/** The answer of `state`; numbers that fit are numbers. */
export function decodeState(data) {
  const { balance, tranche, consumed, known, bond, exitAt, spentWord, chainId, blockNumber, timestamp } = vaultInterface
    .decodeFunctionResult("state", data)
    .toObject();
  return {
    balance,
    tranche,
    consumed: Number(consumed),
    known,
    bond,
    exitAt: Number(exitAt),
    spentWord,
    chainId,
    blockNumber: Number(blockNumber),
    timestamp: Number(timestamp),
  };
}

/** The data of a call of `state` for the word of serials that has this one. */
export const stateCall = (account, serial) =>
  vaultInterface.encodeFunctionData("state", [account, Math.floor(serial / 256)]);

/** The voucher that a `Redeemed` event proves, with the sum that was paid for it. */
export function decodeRedeemed({ topics, data }) {
  const { payee, owner, packed, content, root, luck, gross, cut } = vaultInterface
    .decodeEventLog("Redeemed", data, topics)
    .toObject();
  const part = (shift, bits) => (packed >> shift) & ((1n << bits) - 1n);
  const voucher = {
    owner: owner.toLowerCase(),
    payee: payee.toLowerCase(),
    first: Number(part(224n, 32n)),
    count: Number(part(208n, 16n)),
    content,
    base: part(96n, 96n),
    unit: part(0n, 96n),
    steps: Number(part(192n, 16n)),
    root,
    luck,
  };
  return { voucher, gross, cut };
}
