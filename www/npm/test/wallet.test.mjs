// The deposit against a wallet that only records its requests: prompts are counted, nothing is guessed.
import assert from "node:assert/strict";
import { test } from "node:test";
import { AbiCoder, Interface, TypedDataEncoder, Wallet as Signer } from "ethers";
import { certainlyNotSent, judge, walletError } from "./build/answers.js";
import { Payments } from "./build/payments.js";
import { Terms } from "./build/terms.js";

const coder = AbiCoder.defaultAbiCoder();
const VAULT = `0x${"44".repeat(20)}`;
const TOKEN = `0x${"55".repeat(20)}`;
const KEY = `0x${"66".repeat(20)}`;
const signer = new Signer(`0x${"11".repeat(32)}`);
const PROMPTS = new Set([
  "eth_requestAccounts",
  "eth_sendTransaction",
  "eth_signTypedData_v4",
  "wallet_sendCalls",
  "wallet_switchEthereumChain",
  "wallet_addEthereumChain",
]);
const vault = new Interface([
  "function open(address key, uint96 tranche, uint112 amount, uint112 bond, " +
    "(uint256 deadline, uint8 v, bytes32 r, bytes32 s) permit)",
  "function topUp(address key, uint112 amount, uint112 bond, (uint256 deadline, uint8 v, bytes32 r, bytes32 s) permit)",
  "function exit(address key)",
  "function token() view returns (address)",
  "function exitDelay() view returns (uint256)",
  "function state(bytes32 id, uint256 word) view " +
    "returns (uint112,uint96,uint40,bool,uint112,uint48,uint256,uint256,uint256,uint256)",
]);
const token = new Interface([
  "function approve(address,uint256)",
  "function balanceOf(address) view returns (uint256)",
  "function allowance(address,address) view returns (uint256)",
  "function decimals() view returns (uint8)",
  "function nonces(address) view returns (uint256)",
  "function name() view returns (string)",
  "function version() view returns (string)",
  "function DOMAIN_SEPARATOR() view returns (bytes32)",
]);
const DOMAIN = { name: "Demo Dollar", version: "1", chainId: 31337, verifyingContract: TOKEN };

/** The vault's answer for an account that nobody opened, and for one with the deposit that these tests make. */
const CLOSED = [0, 0, 0, false, 0, 0, 0, 31337, 1, 1];
const OPEN = [2_000_000n, 10_000n, 1, true, 2_500_000n, 0, 1, 31337, 1, 1];
const EXITING = OPEN.with(5, 1_900_000_000);
const EXITED = OPEN.with(5, 1_700_000_000);

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
    const lacks =
      (method === "eth_signTypedData_v4" && this.kind !== "permit") ||
      (method === "wallet_sendCalls" && this.kind !== "5792");
    // The wallet refuses a method that it does not know, without asking anybody.
    if (PROMPTS.has(method) && !lacks) this.prompts.push(method);
    if (this.reject === method) throw Object.assign(new Error("no"), { code: 4001 });
    if (this.answers?.[method]) return this.answers[method](params);
    const unsupported = () => Object.assign(new Error("unsupported"), { code: 4200 });
    switch (method) {
      case "eth_requestAccounts":
      case "eth_accounts":
        return [signer.address];
      case "eth_chainId":
        return `0x${this.chain.toString(16)}`;
      case "wallet_switchEthereumChain":
        this.chain = Number(params[0].chainId);
        return null;
      case "eth_getCode":
        return "0x60";
      case "eth_call":
        return this.call(params[0]);
      case "eth_sendTransaction":
        this.sent.push(params[0]);
        return `0x${String(this.sent.length).padStart(64, "0")}`;
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
      state: this.state ?? CLOSED,
      exitDelay: this.exitDelay ?? 259_200,
      allowance: this.allowance ?? 0n,
      balanceOf: this.balance ?? 100_000_000n,
      decimals: this.decimals ?? 6,
      nonces: 3n,
      name: DOMAIN.name,
      version: DOMAIN.version,
      DOMAIN_SEPARATOR: TypedDataEncoder.hashDomain(DOMAIN),
    };
    const answer = answers[name];
    return contract.encodeFunctionResult(name, Array.isArray(answer) ? answer : [answer]);
  }
}

/** The payment options of a page with this wallet. */
function optionsOf(wallet, options) {
  return {
    vault: VAULT,
    chainId: 31337,
    token: { address: TOKEN, decimals: wallet.decimals ?? 6, symbol: "DUSD" },
    maxPricePerGB: "20",
    budget: "2",
    ...options,
  };
}

function payments(wallet, requests = [], answers = {}, options = {}, isHost = () => true) {
  globalThis.ethereum = wallet;
  const host = {
    request: async (t, fields) => {
      requests.push(t);
      if (answers[t]) return answers[t](fields);
      if (t === "accountId") return { id: `0x${"77".repeat(32)}`, sessionKey: KEY, held: false };
      // The engine derives it in Rust; here ethers does.
      if (t === "domainSeparator")
        return TypedDataEncoder.hashDomain({
          name: fields.name,
          version: fields.version,
          chainId: fields.chainId,
          verifyingContract: fields.contract,
        });
      return undefined;
    },
    tell() {},
    walletChanged() {},
    isHost,
  };
  return new Payments(new Terms(optionsOf(wallet, options)), host);
}

test("the slice is a hundredth of a token, or ten units of a token with few decimals", async () => {
  for (const [decimals, slice] of [
    [0, 10n],
    [2, 10n],
    [3, 10n],
    [6, 10_000n],
    [18, 10n ** 16n],
  ]) {
    assert.equal(await tranche(decimals, 50n, { maxPricePerGB: "15" }), slice, decimals);
  }
});

test("the slice follows from ceiling, minRedeem and the price of gas, and a tenth of a deposit is enough", async () => {
  // A token of which a million are a dollar, and one that costs 60,000.
  assert.equal(await tranche(6, 10n ** 12n, { maxPricePerGB: "15000000" }), 2_500_000_000n);
  assert.equal(await tranche(6, 10_000_000n, { maxPricePerGB: "15000000" }), 1_000_000n);
  assert.equal(await tranche(8, 10n ** 6n, { maxPricePerGB: "0.00025", minRedeem: "0.0000003" }), 30n);
  const gas = { coinPrice: "0.05", maxPricePerGB: "0.00025" };
  assert.equal(await tranche(8, 10n ** 6n, gas, { eth_gasPrice: () => "0x989680" }), 20n);
  assert.equal(await tranche(8, 10n ** 8n, gas, { eth_gasPrice: () => "down" }), 1_000_000n, "no node says it");
  let tries = 0;
  const late = { eth_gasPrice: () => (tries++ === 0 ? null : "0x989680") };
  const again = (pay) => pay.redemptionCost(1n, 1);
  assert.equal(await tranche(8, 10n ** 6n, gas, late, again), 20n, "the next time it does");
  assert.equal(await tranche(8, 10n ** 8n, { ...gas, tranche: "0.5" }), 50_000_000n);
  // 50 gwei of a coin of 3,000: a claim takes 4.05 tokens of gas.
  const dear = { coinPrice: "3000", maxPricePerGB: "15" };
  const peak = { eth_gasPrice: () => "0xba43b7400" };
  await assert.rejects(tranche(6, 20_000_000n, dear, peak), {
    message:
      "A deposit of 20 DUSD is too small while gas costs what it does now: less than 40.5 is not worth redeeming. " +
      "Deposit 81 or more, or later.",
  });
});

/** The slice that a deposit is opened with. */
async function tranche(decimals, amount, options, answers = {}, before = () => undefined) {
  const wallet = new TestWallet("5792");
  Object.assign(wallet, { decimals, answers, balance: 2n * amount });
  const pay = payments(wallet, [], {}, options);
  try {
    await pay.connect(undefined, false);
    await before(pay);
    await pay.deposit(amount, amount);
  } finally {
    pay.destroy();
  }
  return vault.parseTransaction({ data: wallet.sent.at(-1).data }).args.tranche;
}

test("without a budget the deposit is the limit: the engine's is above every deposit", () => {
  const options = {
    vault: VAULT,
    chainId: 31337,
    token: { address: TOKEN, decimals: 18, symbol: "DUSD" },
    maxPricePerGB: "20",
  };
  assert.equal(new Terms(options).engineConfig().budget, 1n << 100n);
  assert.equal(new Terms({ ...options, budget: "0.5" }).engineConfig().budget, 5n * 10n ** 17n);
});

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

test("a permit lasts an hour by the clock that is ahead: the machine's, the steady one, the chain's", async (t) => {
  const HOUR = 3_600;
  const now = Math.floor(Date.now() / 1_000);
  const cases = [
    // Seconds since the epoch by the machine's clock and by the last block, and the permit's end.
    [now, now - 10, now],
    [now - 90_000, now - 10, now],
    [now, now + 90_000, now + 90_000],
    [now + 90_000, now, now + 90_000],
    // No block is of such a time.
    [now, 2n ** 255n, now],
  ];
  for (const [machine, block, expected] of cases) {
    const clock = t.mock.method(Date, "now", () => machine * 1_000);
    const wallet = new TestWallet("permit");
    wallet.state = CLOSED.with(9, block);
    const pay = payments(wallet);
    await pay.connect(undefined, false);
    await pay.deposit(2_000_000n, 2_500_000n);
    const lasts = Number(wallet.permit.deadline) - expected - HOUR;
    assert.ok(Math.abs(lasts) < 60, `${machine} ${block}: ${lasts}`);
    clock.mock.restore();
  }
});

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
  navigator.storage.persist = () => {
    sentWhenAsked.push(wallet.sent.length);
    return new Promise(() => {});
  };
  t.after(() => delete navigator.storage.persist);
  const pay = payments(wallet);
  await pay.connect(undefined, false);
  await pay.deposit(1n, 2n);
  assert.deepEqual(sentWhenAsked, [2]);
});

test("a vault of another token, a missing vault and too little money are found before any prompt", async () => {
  const cases = [
    ["another token", (wallet) => (wallet.call = () => coder.encode(["address"], [`0x${"99".repeat(20)}`]))],
    [
      "No contract",
      (wallet) =>
        (wallet.request = (
          (was) => (r) =>
            r.method === "eth_getCode" ? Promise.resolve("0x") : was(r)
        )(wallet.request.bind(wallet))),
    ],
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

// ---- the meanings of a wallet's errors

const error = (message, more) => Object.assign(new Error(message), more);
/** Forms of users' refusals that were seen. */
const REFUSALS = [
  { code: 4001, message: "User rejected the request." },
  { code: "4001" },
  error("anything", { code: 4001 }),
  { code: 5000, message: "User rejected." },
  { code: 5002, message: "User rejected methods." },
  { code: 5750, message: "EIP-7702 upgrade rejected" },
  { code: -32603, message: "User denied", data: { originalError: { code: 4001 } } },
  { code: -32603, message: "Internal JSON-RPC error.", data: { code: 4001, message: "no" } },
  error("Internal error", { code: -32603, cause: error("inner", { cause: { code: 4001 } }) }),
  error('user rejected action (action="signTypedData", reason="rejected")', {
    code: "ACTION_REJECTED",
    info: { error: { code: 4001 } },
  }),
  error("could not coalesce error", { code: "UNKNOWN_ERROR", info: { error: { code: 4001, message: "no" } } }),
  error("processing response error", {
    code: "SERVER_ERROR",
    body: '{"jsonrpc":"2.0","id":1,"error":{"code":4001,"message":"no"}}',
  }),
  error('[ethjs-query] while formatting outputs \'{"value":{"code":4001}}\' {"code":4001}'),
  { error: { error: { code: 4001 } } },
  "User rejected the transaction",
  "cancelled",
  "Cancelled by user",
  error("MetaMask Tx Signature: User denied transaction signature."),
  error("User closed modal"),
  error("The request was rejected"),
  error("Transaction declined", { statusCode: 0x6985 }),
  { message: { code: 4001 } },
];
const OTHERS = [
  ["pending", { code: -32002, message: "Request of type 'eth_requestAccounts' already pending for origin." }],
  ["pending", "Already processing eth_requestAccounts. Please wait."],
  ["unsupported", { code: 4200, message: "The Provider does not support the requested method." }],
  ["unsupported", { code: -32601, message: "the method eth_signTypedData_v4 does not exist/is not available" }],
  ["unsupported", error("eth_signTypedData_v4 is not supported")],
  ["unsupported", { code: -32603, message: "wrapped", cause: { code: 4200 } }],
  ["elsewhere", { code: 4902, message: "Unrecognized chain ID." }],
  ["elsewhere", { code: -32603, data: { originalError: { code: 4902 } } }],
  ["failed", { code: -32603, message: "Internal JSON-RPC error." }],
  ["failed", { code: -32000, message: "insufficient funds for gas * price + value" }],
  ["failed", error("replacement transaction underpriced, the node rejected it")],
  ["failed", undefined],
  ["failed", null],
  ["failed", 7],
  ["failed", {}],
  [
    "failed",
    new Proxy(
      {},
      {
        get: () => {
          throw new Error("hostile");
        },
      },
    ),
  ],
];

test("every form of refusal is one, nothing else is, and each becomes an Error with a sentence", () => {
  const cyclic = error("round");
  cyclic.cause = cyclic;
  for (const [verdict, given] of [...REFUSALS.map((given) => ["refused", given]), ...OTHERS, ["failed", cyclic]]) {
    const named = given instanceof Error || typeof given !== "object" ? String(given) : "an object";
    assert.equal(judge(given), verdict, named);
    const said = walletError(given);
    assert.ok(said instanceof Error);
    assert.equal(said.name, verdict === "refused" ? "PieceworkRejectedError" : "PieceworkError", named);
    assert.match(said.message, /^[A-Z].*[.!?\u2026]$/, named);
    assert.doesNotMatch(said.message, /\[object|undefined/);
    assert.equal(said.cause, given);
  }
  assert.equal(walletError({ code: -32002, message: "x" }).code, -32002);
  assert.match(walletError({ code: -32002 }).message, /open your wallet/);
  assert.equal(
    walletError({
      code: -32603,
      message: "Internal JSON-RPC error.",
      data: { message: "nonce too low", data: "0x08c379a0" },
    }).message,
    "The wallet says: nonce too low.",
  );
  assert.ok(walletError(error("x".repeat(100_000))).message.length < 400);
});

test("only what certainly was not sent is taken for that", () => {
  for (const given of [
    ...REFUSALS,
    { code: 4200 },
    { code: -32002 },
    { code: 3, message: "execution reverted" },
    { code: -32603, data: { message: "insufficient funds for gas" } },
  ]) {
    assert.equal(certainlyNotSent(given), true);
  }
  for (const given of [
    undefined,
    {},
    error("Failed to fetch"),
    { code: -32603, message: "Internal JSON-RPC error." },
    { code: -32000, message: "already known" },
  ]) {
    assert.equal(certainlyNotSent(given), false);
  }
});

test("however the permit is refused, no other prompt follows", async () => {
  for (const refusal of REFUSALS) {
    const wallet = new TestWallet("permit");
    wallet.answers = {
      eth_signTypedData_v4: () => {
        throw refusal;
      },
    };
    const pay = payments(wallet);
    await pay.connect(undefined, false);
    await assert.rejects(pay.deposit(1n, 2n), { name: "PieceworkRejectedError" });
    assert.deepEqual(wallet.prompts, ["eth_requestAccounts", "eth_signTypedData_v4"]);
  }
});

test("a wallet that fails at the permit asks nothing more now, and asks for an approval the next time", async () => {
  const wallet = new TestWallet("permit");
  wallet.answers = {
    eth_signTypedData_v4: () => {
      throw { code: -32603, message: "Ledger: blind signing is off" };
    },
  };
  const pay = payments(wallet);
  await pay.connect(undefined, false);
  await assert.rejects(pay.deposit(1n, 2n), { message: "The wallet says: Ledger: blind signing is off." });
  assert.deepEqual(wallet.prompts, ["eth_requestAccounts", "eth_signTypedData_v4"]);
  await pay.deposit(1n, 2n);
  assert.deepEqual(wallet.prompts.slice(2), ["eth_sendTransaction", "eth_sendTransaction"]);
});

test("a wallet that answers the permit with no signature, and with no error, asks nothing more now", async () => {
  for (const nothing of [null, undefined, {}, 5]) {
    const wallet = new TestWallet("permit");
    wallet.answers = { eth_signTypedData_v4: () => nothing };
    const pay = payments(wallet);
    await pay.connect(undefined, false);
    await assert.rejects(pay.deposit(1n, 2n), /did not sign, and did not say why: open your wallet/);
    assert.deepEqual(wallet.prompts, ["eth_requestAccounts", "eth_signTypedData_v4"]);
    await pay.deposit(1n, 2n);
    assert.deepEqual(wallet.prompts.slice(2), ["eth_sendTransaction", "eth_sendTransaction"]);
  }
});

test("whatever a wallet answers to a question, what comes of it is a sentence, and nobody is asked twice", async () => {
  const odd = [null, undefined, 5, {}, [], [5], [null], "", "0x", true, "banana", `0x${"f".repeat(300)}`];
  for (const method of [
    "eth_requestAccounts",
    "eth_accounts",
    "eth_chainId",
    "eth_getCode",
    "eth_call",
    "eth_sendTransaction",
  ]) {
    for (const answer of odd) {
      const wallet = new TestWallet("permit");
      const pay = payments(wallet);
      const before = method === "eth_requestAccounts" ? 0 : await pay.connect(undefined, false);
      wallet.answers = { [method]: () => answer };
      const asked = () => (before ? pay.deposit(1n, 2n) : pay.connect(undefined, false));
      const error = await asked().then(
        () => null,
        (error) => error,
      );
      const named = `${method} answers ${JSON.stringify(answer)}`;
      assert.ok(error === null || /^Piecework/.test(error.name), `${named}: ${error}`);
      if (error) assert.match(error.message, /^[A-Z0].*[.!?]$/s, named);
      assert.equal(new Set(wallet.prompts).size, wallet.prompts.length, named);
    }
  }
});

test("of two wallets that are asked, the later one stays, however late the other answers", async () => {
  const slow = new TestWallet("permit");
  const pay = payments(slow);
  let answer;
  slow.answers = {
    eth_requestAccounts: () => new Promise((resolve) => (answer = () => resolve([`0x${"99".repeat(20)}`]))),
  };
  const late = pay.connect(undefined, false);
  await new Promise((resolve) => setImmediate(resolve));
  globalThis.ethereum = new TestWallet("permit");
  assert.equal(await pay.connect(undefined, false), signer.address.toLowerCase());
  answer();
  await assert.rejects(late, /Another wallet was connected meanwhile/);
  assert.equal(pay.address, signer.address.toLowerCase());
});

test("a withdrawal before its time is refused with the time, and nothing is sent", async () => {
  for (const [state, says] of [
    [EXITING, /can be withdrawn from 2030-03-17T17:46:40\.000Z on/],
    [OPEN, /call exit\(\) first/],
    [CLOSED, /has no deposit here/],
    // The last block is later than this machine's clock says.
    [EXITING.with(9, 1_900_000_001), null],
    [EXITED, null],
  ]) {
    const wallet = new TestWallet("permit");
    wallet.state = state;
    const pay = payments(wallet);
    await pay.connect(undefined, false);
    if (says) await assert.rejects(pay.withdraw(), says);
    else await pay.withdraw();
    assert.equal(wallet.sent.length, says ? 0 : 1, String(says));
  }
});

test("a deposit is left out where the account can pay as much already, and the engine takes that account", async () => {
  const money = (accountReady, free) => ({ snapshot: () => ({ money: { accountReady, free } }) });
  for (const [state, answers, ifBelow, sent] of [
    [OPEN, money(false, 0n), 1_500_000n, 0],
    [OPEN, money(false, 0n), 2_000_001n, 1],
    [OPEN, money(true, 900_000n), 900_000n, 0],
    [OPEN, money(true, 900_000n), 900_001n, 1],
    [OPEN.with(0, 0n), money(false, 0n), 0n, 1],
    [CLOSED, money(false, 0n), 1n, 1],
    [EXITING, money(false, 0n), 1n, 1],
    [OPEN, money(false, 0n), undefined, 1],
  ]) {
    const wallet = new TestWallet("permit");
    wallet.state = state;
    const requests = [];
    const pay = payments(wallet, requests, answers);
    await pay.connect(undefined, false);
    await pay.deposit(2_000_000n, 2_500_000n, null, ifBelow);
    assert.equal(wallet.sent.length, sent, `${state} ${ifBelow}`);
    assert.deepEqual(requests.filter((t) => t === "account" || t === "refresh").slice(0, 2), ["account", "refresh"]);
  }
  const held = () => ({ id: `0x${"77".repeat(32)}`, sessionKey: KEY, held: true });
  const wallet = new TestWallet("permit");
  wallet.state = OPEN;
  const pay = payments(wallet, [], { accountId: held, ...money(false, 0n) });
  await pay.connect(undefined, false);
  await pay.deposit(2_000_000n, 2_500_000n, null, 1n);
  assert.equal(wallet.sent.length, 1, "an account that promises nothing more can pay nothing");
});

test("two equal requests prompt once, and a wallet that never answers holds up nothing but itself", async () => {
  for (const [state, act] of [
    [CLOSED, (pay) => pay.deposit(1n, 2n)],
    [OPEN, (pay) => pay.exit()],
    [EXITED, (pay) => pay.withdraw()],
  ]) {
    const wallet = new TestWallet("5792");
    wallet.state = state;
    const pay = payments(wallet);
    await pay.connect(undefined, false);
    await Promise.all([act(pay), act(pay), act(pay)]);
    assert.equal(wallet.prompts.length, 2);
  }
  const wallet = new TestWallet("permit");
  const pay = payments(wallet);
  await pay.connect(undefined, false);
  const asked = new Promise((resolve) => {
    wallet.answers = {
      eth_signTypedData_v4: () => {
        resolve();
        return new Promise(() => {});
      },
    };
  });
  void pay.deposit(1n, 2n);
  await asked;
  await assert.rejects(pay.deposit(3n, 4n), /Another deposit is under way: answer it in your wallet, or connect again/);
  assert.deepEqual(wallet.prompts, ["eth_requestAccounts", "eth_signTypedData_v4"]);
  delete wallet.answers;
  await pay.connect(undefined, false);
  await pay.deposit(3n, 4n);
  assert.equal(wallet.sent.length, 1);
});

test("a client that was destroyed prompts for nothing any more, whatever the wallet answers then", async () => {
  for (const [kind, method, answer] of [
    ["permit", "eth_requestAccounts", [signer.address]],
    ["permit", "eth_getCode", "0x60"],
    ["permit", "eth_signTypedData_v4", `0x${"11".repeat(64)}1b`],
    ["5792", "wallet_getCapabilities", { "0x7a69": { atomic: { status: "supported" } } }],
    ["neither", "wallet_switchEthereumChain", null],
  ]) {
    const wallet = new TestWallet(kind);
    const listeners = new Set();
    wallet.on = (_, listener) => listeners.add(listener);
    wallet.removeListener = (_, listener) => listeners.delete(listener);
    if (method === "wallet_switchEthereumChain") wallet.chain = 1;
    const pay = payments(wallet);
    const asked = new Promise((isAsked) => {
      const give = (resolve) => () => {
        wallet.chain = 31337;
        resolve(answer);
      };
      wallet.answers = { [method]: () => new Promise((resolve) => isAsked(give(resolve))) };
    });
    const deposit = pay.connect(undefined, false).then(() => pay.deposit(1n, 2n));
    deposit.catch(() => {});
    const give = await asked;
    const before = [...wallet.prompts];
    pay.destroy();
    give();
    await assert.rejects(deposit, /this client was destroyed/, method);
    assert.deepEqual(wallet.prompts, before, method);
    assert.equal(listeners.size, 0, method);
  }
});

test("after a signal a deposit prompts for nothing more, and the next one goes on where it stood", async () => {
  for (const [kind, method, answer, after] of [
    ["permit", "eth_getCode", "0x60", ["eth_signTypedData_v4", "eth_sendTransaction"]],
    ["permit", "eth_signTypedData_v4", `0x${"11".repeat(64)}1b`, ["eth_signTypedData_v4", "eth_sendTransaction"]],
    ["neither", "wallet_switchEthereumChain", null, ["eth_sendTransaction", "eth_sendTransaction"]],
  ]) {
    const wallet = new TestWallet(kind);
    if (method === "wallet_switchEthereumChain") wallet.chain = 1;
    const pay = payments(wallet);
    await pay.connect(undefined, false);
    const asked = new Promise((isAsked) => {
      const give = (resolve) => () => {
        wallet.chain = 31337;
        wallet.answers = {};
        resolve(answer);
      };
      wallet.answers = { [method]: () => new Promise((resolve) => isAsked(give(resolve))) };
    });
    const stop = new AbortController();
    const deposit = pay.deposit(2_000_000n, 2_500_000n, stop.signal);
    deposit.catch(() => {});
    const give = await asked;
    const before = [...wallet.prompts];
    stop.abort(new Error("enough"));
    give();
    await assert.rejects(deposit, /enough/, method);
    assert.deepEqual(wallet.prompts, before, method);
    await pay.deposit(2_000_000n, 2_500_000n);
    assert.deepEqual(wallet.prompts.slice(before.length), after, method);
    pay.destroy();
  }
});

test("after a signal the wallet's answer connects nothing", async () => {
  const wallet = new TestWallet("permit");
  const pay = payments(wallet);
  const asked = new Promise((isAsked) => {
    wallet.answers = { eth_requestAccounts: () => new Promise((resolve) => isAsked(resolve)) };
  });
  const stop = new AbortController();
  const connected = pay.connect(undefined, false, stop.signal);
  connected.catch(() => {});
  const give = await asked;
  stop.abort(new Error("enough"));
  give([signer.address]);
  await assert.rejects(connected, /enough/);
  assert.equal(pay.address, null);
  await assert.rejects(pay.connect(undefined, false, stop.signal), /enough/);
});

test("a configuration that is no number or no address is refused by its name", () => {
  const options = optionsOf(new TestWallet("permit"));
  for (const decimals of [NaN, -1, 1.5, 37, "6", undefined]) {
    assert.throws(
      () => new Terms({ ...options, token: { ...options.token, decimals } }),
      /^PieceworkError: payments\.token\.decimals must be a whole number from 0 to 36/,
    );
  }
  assert.throws(() => new Terms({ ...options, rpcUrl: "http://[" }), /^PieceworkError: payments\.rpcUrl is not a URL/);
  new Terms({ ...options, rpcUrl: "/rpc" });
});

test("who does not want another kind of account is not asked for it again", async () => {
  const wallet = new TestWallet("permit");
  wallet.answers = {
    wallet_getCapabilities: () => ({ "0x7a69": { atomic: { status: "ready" } } }),
    wallet_sendCalls: () => {
      throw { code: 5750, message: "upgrade refused" };
    },
  };
  const pay = payments(wallet);
  await pay.connect(undefined, false);
  await assert.rejects(pay.deposit(1n, 2n), { name: "PieceworkRejectedError" });
  await pay.deposit(1n, 2n);
  assert.deepEqual(wallet.prompts.slice(1), ["eth_signTypedData_v4", "eth_sendTransaction"]);
});

test("a vault that a deposit may leave in less than a day gets none", async () => {
  const wallet = new TestWallet("5792");
  wallet.exitDelay = 3_600;
  const pay = payments(wallet);
  await pay.connect(undefined, false);
  await assert.rejects(pay.deposit(1n, 2n), /after 60 minutes, and sellers need a day/);
  assert.deepEqual(wallet.prompts, ["eth_requestAccounts"]);
});

// ---- the ends of transactions that were sent

/** Lets time pass, as fast as the code under test asks for it, until the promise is settled. */
async function passing(t, promise) {
  let settled = false;
  const done = promise
    .then(
      (value) => ({ value }),
      (error) => ({ error }),
    )
    .finally(() => (settled = true));
  for (let i = 0; !settled; i++) {
    assert.ok(i < 20_000, "it goes on for ever");
    t.mock.timers.tick(500);
    await new Promise((resolve) => setImmediate(resolve));
  }
  return done;
}

let accounts = 0;

/**
 * A connected wallet without typed data on a virtual clock, allowed everything already: a deposit is one transaction.
 */
async function sending(t, answers) {
  t.mock.timers.enable({ apis: ["setTimeout", "Date"] });
  const wallet = new TestWallet("neither");
  wallet.allowance = 1n << 100n;
  wallet.nonce = 8;
  // Transactions that are out are remembered by account, so each test has its own.
  const account = `0x${(++accounts).toString(16).padStart(40, "0")}`;
  wallet.answers = {
    eth_requestAccounts: () => [account],
    eth_accounts: () => [account],
    eth_getTransactionCount: () => `0x${wallet.nonce.toString(16)}`,
    eth_getTransactionByHash: ([hash]) => ({ hash, nonce: "0x8" }),
    ...answers(wallet),
  };
  const pay = payments(wallet);
  await pay.connect(undefined, false);
  return { wallet, pay, deposit: () => passing(t, pay.deposit(2_000_000n, 2_500_000n)) };
}
const sends = ({ prompts }) => prompts.filter((method) => method === "eth_sendTransaction").length;

test("failed looks are no failure: a transaction that is out is found all the same", async (t) => {
  for (const trouble of [
    { code: -32603, message: "header not found" },
    { code: 429, message: "rate limit" },
    error("Failed to fetch"),
    undefined,
  ]) {
    await t.test(String(trouble?.message), async (t) => {
      let looks = 0;
      const { wallet, deposit } = await sending(t, () => ({
        eth_getTransactionReceipt: ([hash]) => {
          if (looks++ < 5) throw trouble;
          return { status: "0x1", transactionHash: hash, logs: [] };
        },
      }));
      assert.equal((await deposit()).error, undefined);
      assert.equal(sends(wallet), 1);
    });
  }
});

test("a receipt is read in every form, and what is none is looked for again", async (t) => {
  const log = { address: VAULT, topics: [], data: "0x" };
  for (const [receipt, done] of [
    [{ status: 1, logs: [] }, true],
    [{ status: true, logs: [] }, true],
    [{ status: "0x01" }, true],
    [{ logs: [log] }, true],
    [{ status: "success", logs: [log] }, true],
    [{ status: null, logs: [log] }, true],
    [{ status: 0, logs: [] }, false],
    [{ status: false }, false],
    [{ logs: [] }, false],
    [{ status: "reverted", logs: [] }, false],
  ]) {
    for (const none of [undefined, {}, [], 5, true, "banana"]) {
      let looks = 0;
      const { wallet, deposit } = await sending(t, () => ({
        eth_getTransactionReceipt: () => (looks++ === 0 ? none : receipt),
      }));
      const { error } = await deposit();
      if (done) assert.equal(error, undefined, JSON.stringify(receipt));
      else assert.match(error.message, /The contract refused 0x/, JSON.stringify(receipt));
      assert.deepEqual([looks, sends(wallet)], [2, 1]);
      t.mock.timers.reset();
    }
  }
});

test("a deposit that the user speeds up is found by nonce and chain; a cancelled one is reported", async (t) => {
  for (const [what, state] of [
    ["sped up", OPEN],
    ["cancelled", CLOSED],
  ]) {
    await t.test(what, async (t) => {
      const { wallet, deposit } = await sending(t, (wallet) => ({
        eth_getTransactionReceipt: () => null,
        // Another transaction with its nonce is in a block, and the network has forgotten it.
        eth_getTransactionByHash: () => {
          Object.assign(wallet, { nonce: 9, state });
          return null;
        },
      }));
      const { error } = await deposit();
      if (what === "sped up") assert.equal(error, undefined);
      else assert.match(error.message, /was cancelled in the wallet, or replaced/);
      assert.equal(sends(wallet), 1);
    });
  }
});

test("a transaction that the network forgets is given up, and sent anew only if nothing came of it", async (t) => {
  const { wallet, deposit } = await sending(t, () => ({
    eth_getTransactionReceipt: () => null,
    eth_getTransactionByHash: () => null,
  }));
  assert.match((await deposit()).error.message, /does not know 0x0+1 any more/);
  assert.ok(Date.now() >= 180_000);
  assert.equal(sends(wallet), 1);
  // It comes after all, by way of a relay.
  wallet.state = OPEN;
  assert.equal((await deposit()).error, undefined);
  assert.equal(sends(wallet), 1);
});

test("a transaction that takes longer than ten minutes can be waited for again, and is not sent again", async (t) => {
  let mined = false;
  const { wallet, pay, deposit } = await sending(t, () => ({
    eth_getTransactionReceipt: ([hash]) => (mined ? { status: "0x1", transactionHash: hash, logs: [] } : null),
  }));
  assert.match((await deposit()).error.message, /not confirmed .* after ten minutes/);
  mined = true;
  // The page was connected anew meanwhile.
  await pay.connect(undefined, false);
  assert.equal((await deposit()).error, undefined);
  assert.equal(sends(wallet), 1);
  // Another deposit does not count.
  assert.equal((await deposit()).error, undefined);
  assert.equal(sends(wallet), 2);
});

test("a transaction that is reverted is said, and the next try sends another", async (t) => {
  let status = "0x0";
  const { wallet, deposit } = await sending(t, () => ({
    eth_getTransactionReceipt: ([hash]) => ({ status, transactionHash: hash, logs: [] }),
  }));
  assert.match((await deposit()).error.message, /The contract refused/);
  status = "0x1";
  assert.equal((await deposit()).error, undefined);
  assert.equal(sends(wallet), 2);
});

test("an exit that another transaction carried out, or an earlier visit, asks nothing again", async (t) => {
  const { wallet, pay } = await sending(t, (wallet) => ({
    eth_getTransactionReceipt: () => null,
    eth_getTransactionByHash: () => {
      Object.assign(wallet, { nonce: 9, state: EXITING });
      return null;
    },
  }));
  wallet.state = OPEN;
  for (let again = 0; again < 2; again++) {
    const { value, error } = await passing(t, pay.exit());
    assert.equal(error, undefined);
    assert.equal(value.exitAt.getTime(), 1_900_000_000_000);
  }
  assert.equal(sends(wallet), 1);
});

test("calls sent as one are followed by every kind of status", async (t) => {
  const unknown = { code: 5730, message: "unknown bundle" };
  for (const [what, statuses, expected] of [
    ["numbers", [unknown, { status: 100 }, { code: -32603 }, { status: 200 }], null],
    ["words", [{ status: "PENDING" }, { status: "CONFIRMED", receipts: [{ status: "0x1" }] }], null],
    ["words of a revert", [{ status: "CONFIRMED", receipts: [{ status: "0x0" }] }], /The contract refused/],
    ["not carried out", [{ status: 400 }], /could not carry it out/],
    ["reverted", [{ status: 500 }], /The contract refused/],
    ["partly reverted", [{ status: 600 }], /The contract refused/],
    ["unknown for long", [unknown], /does not know 0x1 any more/],
    ["pending for ever", [{ status: 100 }], /not confirmed/],
  ]) {
    await t.test(what, async (t) => {
      const left = [...statuses];
      const { wallet, deposit } = await sending(t, () => ({
        wallet_getCallsStatus: () => {
          const next = left.length > 1 ? left.shift() : left[0];
          if (next.code) throw next;
          return next;
        },
      }));
      wallet.kind = "5792";
      const { error } = await deposit();
      if (expected) assert.match(error.message, expected);
      else assert.equal(error, undefined);
      assert.deepEqual(wallet.prompts, ["eth_requestAccounts", "wallet_sendCalls"]);
    });
  }
});

// ---- redeeming

/** A page that redeems one batch, and the engine's messages about it. */
async function redeeming(t, answers, due = false, options = {}) {
  t.mock.timers.enable({ apis: ["setTimeout", "Date"] });
  const wallet = new TestWallet("neither");
  wallet.answers = answers;
  const told = [];
  let batches = 1;
  const engine = {
    redeem: () => ({ tag: 7, count: batches-- > 0 ? 1 : 0, total: 5n, data: "0x12", payee: `0x${"88".repeat(20)}` }),
    redeemed: (fields) => {
      told.push(fields);
      return fields.logs?.length ? 5n : 0n;
    },
  };
  const pay = payments(wallet, [], engine, options);
  await pay.connect(undefined, false);
  return { wallet, told, redeem: () => passing(t, pay.redeem(due)) };
}
const LOG = { address: VAULT, topics: [], data: "0x" };

test("the engine that this page runs is told the least claim, at the lowest price of gas", async () => {
  for (const [isHost, minRedeem] of [
    [true, undefined],
    [false, undefined],
    [true, "0.02"],
  ]) {
    const wallet = new TestWallet("neither");
    const prices = ["0x989680", "0x3b9aca00", "0x4c4b40", "nonsense"];
    wallet.answers = { eth_gasPrice: () => prices.shift() };
    const told = [];
    const engine = { dust: ({ least, gas }) => void told.push([least, gas]) };
    const options = { coinPrice: "3000", ...(minRedeem && { minRedeem }) };
    const pay = payments(wallet, [], engine, options, () => isHost);
    await pay.connect(undefined, false);
    // With nothing to redeem nobody is asked.
    assert.equal((await pay.redemptionCost(0n, 0)).fee, null);
    const fees = [];
    for (let i = 0; i < 4; i++) fees.push((await pay.redemptionCost(5n, 1)).fee);
    assert.deepEqual(fees, [870_000_000_000n, 87_000_000_000_000n, 435_000_000_000n, null]);
    const expected = [
      [8_100n, 810n],
      [4_050n, 405n],
    ];
    assert.deepEqual(told, isHost && !minRedeem ? expected : []);
    assert.equal(new Terms(optionsOf(wallet, options)).engineConfig().minRedeem, minRedeem ? 20_000n : 10_000n);
    // Another engine hears it at once.
    pay.reconnected();
    assert.deepEqual(told.slice(2), isHost && !minRedeem ? [[4_050n, 405n]] : []);
  }
});

test("the price of gas is looked at every ten minutes while something sells, and the lowest is kept", async (t) => {
  t.mock.timers.enable({ apis: ["setInterval"] });
  const TEN_MINUTES = 600_000;
  const settled = () => new Promise((resolve) => setImmediate(resolve));
  for (const options of [{ coinPrice: "3000" }, { coinPrice: "3000", minRedeem: "0.02" }]) {
    const follows = !("minRedeem" in options);
    const wallet = new TestWallet("neither");
    const prices = ["0x3b9aca00", "0x989680", "0x3b9aca00", "0x4c4b40", "0x1"];
    let asked = 0;
    wallet.answers = { eth_gasPrice: () => prices[asked++] };
    const told = [];
    const engine = { dust: ({ least }) => void told.push(least) };
    const pay = payments(wallet, [], engine, options);
    await pay.connect(undefined, false);
    const later = async (milliseconds) => {
      t.mock.timers.tick(milliseconds);
      await settled();
      return asked;
    };
    assert.equal(await later(TEN_MINUTES), 0, "nothing is bought or sold");
    pay.moneyMoves();
    assert.equal(await later(TEN_MINUTES - 1), 1);
    // The first look fell on a peak.
    assert.equal(await later(1), follows ? 2 : 1);
    assert.deepEqual(told, follows ? [810_000n, 8_100n] : []);
    assert.equal(await later(TEN_MINUTES), follows ? 2 : 1, "nothing was bought or sold since");
    pay.sells();
    assert.equal(await later(TEN_MINUTES), follows ? 3 : 1);
    assert.equal(await later(TEN_MINUTES), follows ? 4 : 1, "a title is on sale");
    assert.deepEqual(told, follows ? [810_000n, 8_100n, 4_050n] : []);
    pay.destroy();
    pay.moneyMoves();
    assert.equal(await later(2 * TEN_MINUTES), follows ? 4 : 1, "the client ended");
  }
});

test("no node is asked what gas costs before something is paid or sold, nor without the coin's price", async () => {
  for (const options of [{}, { coinPrice: "3000" }]) {
    const wallet = new TestWallet("neither");
    let asked = 0;
    const answered = new Promise((resolve) => {
      wallet.answers = {
        eth_gasPrice: () => {
          asked++;
          resolve();
          return "0x989680";
        },
      };
    });
    const pay = payments(wallet, [], {}, options, () => true);
    await pay.connect(undefined, false);
    assert.equal(asked, 0);
    pay.moneyMoves();
    pay.moneyMoves();
    if (options.coinPrice) await answered;
    assert.equal(asked, options.coinPrice ? 1 : 0);
    pay.destroy();
    assert.throws(
      () => payments(wallet, [], {}, { ...options, minRedeem: "0" }),
      /payments\.minRedeem must be above 0/,
    );
  }
});

test("what is due is sent only if its gas is worth it, and a redemption on command is sent anyway", async (t) => {
  // 5 units; 87,000 gas at a gwei are 0.000087 coins.
  for (const [due, coinPrice, gas, sends] of [
    [true, "0.000002", "0x1", true],
    [true, "3000", "0x153d8", false],
    [true, undefined, "0x153d8", true],
    [false, "3000", "0x153d8", true],
  ]) {
    await t.test(`${due} ${coinPrice}`, async (t) => {
      const answers = { eth_estimateGas: () => gas, eth_gasPrice: () => "0x3b9aca00" };
      const { told, redeem, wallet } = await redeeming(t, answers, due, {
        maxGasPercent: 20,
        ...(coinPrice && { coinPrice }),
      });
      const { value } = await redeem();
      assert.equal(value.batches, sends ? 1 : 0);
      assert.equal(wallet.sent.length, sends ? 1 : 0);
      if (!sends) assert.match(told[0].failed, /waits for more earnings or cheaper gas/);
      if (!sends) assert.equal(told[0].sent, false);
    });
  }
});

test("nothing is redeemed by itself while no node says what gas costs", async (t) => {
  const answers = { eth_gasPrice: () => `0x${"f".repeat(64)}` };
  const { told, redeem, wallet } = await redeeming(t, answers, true, { coinPrice: "3000" });
  assert.deepEqual((await redeem()).value, { paid: 0n, batches: 0 });
  assert.match(told[0].failed, /no node says/);
  assert.equal(wallet.sent.length, 0);
});

test("the engine is told whether a redemption certainly was not sent", async (t) => {
  for (const [what, answers, sent] of [
    [
      "refused",
      {
        eth_sendTransaction: () => {
          throw { code: 4001 };
        },
      },
      false,
    ],
    [
      "estimate reverted",
      {
        eth_sendTransaction: () => {
          throw { code: -32603, data: { code: 3, message: "execution reverted" } };
        },
      },
      false,
    ],
    ["another account", { eth_accounts: () => [`0x${"99".repeat(20)}`] }, false],
    [
      "an error that says nothing",
      {
        eth_sendTransaction: () => {
          throw {};
        },
      },
      true,
    ],
    ["no hash", { eth_sendTransaction: () => null }, true],
    [
      "reverted",
      { eth_getTransactionReceipt: ([hash]) => ({ status: "0x0", transactionHash: hash, logs: [] }) },
      false,
    ],
    [
      "forgotten",
      {
        eth_getTransactionReceipt: () => null,
        eth_getTransactionByHash: () => null,
        eth_getTransactionCount: () => "0x1",
      },
      true,
    ],
  ]) {
    await t.test(what, async (t) => {
      const { told, redeem } = await redeeming(t, answers);
      const { error } = await redeem();
      assert.ok(error instanceof Error);
      assert.equal(told.length, 1);
      assert.equal(told[0].sent, sent);
      assert.equal(told[0].failed, error.message);
    });
  }
});

test("a redemption that the user speeds up is reported by what the vault logged", async (t) => {
  let used = "0x1";
  const { told, redeem } = await redeeming(t, {
    eth_blockNumber: () => "0x5",
    eth_getTransactionCount: () => used,
    eth_getTransactionReceipt: () => null,
    eth_getTransactionByHash: () => {
      used = "0x2";
      return null;
    },
    eth_getLogs: ([{ fromBlock }]) => {
      assert.equal(fromBlock, "0x5");
      return [LOG];
    },
  });
  assert.deepEqual((await redeem()).value, { paid: 5n, batches: 1 });
  assert.deepEqual(told[0], { tag: 7, logs: [LOG] });
});

test("a redemption that takes long is waited for again, and not sent again", async (t) => {
  let mined = false;
  const { wallet, told, redeem } = await redeeming(t, {
    eth_getTransactionByHash: ([hash]) => ({ hash, nonce: "0x1" }),
    eth_getTransactionCount: () => "0x1",
    eth_getTransactionReceipt: ([hash]) => (mined ? { status: "0x1", transactionHash: hash, logs: [LOG] } : null),
  });
  assert.match((await redeem()).error.message, /not confirmed the redemption/);
  assert.deepEqual(told, []);
  mined = true;
  assert.deepEqual((await redeem()).value, { paid: 5n, batches: 1 });
  assert.equal(sends(wallet), 1);
});

// ---- the page's records

/** `localStorage` of a page, for one test. */
function storage(t) {
  const kept = new Map();
  globalThis.localStorage = {
    getItem: (key) => kept.get(key) ?? null,
    setItem: (key, value) => kept.set(key, value),
    removeItem: (key) => kept.delete(key),
  };
  t.after(() => delete globalThis.localStorage);
  return kept;
}

test("an account whose records are behind is left as it is, and the deposit goes to a new one", async () => {
  const wallet = new TestWallet("5792");
  wallet.state = OPEN;
  const requests = [];
  let held = true;
  const pay = payments(wallet, requests, {
    accountId: () => ({ id: `0x${"77".repeat(32)}`, sessionKey: KEY, held }),
    // In the place of the deposit that was seen to be behind: another page may have made one meanwhile.
    newSessionKey: ({ old }) => {
      assert.equal(old, KEY);
      held = false;
      wallet.state = CLOSED;
      return KEY;
    },
  });
  await pay.connect(undefined, false);
  await pay.deposit(2_000_000n, 2_500_000n);
  assert.ok(requests.includes("newSessionKey"));
  assert.equal(vault.parseTransaction({ data: wallet.sent.at(-1).data }).name, "open");
});

test("the tab that sees the end of a transaction first says what it cost, and says it once", async (t) => {
  const kept = storage(t);
  let mined = false;
  const { wallet } = await sending(t, () => ({ eth_getTransactionReceipt: () => (mined ? paid : null) }));
  const [account] = wallet.answers.eth_accounts();
  const paid = { status: "0x1", logs: [], from: account, gasUsed: "0x10", effectiveGasPrice: "0x3" };
  const fees = [];
  /** A tab of its own, with the same storage and wallet. */
  const tab = async (name) => {
    const pay = payments(wallet, [], { fee: (fields) => fees.push([name, fields]) });
    await pay.connect(undefined, false);
    return pay.deposit(2_000_000n, 2_500_000n);
  };
  const first = tab("first");
  while (kept.size === 0) await new Promise((resolve) => setImmediate(resolve));
  const second = tab("second");
  await new Promise((resolve) => setImmediate(resolve));
  mined = true;
  const ends = await passing(t, Promise.all([first, second]));
  assert.equal(ends.error, undefined);
  assert.equal(sends(wallet), 1);
  const hash = `0x${"1".padStart(64, "0")}`;
  assert.deepEqual(fees, [["first", { transaction: hash, amount: 48n, selling: false }]]);
});

test("what another tab sent is followed, and what another tab saw the end of is not", async (t) => {
  const kept = storage(t);
  let mined = false;
  const { wallet, deposit } = await sending(t, () => ({
    eth_getTransactionReceipt: ([hash]) => (mined ? { status: "0x1", transactionHash: hash, logs: [] } : null),
  }));
  assert.match((await deposit()).error.message, /after ten minutes/);
  mined = true;
  const [[name, out]] = kept;
  // The other tab saw it.
  kept.delete(name);
  assert.equal((await deposit()).error, undefined);
  assert.equal(sends(wallet), 2);
  // The other tab sent it.
  kept.set(name, out);
  assert.equal((await deposit()).error, undefined);
  assert.equal(sends(wallet), 2);
  assert.equal(kept.size, 0);
  // A value that somebody else wrote there is no transaction that was sent.
  kept.set(name, '[["deposit", 5], 7]');
  assert.equal((await deposit()).error, undefined);
  assert.equal(sends(wallet), 3);
});
