import assert from "node:assert/strict";
import { readdirSync, readFileSync } from "node:fs";
import { test } from "node:test";
import { getAddress, keccak256 as ethersKeccak, toUtf8Bytes } from "ethers";
import { deploymentFrom } from "./build/deployment.js";
import { keccak256 } from "./build/keccak.js";

const FILE = {
  version: 1,
  chainId: 10,
  rpc: "https://rpc.example/key",
  vault: {
    address: "0xf39Fd6e51aad88F6F4ce6aB8827279cffFb92266",
    block: 7,
    txHash: `0x${"1".repeat(64)}`,
    deployer: "0x4e59b44847b379578588920cA78FbF26c0B4956C",
    salt: `0x${"0".repeat(64)}`,
    exitDelay: 259_200,
  },
  token: { address: "0x70997970C51812dc3A010C7d01b50e0d17dc79C8", symbol: "USDC", decimals: 6 },
  compiler: "0.8.37+commit.f401782d",
};

/** The file with a change. */
function changed(change) {
  const file = structuredClone(FILE);
  change(file);
  return file;
}

test("a deployment becomes the page's payment options, from its text or its JSON", () => {
  const options = {
    vault: FILE.vault.address,
    chainId: 10,
    rpcUrl: "https://rpc.example/key",
    token: { address: FILE.token.address, decimals: 6, symbol: "USDC" },
    deployBlock: 7,
    exitDelaySeconds: 259_200,
  };
  assert.deepEqual(deploymentFrom(FILE), options);
  assert.deepEqual(deploymentFrom(JSON.stringify(FILE)), options);
  const bare = changed((file) => {
    for (const name of ["txHash", "salt"]) delete file.vault[name];
    delete file.rpc;
    file.later = [1];
  });
  const { rpcUrl: _, ...rest } = options;
  assert.deepEqual(deploymentFrom(bare), rest);
  const registry = { address: "0xf39Fd6e51aad88F6F4ce6aB8827279cffFb92266", block: 5 };
  const splitters = { address: FILE.token.address, block: 6 };
  assert.deepEqual(deploymentFrom({ ...FILE, registry, splitters }), { ...options, registry, splitters });
  // Small letters alone have no checksum.
  const small = changed((file) => {
    file.vault.address = file.vault.address.toLowerCase();
  });
  assert.equal(deploymentFrom(small).vault, FILE.vault.address.toLowerCase());
});

test("each value out of its bounds is named, as the command line names it", () => {
  const cases = {
    version: [(file) => (file.version = 2), (file) => (file.version = "1")],
    chainId: [(file) => (file.chainId = 0), (file) => (file.chainId = 2 ** 53), (file) => (file.chainId = "10")],
    rpc: ["ws://x", "http:///x", "http://a b", "http://?x", "javascript:1", 7, `http://${"x".repeat(3000)}`].map(
      (url) => (file) => {
        file.rpc = url;
      },
    ),
    vault: [(file) => (file.vault = null), (file) => (file.vault = [])],
    "vault.address": [
      (file) => (file.vault.address = file.vault.address.replace("92266", "92267")),
      (file) => (file.vault.address = file.vault.address.slice(2)),
      (file) => (file.vault.address = 1),
    ],
    "vault.deployer": [(file) => delete file.vault.deployer],
    "vault.block": [(file) => (file.vault.block = 7.5), (file) => (file.vault.block = -1)],
    "vault.txHash": [(file) => (file.vault.txHash = "0x11")],
    "vault.salt": [(file) => (file.vault.salt = "0")],
    "vault.exitDelay": [(file) => (file.vault.exitDelay = 3_599), (file) => (file.vault.exitDelay = 2_592_001)],
    "token.decimals": [(file) => (file.token.decimals = 25), (file) => (file.token.decimals = Number.NaN)],
    "token.symbol": ["", "US\u001bDC", "US\u202eDC", "U".repeat(33), 5].map((symbol) => (file) => {
      file.token.symbol = symbol;
    }),
    registry: [(file) => (file.registry = [])],
    "registry.address": [
      (file) => (file.registry = { address: `0x${"0".repeat(40)}`, block: 1 }),
      (file) => (file.registry = { block: 1 }),
    ],
    "splitters.block": [(file) => (file.splitters = { address: FILE.token.address, block: 2 ** 53 })],
    compiler: [(file) => delete file.compiler, (file) => (file.compiler = "0.8 37")],
  };
  for (const [field, changes] of Object.entries(cases)) {
    for (const change of changes) {
      const pattern = new RegExp(`^The deployment's ${field.replace(".", "\\.")} is wrong: .*\\.$`);
      assert.throws(() => deploymentFrom(changed(change)), { name: "RangeError", message: pattern }, field);
    }
  }
  for (const nothing of [null, 7, [], "", "{", "[]", " ".repeat(65_537)]) {
    assert.throws(() => deploymentFrom(nothing), RangeError);
  }
});

test("the command line's own corpus of files is read as it reads them", () => {
  const folder = new URL("../../../crate/fuzz/corpus/deployment/", import.meta.url);
  // What Rust takes of it: `crate/fuzz/checks/deployment.rs` and the tests of `crate/src/native/deployment.rs`.
  const right = new Set(["whole_file", "made_by_create"]);
  const names = readdirSync(folder).filter((name) => !/^[0-9a-f]{40}$/.test(name));
  assert.ok(names.length >= 8);
  for (const name of names) {
    const text = readFileSync(new URL(name, folder), "utf8");
    // JavaScript's JSON takes the last of two keys; serde refuses the file.
    if (name === "key_twice") continue;
    if (right.has(name)) assert.equal(deploymentFrom(text).chainId, 10, name);
    else assert.throws(() => deploymentFrom(text), RangeError, name);
  }
});

test("the checksum is that of an independent implementation", () => {
  for (let i = 0; i < 100; i++) {
    const digits = keccak256(String(i)).slice(0, 40);
    assert.equal(`0x${keccak256(digits)}`, ethersKeccak(toUtf8Bytes(digits)));
    const address = getAddress(`0x${digits}`);
    assert.equal(
      deploymentFrom(
        changed((file) => {
          file.vault.address = address;
        }),
      ).vault,
      address,
    );
  }
  for (const length of [136, 137, 271, 272, 1_000])
    assert.equal(`0x${keccak256("x".repeat(length))}`, ethersKeccak(toUtf8Bytes("x".repeat(length))), length);
  assert.equal(`0x${keccak256("x".repeat(135))}`, ethersKeccak(toUtf8Bytes("x".repeat(135))));
});
