// Two sites that use one title: which of them pays for what.
import assert from "node:assert/strict";
import { asking, earnedBy, paying, spentBySite, until } from "../support/extension.mjs";
import { site } from "../support/harness.mjs";
import { UNIT_FINE } from "../support/paid/scene.mjs";
import { BLOCK, MIB } from "../support/paid/terms.mjs";
import { deposit } from "../support/paid/viewer.mjs";
import { test } from "../support/tests.mjs";

const LENGTH = 4 * MIB;
const ALL = UNIT_FINE * BigInt(LENGTH / BLOCK);

/** The page takes the title up, and fetches nothing of it by itself. */
const takesUp = (page, { torrent }) =>
  page.run(`(async () => {
    const bytes = Uint8Array.from(atob("${torrent}"), (c) => c.charCodeAt(0));
    window.torrent = await client.add(bytes, { onDemand: true });
    await torrent.ready;
  })()`);

test("of two sites with one title the one whose page reads it pays, whoever came first", async () => {
  const { url, scene, extension, client } = await paying();
  const title = await scene.title("film.bin", LENGTH);
  const seeder = await scene.seeder([title], 20_000_000);
  const first = await asking(extension, url, client, { budget: "1" });
  await deposit(first, "1");
  await takesUp(first, title);
  const second = await asking(extension, await site(), client, { budget: "1" });
  await second.run("client.connectWallet().then(() => 0)");
  await takesUp(second, title);

  const sumOf = async (page) => BigInt((await spentBySite(page))[1]);
  /** What this page spent, once the seller has earned as much as both spent. */
  const agreed = () =>
    until(
      async () => [await sumOf(first), await sumOf(second), await earnedBy(seeder)],
      ([one, other, earned]) => one + other === earned,
    );
  await second.run(`torrent.files[0].blob({ end: ${LENGTH / 2} }).then(() => 0)`);
  const [none, half, earned] = await agreed();
  assert.deepEqual([none, half], [0n, earned]);
  assert.ok(half >= ALL / 2n && half < ALL, `${half} of ${ALL}`);

  await first.run("torrent.files[0].blob().then(() => 0)");
  const sums = await until(agreed, ([, , all]) => all === ALL);
  assert.deepEqual(sums, [ALL - half, half, ALL]);
});
