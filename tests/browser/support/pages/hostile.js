// A raw peer that breaks its word. WebTorrent's signaling and BEP 3 are written out by hand, over the browser's own
// WebRTC. It shares no code with the package.
let loaded;
window.loaded = new Promise((resolve) => (loaded = resolve));

const BLOCK = 16_384;
const [, UNCHOKE, INTERESTED, , HAVE, BITFIELD, REQUEST, PIECE] = Array(8).keys();
const latin1 = (hex) => String.fromCharCode(...hex.match(/../g).map((byte) => parseInt(byte, 16)));

function message(id, ...fields) {
  const body = fields.map((field) => (typeof field === "number" ? word(field) : field));
  const length = 1 + body.reduce((sum, part) => sum + part.length, 0);
  return join(word(length), [id], ...body);
}

function word(value) {
  const bytes = new Uint8Array(4);
  new DataView(bytes.buffer).setUint32(0, value);
  return bytes;
}

function join(...parts) {
  const bytes = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0));
  let at = 0;
  for (const part of parts) {
    bytes.set(part, at);
    at += part.length;
  }
  return bytes;
}

/** Waits until everything is gathered, so that a description holds its candidates. */
function gathered(pc) {
  if (pc.iceGatheringState === "complete") return pc.localDescription.sdp;
  return new Promise((resolve) => {
    pc.onicegatheringstatechange = () => pc.iceGatheringState === "complete" && resolve(pc.localDescription.sdp);
  });
}

let leave;
/** Resolves when a `leaver` has left somebody in mid-block. */
window.hasLeft = new Promise((resolve) => (leave = resolve));

/**
 * The acts of each kind: `opened` after the handshakes, `asked` for each request. All but the `empty` claim to have
 * everything.
 */
const KINDS = {
  /** Answers every request at once, with bytes of its own. */
  corrupt: {
    opened: (wire) => wire.send(message(UNCHOKE)),
    asked: (wire, index, begin, length) =>
      wire.send(message(PIECE, index, begin, crypto.getRandomValues(new Uint8Array(length)))),
  },
  /** Announces a block, sends the half of it, and is gone. */
  leaver: {
    opened: (wire) => wire.send(message(UNCHOKE)),
    asked: (wire, index, begin, length) => {
      if (wire.left) return;
      wire.left = true;
      wire.send(message(PIECE, index, begin, new Uint8Array(length)).subarray(0, 13 + length / 2));
      wire.drained().then(() => {
        wire.close();
        leave(true);
      });
    },
  },
  /** Asks for everything, over and over, whether choked or not. */
  requests: {
    empty: true,
    opened: (wire) => {
      wire.send(message(INTERESTED));
      wire.flood((at) =>
        join(...Array.from({ length: 256 }, (_, piece) => message(REQUEST, (at + piece) % wire.pieceCount, 0, BLOCK))),
      );
    },
  },
  /** Sends blocks that nobody asked for. */
  blocks: {
    empty: true,
    opened: (wire) => wire.flood((at) => message(PIECE, at % wire.pieceCount, 0, new Uint8Array(BLOCK))),
  },
  /** Announces a message of 4 GiB, and begins it. */
  giant: {
    empty: true,
    opened: (wire) => wire.flood((at) => (at === 0 ? join(word(0xffff_ffff), [PIECE]) : new Uint8Array(BLOCK))),
  },
  /** Says that it has more pieces than there are. */
  bitfield: {
    opened: (wire) => wire.send(message(BITFIELD, new Uint8Array(Math.ceil(wire.pieceCount / 8) + 7).fill(255))),
    empty: true,
  },
  /** Has a piece that does not exist. */
  have: { opened: (wire) => wire.send(message(HAVE, 0xffff_fff0)), empty: true },
};

class Wire {
  requests = 0;
  sent = 0;
  #channel;
  #received = new Uint8Array(0);
  #greeted = false;
  #kind;

  constructor(peer, pc, channel) {
    Object.assign(this, { pieceCount: peer.pieceCount, pieceLength: peer.pieceLength });
    this.#kind = KINDS[peer.kind];
    this.#channel = channel;
    this.close = () => {
      channel.close();
      pc.close();
    };
    channel.binaryType = "arraybuffer";
    channel.onmessage = ({ data }) => this.#take(new Uint8Array(data));
    const greet = () =>
      this.send(
        join(
          [19],
          new TextEncoder().encode("BitTorrent protocol"),
          new Uint8Array(8),
          bytesOf(peer.infoHash),
          bytesOf(peer.peerId),
        ),
      );
    if (channel.readyState === "open") greet();
    else channel.onopen = greet;
  }

  send(bytes) {
    if (this.#channel.readyState !== "open") return false;
    this.#channel.send(bytes);
    this.sent += bytes.length;
    return true;
  }

  /** Resolves when everything is on its way. */
  drained() {
    const channel = this.#channel;
    if (channel.bufferedAmount === 0) return Promise.resolve();
    channel.bufferedAmountLowThreshold = 0;
    return new Promise((resolve) => {
      channel.onbufferedamountlow = resolve;
      channel.addEventListener("close", resolve);
    });
  }

  /** Sends without end, as fast as the channel takes it. */
  async flood(make) {
    for (let at = 0; this.#channel.readyState === "open"; ) {
      while (this.#channel.bufferedAmount < 64 * 1024 && this.send(make(at))) at++;
      await this.drained();
    }
  }

  #take(bytes) {
    this.#received = join(this.#received, bytes);
    if (!this.#greeted) {
      if (this.#received.length < 68) return;
      this.#received = this.#received.slice(68);
      this.#greeted = true;
      const all = new Uint8Array(Math.ceil(this.pieceCount / 8)).fill(255);
      if (this.pieceCount % 8) all[all.length - 1] = (0xff00 >> (this.pieceCount % 8)) & 255;
      if (!this.#kind.empty) this.send(message(BITFIELD, all));
      this.#kind.opened(this);
    }
    while (this.#received.length >= 4) {
      const view = new DataView(this.#received.buffer, this.#received.byteOffset);
      const length = view.getUint32(0);
      if (this.#received.length < 4 + length) return;
      if (length === 13 && this.#received[4] === REQUEST) {
        this.requests++;
        this.#kind.asked?.(this, view.getUint32(5), view.getUint32(9), view.getUint32(13));
      }
      this.#received = this.#received.slice(4 + length);
    }
  }
}

const bytesOf = (text) => Uint8Array.from(text, (letter) => letter.charCodeAt(0));

Object.assign(window, {
  /**
   * Joins a swarm. With `offers` it goes to the peers that are there, else it waits for them. Resolves when the tracker
   * has answered.
   */
  attack({ kind, tracker, infoHash, pieceCount, pieceLength, peerId = "-XX0000-hostile00000", offers = 0 }) {
    const peer = { kind, infoHash: latin1(infoHash), peerId, pieceCount, pieceLength };
    const wires = [];
    window.wires = wires;
    const meet = (pc, channel) => wires.push(new Wire(peer, pc, channel));
    const waiting = new Map();
    const socket = new WebSocket(tracker);
    window.socket = socket;
    const say = (fields) =>
      socket.send(JSON.stringify({ action: "announce", info_hash: peer.infoHash, peer_id: peerId, ...fields }));
    const offer = async (offer_id) => {
      const pc = new RTCPeerConnection();
      waiting.set(offer_id, pc);
      meet(pc, pc.createDataChannel("hostile"));
      await pc.setLocalDescription();
      return { offer_id, offer: { type: "offer", sdp: await gathered(pc) } };
    };
    let announced = 0;
    /** Announces with so many new offers. */
    window.goTo = async (count) => {
      const made = await Promise.all(
        Array.from({ length: count }, () => offer(`hostile-offer-${String(announced++).padStart(6, "0")}`)),
      );
      say({ uploaded: 0, downloaded: 0, left: KINDS[kind].empty ? 1 : 0, numwant: count, offers: made });
      return true;
    };
    return new Promise((resolve, reject) => {
      socket.onerror = () => reject(new Error(`no connection to ${tracker}`));
      socket.onopen = () => window.goTo(offers);
      socket.onmessage = async ({ data }) => {
        const message = JSON.parse(data);
        if (message["failure reason"]) reject(new Error(message["failure reason"]));
        else if (message.offer) {
          const pc = new RTCPeerConnection();
          pc.ondatachannel = ({ channel }) => meet(pc, channel);
          await pc.setRemoteDescription(message.offer);
          await pc.setLocalDescription();
          say({
            answer: { type: "answer", sdp: await gathered(pc) },
            offer_id: message.offer_id,
            to_peer_id: message.peer_id,
          });
        } else if (message.answer) await waiting.get(message.offer_id)?.setRemoteDescription(message.answer);
        else resolve(true);
      };
    });
  },
  sent: () => window.wires.reduce((sum, wire) => sum + wire.sent, 0),
  requestsTaken: () => window.wires.reduce((sum, wire) => sum + wire.requests, 0),
});
loaded(true);
