// The adapters fit the players' own types, as a site writes it. Nothing of this runs.
import Hls from "hls.js";
import shaka from "shaka-player";
import { piecework as loader, settings } from "../../src/hls.js";
import { Client } from "../../src/index.js";
import { piecework, settings as configuration, urlOf } from "../../src/shaka.js";

const client = new Client();
const torrent = await client.add("magnet:?xt=urn:btih:", { onDemand: true });

const hls = new Hls({ ...settings(torrent, { ahead: 10 }), debug: false });
hls.config.loader = loader(torrent);
hls.loadSource(urlOf(torrent, "master.m3u8"));
hls.attachMedia(document.createElement("video"));

const player = new shaka.Player();
player.configure(configuration({ ahead: 10 }));
const release = piecework(shaka, player, torrent, { allow: (url) => url.startsWith("https://licences.example/") });
await player.load(urlOf(torrent, "manifest.mpd"));
release();
