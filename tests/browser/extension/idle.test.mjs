import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { asking, extended, setUp } from "../support/extension.mjs";
import { signaling, site } from "../support/harness.mjs";
import { test } from "../support/tests.mjs";

const TITLES = 20;
const LENGTH = 256 << 10;
const SECONDS = 30;
/** Of one core. */
const MOST_CPU = 0.01;
const TICKS_PER_SECOND = Number(execFileSync("getconf", ["CLK_TCK"], { encoding: "utf8" }));

/** The browser's processes that run extensions: this one's host and background. */
async function processes(context) {
  const session = await context.browser().newBrowserCDPSession();
  const { processInfo } = await session.send("SystemInfo.getProcessInfo");
  return processInfo
    .map(({ id }) => id)
    .filter((id) => readFileSync(`/proc/${id}/cmdline`, "latin1").includes("--extension-process"));
}

/** Seconds of CPU that a process used. */
function used(pid) {
  const fields = readFileSync(`/proc/${pid}/stat`, "latin1").split(") ").at(-1).split(" ");
  return (Number(fields[11]) + Number(fields[12])) / TICKS_PER_SECOND;
}

/** Megabytes that only this process has in memory. */
function memory(pid) {
  const [, kB] = /^RssAnon:\s+(\d+)/m.exec(readFileSync(`/proc/${pid}/status`, "latin1"));
  return Number(kB) / 1024;
}

test("with twenty titles and nothing to do the extension uses less than a hundredth of a core", async () => {
  const [url, tracker] = [await site(), await signaling()];
  const extension = await extended();
  await setUp(extension);
  const page = await asking(extension, url);
  for (let seed = 1; seed <= TITLES; seed++) await page.run(`seed(${LENGTH}, ${seed}, { trackers: ["${tracker}"] })`);
  const library = await extension.own("library.html");
  await library.locator(`#titles li:nth-child(${TITLES})`).waitFor();
  await library.close();
  await page.close();

  const pids = await processes(extension.context);
  assert.equal(pids.length, 1);
  const [pid] = pids;
  const before = used(pid);
  await new Promise((resolve) => setTimeout(resolve, SECONDS * 1_000));
  const share = (used(pid) - before) / SECONDS;
  console.log(`idle with ${TITLES} titles: ${(share * 100).toFixed(2)} % of a core, ${memory(pid).toFixed(0)} MB`);
  assert.ok(share < MOST_CPU, `${(share * 100).toFixed(2)} % of a core`);
});
