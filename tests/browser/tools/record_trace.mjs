// Records one download of a page from a native seeder, with the inputs and outputs of the engine's core. It needs the
// engine built with the feature `trace`; `cargo xtask trace` does both. Usage: node record_trace.mjs FILE
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { browser, cleanUp, folder, native, open, run, signaling, site } from "../support/harness.mjs";

const LENGTH = 100_000;

async function record() {
  const [url, tracker, data] = [await site(), await signaling(), folder("trace")];
  const bytes = Buffer.alloc(LENGTH);
  for (let i = 0; i + 4 <= LENGTH; i += 4) bytes.writeUInt32LE((i * 2654435761) >>> 0, i);
  writeFileSync(join(data, "film.bin"), bytes);
  await run(["create", join(data, "film.bin"), "--tracker", tracker, "-o", join(data, "film.torrent")]);
  await native(["seed", join(data, "film.torrent"), "--data", data, "--state", join(data, "state")], /^seeding /);
  const info = await run(["info", join(data, "film.torrent")]);
  const magnet = /magnet:\S+/.exec(info)?.[0];
  if (!magnet) throw new Error(`no magnet link in: ${info}`);

  const { context } = await browser();
  await context.addInitScript(() => {
    window.traced = [];
    const { promise, resolve } = Promise.withResolvers();
    window.nextInput = promise;
    const note = (line) => {
      window.traced.push(line);
      if (JSON.parse(line).in && window.traced.some((earlier) => earlier.includes("Event(Complete"))) resolve();
    };
    window.Worker = class extends Worker {
      constructor(...given) {
        super(...given);
        this.addEventListener("message", ({ data }) => data?.t === "trace" && note(data.line));
      }
    };
  });
  const page = await open(context, url);
  await page.run("start({})");
  await page.run(`add(${JSON.stringify(magnet)})`);
  await page.run("done()");
  if ((await page.run("traced.length")) === 0)
    throw new Error("the engine records nothing: build it with `cargo xtask trace`");
  // The outputs of the last input may be there in part only.
  await page.run("nextInput");
  const lines = await page.run("traced");
  const last = lines.findLastIndex((line) => JSON.parse(line).in !== undefined);
  return lines.slice(0, last);
}

const [file] = process.argv.slice(2);
if (!file) throw new Error("usage: node record_trace.mjs FILE");
try {
  const lines = await record();
  writeFileSync(file, lines.map((line) => `${line}\n`).join(""));
  console.log(`${file}: ${lines.length} lines`);
} finally {
  await cleanUp();
}
