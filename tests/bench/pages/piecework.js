// Our side of a measurement: one client, driven by `page.run`. Only the package's public API is used.
import "/connections.js";
import { Client } from "/dist/piecework.js";
import { Meter } from "/meter.js";
import { watch } from "/watch.js";

let loaded;
window.loaded = new Promise((resolve) => (loaded = resolve));
const said = [];
window.said = said;
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
    window.client = client = new Client({ uploadLimit: null, iceServers: [], ...options });
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
  /** Redeems all sales up to now into the connected wallet. */
  async redeem() {
    if (!client.walletAddress) await client.connectWallet();
    return String((await client.redeem()).paid);
  },
  async begin(base64, span) {
    meter = new Meter(span);
    torrent = await client.add(decode(base64), { onDemand: false });
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
// Reads as a player does: it asks for all that follows, takes the bytes that come, and asks again. Hashes are kept
// until they are fetched.
const MIB = 1 << 20;
const hex = (bytes) => [...new Uint8Array(bytes)].map((byte) => byte.toString(16).padStart(2, "0")).join("");
const hashes = [];
let reading;

Object.assign(window, {
  async take(base64) {
    torrent = await client.add(decode(base64), { onDemand: false });
    await torrent.ready;
    return true;
  },
  async read() {
    const [file] = torrent.files;
    const url = await file.url();
    reading = (async () => {
      const begun = performance.now();
      const part = new Uint8Array(MIB);
      for (let [at, filled] = [0, 0]; at < file.length; ) {
        const { status, body } = await fetch(url, { headers: { Range: `bytes=${at}-` } });
        if (status !== 206) throw new Error(`HTTP ${status} for byte ${at}`);
        for await (const chunk of body) {
          for (let from = 0; from < chunk.length; ) {
            const taken = chunk.subarray(from, from + MIB - filled);
            part.set(taken, filled);
            [from, filled, at] = [from + taken.length, filled + taken.length, at + taken.length];
            if (filled < MIB && at < file.length) continue;
            hashes.push(hex(await crypto.subtle.digest("SHA-256", part.subarray(0, filled))));
            filled = 0;
          }
        }
      }
      return performance.now() - begun;
    })();
    reading.catch(() => undefined); // a caller that asks for hashes gets the error
    return true;
  },
  /** Hashes of the MiB that came since the first `known` were fetched. */
  come: async (known) => {
    await Promise.race([reading, Promise.resolve()]);
    return hashes.slice(known);
  },
  readingMs: () => reading,
  /** The state, for a report of a failure. */
  async stand() {
    const { have, ...stats } = await torrent.stats();
    return JSON.stringify({ ...stats, said }, (_, value) => (typeof value === "bigint" ? String(value) : value));
  },
});

/** `?watch=TRACKER`: a viewer whose page knows the torrent. */
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
