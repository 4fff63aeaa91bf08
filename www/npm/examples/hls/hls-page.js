import { settings, urlOf } from "/piecework/hls.js";
import { Client } from "/piecework/piecework.js";
import Hls from "/players/hls.js/dist/hls.mjs";

const status = document.querySelector("[role=status]");

/** Plays the stream of a magnet link. */
async function play(magnet) {
  const client = new Client();
  // Without onDemand a client that pays nothing fetches the whole torrent, all levels of it.
  const torrent = await client.add(magnet, { onDemand: true });
  status.textContent = "Looking for somebody who has it.";
  await torrent.ready;
  status.textContent = torrent.name;
  // The site's header lets no script come from a `blob:`, of which hls.js would make a worker.
  const hls = new Hls({ ...settings(torrent), enableWorker: false });
  hls.on(Hls.Events.ERROR, (_, { fatal, details, response }) => {
    if (fatal) status.textContent = `${details}: ${response?.text ?? "see the console"}`;
  });
  hls.loadSource(urlOf(torrent, "master.m3u8"));
  hls.attachMedia(document.querySelector("video"));
}

if (location.hash.length > 1) await play(location.hash.slice(1));
addEventListener("hashchange", () => location.reload());
