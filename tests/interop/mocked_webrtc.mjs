// A stand-in for WebRTC for the stock client: connections whose descriptions are no session descriptions. A signaling
// server must carry any text unchanged.
let count = 0;

/** Quotes, escapes, control characters, all planes; different for each one. */
const description = (type) => ({ type, sdp: `mocked ${type} ${++count} "\\ \u0001 é 😀 \u2028\r\nm=nothing\r\n` });

export class RTCPeerConnection {
  localDescription = null;
  remoteDescription = null;
  signalingState = "stable";
  iceConnectionState = "new";
  iceGatheringState = "new";
  connectionState = "new";

  createDataChannel(label) {
    return { label, readyState: "connecting", bufferedAmount: 0, close() {} };
  }

  async createOffer() {
    return description("offer");
  }

  async createAnswer() {
    return description("answer");
  }

  async setLocalDescription(own) {
    this.localDescription = own;
    queueMicrotask(() => this.onicecandidate?.({ candidate: null }));
  }

  async setRemoteDescription(other) {
    this.remoteDescription = { ...other };
  }

  close() {}
}

export class RTCSessionDescription {
  constructor({ type, sdp }) {
    Object.assign(this, { type, sdp });
  }
}

export class RTCIceCandidate {}

export default { RTCPeerConnection, RTCSessionDescription, RTCIceCandidate };
