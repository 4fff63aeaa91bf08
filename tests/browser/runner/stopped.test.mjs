// The runner's report on a file whose process ended before its tests were over. The runner runs here as the test
// command runs it.
import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { folder } from "../support/harness.mjs";
import { test } from "../support/tests.mjs";

/**
 * Runs a file of `fixtures`. Answers the exit code, the printed and the counted results, and the folder that the file
 * had.
 */
async function run(name) {
  const out = folder("fixture");
  const summary = join(out, "summary.json");
  const { NODE_TEST_CONTEXT, ...env } = process.env; // else node:test takes this for a run within itself
  const words = ["../run.mjs", `fixtures/${name}.mjs`].map((path) => fileURLToPath(new URL(path, import.meta.url)));
  const [code, printed] = await new Promise((resolve) =>
    execFile(
      process.execPath,
      words,
      { env: { ...env, PIECEWORK_FIXTURE: out, PIECEWORK_TEST_SUMMARY: summary } },
      (error, stdout) => resolve([error?.code ?? 0, stdout]),
    ),
  );
  return { code, printed, counted: JSON.parse(readFileSync(summary, "utf8")), out };
}

/** Whether a process runs. One that ended and that no parent asked for is still listed, without a command line. */
function runs(pid) {
  try {
    return readFileSync(`/proc/${pid}/cmdline`, "utf8") !== "";
  } catch {
    return false;
  }
}

test("a test that takes too long is stopped with all that it started, and the tests after it fail", async () => {
  const { code, printed, counted, out } = await run("too_long");
  assert.equal(code, 1);
  assert.deepEqual(counted, { passed: 1, failed: 4 }, printed);
  assert.match(printed, /^ok {6}fixtures\/too_long.mjs: passes /m);
  assert.match(printed, /^FAILED {2}fixtures\/too_long.mjs: fails$/m);
  assert.match(
    printed,
    /^FAILED {2}.*: goes on after its limit\nnot over after 3 s: the process of its file was ended$/m,
  );
  for (const name of ["comes after it", "is the last"])
    assert.match(printed, new RegExp(`^FAILED {2}.*: ${name}\nnot run: the process of its file ended before$`, "m"));
  const left = JSON.parse(readFileSync(join(out, "left.json"), "utf8"));
  assert.equal(existsSync(left.folder), false);
  // The system removes a killed process when it comes to that.
  while (left.pids.some(runs)) await new Promise((resolve) => setTimeout(resolve, 5));
  // So no process is left that could write the file.
  assert.equal(existsSync(join(out, "mark")), false);
});

test("a process that ends in the middle of its tests, as if all were well, loses none of them", async () => {
  const { code, printed, counted } = await run("ends");
  assert.equal(code, 1);
  assert.deepEqual(counted, { passed: 1, failed: 2 }, printed);
  assert.match(printed, /: ends the process\nthe process of its file ended in the middle of it$/m);
  assert.match(printed, /: comes after it\nnot run: the process of its file ended before$/m);
});

test("a process that ends badly after its tests counts as one failure more", async () => {
  const { code, printed, counted } = await run("ends_badly");
  assert.equal(code, 1);
  assert.deepEqual(counted, { passed: 1, failed: 1 }, printed);
  assert.match(printed, /^FAILED {2}.*\/fixtures\/ends_badly.mjs$/m);
});
