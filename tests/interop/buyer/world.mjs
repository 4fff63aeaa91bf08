// The buyer's surroundings: a signaling server, a local chain, and our native seeder of a small title with a price.
import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { Seeder } from "../../browser/support/demo/seeder.mjs";
import { ending, folder, signaling } from "../../browser/support/harness.mjs";
import { Channels } from "./channel.mjs";
import { Download, torrentOf } from "./download.mjs";
import { ethers } from "./ethers.mjs";
import { LocalChain, unknownSerials } from "./local_chain.mjs";
import { BLOCK, unitOf } from "./numbers.mjs";
import { Peer } from "./peer.mjs";
import { Records } from "./records.mjs";
import { ZERO32 } from "./voucher.mjs";

const here = dirname(fileURLToPath(import.meta.url));
const piecework = join(process.env.PIECEWORK_BINARIES ?? join(here, "../../../target/debug"), "piecework");

/** 10 tokens per 10^9 bytes: one serial of 0.01 token pays 61 blocks. */
const PRICE = "10";
export const UNIT = unitOf(10_000_000n);
export const TRANCHE = 10_000n;
export const AMOUNT = 2_000_000n;
const BOND = 2_500_000n;
/** Shorter than a seller allows, so that the buyer folds while the title is small. */
const LONGEST_CHAIN = 24;
const PIECE = 4 * BLOCK;
/** The last block is a short one, and costs what any other does. */
export const BLOCKS = 90;
export const PIECES = 23;
const LENGTH = BLOCKS * BLOCK - 100;

/** A signaling server, a chain, a seeder of a title, and a buyer with an account. */
export class World {
  static async start() {
    const world = new World();
    const [tracker, chain] = [await signaling(), await LocalChain.start()];
    Object.assign(world, { tracker, chain, bytes: randomBytes(LENGTH) });
    world.torrent = torrentOf({ name: "title.bin", bytes: world.bytes, pieceLength: PIECE, tracker });
    world.account = await chain.open({
      sessionKey: ethers.hexlify(randomBytes(32)),
      tranche: TRANCHE,
      amount: AMOUNT,
      bond: BOND,
    });
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
    const where = [
      "--vault",
      this.chain.vault,
      "--token",
      this.chain.token,
      "--chain-id",
      String(this.chain.chainId),
      "--rpc",
      this.chain.rpc,
    ];
    const files = [
      join(path, "title.torrent"),
      "--data",
      path,
      "--state",
      join(path, "state"),
      "--payee-key",
      join(path, "payee.key"),
    ];
    this.seeder = await Seeder.take({
      command: [
        piecework,
        "seed",
        ...files,
        "--no-stun",
        "--price",
        PRICE,
        "--redeem-every",
        "0",
        ...where,
        "--json",
        "--stdin-commands",
      ],
    });
    ending(() => this.seeder.close());
  }

  /** A visit: connects to the seeder with the records that are on disk, as a program that was started just now. */
  async visit(body) {
    const records = new Records(this.recordsPath);
    assert.deepEqual(await unknownSerials(this.chain, this.account.id, records), []);
    Object.assign(this.account, await this.chain.state(this.account.id));
    const peerId = Buffer.concat([Buffer.from("-XX0001-"), randomBytes(12)]);
    const limits = { ceiling: UNIT, budget: AMOUNT << 24n, content: ZERO32 };
    const channel = await this.channels.connect({ tracker: this.tracker, infoHash: this.torrent.infoHash, peerId });
    const peer = new Peer({
      peerId,
      records,
      limits,
      account: this.account,
      download: this.download,
      longestChain: LONGEST_CHAIN,
      send: channel.send,
    });
    peer.begin();
    channel.listen(
      (bytes) => peer.read(bytes),
      () => peer.close(),
    );
    try {
      await body(peer, records);
    } finally {
      peer.close();
      await channel.close();
    }
  }

  /** The download after a crash: the verified pieces are here, the requests are gone. */
  crash() {
    this.download = new Download(this.torrent, this.download.pieces);
  }
}
