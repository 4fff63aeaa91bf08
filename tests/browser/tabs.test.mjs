import assert from "node:assert/strict";
import { browser, open, signaling, site } from "./harness.mjs";
import { test } from "./tests.mjs";

const MIB = 1 << 20;

test("a second tab uses the first one's engine and takes over when that tab closes", async () => {
  const [url, tracker] = [await site(), await signaling()];
  const options = JSON.stringify({ trackers: [tracker] });
  const a = await browser();
  const seeder = await open(a.context, url);
  await seeder.run(`start(${options})`);
  await seeder.run("client.setUploadLimit(3e6)");
  const torrent = await seeder.run(`seed(${16 * MIB}, 5)`);

  const { context } = await browser();
  const first = await open(context, url);
  await first.run(`start(${options})`);
  await first.run(`add("${torrent}")`);
  await first.run("pieces(3)");
  const second = await open(context, url);
  await second.run(`start(${options})`);
  await second.run(`add("${torrent}")`);
  await second.run("pieces(3)");
  assert.equal(await first.run("client.stats().then((s) => s.isHost)"), true);
  assert.equal(await second.run("client.stats().then((s) => s.isHost)"), false);
  await first.close();
  await second.run("done()");
  assert.equal(await second.run("client.stats().then((s) => s.isHost)"), true);
  assert.equal(await second.run("digest()"), await second.run(`patternDigest(${16 * MIB}, 5)`));
});
