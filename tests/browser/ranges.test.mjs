import assert from "node:assert/strict";
import { browser, open, site } from "./harness.mjs";
import { test } from "./tests.mjs";

const MIB = 1 << 20;
const LENGTH = 5 * MIB + 12;

test("ranges are answered as RFC 9110 says, at most 1 MiB at a time", async () => {
  const url = await site();
  const { context } = await browser();
  const page = await open(context, url);
  await page.run("start({})");
  await page.run(`seed(${LENGTH}, 11)`);
  await page.run("done()");
  for (const [header, start, end] of [
    ["bytes=0-", 0, MIB],
    ["bytes=1000-1999", 1000, 2000],
    [`bytes=${3 * MIB + 1}-`, 3 * MIB + 1, 4 * MIB + 1],
    ["bytes=-100", LENGTH - 100, LENGTH],
    [`bytes=${LENGTH - 1}-${LENGTH + 99}`, LENGTH - 1, LENGTH],
  ]) {
    const answer = await page.run(`range(${JSON.stringify(header)})`);
    assert.equal(answer.status, 206, header);
    assert.equal(answer.contentRange, `bytes ${start}-${end - 1}/${LENGTH}`, header);
    assert.equal(answer.length, end - start, header);
    assert.equal(answer.digest, await page.run(`patternRange(${LENGTH}, 11, ${start}, ${end})`), header);
  }
  const whole = await page.run("range()");
  assert.equal(whole.status, 200);
  assert.equal(whole.digest, await page.run(`patternDigest(${LENGTH}, 11)`));
  const outside = await page.run(`range("bytes=${LENGTH}-")`);
  assert.equal(outside.status, 416);
  assert.equal(outside.contentRange, `bytes */${LENGTH}`);
});

test("a file that cannot be read says why", async () => {
  const url = await site();
  const { context } = await browser();
  const page = await open(context, url);
  await page.run("start({})");
  await page.run(`seed(${8 * MIB}, 5)`);
  await page.run("done()");
  // As many as may read at once, each in the middle of the file.
  await page.run("Promise.all((window.readers = Array.from({ length: 64 }, () => torrent.files[0].stream().getReader())).map((reader) => reader.read())).then(() => true)");
  for (const read of ["arrayBuffer", "blob", "text"]) {
    assert.match(await page.run(`torrent.files[0].${read}().then(() => "it was read", (error) => error.message)`), /at most 64 streams at once/, read);
  }
});
