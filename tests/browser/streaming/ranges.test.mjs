import assert from "node:assert/strict";
import { browser, open, site } from "../support/harness.mjs";
import { test } from "../support/tests.mjs";

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

test("a header that is not one valid range of bytes is ignored, and no range lies in an empty file", async () => {
  const url = await site();
  const { context } = await browser();
  const page = await open(context, url);
  await page.run("start({})");
  await page.run(`(async () => {
    window.torrent = await client.seed([
      new File(["0123456789"], "ten.txt"),
      new File([], "empty.txt"),
      new File([new Uint8Array(${2 * MIB})], "long.bin"),
    ], { name: "three" });
    window.asked = async (name, headers, method = "GET") => {
      const file = torrent.files.find((file) => file.name === name);
      const answer = await fetch(await file.url(), { method, headers });
      return [answer.status, answer.headers.get("content-range"), (await answer.arrayBuffer()).byteLength];
    };
    window.tag = async (name) => {
      const url = await torrent.files.find((file) => file.name === name).url();
      return (await fetch(url, { method: "HEAD" })).headers.get("etag");
    };
  })()`);
  const asked = (name, headers, method = "GET") =>
    page.run(`asked(${JSON.stringify(name)}, ${JSON.stringify(headers)}, "${method}")`);
  for (const range of ["bytes=5-2", "bytes=0-0,2-3", "items=0-5", "bytes= 0-5", "bytes=-", "bytes=a-b"]) {
    assert.deepEqual(await asked("ten.txt", { range }), [200, null, 10], range);
    assert.deepEqual(await asked("long.bin", { range }), [200, null, 2 * MIB], range);
    assert.deepEqual(await asked("empty.txt", { range }), [200, null, 0], range);
  }
  for (const range of ["bytes=0-", "bytes=-5", "bytes=-0", "bytes=5-9"])
    assert.deepEqual((await asked("empty.txt", { range })).slice(0, 2), [416, "bytes */0"], range);
  for (const range of ["bytes=10-", "bytes=99999999999999999999-", "bytes=-0"])
    assert.deepEqual((await asked("ten.txt", { range })).slice(0, 2), [416, "bytes */10"], range);
  assert.deepEqual(await asked("ten.txt", { range: "Bytes=8-99999999999999999999" }), [206, "bytes 8-9/10", 2]);
  assert.deepEqual(await asked("ten.txt", { range: "bytes=-99" }), [206, "bytes 0-9/10", 10]);
  assert.deepEqual(await asked("empty.txt", {}), [200, null, 0]);
  assert.deepEqual(await asked("ten.txt", { range: "bytes=0-1" }, "HEAD"), [200, null, 0]);

  // With If-Range the reader gets the part if it has the rest of the same file, or else everything.
  const tag = await page.run(`tag("ten.txt")`);
  assert.match(tag, /^"[^"]+"$/);
  assert.notEqual(tag, await page.run(`tag("long.bin")`));
  assert.deepEqual(await asked("ten.txt", { range: "bytes=0-1", "if-range": tag }), [206, "bytes 0-1/10", 2]);
  for (const other of ['"another"', `W/${tag}`, "Sat, 29 Oct 1994 19:43:31 GMT"])
    assert.deepEqual(await asked("ten.txt", { range: "bytes=0-1", "if-range": other }), [200, null, 10], other);
  assert.deepEqual(
    page.errors.filter((text) => !/416/.test(text)),
    [],
  );
});

test("a file that cannot be read says why", async () => {
  const url = await site();
  const { context } = await browser();
  const page = await open(context, url);
  await page.run("start({})");
  await page.run(`seed(${8 * MIB}, 5)`);
  await page.run("done()");
  // As many readers as may read at once, each in the middle of the file.
  await page.run(
    "window.readers = Array.from({ length: 64 }, () => torrent.files[0].stream().getReader()), " +
      "Promise.all(readers.map((reader) => reader.read())).then(() => true)",
  );
  for (const read of ["arrayBuffer", "blob", "text"]) {
    assert.match(
      await page.run(`torrent.files[0].${read}().then(() => "it was read", (error) => error.message)`),
      /at most 64 streams at once/,
      read,
    );
  }
});
