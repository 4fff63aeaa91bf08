import assert from "node:assert/strict";
import { kill, site } from "./harness.mjs";
import { Scene, UNIT_FINE } from "./paid/scene.mjs";
import { add, deposit, look, reload, settled, viewer } from "./paid/viewer.mjs";
import { RemoteWallet } from "./paid/wallet.mjs";
import { test } from "./tests.mjs";

const MIB = 1 << 20;
const BLOCK = 16_384;
const PIECE = 65_536;
/** Whole blocks, so that bytes and blocks tell the same; the last piece is short. Twice the pieces of all stops and more: those that come
 * between a look and the end of its run stay, and the last stop must still come. */
const LENGTH = 12 * MIB - 3 * BLOCK;
/** One durability group; what was verified since the last one may be lost. */
const GROUP = MIB;
/** What is in flight at a seller of this rate, and may come again. */
const IN_FLIGHT = 32 * BLOCK;
/** Blocks that a seller forgives at a new attach: credit0, and a 32nd of what was paid. */
const GIFT = 4 + 768 / 32;
/** How many pieces come before each interruption: drawn once (seed 20), the first right after the first payment. */
const STOPS = [1, 17, 9, 21, 13, 19];

/** Every second interruption is a kill; so many links at most are on their way at each. */
const KILLS = Math.floor(STOPS.length / 2);
const GONE = 4;

/** Bytes of these pieces; the last one is short. */
const bytesOf = (pieces) => [...pieces].reduce((sum, piece) => sum + Math.min(PIECE, LENGTH - piece * PIECE), 0);

const begun = Date.now();
const say = (text) => process.env.PIECEWORK_TEST_VERBOSE && console.log(`  ${((Date.now() - begun) / 1000).toFixed(2)} ${text}`);

test("a paid download survives reloads and kills at many points, fetches no stored piece again, and no step pays for two blocks", async () => {
  const [url, scene] = [await site(), await Scene.open()];
  const wallet = await RemoteWallet.start(scene.chain, scene.payer);
  const title = await scene.title("film.bin", LENGTH);
  const seeder = await scene.seeder([title], 1_500_000);
  const options = scene.options();

  let page = await viewer(url, wallet, options);
  const { profile } = page.browser;
  await deposit(page, "4");
  const asked = [...wallet.prompts];
  assert.deepEqual(asked, ["eth_requestAccounts", "eth_sendTransaction", "eth_sendTransaction"]);
  await add(page, title);

  let before = { pieces: new Set(), spent: 0n };
  let [lost, received, broken] = [0, 0, 0];
  /** Bytes of pieces begun and not finished when it was last looked. */
  let begunBytes = 0;
  /** Counts a run that is about to end, and holds what it began with against the end of the one before. */
  const check = (now, point) => {
    const atStart = new Set([...now.pieces].filter((piece) => !now.fetched.has(piece)));
    const gone = [...before.pieces].filter((piece) => !atStart.has(piece));
    lost += gone.length * PIECE;
    received += now.downloaded;
    // Some of what an earlier run began may have gone into what this one finished; of that, what came after the look is not in this count.
    begunBytes = Math.max(0, begunBytes + now.downloaded - bytesOf(now.fetched));
    broken += Math.max(begunBytes, IN_FLIGHT);
    assert.ok(gone.length * PIECE <= GROUP, `${point}: ${gone.length} pieces verified before were not there after`);
    assert.ok(now.accountReady, `${point}: the account is not there`);
    say(`${point}: ${now.pieces.size} pieces, ${now.downloaded / BLOCK} blocks received, ${now.spent / UNIT_FINE} paid since the first, ${gone.length} pieces lost`);
    before = now;
  };

  for (const [at, stop] of STOPS.entries()) {
    await page.run(`new Promise((resolve) => { const enough = () => fetched.length >= ${stop} && resolve(true); torrent.on("piece", enough); enough(); })`);
    const now = await look(page);
    check(now, `interruption ${at + 1}`);
    assert.equal(now.state, "downloading");
    if (at % 2 === 0) {
      await reload(page, options);
    } else {
      kill(profile);
      await page.browser.context.close().catch(() => undefined);
      page = await viewer(url, wallet, options, profile);
    }
    await add(page, title);
    say("up again");
  }

  await page.run("done()");
  assert.equal(await page.run("digest()"), title.digest);
  const end = await settled(page, seeder);
  check(end, "the end");
  say(`sent ${end.sent / BLOCK} blocks for ${LENGTH / BLOCK}, paid ${end.spent / UNIT_FINE}, earned ${end.earned / UNIT_FINE}`);

  // Of what each run had when it was looked at, only pieces lost with the unflushed group and unfinished pieces came again.
  assert.ok(received <= LENGTH + lost + broken, `${received} bytes received of ${LENGTH}: ${lost} were lost, ${broken} of unfinished pieces`);
  // What nobody saw arrive: in flight, or between the look and the end of the run. At most a group and what was in flight each time.
  const unseen = STOPS.length * (GROUP + IN_FLIGHT);
  assert.ok(end.sent <= received + unseen, `the seeder sent ${end.sent} bytes, ${received} were seen to arrive`);

  // One step for one block sent, and every block that is here was paid.
  assert.ok(end.spent <= UNIT_FINE * BigInt(end.sent / BLOCK), `spent ${end.spent} for ${end.sent} bytes`);
  assert.ok(end.spent >= UNIT_FINE * BigInt(LENGTH / BLOCK - STOPS.length * GIFT), `spent ${end.spent} for ${LENGTH} bytes`);
  // A killed run may have recorded a link whose PAY never left. Where it was the last of its range, no later fold makes up for it.
  assert.ok(end.earned <= end.spent && end.spent - end.earned <= UNIT_FINE * BigInt(KILLS * GONE), `earned ${end.earned} of ${end.spent}`);
  assert.deepEqual(wallet.prompts, asked);

  const redeemed = await seeder.ask("redeem");
  assert.equal(redeemed.ok, true, JSON.stringify(redeemed.batches));
  const paid = (await scene.chain.redemptions()).reduce((sum, row) => sum + row.net, 0n);
  assert.equal(paid, BigInt(end.money.redeemable));
  assert.equal(await scene.chain.balanceOf(scene.payee), paid);
  assert.deepEqual(page.errors, []);
});
