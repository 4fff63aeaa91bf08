import assert from "node:assert/strict";
import { browser, open, site } from "../support/harness.mjs";
import { test } from "../support/tests.mjs";

test("an unusable tracker from any source is named at the first visit, and so is a title without one", async () => {
  const url = await site();
  const link = `magnet:?xt=urn:btih:${"ab".repeat(20)}`;
  const cases = [
    ["a client's", { trackers: ["ws://h#x", "udp://x:1"] }, link, {}, [/ws:\/\/h#x/, /udp:\/\/x:1/]],
    ["an add's", {}, link, { trackers: ["ws://a b"] }, [/ws:\/\/a b/]],
    ["a link's", {}, `${link}&tr=ws%3A%2F%2Fu%3Ap%40h`, {}, [/ws:\/\/u:p@h/]],
    ["nobody's", {}, link, {}, [/no tracker/]],
  ];
  for (const [whose, options, source, added, names] of cases) {
    const { context } = await browser();
    const page = await open(context, url);
    await page.run(`start(${JSON.stringify(options)})`);
    await page.run(`client.add("${source}", ${JSON.stringify(added)}).then(() => true)`);
    // Warnings from before the answer to the add have come by then.
    const said = await page.run("said");
    for (const name of names)
      assert.ok(
        said.some((text) => name.test(text)),
        `${whose}: ${JSON.stringify(said)}`,
      );
  }
});
