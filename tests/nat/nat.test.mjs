// Peers behind routers that translate addresses, with real routers, a real STUN and TURN server, and nothing else
// between them. All tests run at once, each in a network of its own: they wait for most of their time.
import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { candidates, connections, watchConnections } from "../browser/network/connections.mjs";
import { STUN, TURN, coturn, getter, page, seeder, signaling } from "./cast.mjs";
import { forbidden, lab, soon } from "./lab.mjs";

const LENGTH = 300_000;
/** Longer than two peers need to find that there is no way (15 s), and far longer than those that meet need. */
const NEVER_MS = 20_000;

const why = forbidden();
if (why && process.env.CI) throw new Error(`no network namespaces with nftables here, and CI must have them: ${why}`);
if (why) console.log(`skipped: nat: no network namespaces with nftables here: ${why}`);

/** A test in a network with two homes behind routers of this kind. */
function test(name, kind, body) {
  it(name, { timeout: 120_000 }, async () => {
    const net = lab(kind);
    try {
      await body(net);
    } finally {
      await net.close();
    }
  });
}

async function arrives(peer, seeder) {
  assert.equal(await soon("the file arrives", peer.ended), 0, peer.lines.join("\n"));
  assert.ok(peer.file().equals(seeder.bytes));
}

/** The peer is still looking for others after a while. */
async function findsNobody(peer) {
  const late = new Promise((resolve) => setTimeout(resolve, NEVER_MS, "late"));
  assert.equal(await Promise.race([peer.ended, late]), "late", peer.lines.join("\n"));
}

const handsOut = (turn, ...more) => ["--stun", STUN, "--turn", TURN, "--turn-secret-file", turn.secretFile, ...more];

describe("behind NATs", { concurrency: true, skip: why !== null }, () => {
  test("two native peers behind routers that keep ports meet by STUN", "cone", async (net) => {
    await coturn(net);
    const tracker = await signaling(net);
    const film = await seeder(net, tracker.url, LENGTH, "--ice-server", STUN);
    await arrives(getter(net, tracker.url, film.torrent, "--ice-server", STUN), film);
  });

  test("they do not meet without STUN", "cone", async (net) => {
    const tracker = await signaling(net);
    const film = await seeder(net, tracker.url, LENGTH, "--no-stun");
    await findsNobody(getter(net, tracker.url, film.torrent, "--no-stun"));
  });

  test("STUN servers that the signaling server names are enough", "cone", async (net) => {
    await coturn(net);
    const tracker = await signaling(net, "--stun", STUN);
    const film = await seeder(net, tracker.url, LENGTH, "--no-stun");
    await arrives(getter(net, tracker.url, film.torrent, "--no-stun"), film);
  });

  test("STUN does not help two native peers behind symmetric routers", "symmetric", async (net) => {
    await coturn(net);
    const tracker = await signaling(net);
    const film = await seeder(net, tracker.url, LENGTH, "--ice-server", STUN);
    await findsNobody(getter(net, tracker.url, film.torrent, "--ice-server", STUN));
  });

  test("they meet by TURN, with credentials that the signaling server hands out", "symmetric", async (net) => {
    const turn = await coturn(net);
    const tracker = await signaling(net, ...handsOut(turn));
    const film = await seeder(net, tracker.url, LENGTH, "--ice-server", STUN);
    await arrives(getter(net, tracker.url, film.torrent, "--ice-server", STUN), film);
    await film.stop();
    await turn.relayed();
    // Nothing that is secret is in the server's log.
    assert.doesNotMatch(tracker.lines.join("\n"), /static|secret|credential/i);
  });

  test("a peer that stays for longer than its credentials gets others", "symmetric", async (net) => {
    const turn = await coturn(net);
    const tracker = await signaling(net, ...handsOut(turn, "--turn-ttl", "20", "--interval", "10"));
    const film = await seeder(net, tracker.url, LENGTH, "--ice-server", STUN);
    // The time of the first credentials passes.
    await new Promise((resolve) => setTimeout(resolve, 24_000));
    const [begun, before] = [Math.floor(Date.now() / 1000), turn.users().length];
    await arrives(getter(net, tracker.url, film.torrent, "--ice-server", STUN), film);
    await film.stop();
    await turn.relayed();
    const users = turn.users().slice(before);
    // Both peers got relays, under names of their own.
    assert.equal(new Set(users.map(({ name }) => name)).size, 2, JSON.stringify(users));
    for (const { user, expiry } of users) assert.ok(expiry > begun, `${user}, begun at ${begun}`);
  });

  test("credentials whose time is over open no relay, and others do", "cone", async (net) => {
    const turn = await coturn(net);
    const now = Math.floor(Date.now() / 1000);
    const tries = (expiry) => {
      const { username, password } = turn.login(expiry);
      const words = ["-u", username, "-w", password, "-n", "1", "-c", "-y", TURN.split(":")[1]];
      return net.run("h1", "turnutils_uclient", words);
    };
    const [over, good] = [await tries(now - 1), await tries(now + 60)];
    assert.notEqual(over.code, 0, over.output);
    assert.equal(good.code, 0, good.output);
  });

  test(
    "a page behind a router that keeps ports fetches from a native peer behind another, by STUN",
    "cone",
    async (net) => {
      await coturn(net);
      const tracker = await signaling(net);
      const film = await seeder(net, tracker.url, LENGTH, "--ice-server", STUN);
      const seen = await fetchedByPage(net, tracker.url, film, { iceServers: [{ urls: STUN }] });
      for (const { local } of seen.pairs) assert.notEqual(local, "relay");
      const types = seen.sent.flatMap(({ sdp }) => candidates(sdp).map(({ type }) => type));
      assert.ok(types.includes("srflx"), String(types));
    },
  );

  test(
    "a page and a native peer behind symmetric routers meet by TURN, with credentials that were handed out",
    "symmetric",
    async (net) => {
      const turn = await coturn(net);
      const tracker = await signaling(net, ...handsOut(turn));
      const film = await seeder(net, tracker.url, LENGTH, "--ice-server", STUN);
      const seen = await fetchedByPage(net, tracker.url, film, { iceServers: [{ urls: STUN }] });
      assert.ok(
        seen.pairs.some(({ local, remote }) => local === "relay" || remote === "relay"),
        JSON.stringify(seen.pairs),
      );
    },
  );

  test(
    "a page that may use relays alone, and knows none, uses the one that the signaling server names",
    "cone",
    async (net) => {
      const turn = await coturn(net);
      const tracker = await signaling(net, ...handsOut(turn));
      const film = await seeder(net, tracker.url, LENGTH, "--ice-server", STUN);
      const seen = await fetchedByPage(net, tracker.url, film, { iceServers: [], relayOnly: true });
      assert.ok(seen.pairs.length > 0);
      for (const { local } of seen.pairs) assert.equal(local, "relay");
    },
  );
});

/** A page at the other home, with these options, fetches the film. Answers its connections. */
async function fetchedByPage(net, tracker, film, options) {
  const { context, opened } = await page(net);
  await watchConnections(context);
  const tab = await opened();
  await tab.run(`start(${JSON.stringify({ ...options, trackers: [tracker] })})`);
  const torrent = film.torrentFile.toString("base64");
  await soon("the page has it", tab.run(`add("${torrent}").then(done)`));
  assert.equal(await tab.run("digest()"), film.digest);
  return connections(tab);
}
