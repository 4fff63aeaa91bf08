import assert from "node:assert/strict";
import { browser, open, signalingAt, site } from "../support/harness.mjs";
import { bystander, film } from "../support/swarm.mjs";
import { test } from "../support/tests.mjs";

const LENGTH = 24 << 20;

test("the signaling server dies in mid-download: the transfer goes on, and both peers find its successor", async () => {
  const [url, first] = [await site(), await signalingAt(0)];
  const shared = await film(first.url, LENGTH);
  const { context } = await browser();

  // A bystander learns the peers' ids from the offers that each makes when it comes.
  const witness = await bystander(context, url, first.url, shared.infoHash);
  await shared.seed("--upload-limit", "1M");
  const [{ peer: seeder }] = await witness.offeredBesides([]);
  const page = await open(context, url);
  await page.run("start({})");
  await page.run(`add("${shared.torrent}")`);
  const viewer = (await witness.offeredBesides([seeder])).find(({ peer }) => peer !== seeder).peer;
  await witness.leave();

  await page.run("pieces(4)");
  await first.killed();
  await page.run("pieces(8)");

  // The new server starts without peers: every peer that it knows has announced again.
  const second = await signalingAt(first.port);
  const later = await bystander(context, url, second.url, shared.infoHash);
  await Promise.all([
    later.others.seeders > 0 || later.offeredBy(seeder),
    later.others.leechers > 0 || later.offeredBy(viewer),
  ]);
  await later.leave();
  assert.equal((await page.run("stats()")).state, "downloading");

  // A peer that comes only now finds the swarm.
  const newcomer = await open((await browser()).context, url);
  await newcomer.run("start({})");
  await newcomer.run(`add("${shared.torrent}")`);
  for (const fetched of [page, newcomer]) {
    await fetched.run("done()");
    assert.equal(await fetched.run("digest()"), shared.digest);
    assert.equal((await fetched.run("stats()")).verified, LENGTH);
  }
});
