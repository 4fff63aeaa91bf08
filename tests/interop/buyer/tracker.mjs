// The WebTorrent tracker protocol, as much of it as a peer that makes one offer needs: JSON on a WebSocket, bytes as
// text of one character each.
import { randomBytes } from "node:crypto";
import { WebSocket } from "./ethers.mjs";

/** The same offer again, while nobody answered it. */
const AGAIN_MS = 5_000;
const LIMIT_MS = 120_000;

/** Offers a connection to some peer of the torrent; answers with that peer's description. */
export async function answerTo({ tracker, infoHash, peerId, sdp }) {
  const socket = new WebSocket(tracker);
  const offerIds = new Set();
  let again;
  let limit;
  const announce = (event) => {
    const offerId = randomBytes(20).toString("latin1");
    offerIds.add(offerId);
    const ids = { info_hash: infoHash.toString("latin1"), peer_id: peerId.toString("latin1") };
    const amounts = { uploaded: 0, downloaded: 0, left: 1, numwant: 1 };
    socket.send(
      JSON.stringify({
        action: "announce",
        ...ids,
        ...amounts,
        ...event,
        offers: [{ offer_id: offerId, offer: { type: "offer", sdp } }],
      }),
    );
  };
  try {
    return await new Promise((resolve, reject) => {
      limit = setTimeout(() => reject(new Error("nobody answered the offer")), LIMIT_MS);
      socket.on("error", reject);
      socket.on("close", () => reject(new Error("the signaling server closed the socket")));
      socket.on("open", () => {
        announce({ event: "started" });
        again = setInterval(announce, AGAIN_MS, {});
      });
      socket.on("message", (text) => {
        const said = JSON.parse(text);
        if (said["failure reason"]) reject(new Error(said["failure reason"]));
        // This peer makes the offer, so it leaves offers of others alone.
        if (said.answer && offerIds.has(said.offer_id)) resolve(said.answer.sdp);
      });
    });
  } finally {
    clearInterval(again);
    clearTimeout(limit);
    socket.close();
  }
}
