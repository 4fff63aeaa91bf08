// Wallets of others, whose providers the page hands over: a buyer with the one pays a seller with the other.
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { browser, open, site } from "../support/harness.mjs";
import { FUNDS, Scene } from "../support/paid/scene.mjs";
import { add, start } from "../support/paid/viewer.mjs";
import { source, wallets } from "../support/paid/wallets.mjs";
import { test } from "../support/tests.mjs";

const BLOCK = 16_384;
const LENGTH = 200 * BLOCK;
const refusal = /PieceworkRejectedError: Refused in the wallet\./;
const CONNECT = "client.connectWallet({ provider: wallet.provider })";
const DEPOSIT = `client.deposit({ amount: "1" }).then(({ balance }) => String(balance))`;

/** A page with such a wallet in it, which announces itself nowhere. */
async function page(url, scene, kind, keys, more = {}) {
  const chainParams = {
    chainName: "Test",
    nativeCurrency: { name: "Ether", symbol: "ETH", decimals: 18 },
    rpcUrls: [scene.anvil.url],
    blockExplorerUrls: ["https://explorer.invalid"],
  };
  const opened = await open((await browser()).context, url);
  await opened.run(
    `import("/wallets.js").then(() => install("${kind}", "${scene.anvil.url}", ${JSON.stringify(keys)}))`,
  );
  await start(opened, scene.options({ chainParams, ...more }));
  await opened.run(`(window.heard = [], void client.on("wallet", ({ address }) => heard.push(address)))`);
  opened.asked = async () => (await opened.run("person.asked.splice(0)")).join(" ");
  return opened;
}

for (const [buyers, sellers, lacks, deposits] of [
  ["metamask", "rainbow", [], "eth_signTypedData_v4 eth_sendTransaction"],
  ["rainbow", "metamask", ["eth_signTypedData_v4"], "eth_sendTransaction eth_sendTransaction"],
]) {
  test(`${buyers}'s provider connects, refuses, moves to the chain, deposits; ${sellers}'s redeems`, async () => {
    const scene = await Scene.open();
    const url = await site({ mounts: { "/wallets.js": await wallets() } });
    const { accounts } = scene.anvil;
    const key = (at) => accounts[at].privateKey;
    const address = (at) => accounts[at].address.toLowerCase();
    const viewer = await page(url, scene, buyers, [key(1), key(5)]);
    await viewer.run(`void ${JSON.stringify(lacks)}.forEach((method) => person.lacks.add(method))`);
    const refusing = async (method, work) => {
      await viewer.run(`void person.refuses.add("${method}")`);
      await assert.rejects(viewer.run(work), refusal);
      await viewer.run("person.refuses.clear()");
    };

    // It is no wallet of the page's list, and shows no account that nobody was asked for.
    assert.equal(await viewer.run("client.wallets().then(({ length }) => length)"), 0);
    const silent = "client.connectWallet({ provider: wallet.provider, silent: true })";
    await assert.rejects(viewer.run(silent), /The wallet named no account/);
    assert.equal(await viewer.asked(), "");
    await refusing("eth_requestAccounts", CONNECT);
    assert.equal(await viewer.run("client.walletAddress"), null);
    assert.equal(await viewer.run(`byWagmi("${scene.anvil.url}", ${scene.chainId})`), address(1));
    assert.equal(await viewer.run("byViem()"), address(1));
    assert.equal(await viewer.run(silent), address(1));
    assert.equal(await viewer.run(CONNECT), address(1));
    await viewer.asked();

    // It is on another chain, and does not know this one. The person says no to each thing once.
    await refusing("wallet_addEthereumChain", DEPOSIT);
    await refusing(deposits.split(" ")[0], DEPOSIT);
    assert.equal(await scene.chain.balanceOf(accounts[1].address), FUNDS);
    assert.deepEqual(await scene.chain.events(), []);
    await viewer.asked();
    assert.equal(await viewer.run(DEPOSIT), "1000000");
    assert.equal(await viewer.asked(), deposits);
    assert.equal(await viewer.run("person.chainId"), scene.chainId);

    // The person pays a seller, who has the other wallet.
    const shop = await page(url, scene, sellers, [key(4)], { sellPricePerGB: "10" });
    const torrent = await shop.run(`seed(${LENGTH}, 1)`);
    await add(viewer, { torrent });
    await viewer.run("done()");
    assert.equal(await viewer.asked(), "");
    const earned = await shop.run(`new Promise((resolve) => {
      const look = async () => {
        const { money } = await client.stats();
        if (money.preimagesReceived >= ${LENGTH / BLOCK}) resolve(String(money.redeemable));
        else setTimeout(look, 100);
      };
      look();
    })`);
    assert.equal(await shop.run(CONNECT), address(4));
    assert.equal(await shop.run("client.redeem().then(({ paid }) => String(paid))"), earned);
    assert.equal(String(await scene.chain.balanceOf(accounts[4].address)), earned);

    // viem's client has no events: another account is noticed before anything is sent for the one that was connected.
    assert.equal(await viewer.run("byViem()"), address(1));
    await viewer.run("(heard.splice(0), person.choose(1), wallet.switched())");
    await assert.rejects(
      viewer.run(DEPOSIT),
      /Another account is selected in the wallet: select the one you connected/,
    );
    assert.equal(await viewer.asked(), "");
    assert.deepEqual(await viewer.run("heard"), []);
    await viewer.run("(person.choose(0), wallet.switched())");
    assert.equal(await viewer.run(CONNECT), address(1));

    // Another account; another chain; the wallet goes away.
    await viewer.run("(heard.splice(0), person.choose(1), wallet.switched())");
    assert.deepEqual(await viewer.run("heard"), [null]);
    await assert.rejects(viewer.run(DEPOSIT), /No wallet is connected/);
    assert.equal(await viewer.run(CONNECT), address(5));
    assert.equal(await viewer.run("client.account().then(({ known }) => known)"), false);
    await viewer.run("void (person.chainId = 1)");
    await assert.rejects(viewer.run("client.account()"), new RegExp(`The wallet is not on chain ${scene.chainId}\\.`));
    await assert.rejects(viewer.run(DEPOSIT), /The wallet holds 0 pwUSD; 2\.25 are needed\./);
    assert.equal(await viewer.run("person.chainId"), scene.chainId);
    await viewer.run("void (heard.splice(0), wallet.goes())");
    await viewer.run(`new Promise((resolve) => {
      const look = () => (heard.length > 0 ? resolve(true) : setTimeout(look, 20));
      look();
    })`);
    assert.deepEqual(await viewer.run("heard"), [null]);
    assert.equal(await viewer.run("client.walletAddress"), null);
  });
}

test("the lines that README gives to connect a wallet by wagmi are those that run here", () => {
  const readme = readFileSync(new URL("../../../README.md", import.meta.url), "utf8");
  const [, lines] = /hands over the provider[^`]*```js\n([^`]+)```/.exec(readme);
  assert.equal(lines.trim().split("\n").length, 3);
  const run = readFileSync(source, "utf8").replace(/^ +/gm, "");
  assert.ok(run.includes(lines), "wallets.js has other lines");
});
