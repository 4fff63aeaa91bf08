// Thirty native peers for one page.
import assert from "node:assert/strict";
import { join } from "node:path";
import { inspectable } from "../support/browsers/devtools.mjs";
import { Heaps } from "../support/browsers/heaps.mjs";
import { folder, open, signaling, site } from "../support/harness.mjs";
import { film } from "../support/swarm.mjs";
import { test } from "../support/tests.mjs";

const MIB = 1 << 20;
const LENGTH = 24 * MIB;
const SEEDERS = 30;
/** The memory that the page's connections may hold beside the file: page, worker and wasm together. */
const GROWTH = 64 * MIB;
/** A page that is busy for so long is no longer pleasant to look at. */
const LONGEST_FRAME_MS = 3_000;
/** Connections being made, besides those that are open (`Limits::max_pending_connections`). */
const PENDING = 20;

/** Thirty seeders with states of their own, each at 80 kB/s. */
async function crowd() {
  const tracker = await signaling();
  const shared = await film(tracker, LENGTH);
  const states = folder("states");
  await Promise.all(
    Array.from({ length: SEEDERS }, (_, at) => shared.seed("--upload-limit", "80K", "--state", join(states, `${at}`))),
  );
  return shared;
}

/**
 * Notes the number of connections that are up at once, and the times of the page's frames. Runs before the page's
 * scripts.
 */
function watch() {
  const seen = { open: 0, mostOpen: 0, longestFrame: 0 };
  window.seen = seen;
  window.RTCPeerConnection = class extends RTCPeerConnection {
    #counted = false;
    constructor(...arguments_) {
      super(...arguments_);
      this.addEventListener("connectionstatechange", () => this.#count(this.connectionState === "connected"));
    }
    close() {
      this.#count(false);
      super.close();
    }
    #count(open) {
      if (open === this.#counted) return;
      this.#counted = open;
      seen.open += open ? 1 : -1;
      seen.mostOpen = Math.max(seen.mostOpen, seen.open);
    }
  };
  let last = performance.now();
  const frame = (now) => {
    seen.longestFrame = Math.max(seen.longestFrame, now - last);
    last = now;
    requestAnimationFrame(frame);
  };
  requestAnimationFrame(frame);
}

/** A page with this cap on connections fetches everything. Answers the notes of that time. */
async function fetched(shared, options) {
  const url = await site();
  const { context, devtools } = await inspectable();
  await context.addInitScript(watch);
  const page = await open(context, url);
  await page.run(`start(${JSON.stringify(options)})`);
  await page.run("client.stats().then(() => true)");
  const heaps = new Heaps(devtools, url);
  await heaps.find();
  const before = (await heaps.look()).sum;
  await page.run("(seen.longestFrame = 0, true)");
  await page.run(`add("${shared.torrent}")`);

  /** The bytes that each peer sent, by its number. */
  const brought = new Map();
  let [going, most, peak] = [true, 0, before];
  const done = page.run("done()").finally(() => (going = false));
  while (going) {
    const peers = await page.run(
      "torrent.stats().then(({ peers }) => peers.map(({ id, downloaded }) => ({ id, downloaded })))",
    );
    for (const { id, downloaded } of peers) brought.set(id, downloaded);
    most = Math.max(most, peers.length);
    peak = Math.max(peak, (await heaps.look()).sum);
    await Promise.race([done, page.run("pieces(4)")]);
  }
  await done;
  assert.equal(await page.run("digest()"), shared.digest);
  assert.deepEqual([page.errors, await page.run("said")], [[], []]);
  const { mostOpen, longestFrame } = await page.run("seen");
  const givers = [...brought.values()].filter((bytes) => bytes > 0).length;
  if (process.env.PIECEWORK_TEST_VERBOSE) {
    console.log(
      `  ${most} peers (${mostOpen} connections), ${givers} served; ` +
        `grew by ${((peak - before) / MIB).toFixed(1)} MiB; longest frame ${Math.round(longestFrame)} ms`,
    );
  }
  assert.ok(peak - before < GROWTH, `${peak - before} bytes more than before`);
  assert.ok(longestFrame < LONGEST_FRAME_MS, `a frame took ${longestFrame} ms`);
  return { most, mostOpen, givers };
}

test("a page with room for 8 connections among 30 native seeders finds about as many, and they serve", async () => {
  const { most, mostOpen, givers } = await fetched(await crowd(), { maxConnections: 8 });
  assert.ok(most <= 8, `${most} peers`);
  assert.ok(mostOpen <= 8 + PENDING, `${mostOpen} connections`);
  // At first there are five at once. Then the server may pass an offer on to a peer that is connected, again and again.
  assert.ok(givers >= 6, `${givers} served`);
});

test("a page without a cap among 30 native seeders is served by most of them, and stays small and quick", async () => {
  const { most, givers } = await fetched(await crowd(), {});
  assert.ok(most <= SEEDERS, `${most} peers`);
  assert.ok(givers >= 15, `${givers} served`);
});
