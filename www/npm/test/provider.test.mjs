// A provider that the page hands over, and what a sloppy or hostile one answers.
import assert from "node:assert/strict";
import { EventEmitter } from "node:events";
import { test } from "node:test";
import { hashIn, logsIn, numberIn } from "./build/answers.js";
import { Payments } from "./build/payments.js";
import { Terms } from "./build/terms.js";
import { ownProvider } from "./build/wallet.js";

globalThis.document ??= { baseURI: "http://localhost/" };

const ACCOUNT = `0x${"aB".repeat(20)}`;
const OTHER = `0x${"cd".repeat(20)}`;
const HASH = `0x${"7F".repeat(32)}`;
const word = (value) => BigInt(value).toString(16).padStart(64, "0");

/** The page's side, and the addresses that it was told of. */
function page() {
  const told = [];
  const pay = new Payments(
    new Terms({
      vault: `0x${"44".repeat(20)}`,
      chainId: 31337,
      token: { address: `0x${"55".repeat(20)}`, decimals: 6, symbol: "DUSD" },
      maxPricePerGB: "20",
      budget: "2",
    }),
    {
      request: async () => ({ id: HASH, sessionKey: ACCOUNT, held: false }),
      tell() {},
      walletChanged: (address) => void told.push(address),
    },
  );
  return { pay, told, connect: (provider, silent = false) => pay.connect({ provider }, silent) };
}

/** A provider of one account with its own answers to some methods. */
class Provider extends EventEmitter {
  asked = [];
  constructor(answers = {}) {
    super();
    this.answers = answers;
  }
  async request({ method, params }) {
    this.asked.push(method);
    if (method in this.answers) return this.answers[method](params);
    if (/^eth_(requestA|a)ccounts$/.test(method)) return [ACCOUNT];
    if (method === "eth_chainId") return "0x7a69";
    throw Object.assign(new Error("no"), { code: 4200 });
  }
}

test("a page's own provider connects by request alone, and silently where that is asked", async () => {
  const { request } = new Provider();
  const provider = { answers: {}, asked: [], request };
  const { connect, told } = page();
  assert.equal(await connect(provider), ACCOUNT.toLowerCase());
  assert.equal(await connect(provider, true), ACCOUNT.toLowerCase());
  assert.deepEqual(provider.asked, ["eth_requestAccounts", "eth_accounts"]);
  assert.deepEqual(told, [ACCOUNT.toLowerCase(), ACCOUNT.toLowerCase()]);
});

test("what is no provider is refused with a sentence, and nothing is asked", async () => {
  const hostile = new Proxy(
    {},
    {
      get() {
        throw new Error("hostile");
      },
    },
  );
  for (const given of [undefined, null, 5, "injected", {}, Promise.resolve(new Provider()), { request: 1 }, hostile]) {
    assert.throws(() => ownProvider(given), /no EIP-1193 provider/);
    await assert.rejects(page().connect(given), { name: "PieceworkError" });
  }
});

test("a provider that throws, answers no accounts or fails at events gives a sentence or works without", async () => {
  for (const request of [
    () => {
      throw new Error("at once");
    },
    () => Promise.reject(),
    async () => "0x12",
    async () => [],
    async () => [{ toString: () => ACCOUNT }],
    () => null,
  ])
    await assert.rejects(
      page().connect({ request }),
      (error) => error.name === "PieceworkError" && error.message !== "",
    );
  const failing = Object.assign(new Provider(), {
    on() {
      throw new Error("no events here");
    },
    removeListener: 7,
  });
  const { connect, told } = page();
  assert.equal(await connect(failing), ACCOUNT.toLowerCase());
  assert.equal(await connect(new Provider()), ACCOUNT.toLowerCase());
  assert.deepEqual(told, [ACCOUNT.toLowerCase(), ACCOUNT.toLowerCase()]);
});

test("another account, or none, ends the connection; another chain and a short break do not", async () => {
  for (const [event, value, stays] of [
    ["accountsChanged", [OTHER], false],
    ["accountsChanged", [], false],
    ["accountsChanged", { 0: ACCOUNT }, false],
    ["accountsChanged", [ACCOUNT.toUpperCase().replace("X", "x"), OTHER], true],
    ["chainChanged", "0x1", true],
    ["disconnect", { code: 1013, message: "Disconnected. Attempting to connect." }, true],
    ["disconnect", { code: 1011 }, false],
    ["disconnect", { code: 4900 }, false],
    ["disconnect", undefined, false],
  ]) {
    const { pay, told, connect } = page();
    const provider = new Provider();
    await connect(provider);
    provider.emit(event, value);
    assert.equal(pay.address, stays ? ACCOUNT.toLowerCase() : null, `${event} ${JSON.stringify(value)}`);
    assert.equal(told.length, stays ? 1 : 2);
    assert.equal(provider.listenerCount(event) > 0, stays && event !== "chainChanged");
  }
});

test("a provider that was left says nothing about the next one, also where it cannot be left", async () => {
  const { pay, connect } = page();
  const left = new Provider();
  left.removeListener = undefined;
  await connect(left);
  await connect(new Provider({ eth_requestAccounts: () => [OTHER] }));
  left.emit("accountsChanged", []);
  left.emit("disconnect");
  assert.equal(pay.address, OTHER);
});

test("a provider that goes away as it is connected is not connected", async () => {
  const { pay, connect } = page();
  const provider = new Provider();
  provider.on = (event, listener) => event === "disconnect" && listener({ code: 4900 });
  await assert.rejects(connect(provider), /The wallet went away: connect again/);
  assert.equal(pay.address, null);
});

test("junk in the place of the chain's data is a sentence or is left out, and never a crash", async () => {
  const junk = [undefined, null, 7, "", "0x", "0xzz", [], {}, [null], [{ topics: 5 }], "0x".padEnd(1 << 20, "0"), HASH];
  for (const answer of junk) {
    const { pay, connect } = page();
    const lies = () => answer;
    await connect(new Provider({ eth_call: lies, eth_blockNumber: lies, eth_getLogs: lies }));
    for (const work of [() => pay.account(), () => pay.recover()])
      await work().catch((error) => assert.equal(error.name, "PieceworkError", `${error.stack}`));
    const other = page();
    await other.connect(new Provider({ eth_chainId: lies }));
    await assert.rejects(other.pay.exit(), { name: "PieceworkError" });
  }
});

test("deposits are found among logs of any form", async () => {
  const { pay, connect } = page();
  const log = (id, key) => ({ address: OTHER, data: "0x", topics: [HASH, id, `0x${word(ACCOUNT)}`, key] });
  const logs = [log(HASH, `0x${word(OTHER)}`), 5, null, log("0x1", HASH), { ...log(HASH, HASH), topics: "none" }];
  const state = `0x${[2, 1, 0, 1, 3, 0, 0, 31337, 1, 1].map(word).join("")}`;
  await connect(new Provider({ eth_call: () => state, eth_blockNumber: () => "0x5", eth_getLogs: () => logs }));
  assert.deepEqual(
    (await pay.recover()).map(({ sessionKey, bond }) => [sessionKey, bond]),
    [[OTHER, 3n]],
  );
});

test("numbers, hashes and logs are read in every form that wallets give, and nothing else is", () => {
  for (const [answer, number] of [
    ["0x7a69", 31337],
    ["31337", 31337],
    [31337, 31337],
    [31337n, 31337],
    ["0x0", 0],
    ["0x", null],
    ["", null],
    [" 5", null],
    [-1, null],
    [1.5, null],
    [1e300, null],
    [`0x${"f".repeat(64)}`, null],
    ["0x1".padEnd(1 << 20, "0"), null],
    [[5], null],
    [{ valueOf: () => 5 }, null],
    [true, null],
  ])
    assert.equal(numberIn(answer), number, String(answer).slice(0, 20));
  assert.equal(hashIn(HASH), HASH.toLowerCase());
  for (const answer of [HASH.slice(2), `${HASH}0`, 5, null, { toString: () => HASH }])
    assert.equal(hashIn(answer), null);
  const log = { address: ACCOUNT, topics: [HASH], data: "0x12", more: 1 };
  assert.deepEqual(logsIn([log]), [{ address: ACCOUNT, topics: [HASH.toLowerCase()], data: "0x12" }]);
  assert.equal(logsIn(Array(10_000).fill(log)).length, 4_096);
  for (const bad of [{ data: "12" }, { data: `0x${"00".repeat(2_000)}` }, { address: "0x1" }, { topics: [HASH, 5] }])
    assert.deepEqual(logsIn([{ ...log, ...bad }]), []);
});
