// The stock client, bittorrent-tracker's, at our signaling server: announce, scrape, `completed`, `stopped`, several
// torrents on one socket, reconnecting, mocked and malformed offers. Its socket, messages and bookkeeping are its own;
// only WebRTC, which would need a native build in Node, is mocked: `mocked_webrtc.mjs`.
import assert from "node:assert/strict";
import { once } from "node:events";
import { register } from "node:module";
import { signalingAt } from "../browser/support/harness.mjs";

const mocked = new URL("mocked_webrtc.mjs", import.meta.url).href;
const hook = `export const resolve = (name, context, next) =>
  name === "webrtc-polyfill" ? { url: ${JSON.stringify(mocked)}, shortCircuit: true } : next(name, context);`;

/** Longer than anything takes here; reaching it is a failure. */
const PATIENCE_MS = 60_000;

let names = 0;
/** A 20-byte value, as hexadecimal digits, with bytes that JSON must escape and bytes above ASCII. */
const value = () => `22005cffe9${(++names).toString(16).padStart(30, "0")}`;

/** The values of an emitter's next event of this name. */
async function next(emitter, name) {
  const [first] = await once(emitter, name, { signal: AbortSignal.timeout(PATIENCE_MS) });
  return first;
}

/** Collects the events, so that none that came early is missed. */
class Inbox {
  constructor(client) {
    this.got = { update: [], peer: [], warning: [], scrape: [] };
    this.waiting = new Set();
    for (const [name, list] of Object.entries(this.got)) {
      client.on(name, (thing) => {
        list.push(thing);
        for (const look of this.waiting) look();
      });
    }
  }

  /** Resolves when `holds` does. */
  until(what, holds) {
    return new Promise((resolve, reject) => {
      const timer = setTimeout(
        () => reject(new Error(`never: ${what}; warnings: ${this.got.warning.map(String)}`)),
        PATIENCE_MS,
      );
      const look = () => {
        if (!holds(this.got)) return;
        this.waiting.delete(look);
        clearTimeout(timer);
        resolve(this.got);
      };
      this.waiting.add(look);
      look();
    });
  }
}

/** Runs all of them, each as one of `test`'s. */
export async function stockClients(test) {
  register(`data:text/javascript,${encodeURIComponent(hook)}`);
  const { default: Client } = await import("bittorrent-tracker/client");
  const server = await signalingAt(0);
  const health = async () => (await fetch(`${server.url.replace("ws:", "http:")}health`)).json();

  /** The server's numbers once the condition holds: it learns of a closed socket when the kernel reports it. */
  async function healthUntil(what, holds) {
    const deadline = Date.now() + PATIENCE_MS;
    for (;;) {
      const numbers = await health();
      if (holds(numbers)) return numbers;
      assert.ok(Date.now() < deadline, `never: ${what}; ${JSON.stringify(numbers)}`);
    }
  }

  let clients = [];
  /** A client; those with one and the same `socket` share it, as in one program. */
  function client({ infoHash, socket, peerId = value(), left = 100, url = server.url }) {
    const made = new Client({
      infoHash,
      peerId,
      port: 6881,
      announce: [`${url}${socket}`],
      getAnnounceOpts: () => ({ left }),
    });
    clients.push(made);
    return Object.assign(made, { inbox: new Inbox(made) });
  }

  const stock = (name, body) =>
    test(`stock client: ${name}`, async () => {
      clients = [];
      const before = (await health()).connections;
      try {
        await body();
        for (const { inbox, expectsWarnings } of clients)
          assert.deepEqual(expectsWarnings ? [] : inbox.got.warning, []);
      } finally {
        await Promise.all(
          clients.map((made) => new Promise((resolve) => (made.destroyed ? resolve() : made.destroy(resolve)))),
        );
      }
      await healthUntil("all sockets of the test are closed", ({ connections }) => connections <= before);
    });

  await stock("announces; its mocked offer reaches another, and the answer comes back, both unchanged", async () => {
    const infoHash = value();
    const a = client({ infoHash, socket: "a" });
    a.start();
    const { update } = await a.inbox.until("reply to a", ({ update }) => update.length === 1);
    assert.deepEqual([update[0].complete, update[0].incomplete, update[0].interval], [0, 1, 120]);
    const b = client({ infoHash, socket: "b" });
    b.start();
    const [atA, atB] = await Promise.all(
      [a, b].map(({ inbox }) => inbox.until("a peer", ({ peer }) => peer.length === 1)),
    );
    const [offered, answered] = [atA.peer[0], atB.peer[0]];
    assert.deepEqual([offered.id, answered.id], [b.peerId, a.peerId]);
    assert.ok(answered.initiator && !offered.initiator);
    const { sdp } = offered._pc.remoteDescription;
    assert.equal(sdp.replace(/^mocked offer \d+ /, ""), '"\\ \u0001 é 😀 \u2028\r\nm=nothing\r\n');
    assert.deepEqual(offered._pc.remoteDescription, { ...answered._pc.localDescription });
    assert.deepEqual(answered._pc.remoteDescription, { ...offered._pc.localDescription });
    assert.equal(atB.update[0].incomplete, 2);
  });

  await stock("hands its offers to as many others, each one another", async () => {
    const infoHash = value();
    const others = ["1", "2", "3"].map((socket) => client({ infoHash, socket }));
    for (const other of others) {
      other.start({ numwant: 0 });
      await other.inbox.until("a reply", ({ update }) => update.length === 1);
    }
    const newcomer = client({ infoHash, socket: "4" });
    newcomer.start();
    const { peer } = await newcomer.inbox.until("an answer of each", ({ peer }) => peer.length === 3);
    assert.deepEqual(peer.map(({ id }) => id).sort(), others.map(({ peerId }) => peerId).sort());
    for (const other of others) assert.equal(other.inbox.got.peer.length, 1);
  });

  await stock("is counted after `completed` and no more after `stopped`, as scrapes tell", async () => {
    const [infoHash, other, unknown] = [value(), value(), value()];
    const [a, b, c] = [
      client({ infoHash, socket: "a" }),
      client({ infoHash, socket: "b", left: 0 }),
      client({ infoHash: other, socket: "c" }),
    ];
    for (const peer of [a, b, c]) {
      peer.start();
      await peer.inbox.until("a reply", ({ update }) => update.length === 1);
    }
    const counts = ({ complete, incomplete, downloaded }) => [complete, incomplete, downloaded];
    const scrape = async (of) => {
      const { scrape } = c.inbox.got;
      const before = scrape.length;
      c.scrape({ infoHash: of });
      await c.inbox.until("the sizes", () => scrape.length === before + of.length);
      return Object.fromEntries(scrape.slice(before).map((size) => [size.infoHash, counts(size)]));
    };
    assert.deepEqual(await scrape([infoHash, other, unknown]), {
      [infoHash]: [1, 1, 0],
      [other]: [0, 1, 0],
      [unknown]: [0, 0, 0],
    });
    a.complete({ left: 0 });
    await a.inbox.until("the reply to `completed`", ({ update }) => update.length === 2);
    assert.deepEqual(await scrape([infoHash]), { [infoHash]: [2, 0, 1] });
    a.stop();
    await a.inbox.until("the reply to `stopped`", ({ update }) => update.length === 3);
    assert.deepEqual(await scrape([infoHash]), { [infoHash]: [1, 0, 1] });
    // After that, only the peer that is left hears of one that comes back.
    a.start();
    await a.inbox.until("the one who is left", ({ peer }) => peer.some(({ id }) => id === b.peerId));
  });

  await stock("scrapes without having announced", async () => {
    const infoHash = value();
    const size = await new Promise((resolve, reject) => {
      Client.scrape({ infoHash, announce: `${server.url}scrape` }, (error, data) =>
        error ? reject(error) : resolve(data),
      );
    });
    assert.deepEqual([size.complete, size.incomplete, size.downloaded, size.infoHash], [0, 0, 0, infoHash]);
  });

  await stock("has several torrents on one socket, and each its own peers", async () => {
    const hashes = [value(), value(), value()];
    const before = await health();
    const here = hashes.map((infoHash) => client({ infoHash, socket: "shared" }));
    for (const peer of here) {
      peer.start();
      await peer.inbox.until("a reply", ({ update }) => update.length === 1);
    }
    const now = await health();
    assert.deepEqual(
      [now.connections - before.connections, now.peers - before.peers, now.swarms - before.swarms],
      [1, 3, 3],
    );
    const there = hashes.map((infoHash, n) => client({ infoHash, socket: `other-${n}` }));
    for (const peer of there) peer.start();
    for (const [n, peer] of there.entries()) {
      await peer.inbox.until("its peer", ({ peer }) => peer.length > 0);
      await here[n].inbox.until("its peer", ({ peer }) => peer.length > 0);
      assert.deepEqual(
        peer.inbox.got.peer.map(({ id }) => id),
        [here[n].peerId],
      );
      assert.deepEqual(
        here[n].inbox.got.peer.map(({ id }) => id),
        [peer.peerId],
      );
    }
    // One leaves: the others stay on the socket.
    here[0].stop();
    await here[0].inbox.until("the reply to `stopped`", ({ update }) => update.length === 2);
    here[1].update();
    await here[1].inbox.until("the reply to another torrent", ({ update }) => update.length === 2);
    assert.equal((await health()).peers - before.peers, 5);
  });

  await stock("comes back by itself after the server was gone, with its peers", async () => {
    const first = await signalingAt(0);
    const infoHash = value();
    const peers = ["a", "b"].map((socket) => client({ infoHash, socket, url: first.url }));
    for (const peer of peers) {
      peer.start();
      await peer.inbox.until("a reply", ({ update }) => update.length === 1);
    }
    await peers[0].inbox.until("an introduction", ({ peer }) => peer.length === 1);
    // The client waits for seconds to minutes before it connects again. Its own timer is kept until the server is back.
    const real = globalThis.setTimeout;
    const held = [];
    globalThis.setTimeout = (callback, ms, ...rest) => {
      if (ms < 10_000 || !String(callback).includes("_openSocket")) return real(callback, ms, ...rest);
      held.push(callback);
      return real(() => {}, 0);
    };
    try {
      await first.killed();
      const deadline = Date.now() + PATIENCE_MS;
      while (held.length < peers.length) {
        assert.ok(Date.now() < deadline, "the clients notice that the server is gone");
        await new Promise((resolve) => setImmediate(resolve));
      }
    } finally {
      globalThis.setTimeout = real;
    }
    const again = await signalingAt(first.port);
    assert.equal(again.port, first.port);
    for (const reconnect of held) reconnect();
    for (const peer of peers) await peer.inbox.until("a reply of the new server", ({ update }) => update.length >= 2);
    await peers[0].inbox.until("an introduction by the new server", ({ peer }) => peer.length >= 2);
    // The error at the broken socket is no refusal.
    for (const peer of peers) {
      peer.expectsWarnings = true;
      for (const warning of peer.inbox.got.warning)
        assert.doesNotMatch(String(warning), /tracker response|invalid|missing|in use/);
    }
    await Promise.all(peers.map((peer) => new Promise((resolve) => peer.destroy(resolve))));
    await again.killed();
  });

  await stock("has its well-formed offer relayed from among malformed ones", async () => {
    const infoHash = value();
    const [a, b] = ["a", "b"].map((socket) => client({ infoHash, socket }));
    b.expectsWarnings = true;
    a.start();
    await a.inbox.until("a reply", ({ update }) => update.length === 1);
    const [tracker] = b._trackers;
    const generate = tracker._generateOffers;
    tracker._generateOffers = (_wanted, done) =>
      generate.call(tracker, 1, ([good]) => {
        const sdp = good.offer.sdp;
        const as = (offer, offer_id = good.offer_id) => ({ offer, offer_id });
        done([
          ...[
            null,
            7,
            "offer",
            [],
            {},
            as(null),
            as("offer"),
            as({}),
            as({ type: "offer" }),
            as({ type: "answer", sdp }),
            as({ sdp }),
          ],
          ...[
            as({ type: "offer", sdp: 7 }),
            as({ type: "offer", sdp: "x".repeat(20_000) }),
            as(good.offer, "short"),
            as(good.offer, 7),
            { offer: good.offer },
          ],
          good,
        ]);
      });
    b.start();
    const { peer } = await b.inbox.until("the answer", ({ peer }) => peer.length === 1);
    assert.equal(peer[0].id, a.peerId);
    assert.equal(a.inbox.got.peer.length, 1, "nothing malformed was relayed");
    await b.inbox.until("the warning", ({ warning }) => warning.length === 1);
    assert.match(b.inbox.got.warning[0].message, /^16 offers were left out: each needs an offer_id of 20 characters/);
  });

  await stock("is told what is wrong with a malformed message, and keeps its socket", async () => {
    const infoHash = value();
    const a = client({ infoHash, socket: "a" });
    a.expectsWarnings = true;
    a.start();
    await a.inbox.until("a reply", ({ update }) => update.length === 1);
    const [tracker] = a._trackers;
    const own = { action: "announce", info_hash: a._infoHashBinary, peer_id: a._peerIdBinary };
    const wrong = [
      [{ ...own, event: "paused?" }, /event/],
      [{ ...own, offers: "none" }, /offers/],
      [{ ...own, peer_id: "short" }, /peer_id/],
      [{ ...own, answer: 7, to_peer_id: own.peer_id, offer_id: own.peer_id }, /answer/],
      [
        { ...own, answer: { type: "answer", sdp: "x" }, to_peer_id: own.peer_id, offer_id: own.peer_id },
        /no such offer/,
      ],
      [{ ...own, answer: { type: "answer", sdp: "x" }, offer_id: own.peer_id }, /to_peer_id/],
    ];
    for (const [n, [message, reason]] of wrong.entries()) {
      tracker._send(message);
      const { warning } = await a.inbox.until(
        `why ${JSON.stringify(message)} is refused`,
        ({ warning }) => warning.length === n + 1,
      );
      assert.match(String(warning[n]), reason);
    }
    const socket = tracker.socket;
    a.update();
    await a.inbox.until("a reply", ({ update }) => update.length === 2);
    assert.ok(socket.connected && tracker.socket === socket);
  });

  await stock("is forgotten when its program ends without a word", async () => {
    const infoHash = value();
    const before = await health();
    const gone = client({ infoHash, socket: "gone" });
    gone.start();
    await gone.inbox.until("a reply", ({ update }) => update.length === 1);
    gone.destroy();
    await healthUntil(
      "the peer is forgotten",
      ({ peers, connections }) => peers === before.peers && connections === before.connections,
    );
    const later = client({ infoHash, socket: "later" });
    later.start();
    const reply = await next(later, "update");
    assert.equal(reply.incomplete, 1);
  });

  await server.killed();
}

// By itself: `node stock_clients.mjs`.
if (process.argv[1] && import.meta.url === new URL(`file://${process.argv[1]}`).href) {
  let failed = 0;
  await stockClients(async (name, body) => {
    try {
      await body();
      console.log(`ok      ${name}`);
    } catch (error) {
      failed++;
      console.log(`FAILED  ${name}\n${error.stack ?? error}`);
    }
  });
  process.exit(failed > 0 ? 1 : 0);
}
