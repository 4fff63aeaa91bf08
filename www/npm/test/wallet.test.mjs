// The deposit against a wallet that only records what it is asked: prompts are counted, nothing is guessed.
import assert from "node:assert/strict";
import { test } from "node:test";
import { AbiCoder, Interface, TypedDataEncoder, Wallet as Signer } from "ethers";
import { Payments } from "./build/payments.js";

const coder = AbiCoder.defaultAbiCoder();
const VAULT = "0x" + "44".repeat(20);
const TOKEN = "0x" + "55".repeat(20);
const KEY = "0x" + "66".repeat(20);
const signer = new Signer("0x" + "11".repeat(32));
const PROMPTS = new Set(["eth_requestAccounts", "eth_sendTransaction", "eth_signTypedData_v4", "wallet_sendCalls", "wallet_switchEthereumChain", "wallet_addEthereumChain"]);
const vault = new Interface([
  "function open(address key, uint96 tranche, uint112 amount, uint112 bond, (uint256 deadline, uint8 v, bytes32 r, bytes32 s) permit)",
  "function token() view returns (address)",
  "function state(bytes32 id, uint256 word) view returns (uint112,uint96,uint40,bool,uint112,uint48,uint256,uint256,uint256,uint256)",
]);
const token = new Interface([
  "function approve(address,uint256)",
  "function balanceOf(address) view returns (uint256)",
  "function decimals() view returns (uint8)",
  "function nonces(address) view returns (uint256)",
  "function name() view returns (string)",
  "function version() view returns (string)",
  "function DOMAIN_SEPARATOR() view returns (bytes32)",
]);
const DOMAIN = { name: "Demo Dollar", version: "1", chainId: 31337, verifyingContract: TOKEN };

globalThis.document = { baseURI: "http://localhost/" };
globalThis.navigator ??= {};
Object.defineProperty(globalThis.navigator, "storage", { value: {}, configurable: true });
globalThis.addEventListener ??= () => {};
globalThis.dispatchEvent ??= () => true;

class TestWallet {
  constructor(kind) {
    this.kind = kind;
    this.chain = 31337;
    this.prompts = [];
    this.sent = [];
  }
  async request({ method, params }) {
    const lacks = (method === "eth_signTypedData_v4" && this.kind !== "permit") || (method === "wallet_sendCalls" && this.kind !== "5792");
    // What a wallet does not know it refuses without asking anybody.
    if (PROMPTS.has(method) && !lacks) this.prompts.push(method);
    if (this.reject === method) throw Object.assign(new Error("no"), { code: 4001 });
    const unsupported = () => Object.assign(new Error("unsupported"), { code: 4200 });
    switch (method) {
      case "eth_requestAccounts":
      case "eth_accounts":
        return [signer.address];
      case "eth_chainId":
        return "0x" + this.chain.toString(16);
      case "wallet_switchEthereumChain":
        this.chain = Number(params[0].chainId);
        return null;
      case "eth_getCode":
        return "0x60";
      case "eth_call":
        return this.call(params[0]);
      case "eth_sendTransaction":
        this.sent.push(params[0]);
        return "0x" + String(this.sent.length).padStart(64, "0");
      case "eth_getTransactionReceipt":
        return { status: "0x1", transactionHash: params[0], logs: [] };
      case "wallet_getCapabilities":
        if (this.kind !== "5792") throw unsupported();
        return { "0x7a69": { atomic: { status: "supported" } } };
      case "wallet_sendCalls":
        if (this.kind !== "5792") throw unsupported();
        this.sent.push(...params[0].calls);
        return { id: "0x1" };
      case "wallet_getCallsStatus":
        return { status: 200 };
      case "eth_signTypedData_v4": {
        if (this.kind !== "permit") throw unsupported();
        const { domain, types, message } = JSON.parse(params[1]);
        const { EIP712Domain: _, ...rest } = types;
        this.permit = message;
        return signer.signTypedData(domain, rest, message);
      }
      default:
        throw new Error(`unexpected ${method}`);
    }
  }
  call({ to, data }) {
    const contract = to === VAULT ? vault : token;
    const { name } = contract.parseTransaction({ data });
    const answers = {
      token: TOKEN,
      state: [0, 0, 0, false, 0, 0, 0, 31337, 1, 1],
      balanceOf: 100_000_000n,
      decimals: 6,
      nonces: 3n,
      name: DOMAIN.name,
      version: DOMAIN.version,
      DOMAIN_SEPARATOR: TypedDataEncoder.hashDomain(DOMAIN),
    };
    const answer = answers[name];
    return contract.encodeFunctionResult(name, Array.isArray(answer) ? answer : [answer]);
  }
}

function payments(wallet, requests = []) {
  globalThis.ethereum = wallet;
  const host = {
    request: async (t, fields) => {
      requests.push(t);
      if (t === "accountId") return { id: "0x" + "77".repeat(32), sessionKey: KEY };
      // The engine derives it in Rust; here ethers does.
      if (t === "domainSeparator") return TypedDataEncoder.hashDomain({ name: fields.name, version: fields.version, chainId: fields.chainId, verifyingContract: fields.contract });
      return undefined;
    },
    tell() {},
    walletChanged() {},
  };
  return new Payments({ vault: VAULT, chainId: 31337, token: { address: TOKEN, decimals: 6, symbol: "DUSD" }, maxPricePerGB: "20", budget: "2" }, host);
}

for (const [kind, prompts] of [
  ["5792", ["eth_requestAccounts", "wallet_sendCalls"]],
  ["permit", ["eth_requestAccounts", "eth_signTypedData_v4", "eth_sendTransaction"]],
  ["neither", ["eth_requestAccounts", "eth_sendTransaction", "eth_sendTransaction"]],
]) {
  test(`a deposit with a wallet of kind ${kind} takes ${prompts.length} prompts, the connection included`, async () => {
    const wallet = new TestWallet(kind);
    const pay = payments(wallet);
    await pay.connect(undefined, false);
    await pay.deposit(2_000_000n, 2_500_000n);
    assert.deepEqual(wallet.prompts, prompts);
    const open = wallet.sent.at(-1);
    assert.equal(open.to, VAULT);
    const { args } = vault.parseTransaction({ data: open.data });
    assert.equal(args.key.toLowerCase(), KEY);
    assert.deepEqual([args.tranche, args.amount, args.bond], [10_000n, 2_000_000n, 2_500_000n]);
    if (kind === "permit") {
      assert.equal(wallet.permit.value, "4500000");
      assert.equal(wallet.permit.nonce, "3");
      assert.equal(args.permit.deadline, BigInt(wallet.permit.deadline));
      assert.ok([27n, 28n].includes(args.permit.v));
    } else {
      assert.equal(wallet.sent[0].to, TOKEN);
      assert.equal(wallet.sent[0].data, token.encodeFunctionData("approve", [VAULT, 4_500_000n]));
      assert.equal(args.permit.deadline, 0n);
    }
  });
}

test("a refusal in the wallet ends the deposit, and nothing else is asked", async () => {
  const wallet = new TestWallet("5792");
  wallet.reject = "wallet_sendCalls";
  const pay = payments(wallet);
  await pay.connect(undefined, false);
  await assert.rejects(pay.deposit(1n, 2n), { name: "PieceworkRejectedError" });
  assert.deepEqual(wallet.prompts, ["eth_requestAccounts", "wallet_sendCalls"]);
  assert.equal(wallet.sent.length, 0);
});

test("a deposit asks for lasting storage once it is made, and does not wait for the answer", async (t) => {
  const wallet = new TestWallet("5792");
  const sentWhenAsked = [];
  // Firefox asks the user, who may leave the question open.
  navigator.storage.persist = () => (sentWhenAsked.push(wallet.sent.length), new Promise(() => {}));
  t.after(() => delete navigator.storage.persist);
  const pay = payments(wallet);
  await pay.connect(undefined, false);
  await pay.deposit(1n, 2n);
  assert.deepEqual(sentWhenAsked, [2]);
});

test("a vault of another token, a missing vault and too little money are found before any prompt", async () => {
  const cases = [
    ["another token", (wallet) => (wallet.call = () => coder.encode(["address"], ["0x" + "99".repeat(20)]))],
    ["No contract", (wallet) => (wallet.request = ((was) => (r) => (r.method === "eth_getCode" ? Promise.resolve("0x") : was(r)))(wallet.request.bind(wallet)))],
    ["are needed", () => {}, 200_000_000n],
  ];
  for (const [text, spoil, amount] of cases) {
    const wallet = new TestWallet("5792");
    const pay = payments(wallet);
    await pay.connect(undefined, false);
    spoil(wallet);
    await assert.rejects(pay.deposit(amount ?? 1n, 2n), (error) => error.message.includes(text));
    assert.deepEqual(wallet.prompts, ["eth_requestAccounts"]);
  }
});

test("a wallet on another chain is moved before anything is sent", async () => {
  const wallet = new TestWallet("5792");
  wallet.chain = 1;
  const pay = payments(wallet);
  await pay.connect(undefined, false);
  await pay.deposit(1n, 2n);
  assert.deepEqual(wallet.prompts, ["eth_requestAccounts", "wallet_switchEthereumChain", "wallet_sendCalls"]);
});
