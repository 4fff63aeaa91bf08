// A buyer in plain JavaScript, written from docs/protocol.md and docs/vectors alone: no line of it is the crate's or the package's. First every
// file of vectors against its code; then it pays our native seeder for a small title on a local chain: it folds, crashes, is shown a STATE,
// comes back, and holds what the vault pays against its own ledger.
import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { Seeder } from "../browser/demo/seeder.mjs";
import { cleanUp, ending, folder, signaling } from "../browser/harness.mjs";
import { Channels } from "./buyer/channel.mjs";
import { Download, torrentOf } from "./buyer/download.mjs";
import { ethers } from "./buyer/ethers.mjs";
import { LocalChain, unknownSerials } from "./buyer/local_chain.mjs";
import { BLOCK, due, owed, unitOf, usableSteps } from "./buyer/numbers.mjs";
import { Peer } from "./buyer/peer.mjs";
import { Records } from "./buyer/records.mjs";
import { checks } from "./buyer/vectors.mjs";
import { ZERO32 } from "./buyer/voucher.mjs";

const here = dirname(fileURLToPath(import.meta.url));
const piecework = join(process.env.PIECEWORK_BINARIES ?? join(here, "../../target/debug"), "piecework");

/** 10 tokens per 10^9 bytes: one serial of 0.01 token pays 61 blocks. */
const PRICE = "10";
const UNIT = unitOf(10_000_000n);
const TRANCHE = 10_000n;
const AMOUNT = 2_000_000n;
const BOND = 2_500_000n;
/** Shorter than a seller allows, so that it folds while the title is small. */
const LONGEST_CHAIN = 24;
const PIECE = 4 * BLOCK;
/** 90 blocks in 23 pieces; the last block is a short one, and costs what any other does. */
const LENGTH = 90 * BLOCK - 100;
const BLOCKS = 90;

/** A signaling server, a chain, a seeder of a title, and a buyer with an account. */
class World {
  static async start() {
    const world = new World();
    const [tracker, chain] = [await signaling(), await LocalChain.start()];
    Object.assign(world, { tracker, chain, bytes: randomBytes(LENGTH) });
    world.torrent = torrentOf({ name: "title.bin", bytes: world.bytes, pieceLength: PIECE, tracker });
    world.account = await chain.open({ sessionKey: ethers.hexlify(randomBytes(32)), tranche: TRANCHE, amount: AMOUNT, bond: BOND });
    world.recordsPath = join(folder("buyer"), "session.records");
    world.download = new Download(world.torrent);
    await world.#startSeeder();
    world.channels = await Channels.start();
    return world;
  }

  async #startSeeder() {
    const path = folder("seeder");
    const payee = ethers.Wallet.createRandom();
    this.payee = payee.address.toLowerCase();
    await this.chain.fund(this.payee);
    writeFileSync(join(path, "title.bin"), this.bytes);
    writeFileSync(join(path, "title.torrent"), this.torrent.torrentFile);
    writeFileSync(join(path, "payee.key"), `${payee.privateKey}\n`, { mode: 0o600 });
    const where = ["--vault", this.chain.vault, "--token", this.chain.token, "--chain-id", String(this.chain.chainId), "--rpc", this.chain.rpc];
    const files = [join(path, "title.torrent"), "--data", path, "--state", join(path, "state"), "--payee-key", join(path, "payee.key")];
    this.seeder = await Seeder.take({ command: [piecework, "seed", ...files, "--price", PRICE, "--redeem-every", "0", ...where, "--json", "--stdin-commands"] });
    ending(() => this.seeder.close());
  }

  /** A visit: connects to the seeder with the records that are on disk, as a program does that was started just now. */
  async visit(body) {
    const records = new Records(this.recordsPath);
    assert.deepEqual(await unknownSerials(this.chain, this.account.id, records), []);
    Object.assign(this.account, await this.chain.state(this.account.id));
    const peerId = Buffer.concat([Buffer.from("-XX0001-"), randomBytes(12)]);
    const limits = { ceiling: UNIT, budget: AMOUNT << 24n, content: ZERO32 };
    const early = [];
    const out = { send: (bytes) => early.push(bytes) };
    const send = (bytes) => out.send(bytes);
    const peer = new Peer({ peerId, records, limits, send, account: this.account, download: this.download, longestChain: LONGEST_CHAIN });
    const channel = await this.channels.connect({ tracker: this.tracker, infoHash: this.torrent.infoHash, peerId, read: (bytes) => peer.read(bytes), closed: () => peer.close() });
    out.send = channel.send;
    peer.begin();
    try {
      await body(peer, records);
    } finally {
      peer.close();
      await channel.close();
    }
  }

  /** Blocks that are here, by the pieces. */
  blocks() {
    return [...this.download.pieces.values()].reduce((sum, bytes) => sum + Math.ceil(bytes.length / BLOCK), 0);
  }

  /** The download after a crash: what was verified is here, what was asked for is not. */
  crash() {
    this.download = new Download(this.torrent, this.download.pieces);
  }

  /** What each range on record is worth to the payee, in token units, by first serial. */
  ledger() {
    const ranges = [...new Records(this.recordsPath).ranges.values()];
    return new Map(ranges.map(({ first, count, revealed }) => [first, due({ count, base: revealed, unit: 0n }, 0, TRANCHE)]));
  }
}

const said = (peer, name) => peer.payments.log.filter(([what]) => what === name);

/** The first visit: one piece of several blocks, then as many as it takes to fold, then a crash. */
async function buysAndCrashes(world) {
  await world.visit(async (peer, records) => {
    await peer.fetch(1);
    assert.equal(records.revealed(), owed({ base: 0n, unit: UNIT }, 4), "four blocks are four steps");
    await peer.fetch(7);
    assert.ok(said(peer, "fold").length > 0, "28 blocks do not fit a chain of 24 steps");
    assert.equal(records.revealed(), owed({ base: 0n, unit: UNIT }, 28));
    assert.ok(new Records(world.recordsPath).revealed() < records.revealed(), "the last steps are not on record");
  });
  world.crash();
}

/** The second visit: the records are behind, and a STATE shows by how much; then it buys on, over two ranges, and says BYE. */
async function comesBackByState(world) {
  await world.visit(async (peer, records) => {
    await peer.fetch(8);
    assert.equal(said(peer, "STATE").length, 1);
    assert.equal(records.revealed(), owed({ base: 0n, unit: UNIT }, 32), "nothing was paid twice");
    await peer.fetch(15);
    assert.equal(records.revealed(), owed({ base: 0n, unit: UNIT }, 60));
    peer.leave();
  });
}

/** The third visit: the records are right, so its fold is taken; the seller redeems while it is there. */
async function buysTheRest(world) {
  await world.visit(async (peer, records) => {
    await peer.fetch(23);
    assert.equal(said(peer, "STATE").length, 0);
    assert.equal(records.revealed(), owed({ base: 0n, unit: UNIT }, BLOCKS));
    assert.ok(records.ranges.size >= 2 && [...records.ranges.values()].every(({ count, revealed }) => usableSteps({ count, q: TRANCHE, paid: revealed, unit: UNIT }) >= 0n));
    peer.leave();
  });
  const whole = Buffer.concat(Array.from({ length: 23 }, (_, piece) => world.download.pieces.get(piece)));
  assert.ok(whole.equals(world.bytes), "the title is the seeder's");
}

/** The seller redeems: the vault pays each range what the buyer's ledger says. */
async function redeems(world) {
  const answer = await world.seeder.ask("redeem");
  const redemptions = await world.chain.reader.redemptions();
  const paid = new Map(redemptions.map(({ first, net }) => [Number(first), net]));
  const ledger = new Map([...world.ledger()].filter(([, units]) => units > 0n));
  assert.deepEqual([...paid].sort(), [...ledger].sort(), JSON.stringify(answer));
  const sum = [...ledger.values()].reduce((a, b) => a + b, 0n);
  for (const { payee, owner } of redemptions) assert.deepEqual([payee.toLowerCase(), owner.toLowerCase()], [world.payee, world.account.owner]);
  assert.equal(await world.chain.reader.balanceOf(world.payee), sum);
  const { balance, consumed } = await world.chain.state(world.account.id);
  assert.equal(balance, AMOUNT - sum);
  assert.equal(consumed, 1 + [...new Records(world.recordsPath).ranges.values()].filter(({ first }) => ledger.has(first)).reduce((serials, { count }) => serials + count, 0));
}

/** Runs all of them, each as one of `test`'s. */
export async function buyer(test) {
  for (const [file, check] of Object.entries(checks)) await test(`buyer: its code agrees with ${file}`, check);
  let world;
  const step = (name, body) => test(`buyer: ${name}`, async () => body(await (world ??= World.start())));
  await step("pays a piece of several blocks, folds, and crashes", buysAndCrashes);
  await step("is shown a STATE, and buys on from there", comesBackByState);
  await step("comes back with records that are right, and buys the rest", buysTheRest);
  await step("the vault pays what its ledger says", redeems);
  await cleanUp();
}

// By itself: `node buyer.mjs`.
if (process.argv[1] && import.meta.url === new URL(`file://${process.argv[1]}`).href) {
  let [passed, failed] = [0, 0];
  await buyer(async (name, body) => {
    try {
      await body();
      passed++;
      console.log(`ok      ${name}`);
    } catch (error) {
      failed++;
      console.log(`FAILED  ${name}\n${error.stack ?? error}`);
    }
  });
  console.log(`${passed} passed, ${failed} failed`);
  process.exit(failed > 0 ? 1 : 0);
}
