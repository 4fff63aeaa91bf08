// The product of cells, and the cells that a run has.

const US = ["page", "native"];
const ROLES = ["downloads from", "seeds to"];
const THEM = ["WebTorrent", "libtorrent"];
const SERVERS = ["ours", "bittorrent-tracker"];

/**
 * (our page | our native peer) x (download | seed) x (WebTorrent | libtorrent) x (our server | bittorrent-tracker's).
 */
export const cells = US.flatMap((us) =>
  ROLES.flatMap((role) =>
    THEM.flatMap((them) =>
      SERVERS.map((server) => {
        const [seeder, fetcher] = role === ROLES[0] ? [them, us] : [us, them];
        return { name: `${us} ${role} ${them} at ${server}`, us, seeder, fetcher, server };
      }),
    ),
  ),
);

const [ofPage, ofNative] = US.map((us) => cells.filter((cell) => cell.us === us));

/** The cells of the n-th fixture: one per client of ours, so that the fixtures cover all in turn; or all. */
export function cellsOfFixture(n, all) {
  // 3 is coprime to 8, and the halves are shifted: neighbours differ in partner, role and server.
  return all ? cells : [ofPage[(3 * n) % ofPage.length], ofNative[(3 * n + 5) % ofNative.length]];
}

/** The cells of the large file: each client of ours in each role, with each partner and server twice; or all. */
export function cellsOfLargeFile(all) {
  const four = [
    "page downloads from WebTorrent at ours",
    "page seeds to libtorrent at bittorrent-tracker",
    "native downloads from libtorrent at ours",
    "native seeds to WebTorrent at bittorrent-tracker",
  ];
  return all ? cells : cells.filter((cell) => four.includes(cell.name));
}
