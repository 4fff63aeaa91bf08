import assert from "node:assert/strict";
import { test } from "node:test";
import { AbiCoder, Interface, id } from "ethers";
import { OPENED, REDEEMED, SELECTORS, addressOf, decodeString, decodeWords, encodeCall, word } from "./build/abi.js";

test("every selector is the hash of its signature", () => {
  for (const [signature, selector] of Object.entries(SELECTORS))
    assert.equal(selector, id(signature).slice(0, 10), signature);
  assert.equal(OPENED, id("Opened(bytes32,address,address,uint96,uint112,uint112)"));
  assert.equal(
    REDEEMED,
    id("Redeemed(bytes32,address,address,uint256,bytes32,bytes32,bytes32,bytes32,bytes32,uint256,uint256)"),
  );
});

test("open and topUp are encoded as ethers encodes them", () => {
  const vault = new Interface([
    "function open(address key, uint96 tranche, uint112 amount, uint112 bond, " +
      "(uint256 deadline, uint8 v, bytes32 r, bytes32 s) permit)",
    "function topUp(address key, uint112 amount, uint112 bond, " +
      "(uint256 deadline, uint8 v, bytes32 r, bytes32 s) permit)",
  ]);
  const key = "0x19E7E376E7C213B7E7e7e46cc70A5dD086DAff2A";
  const [r, s] = [`0x${"12".repeat(32)}`, `0x${"34".repeat(32)}`];
  assert.equal(
    encodeCall(
      "open(address,uint96,uint112,uint112,(uint256,uint8,bytes32,bytes32))",
      key,
      10_000n,
      2_000_000n,
      2_500_000n,
      1_900_000_000,
      28,
      r.slice(2),
      s,
    ),
    vault.encodeFunctionData("open", [key, 10_000n, 2_000_000n, 2_500_000n, [1_900_000_000, 28, r, s]]),
  );
  assert.equal(
    encodeCall("topUp(address,uint112,uint112,(uint256,uint8,bytes32,bytes32))", key, 5n, 0n, 0, 0, 0, 0),
    vault.encodeFunctionData("topUp", [key, 5n, 0n, [0, 0, `0x${"00".repeat(32)}`, `0x${"00".repeat(32)}`]]),
  );
});

test("answers are read, and refused when they are not what they should be", () => {
  const coder = AbiCoder.defaultAbiCoder();
  for (const text of ["USD Coin", "", "ä".repeat(40)])
    assert.equal(decodeString(coder.encode(["string"], [text])), text);
  assert.deepEqual(decodeWords(coder.encode(["uint256", "bool"], [7n, true])), [7n, 1n]);
  assert.equal(
    addressOf(BigInt(`0x${"ff".repeat(12)}19E7E376E7C213B7E7e7e46cc70A5dD086DAff2A`)),
    "0x19e7e376e7c213b7e7e7e46cc70a5dd086daff2a",
  );
  assert.throws(() => decodeWords("0x123"), RangeError);
  assert.throws(() => decodeWords("nonsense"), RangeError);
  // A length that the answer does not hold.
  assert.throws(() => decodeString(`0x${word(32)}${word(900)}`), RangeError);
  assert.throws(() => word(-1n), RangeError);
  assert.throws(() => word(`0x${"1".repeat(65)}`), RangeError);
});
