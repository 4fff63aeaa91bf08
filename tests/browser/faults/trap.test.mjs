// A real trap in the engine. Its module may grow to a limit, and gets more bytes than that. Rust then ends with
// `unreachable`.
import assert from "node:assert/strict";
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { browser, distFile, folder, open, site } from "../support/harness.mjs";
import { Scene, UNIT_FINE } from "../support/paid/scene.mjs";
import { AT_RISK, BLOCK, LOST_LINKS, MIB, PIECE, forgiven } from "../support/paid/terms.mjs";
import { add, deposit, look, settled, viewer } from "../support/paid/viewer.mjs";
import { RemoteWallet } from "../support/paid/wallet.mjs";
import { test } from "../support/tests.mjs";

/** More bytes come before the interruption than it may cost. */
const LENGTH = 16 * MIB - 3 * BLOCK;
const ENOUGH = (2 * AT_RISK) / PIECE;
/** The pages of 64 KiB that the engine may grow by: enough for the downloads here. */
const ROOM = 256;
/** More than that room, in one message. */
const TOO_MUCH = `client.add(new Uint8Array(${30 * MIB})).then(() => "it was taken", (error) => error.message)`;
const STOPPED = /^The engine stopped \(.*unreachable.*\); a new one starts from what is stored\.$/;

/**
 * The module with an upper limit on its memory (the memory section of the binary format has one memory, without a
 * limit).
 */
function limited(module) {
  const number = (at) => {
    let [value, shift] = [0, 0];
    for (;;) {
      const byte = module[at++];
      value += (byte & 127) * 2 ** shift;
      shift += 7;
      if (byte < 128) return [value, at];
    }
  };
  const written = (value) => (value < 128 ? [value] : [(value & 127) | 128, ...written(value >>> 7)]);
  for (let at = 8; at < module.length; ) {
    const [length, begin] = number(at + 1);
    if (module[at] === 5) {
      assert.deepEqual([...module.subarray(begin, begin + 2)], [1, 0], "one memory without a limit");
      const [pages] = number(begin + 2);
      const section = [1, 1, ...written(pages), ...written(pages + ROOM)];
      return Buffer.concat([
        module.subarray(0, at),
        Buffer.from([5, ...written(section.length), ...section]),
        module.subarray(begin + length),
      ]);
    }
    at = begin + length;
  }
  throw new Error("the module has no memory");
}

/** A site that serves the limited module, until it is `mended`. */
async function narrow() {
  const module = join(folder("module"), "engine.wasm");
  const shipped = readFileSync(distFile("piecework_bg.wasm"));
  writeFileSync(module, limited(shipped));
  return {
    url: await site({ mounts: { "/dist/piecework_bg.wasm": module } }),
    mend: () => writeFileSync(module, shipped),
  };
}

test("after a trap in a paid download a new engine keeps the stored pieces, and pays for each block once", async () => {
  const [{ url, mend }, scene] = [await narrow(), await Scene.open()];
  const wallet = await RemoteWallet.start(scene.chain, scene.payer);
  const title = await scene.title("film.bin", LENGTH);
  const seeder = await scene.seeder([title], 3_000_000);
  const page = await viewer(url, wallet, scene.options());
  await deposit(page, "4");
  const asked = [...wallet.prompts];
  await add(page, title);
  await page.run(`new Promise((resolve) => {
    const enough = () => fetched.length >= ${ENOUGH} && resolve(true);
    torrent.on("piece", enough);
    enough();
  })`);
  const before = await look(page);
  assert.equal(before.state, "downloading");

  mend();
  const answer = await page.run(TOO_MUCH);
  const said = await page.run("said");
  assert.equal(said.length, 1, said.join("\n"));
  assert.match(said[0], STOPPED);
  assert.equal(await page.run("workers.length"), 2);
  // The next engine got the request that trapped the first one, and named its fault.
  assert.match(answer, /torrent/i);

  await page.run("done()");
  assert.equal(await page.run("digest()"), title.digest);
  const end = await settled(page, seeder, LENGTH / BLOCK - forgiven(LENGTH));
  if (process.env.PIECEWORK_TEST_VERBOSE)
    console.log(
      `  ${before.verified} bytes before; ${end.downloaded} of ${LENGTH} after it; ${end.sent} sent; ` +
        `${end.spent / UNIT_FINE} blocks paid`,
    );
  const twice = await page.run("fetched.length - new Set(fetched).size");
  assert.ok(twice * PIECE <= AT_RISK, `${twice} pieces came twice`);
  assert.ok(end.downloaded <= LENGTH - before.verified + AT_RISK, `${end.downloaded} bytes after ${before.verified}`);
  assert.ok(end.sent <= LENGTH + AT_RISK, `${end.sent} bytes sent for ${LENGTH}`);

  assert.ok(end.spent <= UNIT_FINE * BigInt(end.sent / BLOCK), `spent ${end.spent} for ${end.sent} bytes`);
  assert.ok(
    end.spent >= UNIT_FINE * BigInt(LENGTH / BLOCK - forgiven(LENGTH)),
    `spent ${end.spent} for ${LENGTH} bytes`,
  );
  // The seller loses links that were on their way when the engine ended, where they were the last of their range.
  assert.ok(
    end.earned <= end.spent && end.spent - end.earned <= UNIT_FINE * BigInt(LOST_LINKS),
    `earned ${end.earned} of ${end.spent}`,
  );
  assert.deepEqual(wallet.prompts, asked);
  const redeemed = await seeder.ask("redeem");
  assert.equal(redeemed.ok, true, JSON.stringify(redeemed.batches));
  assert.equal(await scene.chain.balanceOf(scene.payee), BigInt(end.money.redeemable));
  assert.deepEqual(page.errors, []);
});

test("a trap loses no stored byte; if each engine traps, the page says to reload, and nobody waits", async () => {
  const { url } = await narrow();
  const { context } = await browser();
  const page = await open(context, url);
  await page.run("start({})");
  await page.run(`seed(${2 * MIB}, 9)`);
  await page.run("done()");
  const waiting = page.run(`client.stats().then(() => "answered", (error) => error.message)`);
  assert.match(
    await page.run(TOO_MUCH),
    /^The engine stopped \(.*unreachable.*\) and was restarted 3 times: reload the page\.$/,
  );
  await waiting;
  assert.equal(await page.run("workers.length"), 4);
  const said = (await page.run("said")).filter((text) => !text.startsWith("no tracker"));
  assert.equal(said.length, 4);
  assert.ok(
    said.slice(0, 3).every((text) => STOPPED.test(text)),
    said.join("\n"),
  );
  assert.match(await page.run(`client.stats().catch((error) => error.message)`), /reload the page/);

  await page.reload();
  await page.run("window.loaded");
  await page.run("start({})");
  const [hash] = await page.run("client.stored()");
  await page.run(`add("${hash}")`);
  await page.run("done()");
  assert.equal(await page.run("digest()"), await page.run(`patternDigest(${2 * MIB}, 9)`));
  assert.equal((await page.run("stats()")).downloaded, 0);
});
