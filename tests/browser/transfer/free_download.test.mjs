import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { browser, folder, native, open, run, signaling, site } from "../support/harness.mjs";
import { test } from "../support/tests.mjs";

test("a page fetches a file from a native seeder, bit-exact, without a wallet or a chain", async () => {
  const [url, tracker, data] = [await site(), await signaling(), folder("native")];
  const bytes = Buffer.alloc(24 << 20);
  for (let i = 0; i < bytes.length; i += 4) bytes.writeUInt32LE((i * 2654435761) >>> 0, i);
  writeFileSync(join(data, "film.bin"), bytes);
  await run(["create", join(data, "film.bin"), "--tracker", tracker, "-o", join(data, "film.torrent")]);
  await native(["seed", join(data, "film.torrent"), "--data", data, "--state", join(data, "state")], /^seeding /);

  const { context } = await browser();
  const asked = [];
  context.on("request", (request) => asked.push(new URL(request.url()).origin));
  const page = await open(context, url);
  await page.run("start({})"); // the tracker comes from the .torrent
  await page.run(`add("${readFileSync(join(data, "film.torrent")).toString("base64")}")`);
  await page.run("done()");
  assert.equal(await page.run("digest()"), createHash("sha256").update(bytes).digest("hex"));
  const stats = await page.run("stats()");
  assert.equal(stats.wasted, 0);
  assert.deepEqual([...new Set(asked)], [url]);
  assert.deepEqual(await page.run("said"), []);
});
