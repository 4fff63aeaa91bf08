import { bridge } from "./bridge.js";
import type { FromWorker, ToWorker } from "./protocol.js";

/** Peer connections at once, pending ones included; Chromium allows about 500 per process. */
const MAX_CONNECTIONS = 128;
/** Candidates are gathered no longer than this; what there is then goes out. */
const GATHER_MS = 3_000;

export interface BrokerOptions {
  iceServers: RTCIceServer[];
  relayOnly: boolean;
  /** Never transfer a channel, carry its bytes over a port. */
  bridge: boolean;
}

/**
 * Makes peer connections for the engine and hands it their data channels.
 *
 * The engine decides what is made and closed; this owns only the objects that exist nowhere but on a page.
 */
export class Broker {
  readonly #connections = new Map<number, RTCPeerConnection>();
  readonly #options: BrokerOptions;
  readonly #post: (message: ToWorker, transfer: Transferable[]) => void;
  #bridged: boolean;

  constructor(options: BrokerOptions, post: (message: ToWorker, transfer: Transferable[]) => void) {
    this.#options = options;
    this.#post = post;
    this.#bridged = options.bridge;
  }

  /** Takes a message of the worker; true if it was about a connection. */
  handle(message: FromWorker): boolean {
    switch (message.t) {
      case "createOffer":
        this.#make(message.c, async (pc) => {
          // The channel leaves in this very task: a moment later both browsers refuse to transfer it.
          this.#hand(message.c, pc.createDataChannel("piecework"));
          await pc.setLocalDescription();
          this.#post({ t: "offer", c: message.c, sdp: await gathered(pc) }, []);
        });
        return true;
      case "acceptOffer":
        this.#make(message.c, async (pc) => {
          pc.ondatachannel = ({ channel }) => {
            pc.ondatachannel = null; // one channel is what the protocol has
            this.#hand(message.c, channel);
          };
          await pc.setRemoteDescription({ type: "offer", sdp: message.sdp });
          await pc.setLocalDescription();
          this.#post({ t: "answer", c: message.c, sdp: await gathered(pc) }, []);
        });
        return true;
      case "applyAnswer": {
        const pc = this.#connections.get(message.c);
        pc?.setRemoteDescription({ type: "answer", sdp: message.sdp }).catch((error) => this.#fail(message.c, error));
        return true;
      }
      case "close":
        this.#close(message.c);
        return true;
      default:
        return false;
    }
  }

  /** Closes everything: the engine is gone. */
  closeAll(): void {
    for (const c of [...this.#connections.keys()]) this.#close(c);
  }

  #make(c: number, steps: (pc: RTCPeerConnection) => Promise<void>): void {
    if (this.#connections.size >= MAX_CONNECTIONS) {
      return this.#fail(c, new Error(`at most ${MAX_CONNECTIONS} connections at once`));
    }
    let pc: RTCPeerConnection;
    try {
      pc = new RTCPeerConnection({
        iceServers: this.#options.iceServers,
        iceTransportPolicy: this.#options.relayOnly ? "relay" : "all",
      });
    } catch (error) {
      return this.#fail(c, error);
    }
    this.#connections.set(c, pc);
    pc.onconnectionstatechange = () => {
      if (pc.connectionState === "failed") this.#fail(c, new Error("no way to the peer was found, or it was lost"));
    };
    steps(pc).catch((error) => {
      if (this.#connections.get(c) === pc) this.#fail(c, error);
    });
  }

  #hand(c: number, channel: RTCDataChannel): void {
    channel.binaryType = "arraybuffer";
    if (!this.#bridged) {
      try {
        // The DOM's types do not list it among transferables yet.
        return this.#post({ t: "channel", c, channel }, [channel as unknown as Transferable]);
      } catch {
        this.#bridged = true; // before Chromium 130 and Firefox 144
      }
    }
    const port = bridge(channel);
    this.#post({ t: "channel", c, channel: port }, [port]);
  }

  #fail(c: number, error: unknown): void {
    this.#close(c);
    this.#post({ t: "failed", c, reason: error instanceof Error ? error.message : String(error) }, []);
  }

  #close(c: number): void {
    const pc = this.#connections.get(c);
    if (!pc) return;
    this.#connections.delete(c);
    pc.onconnectionstatechange = pc.ondatachannel = pc.onicegatheringstatechange = null;
    pc.close();
  }
}

/** A page's first connection has to wait for the browser's WebRTC threads and network list: that begins while the engine loads. */
export function warmUp(): void {
  try {
    const pc = new RTCPeerConnection();
    pc.createDataChannel("");
    const gathering = async () => {
      await pc.setLocalDescription();
      await gathered(pc);
    };
    void gathering()
      .catch(() => undefined) // the engine's own connections will say what is wrong
      .finally(() => pc.close());
  } catch {
    // likewise
  }
}

/** The local description with all candidates, or with those of the first three seconds. */
function gathered(pc: RTCPeerConnection): Promise<string> {
  return new Promise((resolve) => {
    const done = () => {
      clearTimeout(timer);
      pc.onicegatheringstatechange = null;
      resolve(pc.localDescription?.sdp ?? "");
    };
    const timer = setTimeout(done, GATHER_MS);
    pc.onicegatheringstatechange = () => {
      if (pc.iceGatheringState === "complete") done();
    };
    if (pc.iceGatheringState === "complete") done();
  });
}
