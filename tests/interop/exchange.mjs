// One exchange: one peer seeds, another fetches, and the test checks the hash of every file where it arrived.
import assert from "node:assert/strict";
import { statSync } from "node:fs";
import { dirname, join } from "node:path";

/** Far more than any exchange takes, on however busy a machine. */
const LIMIT_MS = 180_000;

const magnetOf = (infoHash, tracker) => `magnet:?xt=urn:btih:${infoHash}&tr=${encodeURIComponent(tracker)}`;

/** The bytes that arrived at `peer` are the bytes that were sent. */
async function check(peer, infoHash, content) {
  assert.deepEqual(await peer.digests(infoHash), content.digests, `what ${peer.name} received is not what was sent`);
}

/** Bytes of all files. */
export function lengthOf(content) {
  return Object.keys(content.digests).reduce((sum, path) => sum + statSync(join(dirname(content.path), path)).size, 0);
}

/**
 * Runs `body`, which reports its step and its torrent. If it fails or is not done in time, reports the state of every
 * peer. In the end no peer has the torrent.
 */
async function among(peers, body) {
  let infoHash;
  let doing;
  let timer;
  const at = (what, hash = infoHash) => ([doing, infoHash] = [what, hash]);
  const late = new Promise((_, reject) => {
    timer = setTimeout(() => reject(new Error(`not done after ${LIMIT_MS / 1000} s`)), LIMIT_MS);
  });
  let failure;
  try {
    await Promise.race([body(at), late]);
  } catch (error) {
    failure = error;
    failure.message += `\n  while ${doing}`;
    for (const peer of peers) failure.message += `\n  ${peer.name}: ${await peer.state(infoHash).catch(String)}`;
  }
  clearTimeout(timer);
  const removed = await Promise.allSettled(peers.map((peer) => peer.remove(infoHash)));
  for (const { reason } of removed) failure ??= reason;
  if (failure) throw failure;
}

/** The seeder makes a torrent of this content; the fetcher has nothing but the magnet link. */
export function byMagnet({ seeder, fetcher, tracker }, content) {
  return among([seeder, fetcher], async (at) => {
    at(`${seeder.name} begins to seed`);
    const { infoHash, magnet } = await seeder.seed(content, tracker);
    at(`${fetcher.name} takes the magnet link`, infoHash);
    assert.equal(await fetcher.fetch(magnet), infoHash);
    at(`${fetcher.name} downloads`);
    await fetcher.done(infoHash);
    at(`${fetcher.name} reads the files`);
    await check(fetcher, infoHash, content);
  });
}

/** A torrent that exists. By .torrent the seeder comes first; by magnet link the fetcher, which waits for it. */
export function ofTorrent({ seeder, fetcher, tracker }, { content, torrentFile, infoHash, source }, by) {
  const through = source && seeder.name === "page" ? source : null;
  return among([seeder, fetcher, ...(through ? [through] : [])], async (at) => {
    const seed = async () => {
      at(`${seeder.name} begins to seed`, infoHash);
      if (!through) return assert.equal(await seeder.seedTorrent(content, torrentFile, tracker, infoHash), infoHash);
      // Our page cannot make this torrent: it fetches it and goes on seeding.
      await through.seedTorrent(content, torrentFile, tracker, infoHash);
      await seeder.fetch(torrentFile, tracker);
      await seeder.done(infoHash);
      await through.remove(infoHash);
    };
    const fetch = async () => {
      at(`${fetcher.name} takes the torrent`, infoHash);
      const taken = by === "magnet" ? fetcher.fetch(magnetOf(infoHash, tracker)) : fetcher.fetch(torrentFile, tracker);
      assert.equal(await taken, infoHash);
    };
    for (const step of by === "magnet" && !through ? [fetch, seed] : [seed, fetch]) await step();
    at(`${fetcher.name} downloads`);
    await fetcher.done(infoHash);
    at(`${fetcher.name} reads the files`);
    await check(fetcher, infoHash, content);
  });
}

/** One seeder, and all other peers at once. */
export function swarm(seeder, fetchers, tracker, content) {
  return among([seeder, ...fetchers], async (at) => {
    at(`${seeder.name} begins to seed`);
    const { infoHash, magnet } = await seeder.seed(content, tracker);
    at("all download", infoHash);
    await Promise.all(
      fetchers.map(async (fetcher) => {
        assert.equal(await fetcher.fetch(magnet), infoHash);
        await fetcher.done(infoHash);
        await check(fetcher, infoHash, content);
      }),
    );
  });
}
