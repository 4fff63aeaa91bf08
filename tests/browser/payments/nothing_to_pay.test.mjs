import assert from "node:assert/strict";
import { createServer } from "node:http";
import { browser, ending, folder, open, signaling, site } from "../support/harness.mjs";
import { test } from "../support/tests.mjs";

const MIB = 1 << 20;

test("with payments configured but nothing to pay, no wallet and no chain is asked, and the payee stays", async () => {
  const [url, tracker] = [await site(), await signaling()];
  const calls = [];
  const rpc = createServer((request, response) => {
    calls.push(request.url);
    response.writeHead(500).end();
  });
  await new Promise((resolve) => rpc.listen(0, "127.0.0.1", resolve));
  ending(() => new Promise((resolve) => rpc.close(resolve)));
  const options = JSON.stringify({
    payments: {
      vault: `0x${"44".repeat(20)}`,
      chainId: 31337,
      rpcUrl: `http://127.0.0.1:${rpc.address().port}/`,
      token: { address: `0x${"55".repeat(20)}`, decimals: 6, symbol: "DUSD" },
      maxPricePerGB: "20",
      budget: "2",
    },
  });
  const profile = folder("profile");
  const payees = [];
  for (let visit = 0; visit < 2; visit++) {
    const { context } = await browser(profile);
    const page = await open(context, url);
    await page.run("countWallet()");
    await page.run(`start(${options})`);
    await page.run(`seed(${MIB}, ${visit}, { trackers: ["${tracker}"] })`);
    await page.run("done()");
    assert.equal(await page.run("digest()"), await page.run(`patternDigest(${MIB}, ${visit})`));
    payees.push(await page.run("client.payee"));
    assert.deepEqual(await page.run("walletCalls"), []);
    assert.deepEqual(await page.run("said"), []);
    await page.run("client.destroy()");
    await context.close();
  }
  assert.match(payees[0], /^0x[0-9a-f]{40}$/);
  assert.equal(payees[1], payees[0]);
  assert.deepEqual(calls, []);
});
