// The examples of the package, each as a project of its own with the tarball in it, started by its own line.
import assert from "node:assert/strict";
import { cpSync, readdirSync, readFileSync, statSync } from "node:fs";
import { delimiter, dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { folder, program, run, signaling, videoTitle } from "../../browser/support/harness.mjs";
import { Scene } from "../../browser/support/paid/scene.mjs";
import { inject, RemoteWallet } from "../../browser/support/paid/wallet.mjs";
import { test } from "../../browser/support/tests.mjs";
import { violations } from "../../browser/player/axe.mjs";
import { buys, furnish, ICON, PRICE } from "../support/market.mjs";
import { opened } from "../support/opened.mjs";
import { project, tool } from "../support/projects.mjs";
import { filled, TRACKER } from "../support/readme.mjs";

const EXAMPLES = join(dirname(fileURLToPath(import.meta.url)), "../../../www/npm/examples");
const TEXT = /\.(html|css|jsx?|json)$/;

/** Starts an example with this film in it. `furnished` puts more into its folder. Answers its page. */
async function started(name, film, words, { needed, furnished = () => {} } = {}) {
  const from = join(EXAMPLES, name);
  const paths = readdirSync(from, { recursive: true }).filter((path) => TEXT.test(path) && !/node_modules/.test(path));
  const files = Object.fromEntries(paths.map((path) => [path, readFileSync(join(from, path), "utf8")]));
  const { "package.json": manifest, ...rest } = files;
  // The bundlers are installed above all projects, in the versions of the lock file there.
  const { dependencies, devDependencies, ...own } = JSON.parse(manifest);
  const { devDependencies: tools } = JSON.parse(readFileSync(tool("../package.json"), "utf8"));
  for (const [tool, range] of Object.entries({ ...dependencies, ...devDependencies }))
    if (tool !== "piecework") assert.equal(range, `^${tools[tool]}`, `the example ${name} wants another ${tool}`);
  const made = await project(`example-${name}`, { files: filled(rest, film, "", needed), manifest: own });
  for (const at of ["site", "public"]) cpSync(ICON, join(made, at, "favicon.ico"));
  furnished(made);
  // The last of its commands takes the place of the shell, so that it ends with the test.
  const commands = own.scripts.start.split(" && ");
  commands.push(`exec ${commands.pop()} ${words}`);
  const path = [join(made, "node_modules/.bin"), tool(".bin"), process.env.PATH].join(delimiter);
  const env = { PATH: path, NO_COLOR: "1", PYTHONUNBUFFERED: "1" };
  const line = `cd '${made}' && ${commands.join(" && ")}`;
  const [url] = await program("sh", ["-c", line], /http:\/\/127\.0\.0\.1:\d+/, env);
  return opened(url);
}

/** A film that a native peer seeds. */
async function film() {
  const tracker = await signaling();
  const free = await videoTitle(tracker);
  await free.seed("4M");
  return { free, tracker };
}

/** Waits until the element's film moves. */
async function playsInElement(page) {
  await page.until(() => document.querySelector("piecework-player")?.video?.readyState >= 1);
  await page.evaluate(() => {
    const { video } = document.querySelector("piecework-player");
    video.muted = true;
    return video.play();
  });
  await page.until(() => document.querySelector("piecework-player").video.currentTime > 1);
}

const VITE = "--host 127.0.0.1 --port 0";

test("the plain example plays the link that is put into it", async () => {
  const page = await started("plain", await film(), "0");
  await playsInElement(page);
  assert.deepEqual(page.problems, []);
});

test("the example for React plays the link, and shows how much of it is here", async () => {
  const page = await started("react", await film(), VITE);
  await playsInElement(page);
  await page.until(() => /^[1-9]\d* % of it is here\.$/.test(document.querySelector("p").textContent));
  assert.deepEqual(page.problems, []);
});

test("the example for Vite plays a link, and shares a file of the visitor's", async () => {
  const page = await started("vite", await film(), VITE);
  const plays = async () => {
    await page.until(() => document.querySelector("video").readyState >= 1);
    await page.evaluate(() => {
      const video = document.querySelector("video");
      video.muted = true;
      return video.play();
    });
    await page.until(() => document.querySelector("video").currentTime > 1);
  };
  await page.click("#open button");
  await plays();
  await page.until(() => /^film\.mp4: \d+ % here, 1 peers, /.test(document.querySelector("#said").textContent));
  await page.evaluate(async () => {
    const video = document.querySelector("video");
    const bytes = await (await fetch(video.src)).blob();
    video.removeAttribute("src");
    video.load();
    const list = new DataTransfer();
    list.items.add(new File([bytes.slice(0, 20_000_000)], "mine.mp4"));
    const share = document.querySelector("#share");
    share.files = list.files;
    share.dispatchEvent(new Event("change"));
  });
  await plays();
  await page.until(() => /^mine\.mp4: 100 % here, /.test(document.querySelector("#said").textContent));
  assert.deepEqual(page.problems, []);
});

/** Has the page choose a file: the demo's film, which the example's own server has. */
async function choose(page) {
  await page.evaluate(async () => {
    const list = new DataTransfer();
    list.items.add(new File([await (await fetch("film.mp4")).blob()], "film.mp4", { type: "video/mp4" }));
    const field = document.querySelector("#file");
    field.files = list.files;
    field.dispatchEvent(new Event("change"));
  });
}

const facts = (page, words) =>
  page.until((words) => document.querySelector("#films .facts")?.textContent.includes(words), words);

test("the publisher's page signs, registers and sells a film, redeems, and sells it at the next visit", async () => {
  const scene = await Scene.deployed();
  const furnished = (folder) => {
    furnish(join(folder, "site"), { scene });
    cpSync(process.env.PIECEWORK_VIDEO, join(folder, "site/film.mp4"));
  };
  const film = { free: { magnet: "" }, tracker: scene.tracker };
  const page = await started("publisher", film, "0", { needed: [TRACKER], furnished });
  await page.until(() => /^0 gives it away/.test(document.querySelector("#price-hint").textContent));
  await page.until(() => !document.querySelector("#money").hidden);

  await choose(page);
  await page.fill("#name", "Evening over the bay");
  await page.fill("#price", "much");
  await page.click("#go");
  await page.until(() => document.querySelector("#said").textContent.startsWith("much is no price"));
  await page.fill("#price", String(PRICE));
  const bytes = BigInt(statSync(process.env.PIECEWORK_VIDEO).size);
  const whole = Number((BigInt(PRICE * 1e6) * bytes + 999_999_999n) / 1_000_000_000n) / 1e6;
  const hint = await page.text("#price-hint");
  assert.ok(hint.startsWith(`Who watches all of it pays ${whole} `), hint);
  // The wallet's account is another than the page's own.
  const publishers = await RemoteWallet.start(scene.chain, scene.payee);
  publishers.signs = true;
  await page.evaluate(inject, publishers.url);
  await page.click("#sign");
  await page.fill("#licence", "CC-BY-4.0");
  await page.click("#register");
  await page.until(() =>
    /^One transaction from your wallet: about 0\.0/.test(document.querySelector("#fee").textContent),
  );
  await page.fill("#share", "2.5");
  assert.deepEqual(await violations(page.page), []);
  assert.deepEqual(publishers.prompts, []);
  await page.click("#go");
  await facts(page, `${PRICE} `);
  assert.equal(await page.text("#films h3"), "Evening over the bay.mp4");
  assert.deepEqual(publishers.prompts, ["eth_requestAccounts", "eth_signTypedData_v4", "eth_sendTransaction"]);
  assert.equal((await page.text("#films .by")).toLowerCase(), `signed by ${scene.payee.toLowerCase()}`);
  const torrent = await page.evaluate(async () => (await fetch(document.querySelector("#films .torrent").href)).text());
  assert.ok(torrent.includes("8:pw.title"), "the .torrent file has the title");
  const code = await page.evaluate(() => document.querySelector("#films .embed").value);
  assert.match(code, /^<script .*<piecework-player src="magnet:.*&amp;pw\.by=0x.*<\/piecework-player>$/);
  await page.click("#films button");
  await page.until(() => document.querySelector("#said").textContent === "The link is copied.");
  const [link, magnet] = await page.evaluate(() =>
    ["watch", "magnet"].map((kind) => document.querySelector(`#films .${kind}`).value),
  );
  assert.deepEqual(await violations(page.page), []);

  const viewer = await opened(link);
  const wallet = await RemoteWallet.start(scene.chain, scene.payer);
  await buys(viewer, magnet, wallet);

  await viewer.until(() => {
    const { shadowRoot } = document.querySelector("piecework-player");
    return shadowRoot.querySelector(".piecework-title[data-state=registered] .facts")?.textContent.includes("2.5 %");
  });
  await page.until(() => !document.querySelector("#redeem").disabled);
  await page.click("#redeem");
  await page.until(() => / came to 0x/.test(document.querySelector("#money-said").textContent));
  const redeemed = (await scene.chain.redemptions()).reduce((sum, { net }) => sum + net, 0n);
  assert.ok(redeemed > 0n);
  const said = await page.text("#money-said");
  assert.match(said, new RegExp(`^${Number(redeemed) / 1e6} \\w+ came to ${scene.payee}\\.$`, "i"));
  assert.deepEqual(page.problems, []);

  await page.open(new URL("./", link).href);
  await facts(page, `${PRICE} `);
  await viewer.evaluate(() => document.querySelector("piecework-player").torrent.keep());
  await viewer.until(
    async () => (await document.querySelector("piecework-player").torrent.stats()).state === "seeding",
  );
  assert.deepEqual([page.problems, viewer.problems], [[], []]);

  await page.click("#films .remove");
  await page.press("#confirm", "Escape");
  assert.equal(await page.evaluate(() => document.querySelectorAll("#films li").length), 1);
  await page.click("#films .remove");
  await page.click("#confirm button[value=yes]");
  await page.until(() => !document.querySelector("#none").hidden && document.activeElement.id === "published");
});

test("without a vault's file the publisher's page gives films away, and says why", async () => {
  const tracker = await signaling();
  const furnished = (folder) => cpSync(process.env.PIECEWORK_VIDEO, join(folder, "site/film.mp4"));
  const page = await started("publisher", { free: { magnet: "" }, tracker }, "0", { needed: [TRACKER], furnished });
  await page.until(() =>
    /^Films can only be given away here\. /.test(document.querySelector("#price-hint").textContent),
  );
  await choose(page);
  const chosen = await page.evaluate(() => document.querySelector("#name").value);
  for (const blank of ["   ", "\u00a0\t"]) {
    await page.fill("#name", blank);
    await page.click("#go");
    await page.until(() => document.querySelector("#name").validity.valueMissing);
  }
  assert.equal(await page.text("#said"), "");
  await page.fill("#name", ` ${chosen}  `);
  await page.click("#go");
  await facts(page, "free");
  assert.equal(await page.text("#films h3"), "film.mp4");
  assert.deepEqual(await violations(page.page), []);
  const magnet = await page.evaluate(() => document.querySelector("#films .magnet").value);
  const data = folder("got");
  await run(["get", magnet, "--output", data, "--state", join(data, "state")]);
  assert.deepEqual(readFileSync(join(data, "film.mp4")), readFileSync(process.env.PIECEWORK_VIDEO));
});
