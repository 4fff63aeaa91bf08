// A stream in three levels that a native seeder sells, and what a player of it has bought.
import assert from "node:assert/strict";
import { cpSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { build } from "esbuild";
import { CSP, distFile, folder, run, site } from "../harness.mjs";
import { UNIT_FINE } from "./scene.mjs";
import { settled } from "./viewer.mjs";

const BLOCK = 16_384;
/** Seconds of the stream, and of one segment (`xtask/src/demo/stream.rs`). */
export const DURATION = 24;
export const SEGMENT = 2;

/** The stream as one torrent, its files in `data`. */
export async function streamTitle(tracker, data) {
  const stream = process.env.PIECEWORK_STREAM;
  assert.ok(stream, "PIECEWORK_STREAM names no stream");
  cpSync(stream, join(data, "show"), { recursive: true });
  const path = join(data, "show.torrent");
  const made = await run([
    "create",
    join(data, "show"),
    "--tracker",
    tracker,
    "--piece-length",
    "64K",
    "--output",
    path,
  ]);
  const magnet = made.split(/\s/).find((word) => word.startsWith("magnet:"));
  return { path, torrent: readFileSync(path).toString("base64"), magnet };
}

/**
 * A site with the test page and `/player.js`, which has this player and our adapter for it, bundled as a site would.
 * Players of segments give the browser their pictures by `blob:` addresses.
 */
export async function playerSite(player, adapter) {
  const outfile = join(folder("player"), "player.js");
  const contents = `export { default as Player } from "${player}";\nexport * from "piecework/${adapter}";`;
  await build({
    stdin: { contents, resolveDir: new URL("../..", import.meta.url).pathname },
    alias: { [`piecework/${adapter}`]: distFile(`${adapter}.js`) },
    bundle: true,
    format: "esm",
    logLevel: "error",
    outfile,
  });
  const policy = CSP.replace("media-src 'self'", "media-src 'self' blob:");
  return site({ policy, mounts: { "/player.js": outfile } });
}

/** Takes the title up in the page, notes from then on which files the player asks for, and imports the player. */
export async function take(page, { torrent }) {
  await page.run(`(async () => {
    window.fetched = [];
    window.asked = new Set();
    window.torrent = await client.add(Uint8Array.from(atob("${torrent}"), (c) => c.charCodeAt(0)), { onDemand: true });
    await window.torrent.ready;
    const fetch = window.torrent.fetch.bind(window.torrent);
    window.torrent.fetch = (path, options) => {
      asked.add(path);
      return fetch(path, options);
    };
    Object.assign(window, await import("/player.js"));
    window.until = (holds) => new Promise((resolve) => {
      const look = () => (holds() ? resolve(true) : setTimeout(look, 20));
      look();
    });
    // Seconds of the stream that are there ahead of the picture without a gap.
    window.ahead = () => {
      const { buffered, currentTime: now } = video;
      for (let i = 0; i < buffered.length; i++)
        if (buffered.start(i) <= now + 0.1 && now < buffered.end(i)) return buffered.end(i) - now;
      return 0;
    };
  })()`);
}

/** Stops the picture, and waits until the player has so many seconds ahead of it, or the rest. */
export async function fills(page, ahead) {
  await page.run("video.pause()");
  await page.run(`until(() => ahead() >= Math.min(${ahead}, ${DURATION} - 0.1 - video.currentTime))`);
}

/**
 * Checks that the viewer has, and has paid for, the pieces of the files that the player asked for, and no other.
 * Answers the blocks that are paid, and the numbers of the segments by level.
 */
export async function boughtWhatWasAsked(page, seeder) {
  for (;;) {
    const asked = await page.run("[...asked]");
    const { files, pieceLength, length } = await page.run(`(async () => {
      const { pieceLength, length } = await torrent.stats();
      const files = torrent.files.map(({ path, length }) => ({ path: path.join("/"), length }));
      return { pieceLength, length, files };
    })()`);
    const pieces = new Set();
    let offset = 0;
    for (const file of files) {
      const [first, end] = [Math.floor(offset / pieceLength), Math.ceil((offset + file.length) / pieceLength)];
      if (asked.includes(file.path.replace(/^show\//, ""))) for (let at = first; at < end; at++) pieces.add(at);
      offset += file.length;
    }
    assert.equal(offset, length, "the torrent has files that the page does not show");
    const blocks = [...pieces].reduce(
      (sum, at) => sum + Math.ceil(Math.min(pieceLength, length - at * pieceLength) / BLOCK),
      0,
    );
    const now = await settled(page, seeder, blocks);
    // The player may have begun another segment meanwhile.
    if ((await page.run("asked.size")) !== asked.length) continue;
    assert.deepEqual(
      [...now.pieces].sort((a, b) => a - b),
      [...pieces].sort((a, b) => a - b),
      asked.join(" "),
    );
    assert.equal(now.spent, UNIT_FINE * BigInt(blocks));
    assert.equal(now.earned, now.spent);
    return { blocks, all: Math.ceil(length / BLOCK), segments: segmentsOf(asked) };
  }
}

/** The numbers of the segments among these files, by representation: 0 to 2 are the levels, 3 is the sound. */
function segmentsOf(files) {
  const found = [[], [], [], []];
  for (const file of files) {
    const [, level, number] = /^segment-(\d)-(\d+)\.m4s$/.exec(file) ?? [];
    if (level) found[level].push(Number(number));
  }
  return found.map((numbers) => numbers.sort((a, b) => a - b));
}
