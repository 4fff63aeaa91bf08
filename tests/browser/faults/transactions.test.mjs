// Transactions that the chain forgets, or does not take up for long. The chain is real; only the page's clock is put
// forward.
import assert from "node:assert/strict";
import { Interface } from "ethers";
import { open, site } from "../support/harness.mjs";
import { FUNDS, Scene } from "../support/paid/scene.mjs";
import { deposit, reload, start, viewer } from "../support/paid/viewer.mjs";
import { RemoteWallet } from "../support/paid/wallet.mjs";
import { test } from "../support/tests.mjs";

const approve = new Interface(["function approve(address, uint256)"]);
/** Puts the page's clock forward. */
const later = (page, seconds) =>
  page.run(`((now) => void (Date.now = () => now() + ${seconds} * 1_000))(Date.now.bind(Date))`);
/** Waits for the page to keep, or to keep no more, a transaction whose end it has not seen. */
const keeps = (page, some) =>
  page.run(`new Promise((resolve) => {
    const look = () =>
      Object.keys(localStorage).some((key) => key.startsWith("piecework sent ")) === ${some}
        ? resolve(true)
        : setTimeout(look, 20);
    look();
  })`);

/** A page whose deposits are one transaction each, on a chain that makes blocks only when it is told to. */
async function slowChain() {
  const [url, scene] = [await site(), await Scene.open()];
  const wallet = await RemoteWallet.start(scene.chain, scene.payer);
  const chain = (method, ...params) => scene.chain.call(method, params);
  const data = approve.encodeFunctionData("approve", [scene.chain.vault, FUNDS]);
  await chain("eth_sendTransaction", { from: scene.payer, to: scene.chain.token, data });
  const page = await viewer(url, wallet, scene.options());
  await chain("evm_setAutomine", false);
  const sent = () => wallet.prompts.filter((method) => method === "eth_sendTransaction").length;
  const opened = async () => (await scene.chain.events()).filter(({ name }) => name === "Opened").length;
  return { url, scene, wallet, chain, page, sent, opened };
}

/** Starts work in the page, and gives the hash of the transaction that it sends, and its end. */
async function sends(wallet, work) {
  const hash = wallet.sentNext();
  const done = work().then(
    (value) => ({ value }),
    (error) => ({ error }),
  );
  return { hash: await hash, done };
}

test("a deposit that the network forgets is given up with a sentence, and the next try sends it anew", async () => {
  const { wallet, chain, page, sent, opened } = await slowChain();
  const { hash, done } = await sends(wallet, () => deposit(page, "1"));
  await keeps(page, true);
  assert.equal(await chain("anvil_dropTransaction", hash), hash);
  await later(page, 181);
  assert.match(
    (await done).error.message,
    new RegExp(`The network does not know ${hash} any more.*look into your wallet`),
  );
  assert.equal(await opened(), 0);

  // Nothing came of it in the meantime: it is sent again, once.
  const again = await sends(wallet, () => deposit(page, "1"));
  await chain("evm_mine");
  assert.equal((await again.done).value, "1000000");
  await keeps(page, false);
  assert.deepEqual([sent(), await opened()], [2, 1]);
});

test("a forgotten deposit that comes all the same is found, and not sent again", async () => {
  const { scene, wallet, chain, page, sent, opened } = await slowChain();
  const { hash, done } = await sends(wallet, () => deposit(page, "1"));
  const { from, to, input, gas } = await chain("eth_getTransactionByHash", hash);
  await keeps(page, true);
  await chain("anvil_dropTransaction", hash);
  await later(page, 181);
  assert.match((await done).error.message, /does not know/);
  // The wallet sends it by another way.
  await chain("eth_sendTransaction", { from, to, data: input, gas });
  await chain("evm_mine");
  await reload(page, scene.options());
  assert.equal(await deposit(page, "1"), "1000000");
  assert.deepEqual([sent(), await opened()], [1, 1]);
});

test("a deposit and an exit that take longer than ten minutes can be waited for again, and are sent once", async () => {
  const { wallet, chain, page, sent, opened } = await slowChain();
  for (const [work, result] of [
    [() => deposit(page, "1"), "1000000"],
    [() => page.run("client.exit().then(({ exitAt }) => exitAt !== null)"), true],
  ]) {
    const before = sent();
    const { hash, done } = await sends(wallet, work);
    await keeps(page, true);
    await later(page, 601);
    const said = new RegExp(`The chain has not confirmed ${hash} after ten minutes\\. It may still come`);
    assert.match((await done).error.message, said);
    const again = work();
    await chain("evm_mine");
    assert.equal(await again, result);
    await keeps(page, false);
    assert.equal(sent(), before + 1);
  }
  assert.equal(await opened(), 1);
});

test("an exit whose nonce another transaction took is said to be replaced, and is sent again", async () => {
  const { wallet, chain, page, sent } = await slowChain();
  const first = await sends(wallet, () => deposit(page, "1"));
  await chain("evm_mine");
  assert.equal((await first.done).value, "1000000");
  const { hash, done } = await sends(wallet, () => page.run("client.exit().then(({ exitAt }) => exitAt !== null)"));
  await wallet.replace(hash, { cancel: true });
  await chain("evm_mine");
  assert.match((await done).error.message, new RegExp(`${hash} was cancelled in the wallet, or replaced`));
  const again = await sends(wallet, () => page.run("client.exit().then(({ exitAt }) => exitAt !== null)"));
  await chain("evm_mine");
  assert.equal((await again.done).value, true);
  assert.equal(sent(), 3);
});

test("the gas of a deposit that two tabs follow is in the history once", async () => {
  const { url, scene, wallet, chain, page, sent, opened } = await slowChain();
  const { hash, done } = await sends(wallet, () => deposit(page, "1"));
  await keeps(page, true);
  const other = await open(page.browser.context, url);
  await start(other, scene.options());
  await other.run("client.connectWallet()");
  // It finds what the first tab sent, and waits for its end too.
  const follows = other.run(`(() => {
    const { request } = ethereum;
    const asked = new Promise((resolve) => {
      ethereum.request = (question) => {
        if (question.method === "eth_getTransactionReceipt") resolve(true);
        return request(question);
      };
    });
    window.second = client.deposit({ amount: "1" }).then(({ balance }) => String(balance));
    return asked;
  })()`);
  await follows;
  await chain("evm_mine");
  assert.deepEqual([(await done).value, await other.run("second")], ["1000000", "1000000"]);
  assert.deepEqual([sent(), await opened()], [1, 1]);
  const { gasUsed, effectiveGasPrice } = await chain("eth_getTransactionReceipt", hash);
  const fees = await page.run(`client.history().then((lines) =>
    lines.filter(({ kind }) => kind === "gas").map(({ amount, count }) => [String(amount), count]))`);
  assert.deepEqual(fees, [[String(BigInt(gasUsed) * BigInt(effectiveGasPrice)), 1]]);
});
