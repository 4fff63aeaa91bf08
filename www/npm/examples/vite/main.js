// A page that plays a link and seeds a file, with a video element of its own.
import { Client } from "piecework";

const trackers = ["wss://tracker.example"];
const client = new Client({ trackers });
const [form, link, share, said, video] = ["open", "link", "share", "said", "video"].map((id) =>
  document.getElementById(id),
);
let shown = null;

client.on("warning", ({ text }) => say(text));
client.on("error", ({ error }) => say(error.message));

form.onsubmit = (event) => {
  event.preventDefault();
  void play(client.add(link.value));
};

share.onchange = () => {
  const [file] = share.files;
  if (file) void play(client.seed(file, { trackers }));
};

async function play(adding) {
  try {
    say("Looking for the film …");
    const torrent = await adding;
    await torrent.ready;
    const file = torrent.files.find(({ name }) => /\.(mp4|webm|mkv)$/i.test(name)) ?? torrent.files[0];
    video.hidden = false;
    await file.streamTo(video);
    shown = torrent;
  } catch (error) {
    say(error.message);
  }
}

// How far it is, and that it is shared.
setInterval(async () => {
  if (!shown) return;
  const { verified, length, peers, uploadRate } = await shown.stats();
  const percent = Math.floor((100 * verified) / length);
  say(`${shown.name}: ${percent} % here, ${peers.length} peers, ${Math.round(uploadRate / 1000)} kB/s to others`);
}, 1_000);

function say(text) {
  said.textContent = text;
}
