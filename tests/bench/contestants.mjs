// The contestants. Each has its pages in the same two browsers, and the same four steps: begin, warm, full, finish.
import { randomBytes } from "node:crypto";
import { closeSync, linkSync, openSync, readFileSync, writeSync } from "node:fs";
import { dirname, join } from "node:path";
import { folder, open, run, signaling } from "../browser/support/harness.mjs";
import { PRICE, Scene } from "../browser/support/paid/scene.mjs";
import { RemoteWallet } from "../browser/support/paid/wallet.mjs";
import { libtorrent, piecework } from "./native.mjs";
import { siteFor } from "./sites.mjs";

const MIB = 1 << 20;
const NAME = "content.bin";
/** Our piece length for such a size; the others are told to take the same. */
const PIECE_BYTES = 256 * 1024;

/** Random bytes in a file, in a folder of its own; each MiB of them is also shown to `seen`. */
export function content(bytes, seen = () => undefined) {
  const path = join(folder("bench"), NAME);
  const file = openSync(path, "w");
  for (let left = bytes; left > 0; left -= MIB) {
    const part = randomBytes(Math.min(left, MIB));
    writeSync(file, part);
    seen(part);
  }
  closeSync(file);
  return path;
}

/** The part that all contestants share. */
export class Surroundings {
  /** `replaced`: files that a site serves instead of the built ones. */
  constructor({ seeding, fetching, content, replaced = {} }) {
    Object.assign(this, { seeding, fetching, content, replaced });
  }

  /** The one signaling server that all peers announce to. */
  async tracker() {
    this.trackerUrl ??= await signaling();
    return this.trackerUrl;
  }

  /** The one chain. */
  async scene() {
    this.sceneOpened ??= await Scene.open();
    return this.sceneOpened;
  }

  /** A page of the contestant's site in each browser, `seeder` and `fetcher`. */
  async pages(contestant, page, strict) {
    contestant.origin = await siteFor({ files: { [`/${NAME}`]: this.content, ...this.replaced }, strict });
    const opened = [this.seeding, this.fetching].map(({ context }) =>
      open(context, `${contestant.origin}/${page}.html`),
    );
    [contestant.seeder, contestant.fetcher] = await Promise.all(opened);
  }
}

/** A page that seeds and a page that fetches, by a client of either kind. */
class PageToPage {
  /** Processes besides the two browsers. */
  extra = [];

  constructor(name, label) {
    Object.assign(this, { name, label });
  }

  get pages() {
    return [this.seeder, this.fetcher].filter(Boolean);
  }

  async begin(span) {
    for (const page of this.pages) await page.bringToFront();
    await this.fetcher.run(`begin("${this.torrent}", ${JSON.stringify(span)})`);
  }

  warm() {
    return this.fetcher.run("warm()");
  }

  full() {
    return this.fetcher.run("full()");
  }

  finish() {
    return this.fetcher.run("finish()");
  }
}

/** Ours, without money. */
export class Free extends PageToPage {
  constructor() {
    super("free", "Piecework, free");
  }

  async open(around) {
    await around.pages(this, "piecework", true);
    const options = { trackers: [await around.tracker()] };
    for (const page of this.pages) await page.run(`start(${JSON.stringify(options)})`);
    ({ torrent: this.torrent, pieceLength: this.pieceLength } = await this.seeder.run(
      `seed("/${NAME}", "free.bin", ${JSON.stringify(options)})`,
    ));
  }
}

/** Ours, paid for each block: a real chain, a real deposit, one page sells to the other. */
export class Paid extends PageToPage {
  constructor() {
    super("paid", "Piecework, paid per block");
  }

  async open(around) {
    const scene = await around.scene();
    const [buyer, seller] = [
      await RemoteWallet.start(scene.chain, scene.payer),
      await RemoteWallet.start(scene.chain, scene.payee),
    ];
    await buyer.injectInto(around.fetching.context);
    await seller.injectInto(around.seeding.context);
    await around.pages(this, "piecework", true);
    const trackers = [await around.tracker()];
    const { payments } = scene.options({ budget: "400" });
    for (const page of this.pages) await page.run(`start(${JSON.stringify({ trackers, payments })})`);
    await this.fetcher.run(`deposit("400")`);
    const options = { trackers, sellPricePerGB: String(PRICE) };
    ({ torrent: this.torrent, pieceLength: this.pieceLength } = await this.seeder.run(
      `seed("/${NAME}", "paid.bin", ${JSON.stringify(options)})`,
    ));
  }

  /** The seller takes its money between the runs: a buyer may owe it 64 ranges of 0.01 to 0.04 $ and no more. */
  async finish() {
    const end = await super.finish();
    if (end.spentFine === "0") throw new Error("nothing was paid in the paid transfer");
    return { ...end, redeemed: await this.seeder.run("redeem()") };
  }
}

/** WebTorrent to itself. */
export class WebTorrent extends PageToPage {
  constructor() {
    super("webtorrent", "WebTorrent to WebTorrent");
  }

  async open(around) {
    await around.pages(this, "webtorrent", false);
    const options = { trackers: [await around.tracker()] };
    for (const page of this.pages) await page.run(`start(${JSON.stringify(options)})`);
    ({ torrent: this.torrent, pieceLength: this.pieceLength } = await this.seeder.run(
      `seed("/${NAME}", "webtorrent.bin", { pieceLength: ${PIECE_BYTES} })`,
    ));
  }
}

/** Native seeders, and a page that fetches from all of them. */
class NativeToPage extends PageToPage {
  constructor(name, label, page, seeders) {
    super(name, label);
    Object.assign(this, { page, start: seeders });
  }

  async open(around) {
    const tracker = await around.tracker();
    this.origin = await siteFor({ files: around.replaced, strict: this.page === "piecework" });
    this.fetcher = await open(around.fetching.context, `${this.origin}/${this.page}.html`);
    await this.fetcher.run(`start(${JSON.stringify({ trackers: [tracker] })})`);
    // A name, and so an info hash, of its own: no other contestant's peer is in this swarm.
    const file = join(dirname(around.content), `${this.name}.bin`);
    linkSync(around.content, file);
    await run([
      "create",
      file,
      "--force",
      "--tracker",
      tracker,
      "--piece-length",
      String(PIECE_BYTES),
      "--output",
      `${file}.torrent`,
    ]);
    this.torrent = readFileSync(`${file}.torrent`).toString("base64");
    this.pieceLength = PIECE_BYTES;
    this.extra = await this.start(`${file}.torrent`);
  }
}

const seeders = (count, start, torrent) => Promise.all(Array.from({ length: count }, () => start(torrent)));

/** One native seeder to one page. */
export class Native extends NativeToPage {
  constructor() {
    super("native", "Piecework, native seeder to page", "piecework", (torrent) => seeders(1, piecework, torrent));
  }
}

/** Four native seeders to one page. */
export class Four extends NativeToPage {
  constructor() {
    super("four", "Piecework, four native seeders to page", "piecework", (torrent) => seeders(4, piecework, torrent));
  }
}

/** libtorrent to a page with WebTorrent. */
export class Libtorrent extends NativeToPage {
  constructor() {
    super("libtorrent", "libtorrent to WebTorrent", "webtorrent", (torrent) => seeders(1, libtorrent, torrent));
  }
}

/** A bare data channel from worker to worker, with our buffer limits. */
export class Raw {
  name = "raw";
  label = "data channel, worker to worker";
  extra = [];
  messageBytes = 65_535;

  async open(around) {
    await around.pages(this, "raw", false);
  }

  get pages() {
    return [this.seeder, this.fetcher];
  }

  async begin(span) {
    for (const page of this.pages) await page.bringToFront();
    const offer = await this.seeder.run(`offer(${this.messageBytes})`);
    const answer = await this.fetcher.run(`answer(${JSON.stringify(offer)}, ${JSON.stringify(span)})`);
    await this.seeder.run(`accept(${JSON.stringify(answer)})`);
  }

  warm() {
    return this.fetcher.run("warm()");
  }

  full() {
    return this.fetcher.run("full()");
  }

  async finish() {
    for (const page of this.pages) await page.run("finish()");
    return { wasted: 0, firstMs: null };
  }
}
