// axe-core in a page whose policy forbids foreign scripts.
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";

const axe = readFileSync(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8");
const RULES = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"];

/** The faults that axe-core finds, a line for each element: light on a wide screen, dark on a phone. */
export async function violations(page) {
  const session = await page.context().newCDPSession(page);
  const run = async (expression) => {
    const { result, exceptionDetails } = await session.send("Runtime.evaluate", {
      expression,
      awaitPromise: true,
      returnByValue: true,
    });
    if (exceptionDetails) throw new Error(exceptionDetails.exception?.description ?? exceptionDetails.text);
    return result.value;
  };
  // The script enters as one of the DevTools would: the page's policy forbids any other.
  if (await run("typeof axe === 'undefined'")) await run(`${axe}; undefined`);
  const lines = [];
  for (const [colorScheme, width] of [
    ["light", 1280],
    ["dark", 320],
  ]) {
    await page.setViewportSize({ width, height: 800 });
    await page.emulateMedia({ colorScheme });
    const options = JSON.stringify({ runOnly: RULES, resultTypes: ["violations"] });
    const found = await run(`axe.run(document, ${options}).then(({ violations, passes }) => ({
      passed: passes.map(({ id }) => id),
      lines: violations.flatMap(({ id, nodes }) => nodes.map(({ target, failureSummary }) =>
        id + " at " + target.join(" ") + ": " + failureSummary.replace(/\\s+/g, " "))),
    }))`);
    assert.ok(found.passed.includes("color-contrast"), `axe looked at ${found.passed}`);
    lines.push(...found.lines.map((line) => `${colorScheme}, ${width} px: ${line}`));
  }
  await session.detach();
  return lines;
}
