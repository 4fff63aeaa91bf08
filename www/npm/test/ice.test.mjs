import assert from "node:assert/strict";
import { mock, test } from "node:test";
import { Gathering } from "./build/gathering.js";
import { DEFAULT_STUN, defaultIceServers, parseIceServers, usable } from "./build/ice.js";

test("an attribute names STUN and TURN servers, and none by a word or by nothing", () => {
  assert.deepEqual(parseIceServers(" \n"), []);
  assert.deepEqual(parseIceServers("none"), []);
  assert.deepEqual(parseIceServers("stun:a.example  stuns:b.example:443\nturn:me:p%3A%40@t.example:1?transport=tcp"), [
    { urls: ["stun:a.example"] },
    { urls: ["stuns:b.example:443"] },
    { urls: ["turn:t.example:1?transport=tcp"], username: "me", credential: "p:@" },
  ]);
  // Time-limited names have a colon; a lone percent sign stands for itself.
  assert.deepEqual(parseIceServers("turns:1700000000:alice:100%@[2001:db8::1]:5349"), [
    { urls: ["turns:[2001:db8::1]:5349"], username: "1700000000:alice", credential: "100%" },
  ]);
});

test("what names no server is refused by its place, and its password is not shown", () => {
  for (const [wrong, says] of [
    ["http://a.example", "http://a.example"],
    ["stun:", "stun:"],
    ["stun", "stun"],
    ["none stun:a.example", "none"],
    ["stun:me:secret@a.example", "a.example"],
    ["turn:a.example", "turn:a.example"],
    ["turn:me@a.example", "a.example"],
    ["turn:me:secret@a.example?x=y", "a.example?x=y"],
    ["turn:me:secret@a.example:port", "a.example:port"],
    ["turn:me:secret@", ""],
  ])
    assert.throws(
      () => parseIceServers(wrong),
      (error) => error instanceof TypeError && error.message.includes(`"${says}"`) && !error.message.includes("secret"),
      wrong,
    );
});

test("the list that is asked by default cannot be changed by who reads it", () => {
  const [first] = defaultIceServers();
  assert.deepEqual(first.urls, DEFAULT_STUN);
  first.urls.push("stun:evil.example");
  assert.equal(DEFAULT_STUN.length, 2);
  assert.deepEqual(defaultIceServers()[0].urls, DEFAULT_STUN);
});

test("a server that the browser does not take is left out, and the others stay", () => {
  globalThis.RTCPeerConnection = class {
    constructor({ iceServers: [server] }) {
      if (server.urls[0] === "turn:bad") throw new SyntaxError("no");
    }
    close() {}
  };
  const [good, bad] = [{ urls: ["stun:good"] }, { urls: ["turn:bad"], username: "u", credential: "c" }];
  assert.deepEqual(usable([bad, good]), [good]);
});

/** A connection that gathers as a test says. */
class Gatherer {
  iceGatheringState = "gathering";
  localDescription = { sdp: "v=0\r\n" };
  #configuration;
  constructor(urls, iceTransportPolicy = "all") {
    this.#configuration = { iceServers: urls.map((url) => ({ urls: [url] })), iceTransportPolicy };
  }
  getConfiguration() {
    return this.#configuration;
  }
  finds(type) {
    this.localDescription.sdp += `a=candidate:1 1 udp 1 192.0.2.1 1 typ ${type}\r\n`;
    this.onicecandidate?.({});
  }
  ends() {
    this.iceGatheringState = "complete";
    this.onicegatheringstatechange?.();
  }
}

/** Whether a description left, after so many milliseconds. */
async function left(promise, afterMs) {
  mock.timers.tick(afterMs);
  const still = Symbol("still");
  await Promise.resolve();
  return (await Promise.race([promise, Promise.resolve(still)])) !== still;
}

/** In a world whose clock a test moves. */
function timed(name, body) {
  test(name, async () => {
    mock.timers.enable({ apis: ["setTimeout"] });
    let now = 1_000;
    const clock = mock.method(performance, "now", () => now);
    try {
      await body((ms) => {
        now += ms;
      });
    } finally {
      clock.mock.restore();
      mock.timers.reset();
    }
  });
}

timed("a description leaves at once when all candidates are there", async () => {
  const pc = new Gatherer(["stun:s", "turn:t"]);
  const sdp = new Gathering().description(pc);
  pc.finds("host");
  assert.equal(await left(sdp, 0), false);
  pc.ends();
  assert.match(await sdp, /typ host/);
});

timed("it waits for no server that is dead while another of its kind answered", async () => {
  const pc = new Gatherer(["stun:alive", "stun:dead"]);
  const sdp = new Gathering().description(pc);
  pc.finds("host");
  assert.equal(await left(sdp, 1_000), false);
  pc.finds("srflx");
  assert.equal(await left(sdp, 50), false);
  assert.equal(await left(sdp, 60), true);
});

timed("it waits for a relay where one is asked, for three seconds", async () => {
  const pc = new Gatherer(["stun:s", "turn:t"]);
  const sdp = new Gathering().description(pc);
  pc.finds("host");
  pc.finds("srflx");
  assert.equal(await left(sdp, 2_900), false);
  assert.equal(await left(sdp, 200), true);
});

timed(
  "silent STUN servers cost a second and a half once, and next to nothing for the minute after it",
  async (pass) => {
    const gathering = new Gathering();
    const next = () => {
      const pc = new Gatherer(["stun:silent"]);
      const sdp = gathering.description(pc);
      pc.finds("host");
      return { pc, sdp };
    };
    const first = next();
    assert.equal(await left(first.sdp, 1_400), false);
    assert.equal(await left(first.sdp, 200), true);
    const second = next();
    assert.equal(await left(second.sdp, 110), true);
    pass(61_000);
    const third = next();
    assert.equal(await left(third.sdp, 110), false);
    // It answers again.
    third.pc.finds("srflx");
    assert.equal(await left(third.sdp, 110), true);
    assert.equal(await left(next().sdp, 1_000), false);
  },
);

timed("where relays are the only way, it waits for the first one", async () => {
  const pc = new Gatherer(["turn:late"], "relay");
  const sdp = new Gathering().description(pc);
  assert.equal(await left(sdp, 4_000), false);
  pc.finds("relay");
  assert.equal(await left(sdp, 0), true);
});
