// WebTorrent as a peer of the interop tests: one client for the whole run, as its authors ship it for browsers.
import WebTorrent from "/webtorrent.min.js";
import { chosen, fromBase64, sha256 } from "./files.js";

// No DHT, no local discovery, no STUN server: this machine is enough.
const client = new WebTorrent({ dht: false, lsd: false, tracker: { rtcConfig: { iceServers: [] } } });
const said = [];
window.said = said;
client.on("error", (error) => said.push(String(error)));
const torrents = new Map();
const once = (torrent, event) =>
  new Promise((resolve, reject) => {
    torrent.once(event, resolve);
    torrent.once("error", reject);
  });
const forwardSlashes = (path) => path.replaceAll("\\", "/");

function take(torrent) {
  torrent.on("warning", (warning) => said.push(String(warning)));
  torrents.set(torrent.infoHash, torrent);
  return torrent.infoHash;
}

Object.assign(window, {
  loaded: Promise.resolve(true),
  version: WebTorrent.VERSION,
  /** Seeds the chosen files; answers with its magnet link. */
  async seed(tracker, name) {
    const list = chosen();
    for (const file of list) file.fullPath = file.webkitRelativePath || file.name;
    const torrent = client.seed(list, { announce: [tracker], name });
    await once(torrent, "seed");
    take(torrent);
    return { infoHash: torrent.infoHash, magnet: torrent.magnetURI };
  },
  /** Seeds this .torrent from the chosen files. */
  async seedTorrent(torrentFile, tracker) {
    const torrent = client.add(fromBase64(torrentFile), { announce: [tracker] });
    await once(torrent, "ready");
    const byPath = new Map(chosen().map((file) => [file.webkitRelativePath || file.name, file]));
    const streams = torrent.files.map((file) => {
      const source = byPath.get(forwardSlashes(file.path));
      return (source ?? new Blob([new Uint8Array(file.length)])).stream(); // a file that nobody chose is padding: zeros
    });
    await new Promise((resolve, reject) => torrent.load(streams, (error) => (error ? reject(error) : resolve())));
    // WebTorrent tells no peer about pieces that it loads, so a peer that connected before would think that it has
    // nothing.
    for (const wire of torrent.wires) wire.haveAll();
    return take(torrent);
  },
  /** Takes up a magnet link, or a .torrent in base64; answers with the info hash. */
  async add(source, tracker) {
    const torrent = client.add(
      source.startsWith("magnet:") ? source : fromBase64(source),
      tracker ? { announce: [tracker] } : {},
    );
    await once(torrent, "infoHash");
    return take(torrent);
  },
  /** Resolves when all of it is verified. */
  async done(infoHash) {
    const torrent = torrents.get(infoHash);
    if (!torrent.done) await once(torrent, "done");
    return true;
  },
  /** The hash of every file but padding, read back through the client. */
  async digests(infoHash) {
    const entries = torrents
      .get(infoHash)
      .files.filter((file) => !/(^|\/)\.pad\//.test(forwardSlashes(file.path)))
      .map(async (file) => [forwardSlashes(file.path), await sha256(await file.arrayBuffer())]);
    return Object.fromEntries(await Promise.all(entries));
  },
  async remove(infoHash) {
    const torrent = torrents.get(infoHash);
    torrents.delete(infoHash);
    if (torrent)
      await new Promise((resolve, reject) =>
        torrent.destroy({ destroyStore: true }, (error) => (error ? reject(error) : resolve())),
      );
    return true;
  },
  /** For the report of a cell that failed. */
  async state(infoHash) {
    const torrent = torrents.get(infoHash);
    return JSON.stringify({
      peers: torrent?.numPeers,
      progress: torrent?.progress,
      downloaded: torrent?.downloaded,
      said,
    });
  },
});
