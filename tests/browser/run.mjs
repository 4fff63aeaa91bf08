// Runs every *.test.mjs here, one after the other (two cores are few), and ends with `N passed, N failed`.
// A file named on the command line runs alone. PIECEWORK_TEST_SUMMARY names a file for {passed, failed}.
import { readdirSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { cleanUp } from "./harness.mjs";
import { tests } from "./tests.mjs";

const folder = dirname(fileURLToPath(import.meta.url));
const asked = process.argv.slice(2);
const files = readdirSync(folder).filter((name) => name.endsWith(".test.mjs") && (asked.length === 0 || asked.some((word) => name.includes(word))));
/** A test that takes longer has failed: nothing here waits for more than a minute. */
const LIMIT_MS = 180_000;

let passed = 0;
let failed = 0;
for (const file of files.sort()) {
  tests.length = 0;
  await import(join(folder, file));
  for (const { name, body } of [...tests]) {
    const begun = Date.now();
    let timer;
    try {
      await Promise.race([
        body(),
        new Promise((_, reject) => {
          timer = setTimeout(() => reject(new Error(`not done after ${LIMIT_MS / 1000} s`)), LIMIT_MS);
        }),
      ]);
      passed++;
      console.log(`ok      ${file}: ${name} (${((Date.now() - begun) / 1000).toFixed(1)} s)`);
    } catch (error) {
      failed++;
      console.log(`FAILED  ${file}: ${name}\n${error.stack ?? error}`);
    } finally {
      clearTimeout(timer);
      await cleanUp();
    }
  }
}
if (process.env.PIECEWORK_TEST_SUMMARY) writeFileSync(process.env.PIECEWORK_TEST_SUMMARY, JSON.stringify({ passed, failed }));
console.log(`${passed} passed, ${failed} failed`);
process.exit(failed > 0 || passed === 0 ? 1 : 0);
