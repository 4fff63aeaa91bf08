import assert from "node:assert/strict";
import { browser, open, signaling, site } from "../support/harness.mjs";
import { film } from "../support/swarm.mjs";
import { test } from "../support/tests.mjs";
import { turn } from "../support/turn.mjs";
import { candidates, connections, watchConnections } from "./connections.mjs";

const LENGTH = 4 << 20;

/**
 * A page that may only use the relay fetches from a native seeder with these options. `begun` runs once both look for
 * the relay.
 */
async function fetched(relay, nativeOptions, begun = async () => undefined) {
  const [url, tracker] = [await site(), await signaling()];
  const shared = await film(tracker, LENGTH);
  await shared.seed(...nativeOptions);
  const { context } = await browser();
  await watchConnections(context);
  const page = await open(context, url);
  await page.run(`start(${JSON.stringify(relay.page)})`);
  await page.run(`add("${shared.torrent}")`);
  await begun(page);
  await page.run("done()");
  assert.equal(await page.run("digest()"), shared.digest);
  assert.equal((await page.run("stats()")).verified, LENGTH);

  const seen = await connections(page);
  assertRelayed(seen.sent);
  assert.ok(seen.pairs.length > 0);
  for (const { local } of seen.pairs) assert.equal(local, "relay");
  return seen;
}

/** Each description has candidates, and all of them are the relay's. */
function assertRelayed(descriptions) {
  assert.ok(descriptions.length > 0);
  for (const { sdp } of descriptions) {
    const types = candidates(sdp).map(({ type }) => type);
    assert.ok(types.length > 0, `no candidate in ${sdp}`);
    assert.ok(
      types.every((type) => type === "relay"),
      sdp,
    );
  }
}

test("a page that may connect through a TURN relay alone fetches from a native seeder", async () => {
  await fetched(await turn(), []);
});

test("page and native seeder may both connect through a TURN relay alone, and do", async () => {
  const relay = await turn();
  const { taken, pairs } = await fetched(relay, relay.native);
  assertRelayed(taken);
  for (const { remote } of pairs) assert.equal(remote, "relay");
});

test("a page waits for a TURN relay that needs four seconds: each description has a candidate", async () => {
  const relay = await turn();
  relay.freeze();
  const { taken } = await fetched(relay, relay.native, async (page) => {
    await page.run("new Promise((resolve) => setTimeout(resolve, 4_000))");
    assert.deepEqual(await page.run("ice.sent"), []);
    relay.thaw();
  });
  assertRelayed(taken);
});
