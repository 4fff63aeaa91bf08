import assert from "node:assert/strict";
import { asking, extended, fetched, setUp } from "../support/extension.mjs";
import { kill, open, signaling, site } from "../support/harness.mjs";
import { film } from "../support/swarm.mjs";
import { test } from "../support/tests.mjs";

const LENGTH = 4 << 20;

test("a title that a site fetched is seeded with no tab open, and after the browser's restart", async () => {
  const [url, tracker] = [await site(), await signaling()];
  const title = await film(tracker, LENGTH);
  const seeder = await title.seedFreezably();
  const first = await extended();
  await setUp(first);
  const page = await asking(first, url);
  await page.run(`add("${title.torrent}")`);
  await page.run("done()");
  assert.equal(await page.run("digest()"), title.digest);
  assert.equal(await page.run("client.stats().then(({ isHost }) => isHost)"), false);
  assert.deepEqual(await page.run("said"), []);
  assert.deepEqual(await page.run("workers.length"), 0, "the page runs no engine");

  seeder.freeze();
  await page.close();
  assert.equal(await fetched(title), title.digest);

  await first.context.close();
  await extended(first.profile);
  assert.equal(await fetched(title), title.digest);
});

test("a host that is killed comes back by itself, and its pages go on", async () => {
  const [url, tracker] = [await site(), await signaling()];
  const title = await film(tracker, LENGTH);
  await title.seed();
  const extension = await extended();
  await setUp(extension);
  const page = await asking(extension, url);
  await page.run(`add("${title.torrent}")`);
  await page.run("done()");
  await page.run(`client.on("error", ({ error }) => said.push(error.message))`);

  const killed = await extension.endHost();
  assert.ok(killed, "there was a host");
  assert.equal(await page.run("digest()"), title.digest);
  assert.deepEqual(await page.run("said"), []);
  assert.equal(await fetched(title), title.digest);
});

test("files that a site shares are seeded by the extension with the site closed", async () => {
  const [url, tracker] = [await site(), await signaling()];
  const extension = await extended();
  await setUp(extension);
  const page = await asking(extension, url);
  const torrent = await page.run(`seed(${LENGTH}, 7, { trackers: ["${tracker}"] })`);
  const digest = await page.run(`patternDigest(${LENGTH}, 7)`);
  assert.equal((await page.run("stats()")).state, "seeding");
  await page.close();
  assert.equal(await fetched({ torrent }, "pattern.bin"), digest);
});

test("a browser that is killed in mid-download goes on with what is here", async () => {
  const [url, tracker] = [await site(), await signaling()];
  const title = await film(tracker, LENGTH);
  await title.seed("--upload-limit", "1M");
  const first = await extended();
  await setUp(first);
  const page = await asking(first, url);
  await page.run(`add("${title.torrent}")`);
  // A kill may cost the last 1 MiB and 0.4 s (docs/decisions/003).
  await page.run("torrent.stats().then(({ pieceLength }) => pieces((3 << 20) / pieceLength))");
  await kill(first.profile);
  await first.context.close().catch(() => undefined);

  const { context } = await extended(first.profile);
  const again = await open(context, url);
  await again.run("start({})");
  await again.run(`add("${title.torrent}")`);
  await again.run("done()");
  assert.equal(await again.run("digest()"), title.digest);
  assert.equal(await again.run("workers.length"), 0, "the site is still allowed");
  const { downloaded } = await again.run("stats()");
  assert.ok(downloaded < LENGTH - (1 << 20), `${downloaded} of ${LENGTH} came anew`);
});

test("a page whose extension goes away says what to do", async () => {
  const url = await site();
  const extension = await extended();
  await setUp(extension);
  const page = await asking(extension, url);
  await page.run("client.stats().then(() => true)");
  await page.run(`void (window.failed = new Promise((resolve) =>
    client.on("error", ({ error }) => resolve(error.message))))`);
  await extension.goAway();
  assert.match(await page.run("failed"), /updated, switched off or removed: reload the page/);
});
