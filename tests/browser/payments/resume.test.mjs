import assert from "node:assert/strict";
import { kill, site } from "../support/harness.mjs";
import { Scene, UNIT_FINE } from "../support/paid/scene.mjs";
import { AT_RISK, BLOCK, LOST_LINKS, MIB, PIECE, forgiven } from "../support/paid/terms.mjs";
import { add, deposit, look, reload, settled, titleSpent, viewer } from "../support/paid/viewer.mjs";
import { RemoteWallet } from "../support/paid/wallet.mjs";
import { test } from "../support/tests.mjs";

/**
 * Whole blocks, so that bytes and blocks tell the same; the last piece is short. The title has nearly twice the pieces
 * of all stops. The pieces that come between a look and the end of its run stay, and the last stop must still come.
 */
const LENGTH = 36 * MIB - 3 * BLOCK;
/**
 * The pieces that come before each interruption, drawn once (seed 20); the first one is right after the first payment.
 * Before a kill there are more than it may cost.
 */
const STOPS = [1, 71, 39, 77, 46, 68];
/** Every second interruption is a kill; the others are reloads. */
const KILLS = Math.floor(STOPS.length / 2);

const sum = (lines) => lines.reduce((all, { fine }) => all + BigInt(fine), 0n);

const begun = Date.now();
const say = (text) =>
  process.env.PIECEWORK_TEST_VERBOSE && console.log(`  ${((Date.now() - begun) / 1000).toFixed(2)} ${text}`);

test("a paid download survives reloads and kills, refetches no stored piece, and pays each block once", async () => {
  const [url, scene] = [await site(), await Scene.open()];
  const wallet = await RemoteWallet.start(scene.chain, scene.payer);
  const title = await scene.title("film.bin", LENGTH);
  const seeder = await scene.seeder([title], 3_000_000);
  const options = scene.options();

  let page = await viewer(url, wallet, options);
  const { profile } = page.browser;
  await deposit(page, "4");
  const asked = [...wallet.prompts];
  assert.deepEqual(asked, ["eth_requestAccounts", "eth_sendTransaction", "eth_sendTransaction"]);
  await add(page, title);

  let before = { pieces: new Set(), atStart: new Set(), downloaded: 0, spent: 0n };
  let received = 0;
  /** Counts a run that is about to end, and compares its beginning with the end of the run before. */
  const check = (now, point) => {
    const atStart = new Set([...now.pieces].filter((piece) => !now.fetched.has(piece)));
    const gone = [...before.pieces].filter((piece) => !atStart.has(piece));
    const kept = [...atStart].filter((piece) => !before.atStart.has(piece));
    // The bytes that arrived in the run before and are in no piece that was there after it: the cost of this one
    // interruption, without what arrived after the look.
    const lost = before.downloaded - kept.reduce((sum, piece) => sum + Math.min(PIECE, LENGTH - piece * PIECE), 0);
    received += now.downloaded;
    assert.ok(gone.length * PIECE <= AT_RISK, `${point}: ${gone.length} pieces verified before were not there after`);
    assert.ok(lost <= AT_RISK, `${point}: the interruption before cost ${lost} bytes that had arrived`);
    assert.ok(now.accountReady, `${point}: the account is not there`);
    say(
      `${point}: ${now.pieces.size} pieces, ${now.downloaded / BLOCK} blocks received, ` +
        `${now.spent / UNIT_FINE} paid since the first, ${gone.length} pieces lost, ${lost} bytes to come again`,
    );
    before = { ...now, atStart };
  };

  for (const [at, stop] of STOPS.entries()) {
    await page.run(`new Promise((resolve) => {
      const enough = () => fetched.length >= ${stop} && resolve(true);
      torrent.on("piece", enough);
      enough();
    })`);
    const now = await look(page);
    check(now, `interruption ${at + 1}`);
    assert.equal(now.state, "downloading");
    if (at % 2 === 0) {
      await reload(page, options);
    } else {
      await kill(profile);
      await page.browser.context.close().catch(() => undefined);
      page = await viewer(url, wallet, options, profile);
    }
    await add(page, title);
    say("up again");
  }

  await page.run("done()");
  assert.equal(await page.run("digest()"), title.digest);
  const end = await settled(page, seeder, LENGTH / BLOCK - STOPS.length * forgiven(LENGTH));
  check(end, "the end");
  say(
    `sent ${end.sent / BLOCK} blocks for ${LENGTH / BLOCK}, ` +
      `paid ${end.spent / UNIT_FINE}, earned ${end.earned / UNIT_FINE}`,
  );

  // Each interruption cost no more than the bytes at risk and those asked for: every other block came once.
  const most = LENGTH + STOPS.length * AT_RISK;
  assert.ok(
    received <= end.sent && end.sent <= most,
    `the seeder sent ${end.sent} bytes, at most ${most} are right; ${received} were seen to arrive`,
  );

  // Each sent block took at most one step, and every stored block but the forgiven ones was paid.
  assert.ok(end.spent <= UNIT_FINE * BigInt(end.sent / BLOCK), `spent ${end.spent} for ${end.sent} bytes`);
  assert.ok(
    end.spent >= UNIT_FINE * BigInt(LENGTH / BLOCK - STOPS.length * forgiven(LENGTH)),
    `spent ${end.spent} for ${LENGTH} bytes`,
  );
  // A killed run may have recorded a link whose PAY never left. If it was the last of its range, no later fold makes up
  // for it.
  assert.ok(
    end.earned <= end.spent && end.spent - end.earned <= UNIT_FINE * BigInt(KILLS * LOST_LINKS),
    `earned ${end.earned} of ${end.spent}`,
  );
  assert.deepEqual(wallet.prompts, asked);

  // The history of each side says what its ledger says, to the last unit and over every kill.
  assert.equal(await titleSpent(page, end.spent), end.spent, "of the only title");
  const history = await page.run(`client.history().then((lines) => lines.map(({ amount, amountFine, ...line }) =>
    ({ ...line, fine: String(amountFine ?? amount) })))`);
  const infoHash = await page.run("torrent.infoHash");
  const bought = history.filter(({ kind }) => kind === "bought");
  assert.equal(sum(bought), end.spent);
  assert.ok(bought.every((line) => BigInt(line.peer) === BigInt(scene.payee) && line.infoHash === infoHash));
  // Two transactions, and the wallet's receipts name their gas.
  const gas = history.filter(({ kind }) => kind === "gas");
  assert.equal(
    gas.reduce((count, line) => count + line.count, 0),
    2,
  );
  assert.ok(sum(gas) > 0n);
  const sold = await seeder.ask("history");
  const fine = sold.lines.filter(({ kind }) => kind === "sold").map((line) => ({ fine: line.amount_fine }));
  assert.equal(sum(fine), end.earned);

  const redeemed = await seeder.ask("redeem");
  assert.equal(redeemed.ok, true, JSON.stringify(redeemed.batches));
  const paid = (await scene.chain.redemptions()).reduce((sum, row) => sum + row.net, 0n);
  assert.equal(paid, BigInt(end.money.redeemable));
  assert.equal(await scene.chain.balanceOf(scene.payee), paid);
  assert.deepEqual(page.errors, []);
});
