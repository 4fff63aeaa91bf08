// `<piecework-player>` in somebody's page, with every real part under it and the strict policy around it.
import assert from "node:assert/strict";
import { browserPath, launch } from "../support/browsers/chromium.mjs";
import { ending, signaling, videoTitle } from "../support/harness.mjs";
import { EMBED, serve } from "../support/player_site.mjs";
import { test } from "../support/tests.mjs";
import { violations } from "./axe.mjs";

/** A page with the element in it, as its author would write it. */
async function embed(attributes) {
  const site = await serve({ config: () => null, connect: "ws://127.0.0.1:*", documents: EMBED });
  ending(site.close);
  const browser = await launch(await browserPath());
  ending(() => browser.close());
  const page = browser.context.pages()[0] ?? (await browser.context.newPage());
  page.setDefaultTimeout(60_000);
  page.problems = [];
  page.on("pageerror", (error) => page.problems.push(error.message));
  page.on("console", (message) => {
    if (message.type() === "error" && !/ERR_INTERNET_DISCONNECTED/.test(message.text()))
      page.problems.push(message.text());
  });
  await page.goto(`${site.url}embed.html`);
  await page.evaluate(async (given) => {
    await customElements.whenDefined("piecework-player");
    const player = Object.assign(document.createElement("piecework-player"), { id: "player" });
    player.setAttribute("ice-servers", "none");
    for (const [name, value] of Object.entries(given)) player.setAttribute(name, value);
    document.querySelector("main").append(player);
  }, attributes);
  return page;
}

const said = (page) => page.locator("#player [role=status]").textContent();

test("the element plays, tells screen readers no numbers, says when it is offline, and passes axe-core", async () => {
  const tracker = await signaling();
  const title = await videoTitle(tracker);
  await title.seed("2M");
  const page = await embed({
    magnet: title.magnet,
    trackers: tracker,
    "upload-limit": "100000",
  });
  const upload = page.getByLabel("Watching also uploads to other viewers");
  assert.equal(await upload.isChecked(), true);
  await page.waitForFunction(() => document.querySelector("#player").video.currentSrc !== "");
  assert.equal(await said(page), "");
  assert.equal(await page.locator("#player video").getAttribute("aria-label"), "Video: film.mp4");
  await page.evaluate(() => {
    window.heard = [];
    new MutationObserver((changes) => {
      for (const { target } of changes) window.heard.push(target.textContent);
    }).observe(document.querySelector("#player").shadowRoot.querySelector("[role=status]"), {
      childList: true,
      characterData: true,
      subtree: true,
    });
    document.querySelector("#player").video.muted = true;
    void document.querySelector("#player").video.play();
  });
  const facts = page.locator("#player .facts");
  const seen = new Set();
  while (seen.size < 3) {
    await page.waitForFunction(
      (known) => {
        const text = document.querySelector("#player").shadowRoot.querySelector(".facts").textContent;
        return text !== "" && !known.includes(text);
      },
      [...seen],
    );
    seen.add(await facts.textContent());
  }
  assert.deepEqual(await page.evaluate(() => window.heard), []);
  assert.deepEqual(await violations(page), []);

  await upload.uncheck();
  await page.waitForFunction(() => !document.querySelector("#player").client.uploading);
  await page.context().setOffline(true);
  await page.waitForFunction(() =>
    document
      .querySelector("#player")
      .shadowRoot.querySelector("[role=status]")
      .textContent.startsWith("You are offline."),
  );
  await page.context().setOffline(false);
  await page.waitForFunction(
    () => document.querySelector("#player").shadowRoot.querySelector("[role=status]").textContent === "",
  );
  await page.waitForFunction(() => document.querySelector("#player").video.currentTime > 1);
  assert.deepEqual(page.problems, []);
});

test("what the element cannot play is said, and tried again by a button that the keyboard reaches", async () => {
  const page = await embed({ magnet: "magnet:?xt=broken", trackers: await signaling() });
  const again = page.getByRole("button", { name: "Try again" });
  await again.waitFor();
  assert.match(await page.locator("#player [role=alert]").textContent(), /magnet link/i);
  assert.deepEqual(await violations(page), []);
  await page.evaluate(() => {
    window.heard = 0;
    new MutationObserver(() => (window.heard += 1)).observe(
      document.querySelector("#player").shadowRoot.querySelector("[role=status]"),
      { childList: true, characterData: true, subtree: true },
    );
  });
  await again.focus();
  await page.keyboard.press("Enter");
  await page.waitForFunction(() => window.heard >= 2);
  await again.waitFor();
});
