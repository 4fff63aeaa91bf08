// The memory that a transfer and a long stream hold: JavaScript heap, array buffers and WebAssembly memory of page,
// worker and service worker, and the renderer's resident memory. Each contestant is alone in a new pair of browsers.
import { createHash } from "node:crypto";
import { linkSync, readFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { setTimeout as after } from "node:timers/promises";
import { open, run, signaling } from "../browser/support/harness.mjs";
import { Free, Paid, Surroundings, WebTorrent, content } from "./contestants.mjs";
import { inspectable } from "../browser/support/browsers/devtools.mjs";
import { Heaps } from "../browser/support/browsers/heaps.mjs";
import { piecework } from "./native.mjs";
import { browserOf, tree, typeOf } from "./processes.mjs";
import { siteFor } from "./sites.mjs";

const MIB = 1 << 20;
const EVERY_MS = 250;
const CONTENT_BYTES = 128 * MIB;
/** All but the warm-up and the bytes that may come in one lump with it. */
const WINDOW_BYTES = 64 * MIB;
const STREAM_BYTES = 1024 * MIB;
const QUICK_STREAM_BYTES = 192 * MIB;
/** A stream that brings nothing for this long is broken. */
const STALL_MS = 60_000;
const SAY_EVERY_BYTES = 128 * MIB;

export async function memory(config, out) {
  if (!config.quick) for (const Contestant of [Free, Paid, WebTorrent]) await ofTransfer(new Contestant(), out);
  await ofStream(config.quick ? QUICK_STREAM_BYTES : STREAM_BYTES, out);
}

async function ofTransfer(one, out) {
  const sides = { seeder: await inspectable(), fetcher: await inspectable() };
  await one.open(new Surroundings({ seeding: sides.seeder, fetching: sides.fetcher, content: content(CONTENT_BYTES) }));
  const watchers = {};
  for (const [side, { devtools, profile }] of Object.entries(sides))
    watchers[side] = await Watcher.start(devtools, one.origin, browserOf(profile));
  await one.begin({ warmUpMs: 1_000, windowBytes: WINDOW_BYTES });
  let going = true;
  const full = one.full().finally(() => (going = false));
  while (going) {
    for (const watcher of Object.values(watchers)) await watcher.look();
    await Promise.race([full, after(EVERY_MS)]);
  }
  await full;
  for (const [side, watcher] of Object.entries(watchers))
    out.result("memory", { contestant: one.name, label: one.label, side, ...watcher.peaks() });
  const peak = watchers.fetcher.peaks();
  out.say(
    `${one.label}, fetching: at most ${mb(peak.sum)} MB (heap ${mb(peak.js)}, buffers ${mb(peak.buffers)}, ` +
      `wasm ${mb(peak.wasm)}), renderer ${mb(peak.rss)} MB resident`,
  );
  await one.finish();
  for (const { context } of Object.values(sides)) await context.close();
}

/**
 * The test reads a file of this length from begin to end through the service worker, as a player reads, and compares
 * every MiB.
 */
async function ofStream(bytes, out) {
  const hashes = [];
  const path = content(bytes, (part) => hashes.push(createHash("sha256").update(part).digest("hex")));
  const tracker = await signaling();
  const torrent = join(dirname(path), "film.bin.torrent");
  linkSync(path, join(dirname(path), "film.bin"));
  await run(["create", join(dirname(path), "film.bin"), "--tracker", tracker, "--output", torrent]);
  await piecework(torrent);
  out.say(`a file of ${bytes / MIB} MiB: seeded`);
  const { context, devtools, profile } = await inspectable();
  const origin = await siteFor({ strict: true });
  const page = await open(context, `${origin}/piecework.html`);
  await page.run(`start(${JSON.stringify({ trackers: [tracker] })})`);
  await page.run(`take("${readFileSync(torrent).toString("base64")}")`);
  const watcher = await Watcher.start(devtools, origin, browserOf(profile));
  await page.run("read()");
  let moved = Date.now();
  for (let [at, said] = [0, 0]; at < hashes.length; ) {
    const come = await page.run(`come(${at})`);
    if (come.length > 0) moved = Date.now();
    else if (Date.now() > moved + STALL_MS)
      throw new Error(`the stream stands still after ${at} MiB: ${await page.run("stand()")}`);
    for (const hash of come)
      if (hash !== hashes[at++]) throw new Error(`MiB ${at - 1} of the stream is not what was seeded`);
    const now = await watcher.look();
    out.result("stream sample", { bytes: at * MIB, ...now });
    if (at * MIB >= said + SAY_EVERY_BYTES) {
      said = at * MIB;
      out.say(
        `${at} MiB read: ${mb(now.sum)} MB (page ${mb(now.page)}, worker ${mb(now.worker)}, service worker ` +
          `${mb(now.service_worker)}; wasm ${mb(now.wasm)}), renderer ${mb(now.rss)} MB resident`,
      );
    }
    if (at < hashes.length) await after(EVERY_MS);
  }
  const ms = await page.run("readingMs()");
  out.result("stream", { bytes, ms, mbPerSecond: bytes / ms / 1e3, ...watcher.peaks() });
}

/** Looks at one site in one browser and keeps the most that it saw. */
class Watcher {
  #peaks = {};

  static async start(devtools, origin, root) {
    const watcher = new Watcher();
    watcher.heaps = new Heaps(devtools, origin);
    await watcher.heaps.find();
    watcher.root = root;
    watcher.before = new Map(renderers(root).map(({ pid, cpu }) => [pid, cpu]));
    return watcher;
  }

  async look() {
    const now = { ...(await this.heaps.look()), rss: this.#rss() };
    for (const [name, value] of Object.entries(now)) this.#peaks[name] = Math.max(this.#peaks[name] ?? 0, value);
    return now;
  }

  /** The most of each; `sum` is the most at one time, not the sum of the others. */
  peaks() {
    return this.#peaks;
  }

  /** Of the renderer that works the most: the one page's. */
  #rss() {
    const worked = ({ pid, cpu }) => cpu - (this.before.get(pid) ?? 0);
    return renderers(this.root).toSorted((a, b) => worked(b) - worked(a))[0]?.rss ?? 0;
  }
}

const renderers = (root) => tree([root]).filter(({ pid }) => typeOf(pid) === "renderer");
const mb = (bytes) => Math.round(bytes / 1e6);
