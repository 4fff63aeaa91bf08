import assert from "node:assert/strict";
import { site } from "../support/harness.mjs";
import { Scene, UNIT_FINE } from "../support/paid/scene.mjs";
import { add, deposit, settled, titleSpent, viewer } from "../support/paid/viewer.mjs";
import { RemoteWallet } from "../support/paid/wallet.mjs";
import { test } from "../support/tests.mjs";

const BLOCK = 16_384;
const LENGTH = 200 * BLOCK;

test("a second title needs no prompt while the deposit lasts", async () => {
  const [url, scene] = [await site(), await Scene.open()];
  const wallet = await RemoteWallet.start(scene.chain, scene.payer);
  const titles = [await scene.title("first.bin", LENGTH), await scene.title("second.bin", LENGTH)];
  const seeder = await scene.seeder(titles, 20_000_000);
  const page = await viewer(url, wallet, scene.options());
  assert.deepEqual(wallet.prompts, []);
  await deposit(page, "2");
  const asked = [...wallet.prompts];
  assert.deepEqual(asked, ["eth_requestAccounts", "eth_sendTransaction", "eth_sendTransaction"]);

  for (const [at, title] of titles.entries()) {
    await add(page, title);
    await page.run("done()");
    assert.equal(await page.run("digest()"), title.digest);
    assert.deepEqual(wallet.prompts, asked);
    const now = await settled(page, seeder, ((at + 1) * LENGTH) / BLOCK);
    const price = UNIT_FINE * BigInt(LENGTH / BLOCK);
    assert.equal(await titleSpent(page, price), price);
    assert.equal(now.spent, UNIT_FINE * BigInt(((at + 1) * LENGTH) / BLOCK));
    assert.equal(now.earned, now.spent);
    assert.equal(now.sent, (at + 1) * LENGTH);
  }
  assert.equal((await scene.chain.events()).length, 1, "one deposit is all that the chain saw");
  assert.deepEqual(page.errors, []);
});
