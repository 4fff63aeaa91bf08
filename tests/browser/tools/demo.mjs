// The demo played through without a person: two viewers in profiles of their own, a paid seeder, a real chain. It ends
// with 0 only when every check holds.
//
//   node tests/browser/tools/demo.mjs [CONFIG.json]
//
// CONFIG may also come as PIECEWORK_DEMO_CONFIG. `cargo xtask demo --headless` writes it.
import { execFile } from "node:child_process";
import { createHash } from "node:crypto";
import { copyFile, mkdir, open, readFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { promisify } from "node:util";
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
/** What the publisher signed: addresses, the creator's share, and the file that names the contracts. */
const { publisher, creator, creatorKey, sharePercent, deployment } = config.title;
/** Hundredths of a percent. */
const bps = BigInt(Math.round(Number(sharePercent) * 100));
/** What the buyers' pages say of a seller that leaves the creator out. */
const NO_SHARE = /does not sell under this title's registration/;
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
  const unsigned = config.unsignedSeller ? await Seeder.take(config.unsignedSeller) : null;
  if (unsigned) open_.push(unsigned);
  const original = await hashesOf(config.content);
  const url = `${config.page}?wallet=auto`;
  const start = (name, kind) => Viewer.open(name, { kind, paths: config.viewers.programs, url, screenshots: folder });

  const before = await balances(chain);
  const title = await published(chain);

  const first = await start("viewer-1", kinds[0]);
  open_.push(first);
  await watch(first, 1, original, title);
  await copyFile(join(folder, "viewer-1-playing.png"), config.screenshot);

  const second = await start("viewer-2", kinds.at(-1));
  open_.push(second);
  await watch(second, 2, original, title);
  await Promise.all([first.settled(), second.settled()]);

  if (unsigned) await soldNothing(unsigned, [first, second]);
  await account(chain, seeder, first, second, before, title);
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
    atFailure(seeder.name, JSON.stringify(await seeder.ask("stats").catch((lost) => lost.message)));
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

/** A command of `piecework`; what it answers. */
async function piecework(...words) {
  const { stdout } = await promisify(execFile)(config.piecework, [...words, "--json"]);
  return JSON.parse(stdout);
}

/** Before anything is paid: who published the film and who is credited, by its torrent and by the chain. */
async function published(chain) {
  const asked = free ? [] : ["--deployment", deployment];
  const { info_hash: infoHash, title, magnet } = await piecework("info", config.torrentFile, ...asked);
  report.check(
    "the film is signed by its publisher, and the signature fits",
    title.signed && title.fits && getAddress(title.publisher) === getAddress(publisher),
    title.publisher,
  );
  report.equal("its title names the creator", getAddress(title.creator), getAddress(creator));
  report.equal("its title names the creator's share, in percent", title.share_percent, sharePercent);
  report.equal("the page opens the link that names publisher and title", page.magnet, magnet);
  report.check("the link names the publisher", magnet.includes(`pw.by=${publisher.slice(2).toLowerCase()}`));
  if (free) {
    report.check("a free film is registered nowhere", !magnet.includes("pw.content="));
    return { ...title, infoHash };
  }
  const { same_words: sameWords, registration, earlier } = title.registry_looked_at;
  report.check("the chain has the title with the words that were signed", sameWords === true);
  report.check("nobody registered the film before", earlier === null);
  report.equal("the chain names the creator", getAddress(registration.creator), getAddress(creator));
  report.equal("nothing is credited before the first sale", await chain.creditOf(creator), 0n);
  return { ...title, infoHash };
}

/** What the page says of the publisher, before anything is paid, against what `piecework info` says of the torrent. */
async function saysWhoPublished(viewer, title) {
  const { infoHash } = await viewer.tab.evaluate(() => ({ infoHash: window.pieceworkPlayer.app.title.look.infoHash }));
  report.equal(`${viewer.name}: opened the film that ${publisher} signed`, infoHash, title.infoHash);
  // The page says it where there is something to pay.
  if (free) return;
  await viewer.tab.until(() => document.querySelector("#published .piecework-title")?.dataset.state === "registered");
  const said = await viewer.tab.evaluate(() => document.querySelector("#published").textContent);
  const words = [getAddress(publisher), getAddress(creator), title.id, `${sharePercent} % of every sale`];
  for (const word of words) report.check(`${viewer.name}: the page says before it pays: ${word}`, said.includes(word));
}

/** The viewers met a cheaper seller of the same film that leaves the creator out, and bought nothing of it. */
async function soldNothing(seller, viewers) {
  console.log("\na seller without the title");
  for (const viewer of viewers) {
    const { connections } = await viewer.look();
    const met = connections.filter((peer) => NO_SHARE.test(peer.buying.note));
    report.check(
      `${viewer.name}: met the cheaper seller that quotes no title, and says why it buys nothing`,
      met.length > 0,
    );
    report.check(
      `${viewer.name}: bought nothing of it`,
      met.every((peer) => peer.downloaded === 0 && peer.buying.paidFine === 0n),
    );
  }
  const { money, torrents } = await seller.ask("stats");
  const sent = torrents.reduce((sum, torrent) => sum + torrent.uploaded, 0);
  report.equal("the seller without the title sent nothing", sent, 0);
  report.equal("and earned nothing", BigInt(money.redeemable_fine) + BigInt(money.redeemed), 0n);
}

/** One viewer from the empty page to the whole file: the first one, whose only seller is the seeder, or the second. */
async function watch(viewer, wallet, original, title) {
  console.log(`\n${viewer.name}, ${viewer.tab.browser}`);
  report.fact(`${viewer.name} browser`, viewer.tab.browser);
  report.check(`${viewer.name}: the wallet is not asked before a gesture`, (await viewer.prompts()).length === 0);
  await viewer.screenshot("open");
  const offer = await viewer.openMagnet(page.magnet, free ? 0 : wallet);
  await saysWhoPublished(viewer, title);
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
async function account(chain, seeder, first, second, before, title) {
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
  const paidTo = (isPayee) => sums(redemptions.filter((row) => isPayee(row.payee)));
  // A ledger counts what the buyers paid until it is redeemed, and then what the seller got after the creator's share.
  const seederPaid = paidTo((payee) => payee === seederAddress);
  const browserPaid = paidTo((payee) => payee !== seederAddress);
  const [paidSeeder, paidBrowser] = [seederPaid.gross, browserPaid.gross];

  report.table("ledgers and chain, tokens", [
    ["seller", "ledger (exact)", "redeemable", "paid by the chain", "the creator's", "its own", "rests, all ranges"],
    row("seeder", BigInt(native.money.redeemable_fine), BigInt(native.money.redeemable), seederPaid),
    row("viewer-1", one.money.redeemableFine, one.money.redeemable, browserPaid),
  ]);
  report.equal(
    "the seeder's ledger is what the chain paid, to the last unit",
    BigInt(native.money.redeemable),
    paidSeeder,
  );
  report.equal("viewer-1's ledger is what the chain paid, to the last unit", one.money.redeemable, paidBrowser);
  const { money: rest } = await first.look();
  report.equal(
    "viewer-1's ledger says afterwards what it got of it",
    rest.redeemed - one.money.redeemed,
    browserPaid.net,
  );
  report.equal("viewer-1's ledger has nothing left to redeem", rest.redeemable, 0n);
  report.equal(
    "the seeder's ledger says afterwards what it got of it",
    BigInt(redeemed.money.redeemed) - BigInt(native.money.redeemed),
    seederPaid.net,
  );
  report.equal("the seeder's account holds it less the share", after.seeder - before.seeder, seederPaid.net);
  const deposit1 = (await chain.events()).find(
    (event) => event.name === "Opened" && getAddress(event.owner) === keys[0],
  );
  report.equal(
    "viewer-1's wallet holds it less the share",
    after.wallets[0] - before.wallets[0] + deposit1.amount + deposit1.bond,
    browserPaid.net,
  );
  await credited(chain, redemptions, title);

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
    .reduce((sum, redemption) => sum + redemption.gross, 0n);
  const end = await balances(chain);
  report.equal(
    "viewer-2 paid what its sellers redeemed, and nothing else",
    before.wallets[1] - end.wallets[1],
    paidBySecond,
  );

  await gas(chain, [first, second], redemptions);
}

/** The creator's share of everything that was redeemed, on the chain and then in the creator's own account. */
async function credited(chain, redemptions, title) {
  const { gross, cut } = sums(redemptions);
  const share = redemptions.reduce((sum, row) => sum + (row.gross * bps) / 10_000n, 0n);
  report.check("some of it is the creator's", cut > 0n && cut < gross, `${tokens(cut)} of ${tokens(gross)}`);
  report.check(
    "every redemption was under the title's registration",
    redemptions.every((row) => row.content === title.id),
    title.id,
  );
  report.equal("the creator has its share of each redemption, to the last unit", cut, share);
  report.equal("the vault's credit of the creator is the sum of them", await chain.creditOf(creator), share);
  const held = await chain.balanceOf(creator);
  await piecework("claim", "--owner-key", creatorKey, "--deployment", deployment);
  report.equal("the creator claims it, and has the tokens", (await chain.balanceOf(creator)) - held, share);
  report.equal("nothing is left of the credit", await chain.creditOf(creator), 0n);
}

/** Of redemptions: what the buyers paid, the creator's part, and the sellers'. */
function sums(redemptions) {
  const sum = (name) => redemptions.reduce((all, row) => all + row[name], 0n);
  return { gross: sum("gross"), cut: sum("cut"), net: sum("net") };
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
  const parts = [paid.gross, paid.cut, paid.net].map(tokens);
  return [name, fineText(fine), tokens(redeemable), ...parts, `${fine - (redeemable << FINE_BITS)}/2^24`];
}

/** The seeder's price is the configured one. A peer that asks another price is the reselling viewer. */
function nameOf(peer, seller) {
  return seller && peer.downloaded === seller.uploaded
    ? "viewer-1"
    : seller === null
      ? "seeder"
      : peer.downloaded > 0 && seller.uploaded > 0 && peer.buying.pricePerGB < boughtAt(seller)
        ? "viewer-1"
        : "seeder";
}

/** The price at which a viewer bought. */
function boughtAt(viewer) {
  return viewer.connections.find((peer) => peer.downloaded > 0)?.buying.pricePerGB;
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
