// Our side of a measurement: one client, driven by `page.run`. Only the package's public API is used.
import { Client } from "/dist/piecework.js";
import { Meter } from "/meter.js";
import { watch } from "/watch.js";

let loaded;
window.loaded = new Promise((resolve) => (loaded = resolve));
const said = (window.said = []);
let client, torrent, meter;

const decode = (base64) => Uint8Array.from(atob(base64), (c) => c.charCodeAt(0));
const encode = async (bytes) => {
  const url = await new Promise((resolve) => {
    const reader = new FileReader();
    reader.onload = () => resolve(reader.result);
    reader.readAsDataURL(new Blob([bytes]));
  });
  return url.slice(url.indexOf(",") + 1);
};

Object.assign(window, {
  start(options) {
    window.client = client = new Client({ uploadLimit: null, ...options });
    client.on("warning", ({ text }) => said.push(text));
    client.on("error", ({ error }) => said.push(error.message));
    return true;
  },
  async seed(url, name, options) {
    const blob = await (await fetch(url)).blob();
    const made = await client.seed(new File([blob], name), options);
    return { torrent: await encode(made.torrentFile), pieceLength: (await made.stats()).pieceLength };
  },
  async deposit(amount) {
    await client.connectWallet();
    await client.deposit({ amount });
    return true;
  },
  /** What was sold up to now, into the connected wallet. */
  async redeem() {
    if (!client.walletAddress) await client.connectWallet();
    return String((await client.redeem()).paid);
  },
  async begin(base64, span) {
    meter = new Meter(span);
    torrent = await client.add(decode(base64));
    const { pieceLength } = await torrent.stats();
    torrent.on("piece", () => meter.add(pieceLength));
    torrent.on("done", () => meter.end());
    torrent.on("error", ({ error }) => meter.fail(error));
    return true;
  },
  warm: () => Promise.race([meter.warm, meter.full]).then(() => true),
  full: () => meter.full,
  async finish() {
    const { wasted, spentFine } = await torrent.stats();
    await torrent.remove({ deleteData: true });
    return { wasted, spentFine: String(spentFine) };
  },
});
/** `?watch=TRACKER`: a viewer who comes with the torrent known. */
async function view(tracker) {
  const answer = await fetch("/title.torrent");
  window.start({ trackers: [tracker] });
  torrent = await client.add(new Uint8Array(await answer.arrayBuffer()));
  await torrent.ready;
  return watch(document.querySelector("video"), await torrent.files[0].url());
}

const tracker = new URLSearchParams(location.search).get("watch");
if (tracker) window.seen = view(tracker);
loaded(true);
