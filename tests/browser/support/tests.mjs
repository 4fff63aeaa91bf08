// How a file here declares its tests; `run.mjs` runs them.
import { appendFileSync } from "node:fs";
import { basename, dirname } from "node:path";
import { after, test as declare } from "node:test";
import { cleanUp, tellUnanswered } from "./harness.mjs";

/** A test that takes longer has failed: nothing here waits for more than a minute. */
const LIMIT_MS = 180_000;
/** A file whose tests are over ends in this time by itself, or left something open. */
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

/** Declares a test; its name says the behaviour it proves. */
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

/** The body, and the end of all that it started. */
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
 * Ends this process, and what it started. A function that waits cannot be stopped by less: it would go on, and start things beside
 * the tests after it. What is not reported then `run.mjs` knows from the journal.
 */
function stop(name, limitMs) {
  tellUnanswered();
  note("stopped", name, { limitMs });
  process.exit(1);
}

/** Written at once, so that it stays whatever becomes of this process. */
function note(what, name, more) {
  const journal = process.env.PIECEWORK_TEST_JOURNAL;
  if (journal) appendFileSync(journal, `${JSON.stringify({ what, name, path, ...more })}\n`);
}
