// ethers, as tests/browser has it: the interop tests have no copy of their own.
import { createRequire } from "node:module";

const require = createRequire(new URL("../../browser/package.json", import.meta.url));

/** Keccak-256, secp256k1 and the ABI; nothing of the payment protocol is in it. */
export const ethers = require("ethers");

/** A WebSocket client, which Node 20 lacks. */
export const WebSocket = require("ws");
