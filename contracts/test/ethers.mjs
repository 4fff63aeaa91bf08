// The built vault on a real node, driven by an independent implementation of ABI and EIP-712 (ethers 6). It makes the
// page's calls, through the artifacts that the page will read. Prints the gas of each receipt. Run after
// `npm run build`.
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { readFileSync } from "node:fs";
import { createServer } from "node:net";
import { fileURLToPath } from "node:url";
import * as ethers from "ethers";

const at = (path) => fileURLToPath(new URL(path, import.meta.url));
const artifact = (name) => JSON.parse(readFileSync(at(`../out/${name}.sol/${name}.json`), "utf8"));
const Q = 10_000n,
  AMOUNT = 2_000_000n,
  BOND = 2_500_000n,
  UNIT = 39n << 24n;
const NO_PERMIT = { deadline: 0, v: 0, r: ethers.ZeroHash, s: ethers.ZeroHash };
const VOUCHER = {
  Voucher: [
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
  ].map(([type, name]) => ({ type, name })),
};
const fields = (...pairs) => pairs.map((p) => ({ type: p.split(" ")[0], name: p.split(" ")[1] }));

async function freePort() {
  const server = createServer().listen(0, "127.0.0.1");
  await new Promise((done) => server.once("listening", done));
  const { port } = server.address();
  await new Promise((done) => server.close(done));
  return port;
}

async function startNode() {
  const port = await freePort();
  const node = spawn("anvil", ["--port", String(port)], { stdio: ["ignore", "pipe", "inherit"] });
  await new Promise((ready, failed) => {
    node.stdout.on("data", (text) => String(text).includes("Listening on") && ready());
    node.once("error", failed); // no anvil on the PATH: run by `npm run test:ethers`
    node.once("exit", (code) => failed(new Error(`anvil ended with ${code}`)));
  });
  return {
    node,
    provider: new ethers.JsonRpcProvider(`http://127.0.0.1:${port}`, 31337, { staticNetwork: true, cacheTimeout: -1 }),
  };
}

function chain(tip, links) {
  let w = tip;
  for (let i = 0; i < links; i++) w = ethers.keccak256(w);
  return w;
}

async function main(provider) {
  const [owner, payee, relayer] = [0, 1, 2].map(
    (i) =>
      new ethers.NonceManager(
        ethers.HDNodeWallet.fromPhrase(
          "test test test test test test test test test test test junk",
          undefined,
          `m/44'/60'/0'/0/${i}`,
        ).connect(provider),
      ),
  );
  const [ownerAt, payeeAt, relayerAt] = await Promise.all([owner, payee, relayer].map((s) => s.getAddress()));
  const gas = async (what, tx) => {
    const receipt = await (await tx).wait();
    console.log(`${what.padEnd(40)} ${receipt.gasUsed}`);
    return receipt;
  };
  const deploy = async (name, ...args) => {
    const { abi, bytecode } = artifact(name);
    const made = await new ethers.ContractFactory(abi, bytecode.object, owner).deploy(...args);
    await made.waitForDeployment();
    return made;
  };
  const token = await deploy("DemoToken");
  const vault = await deploy(
    "PieceworkVault",
    await token.getAddress(),
    ethers.ZeroAddress,
    "0x000000000000000000000000000000000000dEaD",
    72 * 3600,
  );
  const vaultAt = await vault.getAddress();
  const domain = { name: "PieceworkVault", version: "1", chainId: 31337, verifyingContract: vaultAt };
  const money = { ...domain, name: "Piecework Demo Dollar", verifyingContract: await token.getAddress() };
  const total = AMOUNT + BOND;
  await (await token.mint(ownerAt, 10n * total)).wait();
  await (await token.mint(payeeAt, 1n)).wait();

  const session = ethers.Wallet.createRandom();
  const later = (await provider.getBlock("latest")).timestamp + 3600;
  const sessions = [session, ethers.Wallet.createRandom(), ethers.Wallet.createRandom()];
  await (await token.approve(vaultAt, total)).wait();
  await gas("open (the vault's first deposit)", vault.open(session.address, Q, AMOUNT, BOND, NO_PERMIT));
  await (await token.approve(vaultAt, total)).wait();
  await gas("open", vault.open(sessions[1].address, Q, AMOUNT, BOND, NO_PERMIT));
  const permit = ethers.Signature.from(
    await owner.signTypedData(
      money,
      { Permit: fields("address owner", "address spender", "uint256 value", "uint256 nonce", "uint256 deadline") },
      { owner: ownerAt, spender: vaultAt, value: total, nonce: 0, deadline: later },
    ),
  );
  await gas(
    "open with permit",
    vault.open(sessions[2].address, Q, AMOUNT, BOND, { deadline: later, v: permit.v, r: permit.r, s: permit.s }),
  );

  const coder = ethers.AbiCoder.defaultAbiCoder();
  const fourth = ethers.Wallet.createRandom();
  const nonce = ethers.keccak256(
    coder.encode(["address", "uint96", "uint112", "uint112"], [fourth.address, Q, AMOUNT, BOND]),
  );
  const auth = ethers.Signature.from(
    await owner.signTypedData(
      money,
      {
        ReceiveWithAuthorization: fields(
          "address from",
          "address to",
          "uint256 value",
          "uint256 validAfter",
          "uint256 validBefore",
          "bytes32 nonce",
        ),
      },
      { from: ownerAt, to: vaultAt, value: total, validAfter: 0, validBefore: later, nonce },
    ),
  );
  await gas(
    "openWithAuthorization",
    vault
      .connect(relayer)
      .openWithAuthorization(ownerAt, fourth.address, Q, AMOUNT, BOND, later, auth.v, auth.r, auth.s),
  );

  const tip = ethers.hexlify(ethers.randomBytes(32));
  const voucher = (first, changes = {}) => ({
    owner: ownerAt,
    payee: payeeAt,
    first,
    count: 1,
    content: ethers.ZeroHash,
    base: 0n,
    unit: UNIT,
    steps: 256,
    root: chain(tip, 256),
    luck: ethers.ZeroHash,
    ...changes,
  });
  const sign = async (v) => {
    const { r, yParityAndS } = ethers.Signature.from(await session.signTypedData(domain, VOUCHER, v));
    return [r, yParityAndS];
  };
  const claim = async (v, k) => {
    const [r, vs] = await sign(v);
    const { payee: _, root, luck, ...rest } = v;
    return { ...rest, k, w: chain(tip, 256 - k), salt: ethers.ZeroHash, r, vs };
  };
  const asPayee = vault.connect(payee);
  const held = () => token.balanceOf(payeeAt);
  let before = await held();
  await gas("redeem one, k = 0", asPayee.redeem([await claim(voucher(1, { base: 39n << 24n }), 0)], payeeAt));
  assert.equal((await held()) - before, 39n);
  before = await held();
  const redeemed = await gas("redeem one, k = 256", asPayee.redeem([await claim(voucher(2), 256)], payeeAt));
  assert.equal((await held()) - before, 9984n);

  const event = redeemed.logs.map((log) => vault.interface.parseLog(log)).find((e) => e?.name === "Redeemed").args;
  const id = ethers.keccak256(coder.encode(["address", "address"], [ownerAt, session.address]));
  assert.deepEqual(
    [event.id, event.payee, event.owner, event.root, event.gross, event.cut],
    [id, payeeAt, ownerAt, chain(tip, 256), 9984n, 0n],
  );
  assert.equal(event.packed, (2n << 224n) | (1n << 208n) | (256n << 192n) | UNIT);

  const claims = [await claim(voucher(3), 100), await claim(voucher(2), 256)];
  const claimType = artifact("PieceworkVault").abi.find((f) => f.name === "redeem").inputs[0];
  const hash = ethers.keccak256(coder.encode([ethers.ParamType.from(claimType)], [claims]));
  const order = ethers.Signature.from(
    await payee.signTypedData(
      domain,
      { Redeem: fields("bytes32 claims", "address to", "address relayer", "uint256 fee", "uint256 deadline") },
      { claims: hash, to: ownerAt, relayer: relayerAt, fee: 100, deadline: later },
    ),
  );
  const relayed = await gas(
    "redeemFor, one good and one consumed",
    vault.connect(relayer).redeemFor(payeeAt, claims, ownerAt, 100, later, order.r, order.yParityAndS),
  );
  const skipped = relayed.logs.map((log) => vault.interface.parseLog(log)).find((e) => e?.name === "Skipped").args;
  assert.deepEqual([skipped.index, skipped.reason], [1n, 6n]);
  assert.equal(await vault.credit(relayerAt), 100n);

  const state = await vault.state(id, 0);
  assert.equal(state.balance, AMOUNT - 39n - 9984n - 3900n);
  assert.deepEqual([state.consumed, state.spentWord, state.known, state.chainId], [4n, 15n, true, 31337n]);

  const [x, y] = [voucher(9), voucher(9, { payee: relayerAt })];
  await gas(
    "slash (first of sink and reporter)",
    vault.connect(relayer).slash(x, ...(await sign(x)), y, ...(await sign(y))),
  );
  assert.equal(await vault.credit(relayerAt), 100n + BOND / 10n);
  await gas("exit", vault.exit(session.address));
  await provider.send("evm_increaseTime", [72 * 3600]);
  before = await token.balanceOf(ownerAt);
  await gas("withdraw", vault.withdraw(session.address, ownerAt));
  assert.equal((await token.balanceOf(ownerAt)) - before, AMOUNT - 39n - 9984n - 3900n);
  await assert.rejects(vault.exit.staticCall(session.address), (e) => e.revert?.name === "NoSuchAccount");
}

const { node, provider } = await startNode();
try {
  await main(provider);
  console.log("ok: ethers and the vault agree");
} finally {
  provider.destroy();
  node.removeAllListeners("exit");
  node.kill();
}
