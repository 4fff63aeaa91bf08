/** The contract calls a page makes (docs/protocol.md, "Calls"). Every argument is one word. */

/** First four bytes of each call's hash; a test derives them anew. */
export const SELECTORS = {
  "approve(address,uint256)": "0x095ea7b3",
  "balanceOf(address)": "0x70a08231",
  "decimals()": "0x313ce567",
  "allowance(address,address)": "0xdd62ed3e",
  "name()": "0x06fdde03",
  "version()": "0x54fd4d50",
  "nonces(address)": "0x7ecebe00",
  "DOMAIN_SEPARATOR()": "0x3644e515",
  "token()": "0xfc0c546a",
  "exitDelay()": "0x28388630",
  "open(address,uint96,uint112,uint112,(uint256,uint8,bytes32,bytes32))": "0x4af18f0f",
  "topUp(address,uint112,uint112,(uint256,uint8,bytes32,bytes32))": "0x6a9b204f",
  "exit(address)": "0xb42652e9",
  "withdraw(address,address)": "0xf940e385",
  "state(bytes32,uint256)": "0x2d46126e",
} as const;

/** Hash of `Opened(bytes32,address,address,uint96,uint112,uint112)`. */
export const OPENED = "0xfec1bbe589166ff400372fdca1a17a721c0f87f75c01f3323f92c0a051c3f690";

/** Hash of `Redeemed(bytes32,address,address,uint256,bytes32,bytes32,bytes32,bytes32,bytes32,uint256,uint256)`. */
export const REDEEMED = "0xf1248714dfc2f02f58ca4e2b8c1a233b3ae492d863b845898f030bf58c88e5b8";

/** A word: a number, or hexadecimal of at most 32 bytes (an address, a hash). */
export type Word = bigint | number | string;

/** 64 hexadecimal digits. */
export function word(value: Word): string {
  const digits = typeof value === "string" ? value.replace(/^0x/, "").toLowerCase() : BigInt(value).toString(16);
  if (!/^[0-9a-f]{1,64}$/.test(digits)) throw new RangeError(`${value} is not one word`);
  return digits.padStart(64, "0");
}

/** Call data. */
export function encodeCall(signature: keyof typeof SELECTORS, ...words: Word[]): string {
  return SELECTORS[signature] + words.map(word).join("");
}

/** Whether an answer of the chain is made of words; a wallet may answer anything. */
export function isWords(answer: unknown): answer is string {
  return typeof answer === "string" && /^0x([0-9a-fA-F]{64})*$/.test(answer);
}

/** The words of an answer; refuses an answer that is not hexadecimal. */
export function decodeWords(answer: string): bigint[] {
  if (!isWords(answer)) throw new RangeError("the chain's answer is not made of words");
  return Array.from({ length: (answer.length - 2) / 64 }, (_, i) =>
    BigInt(`0x${answer.slice(2 + i * 64, 66 + i * 64)}`),
  );
}

/** A string answer (`name()`), at most 1 KiB. */
export function decodeString(answer: string): string {
  const words = decodeWords(answer.slice(0, 2 + 64 * 40));
  const length = Number(words[1] ?? 0n);
  if (words[0] !== 32n || length > 1024 || words.length < 2 + Math.ceil(length / 32))
    throw new RangeError("the chain's answer is not a text");
  const digits = answer.slice(2 + 128, 2 + 128 + length * 2);
  return new TextDecoder().decode(Uint8Array.from(digits.match(/../g) ?? [], (pair) => parseInt(pair, 16)));
}

/** An address from a word. */
export function addressOf(value: bigint): string {
  return `0x${(value & ((1n << 160n) - 1n)).toString(16).padStart(40, "0")}`;
}
