import { Client } from "/piecework/piecework.js";
import { piecework, settings, urlOf } from "/piecework/shaka.js";

const status = document.querySelector("[role=status]");

/** Plays the stream of a magnet link. */
async function play(magnet) {
  const client = new Client();
  // Without onDemand a client that pays nothing fetches the whole torrent, all levels of it.
  const torrent = await client.add(magnet, { onDemand: true });
  status.textContent = "Looking for somebody who has it.";
  await torrent.ready;
  status.textContent = torrent.name;
  const { shaka } = window;
  const player = new shaka.Player();
  await player.attach(document.querySelector("video"));
  player.configure(settings());
  piecework(shaka, player, torrent);
  await player.load(urlOf(torrent, "manifest.mpd"));
}

if (location.hash.length > 1)
  await play(location.hash.slice(1)).catch((error) => {
    status.textContent = `Shaka's error ${error.code ?? ""}: ${error.message}`;
  });
addEventListener("hashchange", () => location.reload());
