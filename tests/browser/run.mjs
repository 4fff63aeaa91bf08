// Runs every *.test.mjs of the folders here, each in a process of its own, and ends with `N passed, N failed`.
// Words on the command line choose the files whose `folder/name` has one of them. PIECEWORK_TEST_SUMMARY names a file for
// {passed, failed}.
import { readdirSync, writeFileSync } from "node:fs";
import { dirname, isAbsolute, join } from "node:path";
import { run } from "node:test";
import { fileURLToPath } from "node:url";

const root = dirname(fileURLToPath(import.meta.url));
const ENDING = ".test.mjs";
const asked = process.argv.slice(2);
const folders = readdirSync(root, { withFileTypes: true })
  .filter((entry) => entry.isDirectory() && entry.name !== "node_modules")
  .map(({ name }) => name);
const files = folders
  .flatMap((folder) => readdirSync(join(root, folder)).map((name) => `${folder}/${name}`))
  .filter((file) => file.endsWith(ENDING) && (asked.length === 0 || asked.some((word) => file.includes(word))));
/** Files that run at once. A test waits for the other side of a connection for most of its time. */
const AT_ONCE = 3;
/** Begun before the others: one of its tests waits for 70 seconds, and nothing would run beside it at the end. */
const FIRST = `streaming/video${ENDING}`;
let passed = 0;
let failed = 0;
const stream = run({
  files: files.sort((a, b) => (b === FIRST) - (a === FIRST) || (a < b ? -1 : 1)).map((file) => join(root, file)),
  concurrency: AT_ONCE,
});
for await (const { type, data } of stream) {
  if (type === "test:stdout" || type === "test:stderr") process.stdout.write(data.message);
  if (type !== "test:pass" && type !== "test:fail") continue;
  const { name, details } = data;
  // A file comes as a test of its own, by its path, when it does not start, or declares none.
  if (type === "test:pass" && !isAbsolute(name)) {
    passed++;
    console.log(`ok      ${name} (${(details.duration_ms / 1000).toFixed(1)} s)`);
  } else {
    failed++;
    console.log(`FAILED  ${name}\n${details.error?.cause?.stack ?? details.error?.cause ?? "it declares no test"}`);
  }
}
if (process.env.PIECEWORK_TEST_SUMMARY)
  writeFileSync(process.env.PIECEWORK_TEST_SUMMARY, JSON.stringify({ passed, failed }));
console.log(`${passed} passed, ${failed} failed`);
process.exit(failed > 0 || passed === 0 ? 1 : 0);
