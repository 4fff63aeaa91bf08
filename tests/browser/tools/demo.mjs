// The demo played through without a person: two viewers in profiles of their own, a paid seeder, a real chain. It ends
// with 0 only when every check holds.
//
//   node tests/browser/tools/demo.mjs [CONFIG.json]
//
// CONFIG may also come as PIECEWORK_DEMO_CONFIG. `cargo xtask demo --headless` writes it.
import { createHash } from "node:crypto";
import { copyFile, mkdir, open, readFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { getAddress } from "ethers";
import { Chain } from "../support/demo/chain.mjs";
import { Seeder } from "../support/demo/seeder.mjs";
import { Viewer } from "../support/demo/viewer.mjs";
import { FINE_BITS, Report, fineText, grouped, setDecimals, tokens } from "./report.mjs";

const MIB = 1 << 20;
/** EIP-5792: connect, deposit. Otherwise connect, permit or approve, deposit. */
const PROMPTS = { batch: 2, 5792: 2, permit: 3, approve: 3, plain: 3 };

/** The free part comes slowly enough that a part is missing at the first picture; see `SEEDER_LIMIT` in xtask. */
const FREE_UPLOAD_KB = "500";
/**
 * A viewer that sells gives half of what the seeder may give (`SEEDER_LIMIT` in xtask, 2 MB/s). So the cheaper seller
 * is the slower one: a buyer that took from both as fast as they give would have a third from the viewer. More than
 * half is the price's doing.
 */
const PAID_UPLOAD_KB = "1000";

const configPath = process.argv[2] ?? process.env.PIECEWORK_DEMO_CONFIG;
if (!configPath) throw new Error("give the play-through's configuration: node demo.mjs CONFIG.json");
const config = JSON.parse(await readFile(configPath, "utf8"));
const page = config.pageConfig;
const folder = dirname(config.screenshot);
const free = Number(config.pricePerGigabyte) === 0;
/** The first viewer's browser and the second's; one name is both. */
const kinds = config.viewers.browsers;
const cheaperSecondHand = !free && page.resalePercent < 100;
const report = new Report();
setDecimals(page.token.decimals);
const open_ = [];
let good = false;

try {
  await mkdir(folder, { recursive: true });
  const chain = new Chain({ ...page, token: page.token.address });
  const seeder = await Seeder.take(config.seeder);
  open_.push(seeder);
  const original = await hashesOf(config.content);
  const url = `${config.page}?wallet=auto`;
  const start = (name, kind) => Viewer.open(name, { kind, paths: config.viewers.programs, url, screenshots: folder });

  const before = await balances(chain);

  const first = await start("viewer-1", kinds[0]);
  open_.push(first);
  await watch(first, 1, original);
  await copyFile(join(folder, "viewer-1-playing.png"), config.screenshot);

  const second = await start("viewer-2", kinds.at(-1));
  open_.push(second);
  await watch(second, 2, original);
  await Promise.all([first.settled(), second.settled()]);

  await account(chain, seeder, first, second, before);
  for (const viewer of [first, second]) {
    report.check(
      `${viewer.name}: no error in the console`,
      viewer.problems.length === 0,
      viewer.problems.slice(0, 3).join(" | "),
    );
    const { seeks } = (await viewer.look()).notes;
    report.check(
      `${viewer.name}: the player called off requests only by seeking`,
      viewer.tab.calledOff <= seeks,
      `${viewer.tab.calledOff} of them, ${seeks} seeks`,
    );
  }
} catch (error) {
  report.check("the play-through went through", false, error.stack ?? error);
  for (const seeder of open_.filter((one) => one instanceof Seeder))
    atFailure("seeder", JSON.stringify(await seeder.ask("stats").catch((lost) => lost.message)));
  for (const viewer of open_.filter((one) => one instanceof Viewer)) {
    await viewer.screenshot("at-failure", { fullPage: true }).catch(() => undefined);
    for (const problem of viewer.problems.slice(0, 10)) console.log(`  ${viewer.name}: ${problem}`);
    atFailure(viewer.name, await viewer.state().catch((lost) => lost.message));
  }
} finally {
  for (const one of open_.toReversed()) await one.close().catch((error) => console.log(`closing: ${error.message}`));
  good = await report.finish(config.report ?? join(folder, "report.json"));
}
process.exit(good ? 0 : 1);

/** A line that `cargo xtask test` tells again at its end (xtask/src/heard.rs). */
function atFailure(name, state) {
  console.log(`state   ${name}: ${state.slice(0, 4000)}`);
}

/** One viewer from the empty page to the whole file: the first one, whose only seller is the seeder, or the second. */
async function watch(viewer, wallet, original) {
  console.log(`\n${viewer.name}, ${viewer.tab.browser}`);
  report.fact(`${viewer.name} browser`, viewer.tab.browser);
  report.check(`${viewer.name}: the wallet is not asked before a gesture`, (await viewer.prompts()).length === 0);
  await viewer.screenshot("open");
  const offer = await viewer.openMagnet(page.magnet, free ? 0 : wallet);
  report.check(`${viewer.name}: nothing was uploaded before it was agreed to`, offer.uploaded === 0 && !offer.sharing);
  report.check(
    `${viewer.name}: a wallet is offered exactly when money is asked`,
    offer.walletAsked === !free,
    offer.summary,
  );
  console.log(`          ${offer.title}: ${offer.costs.map((row) => row.join(" ")).join("; ")}`);
  if (!free) await viewer.chooseWallet(wallet);
  await viewer.capUpload(free ? FREE_UPLOAD_KB : PAID_UPLOAD_KB);
  await viewer.screenshot("offer", { fullPage: true });
  await viewer.arm();
  await viewer.play();
  await viewer.screenshot("playing", { fullPage: true });

  const prompts = await viewer.prompts();
  const expected = free ? 0 : PROMPTS[page.wallet];
  report.equal(`${viewer.name}: prompts from the gesture to playing`, prompts.length, expected);

  const notes = await viewer.playsAtSeek();
  const { seek } = notes;
  report.check(
    `${viewer.name}: the seek went to a part not yet fetched`,
    seek.missing,
    `${Math.round(seek.share * 100)} %, ${grouped(seek.verifiedBefore)} bytes here`,
  );
  report.check(`${viewer.name}: it plays on there`, seek.playing > 0, `after ${Math.round(seek.playing - seek.at)} ms`);
  report.fact(`${viewer.name} first frame ms`, Math.round(notes.firstFrame - notes.gesture));
  console.log(
    `          first frame ${Math.round(notes.firstFrame - notes.gesture)} ms after the gesture, ` +
      "wallet and deposit included",
  );

  await viewer.wholeFile();
  const held = await viewer.hashes();
  const differs = held.hashes.findIndex((hash, at) => hash !== original.hashes[at]);
  report.check(
    `${viewer.name}: holds the bit-exact file`,
    held.length === original.length && held.hashes.length === original.hashes.length && differs < 0,
    `${grouped(held.length)} bytes, ${held.hashes.length} hashes of 1 MiB`,
  );
  report.equal(`${viewer.name}: no prompt per block`, (await viewer.prompts()).length, expected);
  if (free)
    report.check(
      `${viewer.name}: no chain was contacted`,
      !viewer.requests.some((request) => request.startsWith(page.rpc)),
    );
  await viewer.screenshot("complete", { fullPage: true });
}

/** The bytes between all sides, the statements of every ledger, and the payments of the chain. */
async function account(chain, seeder, first, second, before) {
  const [one, two] = [await first.look(), await second.look()];
  const native = await seeder.ask("stats");
  const sold = native.torrents.reduce((sum, torrent) => sum + torrent.uploaded, 0);

  console.log("\nwho gave what");
  report.table("bytes and blocks", [
    ["viewer", "from", "bytes", "blocks paid", "paid (exact)", "price per GB"],
    ...[
      ["viewer-1", one],
      ["viewer-2", two],
    ].flatMap(([name, look]) =>
      look.connections
        .filter((peer) => peer.downloaded > 0)
        .map((peer) => [
          name,
          nameOf(peer, look === two ? one : null),
          grouped(peer.downloaded),
          peer.buying.blocks,
          fineText(peer.buying.paidFine),
          tokens(peer.buying.pricePerGB ?? 0n),
        ]),
    ),
    ["seeder", "(sent in all)", grouped(sold), "", "", ""],
  ]);
  report.table("each viewer", [
    [
      "viewer",
      "received",
      "sent",
      "fetched twice",
      "vouchers signed",
      "preimages out",
      "preimages in",
      "spent",
      "earned",
    ],
    ...[
      ["viewer-1", one],
      ["viewer-2", two],
    ].map(([name, look]) => [
      name,
      grouped(look.downloaded),
      grouped(look.uploaded),
      grouped(look.wasted),
      look.money?.vouchersSigned ?? 0,
      look.money?.preimagesReleased ?? 0,
      look.money?.preimagesReceived ?? 0,
      fineText(look.spentFine),
      fineText(look.earnedFine),
    ]),
  ]);
  report.fact("viewer-1", one);
  report.fact("viewer-2", two);
  report.fact("seeder", native);

  const share = one.uploaded / two.downloaded;
  if (cheaperSecondHand)
    report.check(
      "viewer-2 got more than half from viewer-1, the cheaper seller and the slower",
      share > 0.5,
      `${(share * 100).toFixed(1)} %; by speed alone a third`,
    );
  else console.log(`          no cheaper seller: viewer-2 got ${(share * 100).toFixed(1)} % from viewer-1`);
  report.check("viewer-1 bought all from the seeder", one.downloaded >= one.length, grouped(one.downloaded));
  if (free) return;

  // Before redeeming: the ledgers of payers and sellers about each other.
  report.equal(
    "what the viewers spent is what the sellers earned (2^-24 units)",
    one.spentFine + two.spentFine,
    one.earnedFine + BigInt(native.money.redeemable_fine) + (BigInt(native.money.redeemed) << FINE_BITS),
  );

  // Sellers redeem: the browser through its wallet, the native one by itself.
  await first.money();
  const promptsBefore = (await first.prompts()).length;
  await first.screenshot("money", { fullPage: true });
  const said = await first.press("redeem");
  report.check("viewer-1 redeems through its wallet", said.good, said.text);
  const prompts = await first.prompts();
  report.equal("redeeming took one prompt", prompts.length - promptsBefore, 1);
  await first.screenshot("redeemed", { fullPage: true });
  const redeemed = await seeder.ask("redeem");
  report.check(
    "the seeder redeems",
    redeemed.ok,
    JSON.stringify(redeemed.batches?.map((batch) => batch.transaction ?? batch.tx ?? batch)),
  );

  const redemptions = await chain.redemptions();
  const keys = page.walletKeys.map((key) => getAddress(key.address));
  const seederAddress = getAddress(config.seeder.address);
  const after = await balances(chain);
  const paidTo = (isPayee) => redemptions.filter((row) => isPayee(row.payee)).reduce((sum, row) => sum + row.net, 0n);
  const paidSeeder = paidTo((payee) => payee === seederAddress);
  const paidBrowser = paidTo((payee) => payee !== seederAddress);

  report.table("ledgers and chain, tokens", [
    ["seller", "ledger (exact)", "redeemable", "paid by the chain", "rests below one unit, all ranges"],
    row("seeder", BigInt(native.money.redeemable_fine), BigInt(native.money.redeemable), paidSeeder),
    row("viewer-1", one.money.redeemableFine, one.money.redeemable, paidBrowser),
  ]);
  report.equal(
    "the seeder's ledger is what the chain paid, to the last unit",
    BigInt(native.money.redeemable),
    paidSeeder,
  );
  report.equal("viewer-1's ledger is what the chain paid, to the last unit", one.money.redeemable, paidBrowser);
  const { money: rest } = await first.look();
  report.equal(
    "viewer-1's ledger says afterwards that it was redeemed",
    rest.redeemed - one.money.redeemed,
    paidBrowser,
  );
  report.equal("viewer-1's ledger has nothing left to redeem", rest.redeemable, 0n);
  report.equal(
    "the seeder's ledger says afterwards that it was redeemed",
    BigInt(redeemed.money.redeemed) - BigInt(native.money.redeemed),
    paidSeeder,
  );
  report.equal("the seeder's account holds it", after.seeder - before.seeder, paidSeeder);
  const deposit1 = (await chain.events()).find(
    (event) => event.name === "Opened" && getAddress(event.owner) === keys[0],
  );
  report.equal(
    "viewer-1's wallet holds it",
    after.wallets[0] - before.wallets[0] + deposit1.amount + deposit1.bond,
    paidBrowser,
  );

  // The rest of a viewer's deposit comes back.
  await second.money();
  const exit = await second.press("exit", true);
  report.check("viewer-2 asks for its deposit back", exit.good, exit.text);
  // The view follows the chain's answer, which comes after the button's.
  const stays = await second.tab
    .until(() => document.querySelector("#exit-state").checkVisibility(), undefined, { timeout: 10_000 })
    .then(
      () => true,
      () => false,
    );
  report.check("the date stays visible", stays, await second.tab.text("#exit-state"));
  await second.screenshot("exiting", { fullPage: true });
  await chain.passSeconds(config.exitDelaySeconds + 1);
  const withdrawn = await second.press("withdraw");
  report.check("viewer-2 withdraws after the waiting time", withdrawn.good, withdrawn.text);
  await second.screenshot("withdrawn", { fullPage: true });
  const paidBySecond = redemptions
    .filter((redemption) => redemption.owner === keys[1])
    .reduce((sum, redemption) => sum + redemption.net, 0n);
  const end = await balances(chain);
  report.equal(
    "viewer-2 paid what its sellers redeemed, and nothing else",
    before.wallets[1] - end.wallets[1],
    paidBySecond,
  );

  await gas(chain, [first, second], redemptions);
}

/** The cost of every kind of transaction. */
async function gas(chain, viewers, redemptions) {
  const rows = [["who", "asked by the wallet", "gas"]];
  const list = [];
  for (const viewer of viewers) {
    for (const prompt of await viewer.prompts()) {
      const receipts = await Promise.all(prompt.hashes.map((hash) => chain.receipt(hash)));
      rows.push([viewer.name, prompt.method, receipts.map((receipt) => grouped(receipt.gas)).join(" + ") || "none"]);
      list.push({ viewer: viewer.name, method: prompt.method, receipts });
      for (const receipt of receipts)
        report.check(`${viewer.name}: ${prompt.method} ${receipt.hash.slice(0, 10)} succeeded`, receipt.good);
    }
  }
  const seen = new Set(list.flatMap((entry) => entry.receipts.map((receipt) => receipt.hash)));
  for (const hash of new Set(redemptions.map((redemption) => redemption.transaction))) {
    if (seen.has(hash)) continue;
    const receipt = await chain.receipt(hash);
    const vouchers = redemptions.filter((redemption) => redemption.transaction === hash).length;
    rows.push(["seeder", `redeem, ${vouchers} vouchers`, grouped(receipt.gas)]);
    list.push({ viewer: "seeder", method: "redeem", receipts: [receipt] });
  }
  report.table("prompts and gas", rows);
  report.fact("prompts", list);
}

function row(name, fine, redeemable, paid) {
  return [name, fineText(fine), tokens(redeemable), tokens(paid), `${fine - (redeemable << FINE_BITS)}/2^24`];
}

/** The seeder's price is the configured one. A peer that asks another price is the reselling viewer. */
function nameOf(peer, seller) {
  return seller && peer.downloaded === seller.uploaded
    ? "viewer-1"
    : seller === null
      ? "seeder"
      : peer.downloaded > 0 && seller.uploaded > 0 && peer.buying.pricePerGB < seller.connections[0]?.buying.pricePerGB
        ? "viewer-1"
        : "seeder";
}

async function balances(chain) {
  const [seederHas, ...wallets] = await Promise.all(
    [config.seeder.address, ...page.walletKeys.map((key) => key.address)].map((address) => chain.balanceOf(address)),
  );
  return { seeder: seederHas, wallets };
}

/** SHA-256 of every MiB of a file on disk. */
async function hashesOf(path) {
  const file = await open(path, "r");
  const hashes = [];
  let length = 0;
  try {
    for (;;) {
      // A read may be short; a chunk is whole unless the file ends in it.
      const chunk = Buffer.alloc(MIB);
      let filled = 0;
      while (filled < MIB) {
        const { bytesRead } = await file.read(chunk, filled, MIB - filled, length + filled);
        if (bytesRead === 0) break;
        filled += bytesRead;
      }
      if (filled === 0) break;
      length += filled;
      hashes.push(createHash("sha256").update(chunk.subarray(0, filled)).digest("hex"));
      if (filled < MIB) break;
    }
  } finally {
    await file.close();
  }
  return { length, hashes };
}
