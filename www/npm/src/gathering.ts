/** When the description of a connection has candidates enough to leave: every one goes out once, and whole. */

import { asks } from "./ice.js";

/** The browser may gather candidates for this long where a TURN server is asked; then those go out that are there. */
const TURN_MS = 3_000;
/** The same where only STUN servers are asked. */
const STUN_MS = 1_500;
/**
 * A description goes out this long after each kind of server brought a candidate, though other servers have yet to
 * answer: so IPv4 and IPv6 both have their turn, and a dead server costs nothing more.
 */
const SETTLE_MS = 100;
/** Where no STUN server answered in time, the connections of the next minute wait for them no longer than this. */
const SILENT_MS = 100;
const SILENT_FOR_MS = 60_000;
/**
 * If there is no candidate at all by then, as behind a relay that answers late, the first one goes out, if it comes in
 * this time.
 */
const FIRST_CANDIDATE_MS = 20_000;

/** What a description waits for, by the servers that were asked. */
interface Awaited {
  reflexive: boolean;
  relayed: boolean;
}

/** Waits for the candidates of one page's connections, and remembers whether its STUN servers answer. */
export class Gathering {
  #silentUntil = 0;

  /** The local description: with all candidates, with those that came in time, or with the first that came later. */
  description(pc: RTCPeerConnection): Promise<string> {
    const awaited = awaits(pc.getConfiguration());
    const sdp = () => pc.localDescription?.sdp ?? "";
    return new Promise((resolve) => {
      const timers: ReturnType<typeof setTimeout>[] = [];
      const after = (ms: number, step: () => void) => timers.push(setTimeout(step, ms));
      const done = () => {
        timers.forEach(clearTimeout);
        pc.onicegatheringstatechange = pc.onicecandidate = null;
        this.#noteStun(awaited, pc, sdp());
        resolve(sdp());
      };
      const first = () => hasCandidate(sdp()) && done();
      const late = () => {
        pc.onicecandidate = first;
        first();
      };
      const look = () => {
        if (!hasEach(sdp(), awaited)) return;
        pc.onicecandidate = null;
        after(SETTLE_MS, done);
      };
      pc.onicegatheringstatechange = () => {
        if (pc.iceGatheringState === "complete") done();
      };
      if (pc.iceGatheringState === "complete") return done();
      after(this.#limit(awaited), late);
      after(FIRST_CANDIDATE_MS, done);
      pc.onicecandidate = look;
      look();
    });
  }

  #limit(awaited: Awaited): number {
    if (awaited.relayed || !awaited.reflexive) return TURN_MS;
    return performance.now() < this.#silentUntil ? SILENT_MS : STUN_MS;
  }

  #noteStun(awaited: Awaited, pc: RTCPeerConnection, sdp: string): void {
    const now = performance.now();
    if (has(sdp, "srflx")) this.#silentUntil = 0;
    else if (awaited.reflexive && pc.iceGatheringState !== "complete" && now >= this.#silentUntil)
      this.#silentUntil = now + SILENT_FOR_MS;
  }
}

/** Whether a description names any address. */
export function hasCandidate(sdp: string): boolean {
  return /^a=candidate:/m.test(sdp);
}

function has(sdp: string, type: "srflx" | "relay"): boolean {
  return sdp.includes(` typ ${type}`);
}

function hasEach(sdp: string, { reflexive, relayed }: Awaited): boolean {
  return (reflexive || relayed) && (!reflexive || has(sdp, "srflx")) && (!relayed || has(sdp, "relay"));
}

function awaits({ iceServers = [], iceTransportPolicy }: RTCConfiguration): Awaited {
  return {
    reflexive: asks(iceServers, "stun") && iceTransportPolicy !== "relay",
    relayed: asks(iceServers, "turn"),
  };
}
