import assert from "node:assert/strict";
import { browser, open, signaling, site } from "../support/harness.mjs";
import { test } from "../support/tests.mjs";

const MIB = 1 << 20;

async function exchange(query, carrier) {
  const [url, tracker] = [await site(), await signaling()];
  const options = JSON.stringify({ trackers: [tracker] });
  const [a, b] = [await browser(), await browser()];
  const seeder = await open(a.context, url + query);
  await seeder.run(`start(${options})`);
  const torrent = await seeder.run(`seed(${32 * MIB}, 7)`);
  const viewer = await open(b.context, url + query);
  await viewer.run(`start(${options})`);
  await viewer.run(`add("${torrent}")`);
  await viewer.run("done()");
  assert.equal(await viewer.run("digest()"), await viewer.run(`patternDigest(${32 * MIB}, 7)`));
  const stats = await viewer.run("stats()");
  assert.equal(stats.verified, 32 * MIB);
  assert.equal(stats.state, "seeding");
  for (const page of [seeder, viewer]) {
    const carriers = await page.run("transferred");
    assert.ok(carriers.length > 0 && carriers.every((name) => name === carrier), carriers.join());
  }
  return { seeder, viewer, stats };
}

test("32 MiB travel from one browser's worker to another's over a transferred channel, bit-exact", async () => {
  const { seeder } = await exchange("/", "RTCDataChannel");
  assert.equal((await seeder.run("stats()")).uploaded >= 32 * MIB, true);
});

test("where channels cannot be transferred, a port carries them", async () => {
  await exchange("/?bridge=1", "MessagePort");
});
