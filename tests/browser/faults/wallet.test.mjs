// Wallets that fail at a deposit, and a chain's node that lies.
import assert from "node:assert/strict";
import { createServer } from "node:http";
import { Interface } from "ethers";
import { browser, ending, open, site } from "../support/harness.mjs";
import { FUNDS, Scene, UNIT_FINE } from "../support/paid/scene.mjs";
import { add, deposit, look, reload, settled, start, viewer } from "../support/paid/viewer.mjs";
import { RemoteWallet } from "../support/paid/wallet.mjs";
import { test } from "../support/tests.mjs";

const BLOCK = 16_384;
const LENGTH = 200 * BLOCK;
/** The places of words in the vault's answer to `state`. */
const [BALANCE, BOND] = [0, 4];

test("a wallet on another chain changes or sends nothing; a change in mid-download stops nothing", async () => {
  const [url, scene] = [await site(), await Scene.open()];
  const wallet = await RemoteWallet.start(scene.chain, scene.payer);
  const title = await scene.title("film.bin", LENGTH);
  const seeder = await scene.seeder([title], 1_000_000);
  const chainParams = {
    chainName: "Test",
    nativeCurrency: { name: "Ether", symbol: "ETH", decimals: 18 },
    rpcUrls: [scene.anvil.url],
  };
  wallet.chainId = 1;

  // The wallet does not know the tests' chain, and the site has no description of it to add.
  const page = await viewer(url, wallet, scene.options());
  await assert.rejects(deposit(page, "2"), /Unrecognized chain/);
  // The person says no.
  await reload(page, scene.options({ chainParams }));
  wallet.refuses.add("wallet_addEthereumChain");
  await assert.rejects(deposit(page, "2"), /PieceworkRejectedError: Refused in the wallet\./);
  assert.deepEqual(wallet.sent, []);
  assert.equal(await scene.chain.balanceOf(scene.payer), FUNDS);

  wallet.refuses.clear();
  await deposit(page, "2");
  assert.equal(wallet.chainId, scene.chainId);
  const asked = [...wallet.prompts];
  assert.deepEqual(asked.filter((method) => method === "eth_sendTransaction").length, 2);

  // The wallet goes to another chain while money flows. The engine reads the chain by RPC, and the wallet gets no
  // request.
  await add(page, title);
  await page.run("pieces(1)");
  wallet.chainId = 1;
  await page.run("client.stats().then(() => true)");
  await page.run("done()");
  assert.equal(await page.run("digest()"), title.digest);
  assert.equal((await settled(page, seeder, LENGTH / BLOCK)).earned, UNIT_FINE * BigInt(LENGTH / BLOCK));
  assert.deepEqual(wallet.prompts, asked);
  // Where only the wallet can answer, the page names the wrong chain.
  await assert.rejects(page.run("client.account()"), new RegExp(`The wallet is not on chain ${scene.chainId}\\.`));
});

test("a wallet without tokens or without gas says so, and nothing is taken", async () => {
  const [url, scene] = [await site(), await Scene.open()];
  const poor = scene.anvil.accounts[5].address;
  const wallet = await RemoteWallet.start(scene.chain, poor);
  const page = await viewer(url, wallet, scene.options());
  // The deposit of 2 and the bond of 2.5.
  await assert.rejects(deposit(page, "2"), /The wallet holds 0 pwUSD; 4\.5 are needed\./);
  assert.deepEqual(wallet.prompts, ["eth_requestAccounts"]);

  await scene.mint(poor, 10_000_000n);
  await scene.chain.call("anvil_setBalance", [poor, "0x0"]);
  await assert.rejects(deposit(page, "2"), /[Ii]nsufficient funds/);
  assert.equal(await scene.chain.balanceOf(poor), 10_000_000n);
  assert.deepEqual(await scene.chain.events(), []);
  assert.equal(await page.run("client.stats().then(({ money }) => String(money.locked))"), "0");

  await scene.chain.call("anvil_setBalance", [poor, "0xde0b6b3a7640000"]);
  assert.equal(await deposit(page, "2"), "2000000");
});

test("a wallet that is removed in mid-download is gone from the page, and the deposit goes on buying", async () => {
  const [url, scene] = [await site(), await Scene.open()];
  const wallet = await RemoteWallet.start(scene.chain, scene.payer);
  const title = await scene.title("film.bin", LENGTH);
  const seeder = await scene.seeder([title], 1_000_000);
  const page = await viewer(url, wallet, scene.options());
  await deposit(page, "2");
  const asked = [...wallet.prompts];
  await page.run(
    `(() => { window.accounts = []; client.on("wallet", ({ address }) => accounts.push(address)); return true; })()`,
  );
  await add(page, title);
  await page.run("pieces(1)");
  await page.run(`(() => { ethereum.emit("accountsChanged", []); delete window.ethereum; return true; })()`);
  assert.deepEqual(await page.run("accounts"), [null]);
  assert.equal(await page.run("client.walletAddress"), null);
  await assert.rejects(page.run(`client.deposit({ amount: "1" })`), /No wallet is connected/);
  await assert.rejects(page.run("client.connectWallet()"), /No wallet is here: install one, then reload the page\./);
  await page.run("done()");
  assert.equal(await page.run("digest()"), title.digest);
  assert.equal((await settled(page, seeder, LENGTH / BLOCK)).earned, UNIT_FINE * BigInt(LENGTH / BLOCK));
  assert.deepEqual(wallet.prompts, asked);
});

test("a node that lies about the chain loses nobody money: junk is refused, a false balance buys nothing", async () => {
  const [url, scene] = [await site(), await Scene.open()];
  const wallet = await RemoteWallet.start(scene.chain, scene.payer);
  const title = await scene.title("film.bin", LENGTH);
  const seeder = await scene.seeder([title], 20_000_000);
  const node = await LyingNode.start(scene.anvil.url);
  const options = scene.options({ rpcUrl: node.url });
  // 200 blocks at 10 per GB cost 0.032768: a deposit of 0.02 pays for a part of it.
  const page = await viewer(url, wallet, options);
  await deposit(page, "0.02");

  // After a reload the engine asks only the node: no wallet is connected.
  const lies = [
    ["junk", () => "0xzz"],
    ["an answer of another contract", () => `0x${"00".repeat(32)}`],
    ["a number", () => 7],
    ["a giant answer", () => `0x${"ff".repeat(100_000)}`],
  ];
  for (const [what, lie] of lies) {
    node.lie = lie;
    await reload(page, options);
    const warned = page.run(
      `new Promise((resolve) => (said.length ? resolve(said[0]) : client.on("warning", ({ text }) => resolve(text))))`,
    );
    await add(page, title);
    const text = await warned;
    if (process.env.PIECEWORK_TEST_VERBOSE) console.log(`  ${what}: ${text}`);
    assert.equal((await look(page)).vouchersSigned, 0, what);
    assert.ok(text.length < 400, "a stranger's text fills the page");
  }

  // The node claims a thousand times the deposit. The seller reads another node, and sells nothing that is not covered.
  const times = (word) => (BigInt(`0x${word}`) * 1000n).toString(16).padStart(64, "0");
  node.lie = (truth) =>
    `0x${truth
      .slice(2)
      .match(/.{64}/g)
      .map((word, at) => (at === BALANCE || at === BOND ? times(word) : word))
      .join("")}`;
  await reload(page, options);
  await add(page, title);
  const note = await page.run(`new Promise((resolve) => {
    const look = async () => {
      const found = (await torrent.stats()).peers.map(({ buying }) => buying.note).find((text) => /cover/.test(text));
      if (found) resolve(found);
      else setTimeout(look, 100);
    };
    look();
  })`);
  say(note);
  const broke = await settled(page, seeder);
  assert.equal(broke.balance, "20000000");
  assert.equal(broke.earned, broke.spent);
  assert.ok(broke.spent > 0n && broke.spent <= 20_000n << 24n, `${broke.spent} of ${20_000n << 24n}`);
  assert.ok(broke.verified < LENGTH, "everything was sold for a part of the money");

  // The node tells the truth again, and there is enough money.
  node.lie = null;
  await reload(page, options);
  await deposit(page, "2");
  await add(page, title);
  await page.run("done()");
  assert.equal(await page.run("digest()"), title.digest);
  const end = await settled(page, seeder);
  assert.equal(end.earned, end.spent);
  assert.equal((await seeder.ask("redeem")).ok, true);
});

test("a sped-up deposit arrives, a cancelled one is reported, and a reloaded page asks for nothing twice", async () => {
  const [url, scene] = [await site(), await Scene.open()];
  const wallet = await RemoteWallet.start(scene.chain, scene.payer);
  const { call } = scene.chain;
  const chain = (method, ...params) => call.call(scene.chain, method, params);
  // The allowance covers the deposit, so it is one transaction.
  const data = new Interface(["function approve(address, uint256)"]).encodeFunctionData("approve", [
    scene.chain.vault,
    FUNDS,
  ]);
  await chain("eth_sendTransaction", { from: scene.payer, to: scene.chain.token, data });
  const page = await viewer(url, wallet, scene.options());
  await chain("evm_setAutomine", false);

  const cancelled = deposit(page, "2");
  await wallet.replace(await sentBy(wallet, cancelled), { cancel: true });
  await chain("evm_mine");
  await assert.rejects(cancelled, /was cancelled in the wallet, or replaced by a transaction that did something else/);
  assert.deepEqual(await scene.chain.events(), []);

  const sped = deposit(page, "2");
  await wallet.replace(await sentBy(wallet, sped));
  await chain("evm_mine");
  assert.equal(await sped, "2000000");
  assert.equal((await scene.chain.events()).filter(({ name }) => name === "Opened").length, 1);

  // The page is left while a top-up is out. The person tries again.
  const left = deposit(page, "1").catch(() => null);
  await sentBy(wallet, left);
  // A page that the person left cannot know of a transaction that the wallet has sent and not answered yet.
  await page.run(`new Promise((resolve) => {
    const isSent = () => Object.keys(localStorage).some((key) => key.startsWith("piecework sent "));
    const look = () => (isSent() ? resolve(null) : setTimeout(look, 20));
    look();
  })`);
  await reload(page, scene.options());
  await left;
  const asked = wallet.prompts.filter((method) => method === "eth_sendTransaction").length;
  const again = deposit(page, "1");
  await chain("evm_mine");
  assert.equal(await again, "3000000");
  assert.equal(wallet.prompts.filter((method) => method === "eth_sendTransaction").length, asked);
});

test("tabs that redeem at once are all answered, and another tab redeems the claims of a closed one", async () => {
  const [url, scene] = [await site(), await Scene.open()];
  const [buyers, sellers] = [
    await RemoteWallet.start(scene.chain, scene.payer),
    await RemoteWallet.start(scene.chain, scene.anvil.accounts[4].address),
  ];
  const shop = await viewer(url, sellers, scene.options({ sellPricePerGB: "10" }));
  const torrent = await shop.run(`seed(${LENGTH}, 1)`);
  const page = await viewer(url, buyers, scene.options());
  await deposit(page, "2");
  await add(page, { torrent });
  await page.run("done()");
  const earned = await shop.run(`new Promise((resolve) => {
    const look = async () => {
      const { money } = await client.stats();
      if (money.preimagesReceived >= ${LENGTH / BLOCK}) resolve(String(money.redeemable));
      else setTimeout(look, 100);
    };
    look();
  })`);

  const tabs = [];
  for (let i = 0; i < 3; i++) {
    const tab = await open(shop.browser.context, url);
    await start(tab, scene.options({ sellPricePerGB: "10" }));
    await tab.run("client.connectWallet()");
    tabs.push(tab);
  }
  // One tab is closed while its wallet asks: it has the claims.
  sellers.hangs.add("eth_sendTransaction");
  const asked = sellers.prompted();
  void tabs[0].run("client.redeem()").catch(() => null);
  await asked;
  const none = await tabs[1].run("client.redeem().then(({ batches }) => batches)");
  assert.equal(none, 0);
  await tabs[0].close();
  sellers.hangs.clear();

  const paid = await Promise.all(
    tabs.slice(1).map((tab) => tab.run("client.redeem().then(({ paid }) => String(paid))")),
  );
  assert.deepEqual(paid.sort(), ["0", earned].sort());
  assert.equal(String(await scene.chain.balanceOf(scene.anvil.accounts[4].address)), earned);
});

test("the element without a budget spends its deposit, and offers another one when that is used up", async () => {
  const scene = await Scene.open();
  const wallet = await RemoteWallet.start(scene.chain, scene.payer);
  const title = await scene.title("film.bin", LENGTH);
  const url = await site({ mounts: { "/film.torrent": title.path } });
  const seeder = await scene.seeder([title], 20_000_000);
  const { context } = await browser();
  await wallet.injectInto(context);
  const page = await open(context, url);
  const { payments, trackers } = scene.options();
  // 200 blocks cost 0.032768.
  const attributes = {
    torrent: "film.torrent",
    trackers: trackers.join(" "),
    vault: payments.vault,
    "chain-id": payments.chainId,
    "rpc-url": payments.rpcUrl,
    token: payments.token.address,
    "token-symbol": "pwUSD",
    "max-price-per-gb": "12",
    "max-deposit": "0.02",
    keep: "",
  };
  await page.run(`(async () => {
    await import("/dist/player.js");
    window.player = Object.assign(document.createElement("piecework-player"));
    for (const [name, value] of Object.entries(${JSON.stringify(attributes)})) player.setAttribute(name, value);
    document.body.append(player);
    window.offer = player.shadowRoot.querySelector(".offer");
    /** Waits for an offer with this text, and takes it. */
    window.take = (words) => new Promise((resolve) => {
      const look = () => {
        if (offer.hidden || !offer.textContent.includes(words)) return setTimeout(look, 50);
        const text = offer.textContent;
        offer.querySelector("button").click();
        resolve(text);
      };
      look();
    });
  })()`);
  const first = await page.run(`take("This title costs")`);
  assert.match(first, /A deposit of 0\.02 pwUSD and a bond of 0\.025 pwUSD go into the vault/);
  assert.match(first, /lost only if the same money is promised to two sellers/);
  assert.match(first, /Others can see it/);
  await page.run(`take("The deposit is used up")`);
  await page.run(`(window.torrent = player.torrent, done())`);
  const spent = Number(await page.run("player.client.stats().then(({ money }) => String(money.spent))"));
  assert.ok(spent > 20_000 && spent < 40_000, `${spent} was spent: more than the first deposit, and less than both`);
  assert.equal((await seeder.ask("redeem")).ok, true);
});

/** The hash of the transaction that a wallet sends next for `doing`. It fails if `doing` ends first. */
const sentBy = (wallet, doing) =>
  Promise.race([wallet.sentNext(), doing.then(() => Promise.reject(new Error("it ended without sending anything")))]);

const say = (text) => process.env.PIECEWORK_TEST_VERBOSE && console.log(`  ${text}`);

/** A node that passes everything on to a true one, and gives `lie` the result of each `eth_call`. */
class LyingNode {
  lie = null;

  static async start(truth) {
    const node = new LyingNode();
    const server = createServer((request, response) => {
      const headers = {
        "Access-Control-Allow-Origin": "*",
        "Access-Control-Allow-Headers": "content-type",
        "Content-Type": "application/json",
      };
      if (request.method === "OPTIONS") return response.writeHead(204, headers).end();
      const parts = [];
      request.on("data", (part) => parts.push(part));
      request.on("end", async () => {
        const body = Buffer.concat(parts);
        const answer = await (
          await fetch(truth, { method: "POST", headers: { "content-type": "application/json" }, body })
        ).json();
        if (node.lie && JSON.parse(body).method === "eth_call") answer.result = node.lie(answer.result);
        response.writeHead(200, headers).end(JSON.stringify(answer));
      });
    });
    await new Promise((resolve) => server.listen(0, "127.0.0.1", resolve));
    ending(
      () =>
        new Promise((resolve) => {
          server.close(resolve);
          server.closeAllConnections();
        }),
    );
    node.url = `http://127.0.0.1:${server.address().port}/`;
    return node;
  }
}
