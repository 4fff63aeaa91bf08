import assert from "node:assert/strict";
import { browser, open, signaling, site } from "../support/harness.mjs";
import { test } from "../support/tests.mjs";

const MIB = 1 << 20;
const LENGTH = 4 * MIB;

/**
 * An honest seeder, a viewer and a place for hostile peers. Each has a tab, and but for the hostile peers an origin of
 * its own. The seeder sends next to nothing until `seeder.run("client.setUploadLimit(null)")`.
 */
async function swarm({ uploadLimit = 100_000 } = {}) {
  const [own, others, tracker] = [await site(), await site(), await signaling()];
  const { context } = await browser();
  const options = JSON.stringify({ trackers: [tracker] });
  const seeder = await open(context, own);
  await seeder.run(`start(${options})`);
  await seeder.run(`client.setUploadLimit(${uploadLimit})`);
  const torrent = await seeder.run(`seed(${LENGTH}, 21)`);
  const { infoHash, pieceLength, pieceCount } = await seeder.run("stats()");
  return {
    seeder,
    tracker,
    /** Opens the viewer. `watched` notes there the reasons why connections end. */
    async view() {
      const viewer = await open(context, others);
      await viewer.run(`start(${options})`);
      await viewer.run(`add("${torrent}")`);
      await watch(viewer);
      return viewer;
    },
    async attack(kind, more = {}) {
      const hostile = await open(context, `${own}/hostile.html`);
      await hostile.run(`attack(${JSON.stringify({ kind, tracker, infoHash, pieceLength, pieceCount, ...more })})`);
      return hostile;
    },
  };
}

/**
 * Notes from now on the reasons why connections end. `endedFor(/pattern/)` resolves once one reason fits, or as many as
 * asked.
 */
async function watch(page) {
  await page.run(`(() => {
    window.endings = [];
    const arrivals = new EventTarget();
    torrent.on("peerclosed", ({ text }) => (endings.push(text), arrivals.dispatchEvent(new Event("closed"))));
    window.endedFor = (pattern, times = 1) => new Promise((resolve) => {
      const look = () => endings.filter((text) => pattern.test(text)).length >= times && resolve(true);
      arrivals.addEventListener("closed", look);
      look();
    });
    return true;
  })()`);
}

async function completes(viewer) {
  await viewer.run("done()");
  assert.equal(await viewer.run("digest()"), await viewer.run(`patternDigest(${LENGTH}, 21)`));
  assert.equal((await viewer.run("stats()")).verified, LENGTH);
}

test("next to a good seeder a sender of corrupt blocks is found and kept out, and its blocks are dropped", async () => {
  const swarmed = await swarm();
  const hostile = await swarmed.attack("corrupt");
  const viewer = await swarmed.view();
  await viewer.run("endedFor(/corrupt/)");
  const asked = await hostile.run("requestsTaken()");
  assert.ok(asked > 0);

  // The hostile peer comes again under the name under which it lied.
  await hostile.run("goTo(4)");
  await viewer.run("endedFor(/corrupt/, 2)");
  assert.equal(await hostile.run("requestsTaken()"), asked);

  await swarmed.seeder.run("client.setUploadLimit(null)");
  await completes(viewer);
  const stats = await viewer.run("stats()");
  assert.ok(stats.wasted >= 16_384, `${stats.wasted} bytes were thrown away`);
  assert.ok(stats.wasted <= stats.downloaded - LENGTH + 16_384 * 16, `${stats.wasted} of ${stats.downloaded}`);
});

test("floods, giant messages and false pieces end their connection, and the viewer is served meanwhile", async () => {
  const swarmed = await swarm({ uploadLimit: 50_000 });
  await watch(swarmed.seeder);
  const viewer = await swarmed.view();
  await viewer.run("pieces(1)");
  const kinds = {
    requests: /floods us with requests/,
    blocks: /protocol error: /,
    giant: /protocol error: /,
    bitfield: /protocol error: /,
    have: /protocol error: /,
  };
  for (const [at, [kind, reason]] of Object.entries(kinds).entries()) {
    const told = `endings.length = 0, endedFor(${reason})`;
    const attacking = swarmed.attack(kind, { offers: 8, peerId: `-XX0000-hostile0000${at}` });
    const [hostile] = await Promise.all([attacking, viewer.run(told), swarmed.seeder.run(told)]);
    const said = await viewer.run("endings");
    if (process.env.PIECEWORK_TEST_VERBOSE)
      console.log(`  ${kind}: ${said.join(" | ")}; sent ${await hostile.run("sent()")}`);
    await hostile.close();
    await viewer.run("pieces(1)");
  }
  await swarmed.seeder.run("client.setUploadLimit(null)");
  await completes(viewer);
  assert.deepEqual([await viewer.run("said"), await swarmed.seeder.run("said")], [[], []]);
});

test("a peer that leaves in mid-block leaves nothing behind, and others send what it owed", async () => {
  const swarmed = await swarm();
  const leavers = [];
  for (let at = 0; at < 3; at++) leavers.push(await swarmed.attack("leaver", { peerId: `-XX0000-leaver00000${at}` }));
  const viewer = await swarmed.view();
  await viewer.run("pieces(1)");
  for (const leaver of leavers) await leaver.run("hasLeft");
  await swarmed.seeder.run("client.setUploadLimit(null)");
  await completes(viewer);
  const stats = await viewer.run("stats()");
  // Half a block does not count, let alone stay.
  assert.ok(stats.downloaded - stats.wasted === LENGTH, `${stats.downloaded} bytes, ${stats.wasted} of them wasted`);
});
