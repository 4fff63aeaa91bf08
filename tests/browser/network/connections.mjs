// A page's peer connections as seen from outside: the descriptions that it sends and takes, and the candidate pair that
// each connection came up with.

/** Called before the page is opened; the page then has `window.ice`. */
export async function watchConnections(context) {
  await context.addInitScript(() => {
    if (typeof RTCPeerConnection === "undefined" || window.ice) return;
    const ice = { sent: [], taken: [], pairs: [] };
    window.ice = ice;

    // Offers and answers leave through the engine's worker.
    const post = Worker.prototype.postMessage;
    Worker.prototype.postMessage = function (message, ...rest) {
      if (message.t === "offer" || message.t === "answer") ice.sent.push({ type: message.t, sdp: message.sdp });
      return post.call(this, message, ...rest);
    };

    const pairOf = async (pc) => {
      const report = await pc.getStats();
      const transport = [...report.values()].find(({ type }) => type === "transport");
      const pair = report.get(transport?.selectedCandidatePairId);
      const kind = (id) => report.get(id)?.candidateType;
      return (
        pair && { local: kind(pair.localCandidateId), remote: kind(pair.remoteCandidateId), bytes: pair.bytesReceived }
      );
    };
    window.RTCPeerConnection = class extends RTCPeerConnection {
      constructor(...arguments_) {
        super(...arguments_);
        this.addEventListener("connectionstatechange", () => {
          if (this.connectionState === "connected") ice.pairs.push(pairOf(this));
        });
      }
      setRemoteDescription(description) {
        ice.taken.push({ type: description.type, sdp: description.sdp });
        return super.setRemoteDescription(description);
      }
    };
  });
}

/** The notes of `watchConnections` in this page. */
export async function connections(page) {
  const { sent, taken } = await page.run("({ sent: ice.sent, taken: ice.taken })");
  return { sent, taken, pairs: await page.run("Promise.all(ice.pairs)") };
}

/** The candidates of a description: `{ address, type }` of each (RFC 8839, section 5.1). */
export function candidates(sdp) {
  return [...sdp.matchAll(/^a=candidate:\S+ \d+ \S+ \d+ (\S+) \d+ typ (\S+)/gm)].map(([, address, type]) => ({
    address,
    type,
  }));
}
