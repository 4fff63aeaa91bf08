import assert from "node:assert/strict";
import { browser, folder, open, signaling, site } from "../support/harness.mjs";
import { bystander, film } from "../support/swarm.mjs";
import { test } from "../support/tests.mjs";
import { candidates, connections, watchConnections } from "./connections.mjs";

const LENGTH = 8 << 20;

async function hidingBrowser() {
  const { context } = await browser(folder("profile"), { hidesAddresses: true });
  await watchConnections(context);
  return context;
}

/** Everything that the page told about itself has `.local` names, and no address of this machine. */
function assertHidden(descriptions) {
  assert.ok(descriptions.length > 0);
  for (const { sdp } of descriptions) {
    const hosts = candidates(sdp).filter(({ type }) => type === "host");
    assert.ok(hosts.length > 0, `no host candidate in ${sdp}`);
    for (const { address } of hosts) assert.match(address, /^[0-9a-f-]{36}\.local$/);
    // There is no address elsewhere, either: 0.0.0.0 stands where there is none to show.
    const shown = (sdp.match(/\b\d{1,3}(\.\d{1,3}){3}\b/g) ?? []).filter(
      (address) => address !== "0.0.0.0" && address !== "127.0.0.1",
    );
    assert.deepEqual(shown, [], sdp);
  }
}

async function assertFetched(page, { digest }) {
  await page.run("done()");
  assert.equal(await page.run("digest()"), digest);
  assert.equal((await page.run("stats()")).verified, LENGTH);
}

test("a page whose addresses are hidden behind mDNS names offers, and a native seeder answers", async () => {
  const tracker = await signaling();
  const shared = await film(tracker, LENGTH);
  await shared.seed();
  const page = await open(await hidingBrowser(), await site());
  await page.run("start({})");
  await page.run(`add("${shared.torrent}")`);
  await assertFetched(page, shared);

  const { sent, pairs } = await connections(page);
  assertHidden(sent);
  assert.ok(sent.some(({ type }) => type === "offer"));
  assert.ok(pairs.length > 0);
});

test("a native seeder offers, and a page whose addresses are hidden behind mDNS names answers", async () => {
  const tracker = await signaling();
  const shared = await film(tracker, LENGTH);
  const [url, context] = [await site(), await hidingBrowser()];
  const page = await open(context, url);
  await page.run("start({})");
  // The page's own offers end at a bystander, so that the seeder's offers connect.
  const watcher = await bystander(context, url, tracker, shared.infoHash);
  await page.run(`add("${shared.torrent}")`);
  assertHidden(await watcher.offeredBesides([]));
  await watcher.leave();
  await shared.seed();
  await assertFetched(page, shared);

  const { sent, taken, pairs } = await connections(page);
  assertHidden(sent);
  assert.ok(sent.some(({ type }) => type === "answer"));
  assert.ok(taken.every(({ type }) => type === "offer"));
  assert.ok(pairs.length > 0);
});
