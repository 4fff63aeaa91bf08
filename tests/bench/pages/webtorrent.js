// WebTorrent's side of a measurement, used as its own documentation says; driven by `page.run`.
import "/connections.js";
import WebTorrent from "/webtorrent/webtorrent.min.js";
import { Meter } from "/meter.js";
import { watch } from "/watch.js";

let loaded;
window.loaded = new Promise((resolve) => (loaded = resolve));
const said = [];
window.said = said;
let client, torrent, meter, trackers;

const decode = (base64) => Uint8Array.from(atob(base64), (c) => c.charCodeAt(0));
const encode = (bytes) => btoa(Array.from(bytes, (byte) => String.fromCharCode(byte)).join(""));

const STORAGE_MS = 60_000;

/**
 * Deletes the stored bytes. WebTorrent's own way (`destroyStore`) fails while it still writes the last pieces, and no
 * event says when it has. The browser refuses to delete a file until then.
 */
async function clearStorage() {
  const root = await navigator.storage.getDirectory();
  const until = performance.now() + STORAGE_MS;
  for (;;) {
    try {
      for (const name of await Array.fromAsync(root.keys())) await root.removeEntry(name, { recursive: true });
      return;
    } catch (error) {
      if (error.name !== "NoModificationAllowedError" || performance.now() > until) throw error;
      await new Promise((resolve) => setTimeout(resolve, 50));
    }
  }
}

Object.assign(window, {
  start(options) {
    trackers = options.trackers;
    // No STUN servers, as ours: there is no network here, and its absence must cost neither of the two any time.
    window.client = client = new WebTorrent({ tracker: { rtcConfig: { iceServers: [] } } });
    client.on("error", (error) => said.push(error.message));
    return true;
  },
  async seed(url, name, { pieceLength }) {
    const blob = await (await fetch(url)).blob();
    const options = { announce: trackers, ...(pieceLength ? { pieceLength } : {}) };
    const made = await new Promise((resolve) => client.seed(new File([blob], name), options, resolve));
    return { torrent: encode(made.torrentFile), pieceLength: made.pieceLength };
  },
  begin(base64, span) {
    meter = new Meter(span);
    torrent = client.add(decode(base64), { announce: trackers });
    torrent.on("verified", () => meter.add(torrent.pieceLength));
    torrent.on("done", () => meter.end());
    torrent.on("error", (error) => meter.fail(error));
    return true;
  },
  warm: () => Promise.race([meter.warm, meter.full]).then(() => true),
  full: () => meter.full,
  async finish() {
    await new Promise((resolve, reject) =>
      torrent.destroy({ destroyStore: false }, (error) => (error ? reject(error) : resolve())),
    );
    await clearStorage();
    return { wasted: 0 };
  },
});
/** `?watch=TRACKER`: a viewer whose page knows the torrent. The service worker starts while the torrent does. */
async function view(tracker) {
  const answer = await fetch("/title.torrent");
  window.start({ trackers: [tracker] });
  torrent = client.add(new Uint8Array(await answer.arrayBuffer()), { announce: [tracker] });
  const ready = new Promise((resolve) => torrent.on("ready", resolve));
  const controller = await navigator.serviceWorker.register("/sw.min.js", { scope: "/" });
  await navigator.serviceWorker.ready;
  if (!navigator.serviceWorker.controller)
    await new Promise((resolve) =>
      navigator.serviceWorker.addEventListener("controllerchange", resolve, { once: true }),
    );
  client.createServer({ controller });
  await ready;
  return watch(document.querySelector("video"), torrent.files[0].streamURL);
}

const tracker = new URLSearchParams(location.search).get("watch");
if (tracker) window.seen = view(tracker);
loaded(true);
