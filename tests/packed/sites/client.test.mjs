// The package's README without the element: scripts with a `<video>` of the page's own, for nothing and for money.
import assert from "node:assert/strict";
import { join } from "node:path";
import { site } from "../../browser/support/harness.mjs";
import { test } from "../../browser/support/tests.mjs";
import { furnish, market } from "../support/market.mjs";
import { opened } from "../support/opened.mjs";
import { project, sh } from "../support/projects.mjs";
import { filled, policy, recipe } from "../support/readme.mjs";

/** A page that Vite built of one of the README's scripts, with this film's link in it. */
async function page(heading, script, films, film) {
  const text = recipe(heading).files[script];
  const folder = await project(script.replace(".js", "-script"), {
    files: {
      ...filled({ [script]: text }, { ...films, free: film }),
      "vite.config.js": recipe("Vite").files["vite.config.js"],
      "index.html":
        '<!doctype html><meta charset="utf-8"><title>A film</title><video muted></video><button id="pay">Pay</button>' +
        `<script type="module" src="/${script}"></script>`,
    },
  });
  furnish(join(folder, "public"), films);
  await sh(folder, "npx vite build");
  return opened(await site({ pages: join(folder, "dist"), policy: policy(), bare: true }));
}

/** Plays until the picture moves, and moves on after a seek. */
async function plays(page) {
  await page.until(() => document.querySelector("video").readyState >= 1);
  await page.evaluate(() => document.querySelector("video").play());
  await page.until(() => document.querySelector("video").currentTime > 1);
  await page.evaluate(() => {
    document.querySelector("video").currentTime = 90;
  });
  await page.until(() => document.querySelector("video").currentTime > 91);
}

test("the README's script plays a film in a video of the page's own", async () => {
  const films = await market();
  const shown = await page("Without the element", "client.js", films, films.free);
  await plays(shown);
  assert.deepEqual(shown.problems, []);
});

test("the README's script asks the wallet at a click, and plays a film that costs money", async () => {
  const films = await market();
  const shown = await page("Paying", "paying.js", films, films.sold);
  await shown.until(
    () => document.querySelector("video").src !== "" && document.querySelector("#pay").onclick !== null,
  );
  await shown.evaluate((wallet) => {
    window.ethereum = {
      async request({ method, params }) {
        const headers = { "content-type": "application/json" };
        const answer = await fetch(wallet, { method: "POST", headers, body: JSON.stringify({ method, params }) });
        const { result, error } = await answer.json();
        if (error) throw Object.assign(new Error(error.message), { code: error.code });
        return result;
      },
    };
  }, films.wallet.url);
  assert.deepEqual(films.wallet.prompts, []);
  await shown.click("#pay");
  await plays(shown);
  const [opening] = (await films.scene.chain.events()).filter(({ name }) => name === "Opened");
  assert.equal(opening.amount, 500_000n);
  assert.equal((await films.seeder.ask("redeem")).ok, true);
  assert.deepEqual(shown.problems, []);
});
