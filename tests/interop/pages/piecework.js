// Our page as a peer of the interop tests: one client for the whole run, by the package's public API alone.
import { Client } from "/dist/piecework.js";
import { chosen, fromBase64, sha256, toBase64 } from "./files.js";

const client = new Client({ uploadLimit: null, iceServers: [] });
const said = [];
window.said = said;
client.on("warning", ({ text }) => said.push(text));
client.on("error", ({ error }) => said.push(error.message));
const torrents = new Map();
/** Takes note of a torrent, and of the reasons why its peers leave, for the report of a cell that failed. */
function keep(torrent) {
  torrents.set(torrent.infoHash, torrent);
  torrent.on("peerclosed", ({ text }) => said.push(`${torrent.infoHash.slice(0, 6)}: ${text}`));
}
const files = (torrent) => torrent.files.map((file) => [file.path.join("/"), file]);

Object.assign(window, {
  loaded: Promise.resolve(true),
  /** Seeds the chosen files; answers with the .torrent. */
  async seed(tracker) {
    const torrent = await client.seed(chosen(), { trackers: [tracker] });
    keep(torrent);
    return { infoHash: torrent.infoHash, torrentFile: toBase64(torrent.torrentFile) };
  },
  /** Takes up a magnet link, or a .torrent in base64; answers with the info hash. */
  async add(source, tracker) {
    const torrent = await client.add(
      source.startsWith("magnet:") ? source : fromBase64(source),
      tracker ? { trackers: [tracker] } : {},
    );
    keep(torrent);
    const { verified } = await torrent.stats();
    if (verified > 0) throw new Error(`${torrent.infoHash} is not new here: ${verified} bytes of it are stored`);
    return torrent.infoHash;
  },
  /** Resolves when all of it is verified and stored. */
  async done(infoHash) {
    const torrent = torrents.get(infoHash);
    await new Promise((resolve, reject) => {
      torrent.on("done", resolve);
      torrent.on("error", ({ error }) => reject(error));
      torrent.stats().then(({ state }) => state === "seeding" && resolve(), reject);
    });
    return true;
  },
  /** The hash of every file, read back through the client. */
  async digests(infoHash) {
    const torrent = await torrents.get(infoHash).ready;
    const digests = {};
    for (const [path, file] of files(torrent)) digests[path] = await sha256(await file.arrayBuffer());
    return digests;
  },
  async remove(infoHash) {
    await torrents.get(infoHash)?.remove({ deleteData: true });
    torrents.delete(infoHash);
    return true;
  },
  /** For the report of a cell that failed. */
  async state(infoHash) {
    const torrent = torrents.get(infoHash);
    if (!torrent) return JSON.stringify({ said });
    const { have, ...stats } = await torrent.stats();
    const { trackers } = await client.stats();
    return JSON.stringify({ stats, trackers, said }, (_, value) => (typeof value === "bigint" ? String(value) : value));
  },
});
