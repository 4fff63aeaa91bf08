// How a file here declares its tests; `run.mjs` runs them.
import { basename, dirname } from "node:path";
import { after, afterEach, test as declare } from "node:test";
import { cleanUp, tellUnanswered } from "./harness.mjs";

/** A test that takes longer has failed: nothing here waits for more than a minute. */
const LIMIT_MS = 180_000;
/** A file whose tests are over ends in this time by itself, or left something open. */
const END_LIMIT_MS = 10_000;
/** `folder/name`, as `run.mjs` finds it. */
const file = `${basename(dirname(process.argv[1]))}/${basename(process.argv[1], ".test.mjs")}`;

afterEach((test) => {
  if (!test.passed) tellUnanswered();
  return cleanUp();
});
after(() => {
  const tooLate = () => {
    console.log(`${file}: its tests are over, and something that they left open keeps it running`);
    process.exit(1);
  };
  setTimeout(tooLate, END_LIMIT_MS).unref();
});

/** Declares a test; its name says the behaviour it proves. */
export function test(name, body) {
  declare(`${file}: ${name}`, { timeout: LIMIT_MS }, () => body());
}
