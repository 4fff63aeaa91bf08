// How soon a viewer sees something. A browser with an empty profile opens the page, which knows the torrent. The times
// count from the start of the navigation to the first byte that a reader of the file gets, and to the first frame.
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { browser, folder, open, signaling } from "../browser/support/harness.mjs";
import { siteFor } from "./sites.mjs";

const FILE = "/video.mp4";
const PAIRS = 9;
const QUICK_PAIRS = 3;
const CLIENTS = [
  { name: "free", label: "Piecework", page: "piecework", strict: true },
  { name: "webtorrent", label: "WebTorrent", page: "webtorrent", strict: false },
];

export async function video({ video: file, quick }, out) {
  const tracker = await signaling();
  const seeding = await browser();
  const field = [];
  for (const client of CLIENTS) {
    const torrent = join(folder("video"), "title.torrent");
    const origin = await siteFor({ files: { [FILE]: file, "/title.torrent": torrent }, strict: client.strict });
    const seeder = await open(seeding.context, `${origin}/${client.page}.html`);
    await seeder.run(`start(${JSON.stringify({ trackers: [tracker] })})`);
    // The name makes it a torrent of its own. Otherwise both kinds of seeders would serve both kinds of viewers.
    const made = await seeder.run(
      `seed("${FILE}", "${client.name}.mp4", ${JSON.stringify({ trackers: [tracker], pieceLength: 256 * 1024 })})`,
    );
    writeFileSync(torrent, Buffer.from(made.torrent, "base64"));
    field.push({ ...client, seeder, address: `${origin}/${client.page}.html?watch=${encodeURIComponent(tracker)}` });
  }
  const pairs = quick ? QUICK_PAIRS : PAIRS;
  for (let round = 0; round < pairs; round++) {
    const said = [];
    for (const client of round % 2 === 0 ? field : field.toReversed()) {
      // In front, the seeder's page is awake; the other seeder's page is in the background, and in nobody's way.
      await client.seeder.bringToFront();
      const { context } = await browser();
      const viewer = await open(context, client.address);
      const seen = await viewer.run("seen");
      await context.close();
      out.result("video", { contestant: client.name, label: client.label, round, ...seen });
      said.push(`${client.label} ${Math.round(seen.firstByteMs)} and ${Math.round(seen.firstFrameMs)} ms`);
    }
    out.say(`round ${round + 1} of ${pairs}, first byte and first frame: ${said.join(", ")}`);
  }
}
