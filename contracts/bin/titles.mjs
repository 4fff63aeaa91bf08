// tests/vectors/titles.json: titles, ids, hashes and signatures by ethers 6; their bytes by an encoder of this file.
//
// `node bin/titles.mjs` writes the file. `--check` writes nothing, and fails when the committed file is another.

import { readFileSync, writeFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import * as ethers from "ethers";

const path = fileURLToPath(new URL("../../tests/vectors/titles.json", import.meta.url));
const TYPES = {
  Title: [
    "string name",
    "bytes20 infoHash",
    "bytes32 infoHashV2",
    "uint64 length",
    "address publisher",
    "address creator",
    "uint16 bps",
    "string licence",
    "bytes32 keyHash",
    "bytes32 previous",
    "bytes32 salt",
    "uint64 created",
  ].map((field) => ({ type: field.split(" ")[0], name: field.split(" ")[1] })),
};
/** The keys of the dictionary, by the names of the fields. */
const KEYS = { infoHash: "hash", infoHashV2: "hash2", keyHash: "key" };
const ALWAYS = ["chain", "creator", "hash", "length", "publisher", "sig", "v"];

function bencoded(value) {
  if (typeof value === "bigint") return Buffer.from(`i${value}e`);
  if (Buffer.isBuffer(value)) return Buffer.concat([Buffer.from(`${value.length}:`), value]);
  const keys = Object.keys(value).sort();
  const entries = keys.flatMap((key) => [bencoded(Buffer.from(key)), bencoded(value[key])]);
  return Buffer.concat([Buffer.from("d"), ...entries, Buffer.from("e")]);
}

/** As it travels: nothing that is zero or empty, but for what a title always has. */
function dictionary(title, { chainId, verifyingContract }, { r, vs }) {
  const bytes = (hex) => Buffer.from(hex.slice(2), "hex");
  const all = { v: 1n, chain: BigInt(chainId), registry: bytes(verifyingContract), sig: bytes(r + vs.slice(2)) };
  for (const { name, type } of TYPES.Title) {
    const value = title[name];
    const kind = type === "string" ? Buffer.from(value) : type.startsWith("uint") ? BigInt(value) : bytes(value);
    all[KEYS[name] ?? name] = kind;
  }
  const isThere = ([key, value]) => ALWAYS.includes(key) || (typeof value === "bigint" ? value : value.some(Boolean));
  return Object.fromEntries(Object.entries(all).filter(isThere));
}

const word = (byte) => `0x${byte.repeat(32)}`;
const plain = {
  name: "Evening over the bay",
  infoHash: "0x0102030405060708090a0b0c0d0e0f1011121314",
  infoHashV2: ethers.ZeroHash,
  length: 25_731_571,
  creator: "0x00000000000000000000000000000000000000C1",
  bps: 0,
  licence: "",
  keyHash: ethers.ZeroHash,
  previous: ethers.ZeroHash,
  salt: ethers.ZeroHash,
  created: 0,
};
const CASES = [
  { name: "signed only", registry: ethers.ZeroAddress, chainId: 1, title: plain },
  {
    name: "every field",
    registry: "0x5FbDB2315678afecb367f032d93F642f64180aa3",
    chainId: 31337,
    title: {
      ...plain,
      infoHashV2: word("22"),
      bps: 10_000,
      licence: "CC-BY-4.0",
      keyHash: word("33"),
      previous: word("44"),
      salt: word("55"),
      created: 1_799_999_000,
    },
  },
  {
    name: "text of other scripts, the longest length",
    registry: "0x5FbDB2315678afecb367f032d93F642f64180aa3",
    chainId: 9_007_199_254_740_991,
    title: {
      ...plain,
      name: "Вечер над заливом, 湾の夕べ, 🌊",
      licence: "https://example.org/licence?a=1&b=ü",
      length: "18446744073709551615",
      bps: 1,
    },
  },
];

const vectors = [];
for (const { name, registry, chainId, title } of CASES) {
  const wallet = new ethers.Wallet(ethers.id(`the publisher of ${name}`));
  const whole = { ...title, publisher: wallet.address };
  const domain = { name: "PieceworkRegistry", version: "1", chainId, verifyingContract: registry };
  const { r, yParityAndS: vs } = ethers.Signature.from(await wallet.signTypedData(domain, TYPES, whole));
  const id = ethers.keccak256(
    ethers.AbiCoder.defaultAbiCoder().encode(
      ["address", "bytes20", "bytes32"],
      [whole.publisher, whole.infoHash, whole.salt],
    ),
  );
  vectors.push({
    name,
    registry,
    chain_id: chainId,
    title: { ...whole, length: String(whole.length) },
    publisher_key: wallet.privateKey,
    id,
    struct_hash: ethers.TypedDataEncoder.from(TYPES).hash(whole),
    digest: ethers.TypedDataEncoder.hash(domain, TYPES, whole),
    signature: { r, vs },
    bencoded: bencoded(dictionary(whole, domain, { r, vs })).toString("hex"),
  });
}
const about = "Signed titles (docs/titles.md), by ethers 6; made by contracts/bin/titles.mjs.";
const text = `${JSON.stringify({ about, type: TYPES.Title, vectors }, null, 2)}\n`;
if (!process.argv.includes("--check")) writeFileSync(path, text);
else if (readFileSync(path, "utf8") !== text) throw new Error("run `node bin/titles.mjs` in contracts/, and commit it");
console.log(`ok: ${vectors.length} titles`);
