// docs/guide: every block of code in it is run here, on pages of a site that has the tarball in it.
import assert from "node:assert/strict";
import { copyFileSync, cpSync, readFileSync, writeFileSync } from "node:fs";
import { delimiter, join } from "node:path";
import { native, ours, site } from "../../browser/support/harness.mjs";
import { Scene } from "../../browser/support/paid/scene.mjs";
import { inject, RemoteWallet } from "../../browser/support/paid/wallet.mjs";
import { test } from "../../browser/support/tests.mjs";
import { block, filled, left, lines, pages, said, text } from "../support/guide.mjs";
import { buys, ICON } from "../support/market.mjs";
import { opened } from "../support/opened.mjs";
import { project, sh, write } from "../support/projects.mjs";
import { policy } from "../support/readme.mjs";

const FUNDED = "0xde0b6b3a7640000";

/** The film beside a chain with a token, and the values that a reader puts into lines and pages. */
async function world(name) {
  const scene = await Scene.open();
  const folder = await project(name);
  copyFileSync(process.env.PIECEWORK_VIDEO, join(folder, "film.mp4"));
  const values = { tracker: scene.tracker, node: scene.anvil.url, chainId: scene.chainId, token: scene.chain.token };
  const typed = (line) =>
    sh(folder, `PATH='${join(ours("piecework"), "..")}${delimiter}'"$PATH"\n${filled(line, values)}`);
  /** Gives the account of a key, whose address a line printed, some of the chain's coin. */
  const fund = (said) => scene.chain.call("anvil_setBalance", [/0x[0-9a-fA-F]{40}/.exec(said)[0], FUNDED]);
  /** Serves the files of the package, as the page's lines place them, and these. */
  const serve = async (files) => {
    const [install, copy] = lines("playing");
    assert.equal(install, "npm install piecework"); // project() did, from the tarball
    await sh(folder, copy);
    const put = Object.entries(files).map(([path, text]) => [path, filled(text, values)]);
    write(folder, Object.fromEntries(put));
    copyFileSync(ICON, join(folder, "site/favicon.ico"));
    return site({ pages: join(folder, "site"), policy: policy(), bare: true });
  };
  /** The lines for a server: answers the link. With `price`, a film that is sold by the vault that was deployed. */
  const publish = async ({ price }) => {
    const [create, key, seed, ...more] = lines("publishing");
    assert.deepEqual(more, []);
    const [magnet] = /magnet:\S+/.exec(await typed(create));
    if (price) await fund(await typed(key));
    // What the page says to leave out for a free film.
    const line = price ? seed : seed.replace(/ --price.*$/, "");
    assert.equal(line !== seed, !price);
    const words = filled(line, values).split(" ");
    assert.equal(words.shift(), "piecework");
    const at = words.map((word) => (/\.(torrent|key|json)$/.test(word) || word === "." ? join(folder, word) : word));
    await native(at, /^seeding /);
    return Object.assign(values, { magnet }).magnet;
  };
  /** The lines that deploy the vault, and put its file onto the site. */
  const deploy = async () => {
    const [key, dry, deploy, copy, ...more] = lines("charging");
    assert.deepEqual(more, []);
    await fund(await typed(key));
    assert.match(await typed(dry), /would|dry/i);
    await typed(deploy);
    write(folder, { "site/.keep": "" });
    await typed(copy);
    const { vault } = JSON.parse(readFileSync(join(folder, "site/deployment.json"), "utf8"));
    scene.chain.vault = vault.address;
  };
  return { scene, folder, serve, publish, deploy };
}

const plays = async (page) => {
  await page.until(() => document.querySelector("piecework-player")?.video?.readyState >= 1);
  await page.evaluate(() => {
    const { video } = document.querySelector("piecework-player");
    video.muted = true;
    return video.play();
  });
  await page.until(() => document.querySelector("piecework-player").video.currentTime > 1);
};

test("the page that plays asks before it uploads, and offers something else where it fails", async () => {
  const { publish, serve, folder } = await world("guide-plays");
  await publish({ price: false });
  const names = ["site/index.html", "site/site.js"];
  const url = await serve(Object.fromEntries(names.map((name) => [name, block("playing", name)])));
  writeFileSync(join(folder, "site/bay.en.vtt"), "WEBVTT\n\n00:00.000 --> 00:09.000\nThe bay.\n");
  const page = await opened(url);
  await plays(page);
  assert.deepEqual(
    await page.evaluate(() => {
      const { shadowRoot, video } = document.querySelector("piecework-player");
      const tracks = [...video.textTracks].map(({ label }) => label);
      return [shadowRoot.querySelector(".consent").hidden, tracks, document.querySelector("#instead").hidden];
    }),
    [false, ["English"], true],
  );
  assert.deepEqual(page.problems, []);
  await page.evaluate(() => document.querySelector("piecework-player").setAttribute("src", "magnet:?nothing"));
  await page.until(() => !document.querySelector("#instead").hidden);
});

test("the page that charges buys from the seeder of the guide's lines, and gives the deposit back", async () => {
  const { scene, publish, deploy, serve } = await world("guide-charges");
  await deploy();
  const magnet = await publish({ price: true });
  const names = ["site/index.html", "site/back.js"];
  const url = await serve(Object.fromEntries(names.map((name) => [name, block("charging", name)])));
  const page = await opened(url);
  const wallet = await RemoteWallet.start(scene.chain, scene.payer);
  await page.evaluate(inject, wallet.url);
  await buys(page, magnet, wallet);
  const told = (words) =>
    page.until((words) => document.querySelector("#back-state").textContent.startsWith(words), words);
  await page.click("#back");
  await told("Asked for. Press again after ");
  await page.click("#back");
  await told("It is on its way: press again after ");
  const before = await scene.chain.balanceOf(scene.payer);
  await scene.chain.passSeconds(73 * 3_600);
  await page.evaluate(() => {
    const later = Date.now() + 73 * 3_600_000;
    const { Date: Now } = globalThis;
    globalThis.Date = class extends Now {
      constructor(...given) {
        super(...(given.length > 0 ? given : [later]));
      }
    };
  });
  await page.click("#back");
  await told("It is back in your wallet.");
  assert.ok((await scene.chain.balanceOf(scene.payer)) > before);
  assert.deepEqual(page.problems, []);
});

test("the least page that publishes sells a film to the page that charges", async () => {
  const { scene, deploy, serve, folder } = await world("guide-publishes");
  await deploy();
  const published = ["site/publish.html", "site/publish.js"].map((name) => [name, block("publishing", name)]);
  const charging = ["site/index.html", "site/back.js"].map((name) => [name, block("charging", name)]);
  const url = await serve(Object.fromEntries([...published, ...charging]));
  cpSync(join(folder, "film.mp4"), join(folder, "site/film.mp4"));
  const page = await opened(`${url}/publish.html`);
  await page.until(() => !document.querySelector("#film").disabled);
  await page.evaluate(async () => {
    const list = new DataTransfer();
    list.items.add(new File([await (await fetch("film.mp4")).blob()], "film.mp4", { type: "video/mp4" }));
    const field = document.querySelector("#film");
    field.files = list.files;
    field.dispatchEvent(new Event("change"));
  });
  await page.until(() => document.querySelector("#link").value !== "");
  const magnet = await page.evaluate(() => document.querySelector("#link").value);
  const viewer = await opened(url);
  await buys(viewer, magnet, await RemoteWallet.start(scene.chain, scene.payer));
  assert.deepEqual(page.problems, []);
});

test("every sentence that the guide explains is one that a program says", () => {
  const programs = said();
  const rows = text("troubleshooting").matchAll(/^\| "([^"]+)"/gm);
  const sentences = [...rows].map(([, sentence]) => sentence);
  assert.ok(sentences.length > 15);
  for (const sentence of sentences)
    for (const part of sentence.split("…").map((part) => part.trim()))
      assert.ok(programs.includes(part), `nothing says ${JSON.stringify(part)}`);
});

test("every link within the guide leads somewhere", () => {
  for (const page of pages)
    for (const [, target] of text(page).matchAll(/\]\(([^)#:]+)(?:#[^)]*)?\)/g))
      assert.doesNotThrow(() => readFileSync(join(import.meta.dirname, "../../../docs/guide", target)), {}, target);
});

test("every block of code in the guide was run", () => {
  assert.deepEqual(left(), []);
});
