// The part of the engine that is loaded when it is called: to make a torrent needs it.
import assert from "node:assert/strict";
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { browser, distFile, folder, open, served, site } from "../support/harness.mjs";
import { test } from "../support/tests.mjs";

const REST = "piecework_rest.wasm";
const LENGTH = 1 << 20;

test("the rest of the engine comes when a function of it is called, and the work goes on", async () => {
  const url = await site();
  const { context } = await browser();
  const page = await open(context, url);
  await page.run("start({})");
  await page.run("client.stats().then(({ isHost }) => isHost)");
  assert.ok(!served(url).includes(REST));
  await page.run(`seed(${LENGTH}, 3)`);
  await page.run("done()");
  assert.equal(await page.run("digest()"), await page.run(`patternDigest(${LENGTH}, 3)`));
  assert.ok(served(url).includes(REST));
  assert.equal(await page.run("workers.length"), 1);
  assert.deepEqual(page.errors, []);
});

/** The rest of another build. */
function another() {
  const rest = readFileSync(distFile(REST));
  const mark = rest.lastIndexOf("piecework") + "piecework".length;
  rest[mark] = rest[mark] === 0x30 ? 0x31 : 0x30;
  const file = join(folder("instead"), REST);
  writeFileSync(file, rest);
  return file;
}

for (const [what, file, said] of [
  ["is not there", () => "/nowhere", /piecework_rest\.wasm could not be loaded \(status 404\): serve it/],
  ["is of another build", another, /piecework_rest\.wasm is of another build than worker\.js: serve both from one/],
]) {
  test(`a page whose rest of the engine ${what} says so, and nobody waits`, async () => {
    const url = await site({ mounts: { [`/dist/${REST}`]: file() } });
    const { context } = await browser();
    const page = await open(context, url);
    await page.run("start({})");
    const answer = await page.run(`seed(${LENGTH}, 3).then(() => "it was made", (error) => error.message)`);
    assert.match(answer, said);
    assert.match(answer, /restarted 3 times: reload the page/);
  });
}
