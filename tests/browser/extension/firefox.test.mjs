// The extension in Firefox: its background page runs the engine.
import assert from "node:assert/strict";
import { join } from "node:path";
import { FirefoxTab } from "../support/browsers/firefox_tab.mjs";
import { EXTENSION, fetched } from "../support/extension.mjs";
import { ending, folder, signaling, site } from "../support/harness.mjs";
import { film } from "../support/swarm.mjs";
import { test } from "../support/tests.mjs";

const ID = "extension@piecework.example";
const LENGTH = 4 << 20;
/** Only Mozilla signs packages; its long-term release installs others where it is told to. */
const UNSIGNED = { "xpinstall.signatures.required": false };

/** A Firefox with this profile. */
async function firefox(profile) {
  const tab = await FirefoxTab.start({}, { profile, preferences: UNSIGNED, wholeBrowser: true });
  ending(() => tab.close());
  tab.run = (expression) => tab.evaluate(`async () => (${expression})`);
  return tab;
}

/** Does something in a page of the extension. */
async function inOwn(tab, page, work) {
  // First in the tab that is there: a new one opens beside the chosen one.
  const root = await tab.rootOf(ID);
  const own = await tab.another();
  await own.open(root + page);
  await work(own);
  // The question closes by itself when it is answered.
  await own.leave().catch(() => undefined);
}

test("in Firefox a title that a site fetched is seeded with no tab open, and after a restart", async () => {
  const [url, tracker, profile] = [await site(), await signaling(), folder("profile")];
  const title = await film(tracker, LENGTH);
  const seeder = await title.seedFreezably();
  const tab = await firefox(profile);
  await tab.install(join(EXTENSION, "piecework-firefox.zip"));
  await inOwn(tab, "options.html", async (own) => {
    await own.fill("#ice", "none");
    await own.click("#network button");
    await own.until(() => document.querySelector("#live").textContent === "Saved");
  });
  await inOwn(tab, "welcome.html", async (own) => {
    await own.click("#start");
    await own.until(() => /It runs/.test(document.querySelector("#state").textContent));
  });
  await tab.open(url);
  await tab.run("window.loaded");
  await tab.run(`start({ engine: "extension" })`);
  await inOwn(tab, `ask.html?site=${encodeURIComponent(new URL(url).origin)}`, (own) => own.click("#yes"));
  await tab.run(`add("${title.torrent}")`);
  await tab.run("done()");
  assert.equal(await tab.run("digest()"), title.digest);
  assert.equal(await tab.run("workers.length"), 0, "the page runs no engine");
  assert.deepEqual(await tab.run("said"), []);

  seeder.freeze();
  await tab.open("about:blank");
  assert.equal(await fetched(title), title.digest);
  await tab.close();
  await firefox(profile);
  assert.equal(await fetched(title), title.digest);
});
