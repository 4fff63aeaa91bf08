import { bridge } from "./bridge.js";
import { Gathering, hasCandidate } from "./gathering.js";
import { asks, usable } from "./ice.js";
import type { FromWorker, ToWorker } from "./protocol.js";

/** Peer connections at once, pending ones included; Chromium allows about 500 per process. */
const MAX_CONNECTIONS = 128;
/** Offers of a first announce: `SignalingConfig::offers_per_announce` in the engine. */
const EARLY_OFFERS = 5;
/** An offer made early is asked for within this time, or its candidates may be stale. */
const EARLY_MS = 30_000;

export interface BrokerOptions {
  /** Those of the page; those that trackers name come after them. */
  iceServers: RTCIceServer[];
  relayOnly: boolean;
  /** Never transfer a channel, carry its bytes over a port. */
  bridge: boolean;
}

/**
 * Makes peer connections for the engine and hands it their data channels.
 *
 * The engine decides which connections are made and closed. The broker owns only the objects that exist nowhere but on
 * a page.
 */
export class Broker {
  readonly #connections = new Map<number, RTCPeerConnection>();
  /** Offers that nobody has asked for yet, the oldest first; their channels are in the worker, in the same order. */
  #early: { pc: RTCPeerConnection; sdp: Promise<string> }[] = [];
  #earlyEnds: ReturnType<typeof setTimeout> | undefined;
  readonly #options: BrokerOptions;
  /** STUN and TURN servers that trackers named last; the engine chose them. */
  #named: RTCIceServer[] = [];
  readonly #gathering = new Gathering();
  readonly #post: (message: ToWorker, transfer: Transferable[]) => void;
  #bridged: boolean;

  constructor(options: BrokerOptions, post: (message: ToWorker, transfer: Transferable[]) => void) {
    this.#options = options;
    this.#post = post;
    this.#bridged = options.bridge;
  }

  /**
   * Makes the offers of a first announce before an engine asks for them, because the browser needs time for their
   * candidates.
   */
  prepare(): void {
    if (this.#early.length > 0) return;
    try {
      while (this.#early.length < EARLY_OFFERS) {
        const pc = this.#connection();
        this.#hand({ t: "earlyChannel" }, pc.createDataChannel("piecework"));
        const sdp = this.#offered(pc);
        sdp.catch(() => undefined); // reported when the engine asks for it
        this.#early.push({ pc, sdp });
      }
    } catch {
      // The offers that the engine asks for will report the fault.
    }
    this.#earlyEnds = setTimeout(() => this.#closeEarly(), EARLY_MS);
  }

  /** Takes a message of the worker; true if it was about a connection. */
  handle(message: FromWorker): boolean {
    switch (message.t) {
      case "createOffer":
        this.#offer(message.c);
        return true;
      case "acceptOffer":
        this.#make(message.c, async (pc) => {
          pc.ondatachannel = ({ channel }) => {
            pc.ondatachannel = null; // the protocol has one channel
            this.#hand({ t: "channel", c: message.c }, channel);
          };
          await pc.setRemoteDescription({ type: "offer", sdp: message.sdp });
          await pc.setLocalDescription();
          this.#post({ t: "answer", c: message.c, sdp: await this.#gathered(pc) }, []);
        });
        return true;
      case "applyAnswer": {
        const pc = this.#connections.get(message.c);
        pc?.setRemoteDescription({ type: "answer", sdp: message.sdp }).catch((error) => this.#fail(message.c, error));
        return true;
      }
      case "iceServers":
        this.#named = usable(message.servers);
        // They were made without these.
        this.#closeEarly();
        return true;
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
    this.#closeEarly();
  }

  #offer(c: number): void {
    const early = this.#early.shift();
    if (early) {
      this.#begin(c, early.pc, async () => {
        this.#post({ t: "channel", c }, []);
        this.#post({ t: "offer", c, sdp: await early.sdp }, []);
      });
    } else {
      this.#make(c, async (pc) => {
        // The channel must leave in this very task: a moment later both browsers refuse to transfer it.
        this.#hand({ t: "channel", c }, pc.createDataChannel("piecework"));
        this.#post({ t: "offer", c, sdp: await this.#offered(pc) }, []);
      });
    }
  }

  #closeEarly(): void {
    clearTimeout(this.#earlyEnds);
    for (const { pc } of this.#early.splice(0)) pc.close();
    this.#post({ t: "noEarlyChannels" }, []);
  }

  /** The offer of a connection that has its channel. */
  async #offered(pc: RTCPeerConnection): Promise<string> {
    await pc.setLocalDescription();
    return this.#gathered(pc);
  }

  /** Its description. If relays are the only way allowed, nobody can connect by a description without a candidate. */
  async #gathered(pc: RTCPeerConnection): Promise<string> {
    const sdp = await this.#gathering.description(pc);
    if (this.#options.relayOnly && !hasCandidate(sdp)) throw new Error("no TURN relay answered");
    return sdp;
  }

  #connection(): RTCPeerConnection {
    const iceServers = [...this.#options.iceServers, ...this.#named];
    // A tracker may name one with its first reply, so this fails now, and not after the wait for a relay.
    if (this.#options.relayOnly && !asks(iceServers, "turn"))
      throw new Error("only relays are allowed, and no TURN server is known: name one in iceServers");
    return new RTCPeerConnection({
      iceServers,
      iceTransportPolicy: this.#options.relayOnly ? "relay" : "all",
    });
  }

  #make(c: number, steps: (pc: RTCPeerConnection) => Promise<void>): void {
    if (this.#connections.size + this.#early.length >= MAX_CONNECTIONS) {
      this.#fail(c, new Error(`at most ${MAX_CONNECTIONS} connections at once`));
      return;
    }
    try {
      this.#begin(c, this.#connection(), steps);
    } catch (error) {
      this.#fail(c, error);
    }
  }

  #begin(c: number, pc: RTCPeerConnection, steps: (pc: RTCPeerConnection) => Promise<void>): void {
    this.#connections.set(c, pc);
    pc.onconnectionstatechange = () => {
      if (pc.connectionState === "failed") this.#fail(c, new Error("no way to the peer was found, or it was lost"));
      if (pc.connectionState === "connected") void this.#tellAddress(c, pc);
    };
    steps(pc).catch((error) => {
      if (this.#connections.get(c) === pc) this.#fail(c, error);
    });
  }

  /** A peer's own description proves nothing about its address, so the engine waits for this one. */
  async #tellAddress(c: number, pc: RTCPeerConnection): Promise<void> {
    const address = await remoteAddress(pc).catch(() => null);
    if (this.#connections.get(c) === pc) this.#post({ t: "address", c, address }, []);
  }

  #hand(message: { t: "channel"; c: number } | { t: "earlyChannel" }, channel: RTCDataChannel): void {
    channel.binaryType = "arraybuffer";
    if (!this.#bridged) {
      try {
        // The DOM's types do not list it among transferables yet.
        this.#post({ ...message, channel }, [channel as unknown as Transferable]);
        return;
      } catch {
        this.#bridged = true; // before Chromium 130 and Firefox 144
      }
    }
    const port = bridge(channel);
    this.#post({ ...message, channel: port }, [port]);
  }

  #fail(c: number, error: unknown): void {
    this.#close(c);
    this.#post({ t: "failed", c, reason: error instanceof Error ? error.message : String(error) }, []);
  }

  #close(c: number): void {
    const pc = this.#connections.get(c);
    if (!pc) return;
    this.#connections.delete(c);
    pc.onconnectionstatechange = pc.ondatachannel = pc.onicegatheringstatechange = pc.onicecandidate = null;
    pc.close();
  }
}

/** Entries of a report of `getStats` that lead to the other side's address; only the fields that are read here. */
interface IceStats {
  type: string;
  selectedCandidatePairId?: string;
  selected?: boolean;
  remoteCandidateId?: string;
  address?: string | null;
}

/**
 * The address that a connected peer really has. It is null where the browser hides it: behind a name that mDNS
 * answered, and where the peer's description does not name it.
 */
export async function remoteAddress(pc: Pick<RTCPeerConnection, "getStats">): Promise<string | null> {
  const stats = new Map<string, IceStats>(await pc.getStats());
  const entries = [...stats.values()];
  const chosen = entries.find((entry) => entry.type === "transport")?.selectedCandidatePairId;
  // Firefox marks the pair itself.
  const pair = chosen ? stats.get(chosen) : entries.find((entry) => entry.type === "candidate-pair" && entry.selected);
  const address = stats.get(pair?.remoteCandidateId ?? "")?.address;
  return address && !address.endsWith(".local") ? address : null;
}
