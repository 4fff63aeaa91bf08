// docs/protocol.md, "The voucher": EIP-712 digests, signatures of the form r, vs, and the id of an account.
import { ethers } from "./ethers.mjs";

const DOMAIN_TYPE = "EIP712Domain(string name,string version,uint256 chainId,address verifyingContract)";
const VOUCHER_FIELDS = [
  ["address", "owner"],
  ["address", "payee"],
  ["uint32", "first"],
  ["uint16", "count"],
  ["bytes32", "content"],
  ["uint96", "base"],
  ["uint96", "unit"],
  ["uint16", "steps"],
  ["bytes32", "root"],
  ["bytes32", "luck"],
];
const VOUCHER_TYPE = `Voucher(${VOUCHER_FIELDS.map((field) => field.join(" ")).join(",")})`;
const REDEEM_TYPE = "Redeem(bytes32 claims,address to,address relayer,uint256 fee,uint256 deadline)";

/** The order of secp256k1's group. */
const ORDER = 0xfffffffffffffffffffffffffffffffebaaedce6af48a03bbfd25e8cd0364141n;
const PARITY = 1n << 255n;

/** No content, no luck. */
export const ZERO32 = `0x${"00".repeat(32)}`;

const coder = ethers.AbiCoder.defaultAbiCoder();
const hashText = (text) => ethers.keccak256(ethers.toUtf8Bytes(text));
const word = (value) => ethers.toBeHex(value, 32);

/** Types and their hashes, as the specification names them. */
export const types = {
  domain: DOMAIN_TYPE,
  voucher: VOUCHER_TYPE,
  redeem: REDEEM_TYPE,
  voucherHash: hashText(VOUCHER_TYPE),
  redeemHash: hashText(REDEEM_TYPE),
};

/** The domain separator of a vault. */
export function domainSeparator({ chainId, vault }) {
  const values = [hashText(DOMAIN_TYPE), hashText("PieceworkVault"), hashText("1"), chainId, vault];
  return ethers.keccak256(coder.encode(["bytes32", "bytes32", "bytes32", "uint256", "address"], values));
}

function digestOf(domain, structHash) {
  return ethers.keccak256(ethers.concat(["0x1901", domainSeparator(domain), structHash]));
}

/** The digest that the session key signs for a voucher at the vault of this domain. */
export function voucherDigest(domain, voucher) {
  const structHash = ethers.keccak256(
    coder.encode(
      ["bytes32", ...VOUCHER_FIELDS.map(([type]) => type)],
      [types.voucherHash, ...VOUCHER_FIELDS.map(([, name]) => voucher[name])],
    ),
  );
  return digestOf(domain, structHash);
}

/** The digest that a payee signs for a relayer: `claims` is the hash of the encoded claims. */
export function redeemDigest(domain, { claims, to, relayer, fee, deadline }) {
  const values = [types.redeemHash, claims, to, relayer, fee, deadline];
  return digestOf(
    domain,
    ethers.keccak256(coder.encode(["bytes32", "bytes32", "address", "address", "uint256", "uint256"], values)),
  );
}

/** Signs a digest; answers with r and vs. */
export function sign(privateKey, digest) {
  const { r, yParityAndS } = new ethers.SigningKey(privateKey).sign(digest);
  return { r, vs: yParityAndS };
}

/** The address that signed a digest, in small letters; null where the signature recovers to no address. */
export function recover(digest, { r, vs }) {
  const s = BigInt(vs) & (PARITY - 1n);
  if (BigInt(r) === 0n || BigInt(r) >= ORDER || s === 0n || s > ORDER / 2n) return null;
  try {
    const yParity = BigInt(vs) >= PARITY ? 1 : 0;
    return ethers.recoverAddress(digest, { r, s: word(s), yParity }).toLowerCase();
  } catch {
    return null; // r is the x of no point
  }
}

/** The id of an account. */
export const accountId = (owner, sessionAddress) =>
  ethers.keccak256(coder.encode(["address", "address"], [owner, sessionAddress]));

/** The tag of a voucher: the first four bytes of its root. */
export const tagOf = (voucher) => voucher.root.slice(0, 10);
