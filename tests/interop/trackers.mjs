// The two signaling servers.
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import Server from "bittorrent-tracker/server"; // not the package itself: that wants a native build
import { ending, folder, signalingAt } from "../browser/support/harness.mjs";

/** Ours; answers with its URL. Its replies name STUN and TURN servers, which other clients pass over. */
export async function ours() {
  const secret = join(folder("secret"), "secret");
  writeFileSync(secret, "interop-interop-interop\n");
  const turn = ["--turn", "turn:127.0.0.1:9", "--turn-secret-file", secret];
  return (await signalingAt(0, ["--stun", "stun:127.0.0.1:9", ...turn])).url;
}

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
