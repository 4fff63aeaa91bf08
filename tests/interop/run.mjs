// Our peers and our signaling server among other people's software: every exchange, one after the other, in programs
// and browsers that are started once. `--all` runs the full product. With words, the run has only the exchanges with
// one of them in the name. Before them come the stock client at our server, and a buyer that was written from
// docs/protocol.md alone at our seller. Ends with a table and `N passed, N failed`. PIECEWORK_TEST_SUMMARY names a file
// for {passed, failed}.
import assert from "node:assert/strict";
import { writeFileSync } from "node:fs";
import { cleanUp } from "../browser/support/harness.mjs";
import { buyer } from "./buyer.mjs";
import { cells, cellsOfFixture, cellsOfLargeFile } from "./cells.mjs";
import { corruptTorrent, file, fixtureTorrents, manyFiles, smallFolder } from "./contents.mjs";
import { byMagnet, ofTorrent, swarm } from "./exchange.mjs";
import { Libtorrent } from "./peers/libtorrent.mjs";
import { Native } from "./peers/native.mjs";
import { Piecework, WebTorrent } from "./peers/page.mjs";
import { stockClients } from "./stock_clients.mjs";
import { bittorrentTracker, ours } from "./trackers.mjs";

const MIB = 1 << 20;
const all = process.argv.includes("--all");
const words = process.argv.slice(2).filter((word) => word !== "--all");

let passed = 0;
let failed = 0;
/** Seconds, or null if it failed, of each cell and kind of exchange. */
const table = new Map(cells.map((cell) => [cell.name, { folder: [], torrent: [], magnet: [], large: [] }]));

async function test(name, body, note = () => undefined) {
  if (words.length > 0 && !words.some((word) => name.includes(word))) return;
  const begun = performance.now();
  try {
    await body();
    const seconds = (performance.now() - begun) / 1000;
    passed++;
    note(seconds);
    console.log(`ok      ${name} (${seconds.toFixed(1)} s)`);
  } catch (error) {
    failed++;
    note(null);
    console.log(`FAILED  ${name}\n${error.stack ?? error}`);
  }
}

function printTable() {
  const shown = (times, bytes) => {
    if (times.length === 0) return "";
    const seconds = times.reduce((sum, time) => sum + (time ?? 0), 0);
    const good = times.filter((time) => time !== null).length;
    return (
      `${good}/${times.length} ${seconds.toFixed(1)} ` +
      `s${bytes && good ? ` ${((bytes * good) / 1e6 / seconds).toFixed(1)} MB/s` : ""}`
    );
  };
  const row = (...columns) =>
    console.log(
      columns
        .map((text, i) => text.padEnd([54, 12, 14, 14, 22][i]))
        .join("")
        .trimEnd(),
    );
  console.log();
  row("cell", "folder", "by .torrent", "by magnet", "64 MiB, all in");
  for (const [name, { folder, torrent, magnet, large }] of table) {
    row(name, shown(folder), shown(torrent), shown(magnet), shown(large, 64 * MIB));
  }
}

async function run() {
  await stockClients(test);
  await buyer(test);
  // The buyer needs nothing below: no browser and no other client is started for it.
  if (words.length > 0 && words.every((word) => word.startsWith("buyer"))) return;
  const begun = performance.now();
  const trackers = { ours: await ours(), "bittorrent-tracker": await bittorrentTracker() };
  const [page, native, webTorrent, libtorrent] = [
    await Piecework.start(),
    await Native.start(),
    await WebTorrent.start(),
    await Libtorrent.start(),
  ];
  const peers = { page, native, WebTorrent: webTorrent, libtorrent };
  const of = ({ seeder, fetcher, server }) => ({
    seeder: peers[seeder],
    fetcher: peers[fetcher],
    tracker: trackers[server],
  });
  console.log(
    `started in ${((performance.now() - begun) / 1000).toFixed(1)} s: piecework ${native.version}, WebTorrent ` +
      `${await webTorrent.run("version")}, libtorrent ${libtorrent.version}`,
  );

  for (const cell of cells) {
    await test(
      `small folder by magnet: ${cell.name}`,
      async () => byMagnet(of(cell), await smallFolder()),
      (seconds) => table.get(cell.name).folder.push(seconds),
    );
  }

  const large = await file("64 MiB.bin", 64 * MIB);
  for (const cell of cellsOfLargeFile(all)) {
    await test(
      `64 MiB by magnet: ${cell.name}`,
      () => byMagnet(of(cell), large),
      (seconds) => table.get(cell.name).large.push(seconds),
    );
  }

  const torrents = await fixtureTorrents();
  // Contents that the fixtures lack. No tracker is in them, because libtorrent would announce to that alone. `source`
  // seeds to our page the torrents that the page cannot make itself.
  const hybrid = await smallFolder();
  torrents.push({
    name: "hybrid",
    content: hybrid,
    ...(await libtorrent.create(hybrid, null, { hybrid: true })),
    source: native,
  });
  const many = await manyFiles();
  torrents.push({ name: "manyFiles", content: many, ...(await libtorrent.create(many, null)), source: native });
  for (const torrent of torrents) torrent.infoHash ??= await native.infoHash(torrent.torrentFile);
  for (const [n, torrent] of torrents.entries()) {
    for (const [k, by] of ["torrent", "magnet"].entries()) {
      for (const cell of cellsOfFixture(2 * n + k, all)) {
        await test(
          `${torrent.name} by ${by === "torrent" ? ".torrent" : "magnet"}: ${cell.name}`,
          () => ofTorrent(of(cell), torrent, by),
          (seconds) => table.get(cell.name)[by].push(seconds),
        );
      }
    }
  }

  for (const peer of [page, native]) {
    await test(`corrupt: ${peer.name} refuses a .torrent without a name, and says why`, () =>
      assert.rejects(async () => peer.fetch(corruptTorrent), /`info\.name` is missing or invalid/));
  }

  const another = await page.another();
  const seven = await file("7 MB.bin", 7_000_000);
  for (const [server, tracker] of Object.entries(trackers)) {
    for (const kind of server === "ours" ? [native, libtorrent] : [page, webTorrent]) {
      const fetchers = [page, another, native, webTorrent, libtorrent].filter((peer) => peer !== kind);
      const names = fetchers.map(({ name }) => name).join(", ");
      await test(`swarm: ${names} all complete from ${kind.name} at ${server}`, () =>
        swarm(kind, fetchers, tracker, seven));
    }
  }

  printTable();
  console.log(`all in ${((performance.now() - begun) / 1000).toFixed(1)} s`);
}

try {
  await run();
} catch (error) {
  failed++;
  console.log(`FAILED  the run itself\n${error.stack ?? error}`);
} finally {
  await cleanUp();
}
if (process.env.PIECEWORK_TEST_SUMMARY)
  writeFileSync(process.env.PIECEWORK_TEST_SUMMARY, JSON.stringify({ passed, failed }));
console.log(`${passed} passed, ${failed} failed`);
process.exit(failed > 0 || passed === 0 ? 1 : 0);
