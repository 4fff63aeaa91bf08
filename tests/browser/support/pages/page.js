// The page that the tests drive. It uses the package's public API only.
import { Client, missing } from "/dist/piecework.js";

let loaded;
window.loaded = new Promise((resolve) => (loaded = resolve));
window.violations = [];
document.addEventListener("securitypolicyviolation", (event) =>
  window.violations.push(`${event.violatedDirective}: ${event.blockedURI}`),
);
const said = [];
window.said = said;

// The messages to the engine's worker, and the workers themselves, for the tests to look at.
window.workers = [];
window.transferred = [];
window.Worker = class extends Worker {
  constructor(...arguments_) {
    super(...arguments_);
    window.workers.push(this);
  }
  postMessage(message, transfer) {
    super.postMessage(message, transfer);
    if (message.channel) window.transferred.push(message.channel.constructor.name);
  }
};
window.video = document.querySelector("video");

/** Bytes that depend on their position: they are cheap, and no two blocks are alike. */
function pattern(length, seed) {
  const words = new Uint32Array(length / 4);
  let x = seed;
  for (let i = 0; i < words.length; i++) {
    x = (Math.imul(x, 1664525) + 1013904223) | 0;
    words[i] = x ^ i;
  }
  return words.buffer;
}

const hex = (bytes) => [...new Uint8Array(bytes)].map((byte) => byte.toString(16).padStart(2, "0")).join("");

Object.assign(window, {
  missing,
  start(options) {
    // Tests talk to this machine alone.
    const client = new Client({ uploadLimit: null, iceServers: [], ...options });
    window.client = client;
    client.on("warning", ({ text }) => said.push(text));
    client.on("error", ({ error }) => said.push(error.message));
    return true;
  },
  async seed(length, seed, options) {
    const torrent = await client.seed(new File([pattern(length, seed)], "pattern.bin"), options);
    window.torrent = torrent;
    return btoa(String.fromCharCode(...torrent.torrentFile));
  },
  async add(torrentFile, options) {
    const bytes =
      torrentFile.startsWith("magnet:") || torrentFile.length === 40
        ? torrentFile
        : Uint8Array.from(atob(torrentFile), (c) => c.charCodeAt(0));
    window.torrent = await client.add(bytes, options);
    await torrent.ready;
    return torrent.infoHash;
  },
  async done() {
    if ((await torrent.stats()).state === "seeding") return true;
    return new Promise((resolve, reject) => {
      torrent.on("done", () => resolve(true));
      torrent.on("error", ({ error }) => reject(error));
    });
  },
  /** Resolves when so many pieces were verified since the call. */
  pieces: (count) => new Promise((resolve) => torrent.on("piece", () => --count <= 0 && resolve(true))),
  async digest() {
    return hex(await crypto.subtle.digest("SHA-256", await torrent.files[0].arrayBuffer()));
  },
  patternDigest: async (length, seed) => hex(await crypto.subtle.digest("SHA-256", pattern(length, seed))),
  async stats() {
    const { have, peers, ...rest } = await torrent.stats();
    const plain = (value) => (typeof value === "bigint" ? String(value) : value);
    return {
      ...Object.fromEntries(Object.entries(rest).map(([k, v]) => [k, plain(v)])),
      have: hex(have),
      peers: peers.length,
    };
  },
  async play() {
    await torrent.files[0].streamTo(video);
    await video.play();
    return true;
  },
  /** Resolves when the video has really shown this second. */
  playedPast: (second) =>
    new Promise((resolve, reject) => {
      const look = () => {
        if (video.error) reject(new Error(`video error ${video.error.code}: ${video.error.message}`));
        else if (video.currentTime >= second && !video.seeking) resolve(true);
        else return;
        video.removeEventListener("timeupdate", look);
      };
      video.addEventListener("timeupdate", look);
      video.addEventListener("error", look);
      look();
    }),
  seek(second) {
    video.currentTime = second;
    return true;
  },
  /** A wallet that notes every request. */
  countWallet() {
    window.walletCalls = [];
    const request = async ({ method }) => {
      window.walletCalls.push(method);
      return null;
    };
    window.ethereum = { request };
    return true;
  },
  async range(header) {
    const response = await fetch(await torrent.files[0].url(), { headers: header ? { Range: header } : {} });
    const body = await response.arrayBuffer();
    return {
      status: response.status,
      length: body.byteLength,
      contentRange: response.headers.get("content-range"),
      type: response.headers.get("content-type"),
      digest: hex(await crypto.subtle.digest("SHA-256", body)),
    };
  },
  async patternRange(length, seed, start, end) {
    return hex(await crypto.subtle.digest("SHA-256", pattern(length, seed).slice(start, end)));
  },
});
loaded(true);
