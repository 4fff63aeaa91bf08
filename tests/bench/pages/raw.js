// A bare data channel between two workers: a transfer without the protocol, storage, hashing and payment.
import "/connections.js";
let loaded;
window.loaded = new Promise((resolve) => (loaded = resolve));
window.said = [];
let pc, worker, heard, waiting;

/** The worker's next message. */
const word = () =>
  new Promise((resolve) => {
    if (heard.length > 0) resolve(heard.shift());
    else waiting = resolve;
  });

function begin(message) {
  pc = new RTCPeerConnection();
  heard = [];
  waiting = null;
  worker = new Worker("/raw_worker.js");
  worker.onmessage = ({ data }) => {
    if (waiting) waiting(data);
    else heard.push(data);
    waiting = null;
  };
  worker.postMessage(message);
}

const hand = (channel) => worker.postMessage({ channel }, [channel]);

async function gathered() {
  if (pc.iceGatheringState !== "complete")
    await new Promise(
      (resolve) => (pc.onicegatheringstatechange = () => pc.iceGatheringState === "complete" && resolve()),
    );
  return pc.localDescription.sdp;
}

Object.assign(window, {
  async offer(messageBytes) {
    begin({ send: messageBytes });
    hand(pc.createDataChannel("raw"));
    await pc.setLocalDescription();
    return gathered();
  },
  async answer(sdp, span) {
    begin({ receive: span });
    pc.ondatachannel = ({ channel }) => hand(channel);
    await pc.setRemoteDescription({ type: "offer", sdp });
    await pc.setLocalDescription();
    return gathered();
  },
  async accept(sdp) {
    await pc.setRemoteDescription({ type: "answer", sdp });
    return true;
  },
  warm: () => word().then(() => true),
  full: () => word(),
  finish() {
    worker.terminate();
    pc.close();
    return { wasted: 0 };
  },
});
loaded(true);
