import assert from "node:assert/strict";
import { browser, folder, kill, open, signaling, site } from "../support/harness.mjs";
import { AT_RISK, MIB } from "../support/paid/terms.mjs";
import { test } from "../support/tests.mjs";

const LENGTH = 24 * MIB;

const count = (have) =>
  [...have].reduce((sum, digit) => sum + parseInt(digit, 16).toString(2).replaceAll("0", "").length, 0);

test("a killed browser fetches no verified piece again", async () => {
  const [url, tracker] = [await site(), await signaling()];
  const options = JSON.stringify({ trackers: [tracker] });
  const a = await browser();
  const seeder = await open(a.context, url);
  await seeder.run(`start(${options})`);
  await seeder.run("client.setUploadLimit(4e6)");
  const torrent = await seeder.run(`seed(${LENGTH}, 3)`);

  const profile = folder("profile");
  const first = await browser(profile);
  const viewer = await open(first.context, url);
  await viewer.run(`start(${options})`);
  await viewer.run(`add("${torrent}")`);
  await viewer.run("pieces(30)");
  const before = await viewer.run("stats()");
  await kill(profile);
  await first.context.close().catch(() => undefined);

  const second = await browser(profile);
  const again = await open(second.context, url);
  await again.run(`start(${options})`);
  await again.run(`add("${torrent}")`);
  await again.run("done()");
  const after = await again.run("stats()");
  assert.equal(await again.run("digest()"), await again.run(`patternDigest(${LENGTH}, 3)`));
  // Bytes that were on no record yet, and those that were asked for, may come twice, and nothing more.
  const most = LENGTH - before.verified + AT_RISK;
  assert.ok(count(before.have) >= 30);
  assert.ok(after.downloaded <= most, `${after.downloaded} bytes fetched after the kill, at most ${most} are right`);
});

test("a torrent taken up by its info hash alone, without a tracker, finds its peers where its link said", async () => {
  const [url, tracker] = [await site(), await signaling()];
  const a = await browser();
  const seeder = await open(a.context, url);
  await seeder.run(`start(${JSON.stringify({ trackers: [tracker] })})`);
  await seeder.run("client.setUploadLimit(2e6)");
  await seeder.run(`seed(${LENGTH / 2}, 4)`);
  const infoHash = await seeder.run("torrent.infoHash");

  const { context } = await browser();
  const viewer = await open(context, url);
  await viewer.run("start({})");
  await viewer.run(`add("magnet:?xt=urn:btih:${infoHash}&tr=${encodeURIComponent(tracker)}")`);
  await viewer.run("pieces(8)");
  await viewer.run("client.destroy()");
  const before = await viewer.run("stats()").catch((error) => error.message);
  assert.match(String(before), /destroyed/);
  await viewer.reload();
  await viewer.run("window.loaded");
  await viewer.run("start({})");
  assert.deepEqual(await viewer.run("client.stored()"), [infoHash]);
  await viewer.run(`add("${infoHash}")`);
  await viewer.run("done()");
  assert.equal(await viewer.run("digest()"), await viewer.run(`patternDigest(${LENGTH / 2}, 4)`));
  assert.ok((await viewer.run("stats()")).downloaded > 0, "the rest came from the peer");
  assert.deepEqual(await viewer.run("said"), []);
});
