// Engines that do not start: every request to them is refused with the reason.
import assert from "node:assert/strict";
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { browser, distFile, folder, open, site } from "../support/harness.mjs";
import { Scene } from "../support/paid/scene.mjs";
import { viewer } from "../support/paid/viewer.mjs";
import { RemoteWallet } from "../support/paid/wallet.mjs";
import { test } from "../support/tests.mjs";

const HASH = "ab".repeat(20);

/** A file with these bytes, which the site serves instead of one of the package's. */
function instead(name, bytes) {
  const file = join(folder("instead"), name);
  writeFileSync(file, bytes);
  return file;
}

/** The wasm of another build: the same code under another mark. */
function otherBuild() {
  const wasm = readFileSync(distFile("piecework_bg.wasm"));
  const mark = wasm.lastIndexOf("piecework") + "piecework".length;
  wasm[mark] = wasm[mark] === 0x30 ? 0x31 : 0x30;
  return wasm;
}

/** The package's worker, in which the engine's start meets an error that nobody awaits, and never ends. */
const SILENT = `StorageManager.prototype.getDirectory = () =>
  (void Promise.reject(new TypeError("a.b is not a function")), new Promise(() => {}));`;

const CASES = [
  [
    "whose script is not there",
    { "/dist/worker.js": "/nowhere" },
    /The engine stopped \(.*worker\.js could not be loaded: .*`workerUrl`; .*`piecework\/vite`\) and was restarted 3 times/,
  ],
  [
    "whose wasm is not there",
    { "/dist/piecework_bg.wasm": "/nowhere" },
    /piecework_bg\.wasm could not be loaded \(status 404\): serve it, or name it by wasmUrl/,
  ],
  [
    "whose wasm is of another build",
    () => ({ "/dist/piecework_bg.wasm": instead("x.wasm", otherBuild()) }),
    /piecework_bg\.wasm is of another build than worker\.js: serve both from one/,
  ],
  [
    "whose wasm is an empty module",
    () => ({ "/dist/piecework_bg.wasm": instead("x.wasm", Buffer.from("0061736d01000000", "hex")) }),
    /of another build/,
  ],
  [
    "whose start breaks unheard",
    () => ({
      "/break.js": instead("break.js", SILENT),
      "/dist/worker.js": instead("worker.js", 'import "/break.js";\nimport "/worker.js";\n'),
      "/worker.js": distFile("worker.js"),
    }),
    /a\.b is not a function/,
  ],
  [
    "whose wasm is none",
    () => ({ "/dist/piecework_bg.wasm": instead("x.wasm", "<!doctype html>") }),
    /magic word|expected|wasm/i,
  ],
];

for (const [what, mounts, reason] of CASES) {
  test(`everything asked of an engine ${what} is refused and says why, what waits and what comes later`, async () => {
    const url = await site({ mounts: typeof mounts === "function" ? mounts() : mounts });
    const { context } = await browser();
    const page = await open(context, url);
    await page.run("start({})");
    const asked = `Promise.all([
      client.stats(), client.stored(), client.add("${HASH}"), client.add("magnet:?xt=urn:btih:${HASH}"),
      client.seed(new File([new Uint8Array(100)], "a.bin")), client.setUploadLimit(5), client.setStorageLimit(5),
    ].map((one) => one.then(() => "answered", (error) => error.message)))`;
    for (const _ of ["waiting", "later"]) {
      const answers = await page.run(asked);
      for (const answer of answers) assert.match(answer, reason);
    }
    // Nobody waits for the engine to say goodbye, either.
    await page.run("client.destroy()");
  });
}

test("a deposit that waits for an engine of another build is refused, and the wallet gets no request", async () => {
  const scene = await Scene.open();
  const url = await site({ mounts: { "/dist/piecework_bg.wasm": instead("x.wasm", otherBuild()) } });
  const wallet = await RemoteWallet.start(scene.chain, scene.payer);
  const page = await viewer(url, wallet, scene.options());
  const deposit = `client.connectWallet().then(() => client.deposit({ amount: "2" }))
    .then(() => "answered", (error) => error.message)`;
  for (const _ of ["waiting", "later"]) assert.match(await page.run(deposit), /of another build/);
  assert.deepEqual(wallet.sent, []);
});
