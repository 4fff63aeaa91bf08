// bittorrent-tracker's server by itself, for measuring: prints its URL, and runs until it is ended.
import Server from "bittorrent-tracker/server"; // not the package itself: that wants a native build

const server = new Server({ http: false, udp: false, ws: true, stats: false });
server.on("error", (error) => {
  console.error(`bittorrent-tracker: ${error.message}`);
  process.exit(1);
});
server.on("warning", (warning) => console.error(`bittorrent-tracker: ${warning.message}`));
server.listen(0, "127.0.0.1", () =>
  console.log(`bittorrent-tracker listening on ws://127.0.0.1:${server.ws.address().port}`),
);
