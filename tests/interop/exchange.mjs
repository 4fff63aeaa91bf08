// One exchange: somebody seeds, somebody fetches, and the hash of every file is checked where it arrived.
import assert from "node:assert/strict";
import { statSync } from "node:fs";
import { dirname, join } from "node:path";

/** Far more than any exchange takes, on however busy a machine. */
const LIMIT_MS = 180_000;

const magnetOf = (infoHash, tracker) => `magnet:?xt=urn:btih:${infoHash}&tr=${encodeURIComponent(tracker)}`;

/** What arrived at `peer` is what was sent. */
async function check(peer, infoHash, content) {
  assert.deepEqual(await peer.digests(infoHash), content.digests, `what ${peer.name} received is not what was sent`);
}

/** Bytes of all files. */
export function lengthOf(content) {
  return Object.keys(content.digests).reduce((sum, path) => sum + statSync(join(dirname(content.path), path)).size, 0);
}

/** Runs `body`; when it fails or is not done in time, says where everybody stood. In the end nobody has the torrent. */
async function among(peers, body) {
  let infoHash;
  let timer;
  const late = new Promise((_, reject) => {
    timer = setTimeout(() => reject(new Error(`not done after ${LIMIT_MS / 1000} s`)), LIMIT_MS);
  });
  try {
    await Promise.race([body((hash) => (infoHash = hash)), late]);
  } catch (error) {
    for (const peer of peers) error.message += `\n  ${peer.name}: ${await peer.state(infoHash).catch(String)}`;
    throw error;
  } finally {
    clearTimeout(timer);
    const removed = await Promise.allSettled(peers.map((peer) => peer.remove(infoHash)));
    for (const { reason } of removed) if (reason) console.log(`  not removed: ${reason.stack}`);
  }
}

/** The seeder makes a torrent of this content; the fetcher has nothing but the magnet link. */
export function byMagnet({ seeder, fetcher, tracker }, content) {
  return among([seeder, fetcher], async (known) => {
    const { infoHash, magnet } = await seeder.seed(content, tracker);
    known(infoHash);
    assert.equal(await fetcher.fetch(magnet), infoHash);
    await fetcher.done(infoHash);
    await check(fetcher, infoHash, content);
  });
}

/** A torrent that exists. By .torrent the seeder comes first; by magnet link the fetcher, who waits for it. */
export function ofTorrent({ seeder, fetcher, tracker }, { content, torrentFile, infoHash, source }, by) {
  const through = source && seeder.name === "page" ? source : null;
  return among([seeder, fetcher, ...(through ? [through] : [])], async (known) => {
    known(infoHash);
    const seed = async () => {
      if (!through) return assert.equal(await seeder.seedTorrent(content, torrentFile, tracker, infoHash), infoHash);
      // Our page cannot make this torrent: it fetches it and goes on seeding.
      await through.seedTorrent(content, torrentFile, tracker, infoHash);
      await seeder.fetch(torrentFile, tracker);
      await seeder.done(infoHash);
      await through.remove(infoHash);
    };
    const fetch = async () => {
      const taken = by === "magnet" ? fetcher.fetch(magnetOf(infoHash, tracker)) : fetcher.fetch(torrentFile, tracker);
      assert.equal(await taken, infoHash);
    };
    for (const step of by === "magnet" && !through ? [fetch, seed] : [seed, fetch]) await step();
    await fetcher.done(infoHash);
    await check(fetcher, infoHash, content);
  });
}

/** One seeder, and everybody else at once. */
export function swarm(seeder, fetchers, tracker, content) {
  return among([seeder, ...fetchers], async (known) => {
    const { infoHash, magnet } = await seeder.seed(content, tracker);
    known(infoHash);
    await Promise.all(
      fetchers.map(async (fetcher) => {
        assert.equal(await fetcher.fetch(magnet), infoHash);
        await fetcher.done(infoHash);
        await check(fetcher, infoHash, content);
      }),
    );
  });
}
