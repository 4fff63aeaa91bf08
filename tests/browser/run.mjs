// Runs every *.test.mjs of the folders here, each in a process of its own, and ends with `N passed, N failed`.
// Words on the command line choose the files whose `folder/name` has one of them; a word may also be a file's path.
// `--in FOLDER` takes the folders there, and `--at-once N` runs so many files at a time.
// PIECEWORK_TEST_SUMMARY names a file for {passed, failed}.
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, isAbsolute, join, resolve } from "node:path";
import { run } from "node:test";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";

const { values: given, positionals: words } = parseArgs({
  allowPositionals: true,
  options: { in: { type: "string" }, "at-once": { type: "string" } },
});
const root = given.in ? resolve(given.in) : dirname(fileURLToPath(import.meta.url));
const ENDING = ".test.mjs";
/** Files that run at once. A test waits for the other side of a connection for most of its time. */
const AT_ONCE = Number(given["at-once"] ?? 3);
/**
 * This file begins before the others: one of its tests waits for 70 seconds, and nothing would run beside it at the
 * end.
 */
const FIRST = join(root, `streaming/video${ENDING}`);

/** The files that these words choose, each by its whole path. */
function chosen(words) {
  const paths = words.filter((word) => word.endsWith(".mjs") && existsSync(word));
  const parts = words.filter((word) => !paths.includes(word));
  const folders = readdirSync(root, { withFileTypes: true })
    .filter((entry) => entry.isDirectory() && entry.name !== "node_modules")
    .map(({ name }) => name);
  const files = folders
    .flatMap((folder) => readdirSync(join(root, folder)).map((name) => `${folder}/${name}`))
    .filter((file) => file.endsWith(ENDING) && (words.length === 0 || parts.some((part) => file.includes(part))));
  return [...new Set([...paths.map((path) => resolve(path)), ...files.map((file) => join(root, file))])];
}

let passed = 0;
let failed = 0;
function pass(name, more = "") {
  passed++;
  console.log(`ok      ${name}${more}`);
}
function fail(name, why) {
  failed++;
  console.log(`FAILED  ${name}\n${why}`);
}

const scratch = mkdtempSync(join(tmpdir(), "piecework-tests-"));
process.on("exit", () => rmSync(scratch, { recursive: true, force: true }));
/**
 * The notes of tests.mjs on each test as it runs. node:test reports nothing of the tests that end with their process.
 */
const journal = join(scratch, "journal");
writeFileSync(journal, "");
process.env.PIECEWORK_TEST_JOURNAL = journal;

const reported = new Set();
const filesFailed = [];
const stream = run({
  files: chosen(words).sort((a, b) => (b === FIRST) - (a === FIRST) || (a < b ? -1 : 1)),
  concurrency: AT_ONCE,
});
for await (const { type, data } of stream) {
  if (type === "test:stdout" || type === "test:stderr") process.stdout.write(data.message);
  if (type !== "test:pass" && type !== "test:fail") continue;
  const { name, details } = data;
  const why = details.error?.cause?.stack ?? details.error?.cause ?? "it declares no test";
  // node:test reports a file as a test of its own, by its path, if it does not start, ends badly, or declares none.
  if (isAbsolute(name)) filesFailed.push({ name, why });
  else {
    reported.add(name);
    if (type === "test:pass") pass(name, ` (${(details.duration_ms / 1000).toFixed(1)} s)`);
    else fail(name, why);
  }
}

/** The last note of each test that nobody reported, by the test's name. */
const lost = new Map();
for (const line of readFileSync(journal, "utf8").split("\n")) {
  const note = line && JSON.parse(line);
  if (note && !reported.has(note.name)) lost.set(note.name, note);
}
const REASONS = {
  declared: () => "not run: the process of its file ended before",
  begun: () => "the process of its file ended in the middle of it",
  failed: ({ why }) => why,
  stopped: ({ limitMs }) => `not over after ${limitMs / 1000} s: the process of its file was ended`,
};
for (const [name, note] of lost) {
  if (note.what === "passed") pass(name);
  else fail(name, REASONS[note.what](note));
}
/** Files whose end shows in their tests already. */
const told = new Set([...lost.values()].filter(({ what }) => what !== "passed").map(({ path }) => path));
for (const { name, why } of filesFailed) if (!told.has(name)) fail(name, why);

if (process.env.PIECEWORK_TEST_SUMMARY)
  writeFileSync(process.env.PIECEWORK_TEST_SUMMARY, JSON.stringify({ passed, failed }));
console.log(`${passed} passed, ${failed} failed`);
process.exit(failed > 0 || passed === 0 ? 1 : 0);
