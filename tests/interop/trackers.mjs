// The two signaling servers.
import Server from "bittorrent-tracker/server"; // not the package itself: that wants a native build
import { ending, signaling } from "../browser/support/harness.mjs";

/** Ours; answers with its URL. */
export const ours = signaling;

/** bittorrent-tracker's, its WebSocket part alone; answers with its URL. */
export async function bittorrentTracker() {
  const server = new Server({ http: false, udp: false, ws: true, stats: false });
  server.on("warning", (warning) => {
    if (process.env.PIECEWORK_TEST_VERBOSE) console.log(`  [bittorrent-tracker] ${warning.message}`);
  });
  await new Promise((resolve, reject) => {
    server.once("error", reject);
    server.listen(0, "127.0.0.1", resolve);
  });
  ending(() => new Promise((resolve) => server.close(resolve)));
  return `ws://127.0.0.1:${server.ws.address().port}/`;
}
