// The examples of the package, each as a project of its own with the tarball in it, started by its own line.
import assert from "node:assert/strict";
import { cpSync, readdirSync, readFileSync } from "node:fs";
import { delimiter, dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { program, signaling, videoTitle } from "../../browser/support/harness.mjs";
import { test } from "../../browser/support/tests.mjs";
import { ICON } from "../support/market.mjs";
import { opened } from "../support/opened.mjs";
import { project, tool } from "../support/projects.mjs";
import { filled } from "../support/readme.mjs";

const EXAMPLES = join(dirname(fileURLToPath(import.meta.url)), "../../../www/npm/examples");
const TEXT = /\.(html|jsx?|json)$/;

/** Starts an example with this film in it. Answers its page. */
async function started(name, film, words) {
  const from = join(EXAMPLES, name);
  const paths = readdirSync(from, { recursive: true }).filter((path) => TEXT.test(path) && !/node_modules/.test(path));
  const files = Object.fromEntries(paths.map((path) => [path, readFileSync(join(from, path), "utf8")]));
  const { "package.json": manifest, ...rest } = files;
  // The bundlers are installed above all projects, in the versions of the lock file there.
  const { dependencies, devDependencies, ...own } = JSON.parse(manifest);
  const { devDependencies: tools } = JSON.parse(readFileSync(tool("../package.json"), "utf8"));
  for (const [tool, range] of Object.entries({ ...dependencies, ...devDependencies }))
    if (tool !== "piecework") assert.equal(range, `^${tools[tool]}`, `the example ${name} wants another ${tool}`);
  const folder = await project(`example-${name}`, { files: filled(rest, film, ""), manifest: own });
  for (const at of ["site", "public"]) cpSync(ICON, join(folder, at, "favicon.ico"));
  // The last of its commands takes the place of the shell, so that it ends with the test.
  const commands = own.scripts.start.split(" && ");
  commands.push(`exec ${commands.pop()} ${words}`);
  const path = [join(folder, "node_modules/.bin"), tool(".bin"), process.env.PATH].join(delimiter);
  const env = { PATH: path, NO_COLOR: "1", PYTHONUNBUFFERED: "1" };
  const line = `cd '${folder}' && ${commands.join(" && ")}`;
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
