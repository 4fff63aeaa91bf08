// The way in which a file here declares its tests; `run.mjs` runs them.
import { appendFileSync } from "node:fs";
import { basename, dirname } from "node:path";
import { after, test as declare } from "node:test";
import { cleanUp, tellUnanswered } from "./harness.mjs";

/** A test that takes longer has failed: no step here waits for more than a minute. */
const LIMIT_MS = 180_000;
/** A file ends by itself within this time after its tests are over, or it left something open. */
const END_LIMIT_MS = 10_000;
const path = process.argv[1];
/** `folder/name`, as `run.mjs` finds it. */
const file = `${basename(dirname(path))}/${basename(path, ".test.mjs")}`;
const declared = new Set();

after(() => {
  const tooLate = () => {
    console.log(`${file}: its tests are over, and something that they left open keeps it running`);
    process.exit(1);
  };
  setTimeout(tooLate, END_LIMIT_MS).unref();
});

/** Declares a test. Its name says the behaviour that it proves. */
export function test(name, body, { limitMs = LIMIT_MS } = {}) {
  const named = `${file}: ${name}`;
  if (declared.has(named)) throw new Error(`two tests have the name ${named}`);
  declared.add(named);
  note("declared", named);
  declare(named, async () => {
    note("begun", named);
    const limit = setTimeout(() => stop(named, limitMs), limitMs);
    try {
      await whole(body);
      note("passed", named);
    } catch (error) {
      note("failed", named, { why: String(error?.stack ?? error) });
      throw error;
    } finally {
      clearTimeout(limit);
    }
  });
}

/** Runs the body, and ends all that it started. */
async function whole(body) {
  try {
    await body();
  } catch (error) {
    tellUnanswered();
    throw error;
  } finally {
    await cleanUp();
  }
}

/**
 * Ends this process and all that it started. Nothing less stops a function that waits: it would go on, and start things
 * beside the tests after it. `run.mjs` reads the tests that are not reported then from the journal.
 */
function stop(name, limitMs) {
  tellUnanswered();
  note("stopped", name, { limitMs });
  process.exit(1);
}

/** Written at once, so that it stays if this process ends. */
function note(what, name, more) {
  const journal = process.env.PIECEWORK_TEST_JOURNAL;
  if (journal) appendFileSync(journal, `${JSON.stringify({ what, name, path, ...more })}\n`);
}
