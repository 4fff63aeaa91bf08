// What `<piecework-player>` offers to the page around it: attributes of a video, subtitles, events, looks, and asking
// the visitor before it uploads. The element alone, in a page under the strict policy, with a real seller of the film.
import assert from "node:assert/strict";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { browserPath, launch } from "../support/browsers/chromium.mjs";
import { ending, folder, signaling, videoTitle } from "../support/harness.mjs";
import { EMBED, serve } from "../support/player_site.mjs";
import { test } from "../support/tests.mjs";
import { violations } from "./axe.mjs";

const VTT = "WEBVTT\n\n00:00.000 --> 00:20.000\nGood evening\n";

/** A browser, and a site with the element's script and more documents. */
async function site(documents = {}) {
  const served = await serve({
    config: () => null,
    connect: "ws://127.0.0.1:*",
    documents: { ...EMBED, ...documents },
  });
  ending(served.close);
  const browser = await launch(await browserPath());
  ending(() => browser.close());
  const open = async () => {
    const page = await browser.context.newPage();
    page.setDefaultTimeout(60_000);
    page.problems = [];
    page.on("pageerror", (error) => page.problems.push(error.message));
    page.on("console", (message) => message.type() === "error" && page.problems.push(message.text()));
    await page.goto(`${served.url}embed.html`);
    return page;
  };
  return open;
}

/** Puts the element into a page, with such children, and notes its events. */
async function make(page, attributes, inner = []) {
  await page.evaluate(
    async ([given, children]) => {
      await customElements.whenDefined("piecework-player");
      const player = Object.assign(document.createElement("piecework-player"), { id: "player" });
      for (const [name, value] of Object.entries({ "ice-servers": "none", ...given })) player.setAttribute(name, value);
      for (const child of children) player.append(Object.assign(document.createElement("track"), child));
      window.heard = [];
      for (const name of ["torrent", "loadedmetadata", "play", "timeupdate", "pause", "done", "warning", "error"])
        player.addEventListener(name, ({ detail }) => window.heard.push([name, detail?.message ?? null]));
      document.querySelector("main").append(player);
    },
    [attributes, inner],
  );
}

const heard = (page, name) => page.waitForFunction((name) => window.heard.some(([said]) => said === name), name);

test("the element takes a video's attributes, passes on its events, and tells its own", async () => {
  const tracker = await signaling();
  const title = await videoTitle(tracker);
  await title.seed("20M");
  const page = await (await site())();
  await make(page, {
    src: title.magnet,
    trackers: tracker,
    poster: "poster.png",
    loop: "",
    muted: "",
    controls: "none",
  });
  const video = () =>
    page.evaluate(() => {
      const { muted, loop, controls, poster } = document.querySelector("#player").video;
      return { muted, loop, controls, poster: poster.split("/").pop() };
    });
  assert.deepEqual(await video(), { muted: true, loop: true, controls: false, poster: "poster.png" });
  await heard(page, "torrent");
  await heard(page, "loadedmetadata");
  await page.evaluate(() => document.querySelector("#player").play());
  await heard(page, "timeupdate");
  await page.evaluate(() => document.querySelector("#player").pause());
  await heard(page, "pause");
  await page.evaluate(() => document.querySelector("#player").torrent.keep());
  await heard(page, "done");
  await page.evaluate(() => {
    const player = document.querySelector("#player");
    for (const name of ["poster", "loop", "muted", "controls"]) player.removeAttribute(name);
  });
  assert.deepEqual(await video(), { muted: false, loop: false, controls: true, poster: "" });
  const src = () => page.evaluate(() => document.querySelector("#player").video.currentSrc);
  assert.match(await src(), /film\.mp4/, "what is no title starts nothing anew");

  // Something else than a title: the page hears why nothing plays, once.
  await page.evaluate(() => document.querySelector("#player").setAttribute("src", "magnet:?xt=urn:btih:nonsense"));
  await heard(page, "error");
  const errors = await page.evaluate(() => window.heard.filter(([name]) => name === "error").map(([, text]) => text));
  assert.equal(errors.length, 1);
  assert.equal(await page.locator("#player [role=alert]").textContent(), errors[0]);
  // The poster that is not there is the page's own problem.
  assert.deepEqual(
    page.problems.filter((text) => !/404/.test(text)),
    [],
  );
});

test("a number that is none is named with what to write", async () => {
  const page = await (await site())();
  for (const [name, value] of [
    ["chain-id", "10x"],
    ["token-decimals", "-6"],
    ["upload-limit", "2.5 MB"],
    ["max-gas-percent", "101"],
  ]) {
    await make(page, { src: "magnet:?xt=urn:btih:0123456789012345678901234567890123456789", [name]: value });
    await heard(page, "error");
    const text = await page.locator("#player [role=alert]").textContent();
    assert.match(text, new RegExp(`^The attribute ${name} is "${value}": write a whole number, at most [0-9]+\\.$`));
    await page.evaluate(() => document.querySelector("#player").remove());
  }
});

test("a vault without a price, a misspelt attribute and a missing or silent tracker are said", async () => {
  const page = await (await site())();
  const magnet = "magnet:?xt=urn:btih:0123456789012345678901234567890123456789";
  const vault = { vault: `0x${"44".repeat(20)}`, "chain-id": "1", token: `0x${"55".repeat(20)}` };
  const say = async (attributes, role, words) => {
    await make(page, { src: magnet, ...attributes });
    await page.waitForFunction(
      ([role, words]) => {
        const { shadowRoot } = document.querySelector("#player");
        return new RegExp(words).test(shadowRoot.querySelector(`[role=${role}]`).textContent);
      },
      [role, words],
    );
    await page.evaluate(() => document.querySelector("#player").remove());
  };
  await say(vault, "alert", "^The attribute max-price-per-gb is missing beside vault: .* or 0 to pay nothing");
  await say(
    { ...vault, deployment: "d.json" },
    "alert",
    "^The attribute max-price-per-gb is missing beside deployment",
  );
  await say({}, "status", "^No tracker is named, .*the attribute trackers");
  const gone = await page.evaluate(() => window.heard.filter(([name]) => name === "warning").length);
  assert.equal(gone, 0);
  await say({ tracker: "ws://127.0.0.1:9" }, "status", "^No tracker is named");
  assert.equal(await page.evaluate(() => window.heard.filter(([name]) => name === "warning").length), 1);
  await say({ trackers: "ws://127.0.0.1:9" }, "status", "^No tracker can be reached, .*ws://127\\.0\\.0\\.1:9");
});

test("subtitles of the page and of the torrent are offered, and one is read when its viewer chooses it", async () => {
  const tracker = await signaling();
  const own = join(folder("words"), "own.vtt");
  writeFileSync(own, VTT);
  const open = await site({ "/own.vtt": own });
  const seeder = await open();
  const magnet = await seeder.evaluate(
    async ([tracker, text]) => {
      const { Client } = await import(new URL("piecework.js", location.href));
      window.client = new Client({ trackers: [tracker], iceServers: [] });
      // The smallest video that a browser makes by itself.
      const canvas = Object.assign(document.createElement("canvas"), { width: 16, height: 16 });
      const draw = canvas.getContext("2d");
      const recorder = new MediaRecorder(canvas.captureStream(10), { mimeType: "video/webm" });
      const parts = [];
      recorder.ondataavailable = ({ data }) => parts.push(data);
      const ended = new Promise((resolve) => {
        recorder.onstop = resolve;
      });
      recorder.start();
      for (let at = 0; at < 10; at++) {
        draw.fillRect(at, at, 2, 2);
        await new Promise(requestAnimationFrame);
      }
      recorder.stop();
      await ended;
      const files = [
        new File(parts, "film.webm"),
        new File([text], "film.de.vtt"),
        new File([text.replace("Good", "Bad")], "film.en.vtt"),
      ];
      const { infoHash } = await window.client.seed(files, { name: "with words" });
      return `magnet:?xt=urn:btih:${infoHash}`;
    },
    [tracker, VTT.replace("Good evening", "Guten Abend")],
  );
  const page = await open();
  await make(page, { src: magnet, trackers: tracker }, [
    { kind: "subtitles", label: "Ours", srclang: "en", src: "own.vtt" },
  ]);
  await page.waitForFunction(() => document.querySelector("#player").video.textTracks.length === 3);
  const tracks = await page.evaluate(() =>
    [...document.querySelector("#player").video.textTracks].map(({ label, language, mode }) => [label, language, mode]),
  );
  assert.deepEqual(tracks, [
    ["Ours", "en", "disabled"],
    ["German", "de", "disabled"],
    ["English", "en", "disabled"],
  ]);
  for (const [at, words] of [
    [0, "Good evening"],
    [1, "Guten Abend"],
  ]) {
    await page.evaluate((at) => {
      document.querySelector("#player").video.textTracks[at].mode = "showing";
    }, at);
    await page.waitForFunction((at) => document.querySelector("#player").video.textTracks[at].cues?.length > 0, at);
    const [first] = await page.evaluate(
      (at) => [...document.querySelector("#player").video.textTracks[at].cues].map(({ text }) => text),
      at,
    );
    assert.equal(first, words);
  }
  // Another child of the page's comes along; another title has no words of this one.
  await page.evaluate(() => {
    const track = Object.assign(document.createElement("track"), { kind: "subtitles", label: "More", src: "own.vtt" });
    document.querySelector("#player").append(track);
  });
  await page.waitForFunction(() => document.querySelector("#player").video.textTracks.length === 4);
  await page.evaluate(() => document.querySelector("#player").removeAttribute("src"));
  await page.waitForFunction(() => document.querySelector("#player").video.textTracks.length === 2);
  assert.deepEqual(page.problems, []);
});

test("with `consent` nothing is uploaded before the visitor's answer, which the site's next visit keeps", async () => {
  const tracker = await signaling();
  const title = await videoTitle(tracker);
  await title.seed("20M");
  const open = await site();
  const attributes = { src: title.magnet, trackers: tracker, consent: "", muted: "" };
  const uploads = (page) => page.evaluate(() => document.querySelector("#player").client.uploading);
  const page = await open();
  await make(page, attributes);
  const question = page.getByRole("group", { name: "Uploading" });
  await question.waitFor();
  assert.match(await question.textContent(), /May this browser upload what you watch to others\?/);
  assert.deepEqual(await violations(page), []);
  await heard(page, "loadedmetadata");
  // A press on play is no answer.
  await page.locator("#player video").focus();
  await page.keyboard.press("Space");
  await heard(page, "timeupdate");
  assert.equal(await uploads(page), false);
  assert.equal(await question.isVisible(), true);
  await page.getByRole("button", { name: "Watch without uploading" }).click();
  assert.equal(await question.isVisible(), false);
  assert.equal(await uploads(page), false);

  const second = await open();
  await make(second, attributes);
  await heard(second, "loadedmetadata");
  assert.equal(await second.getByRole("group", { name: "Uploading" }).isVisible(), false);
  assert.equal(await uploads(second), false);
  const upload = second.getByLabel(/^Watching also uploads to other viewers: only once you switch it on here/);
  assert.equal(await upload.isChecked(), false);
  await upload.check();
  await second.waitForFunction(() => document.querySelector("#player").client.uploading);

  const third = await open();
  await make(third, attributes);
  await heard(third, "loadedmetadata");
  assert.equal(await third.getByLabel("Watching also uploads to other viewers").isChecked(), true);
  assert.equal(await uploads(third), true);
  assert.deepEqual([...page.problems, ...second.problems, ...third.problems], []);
});

test("a page styles the element's parts and sets its colours", async () => {
  const page = await (await site())();
  await make(page, {});
  const looks = await page.evaluate(() => {
    const sheet = new CSSStyleSheet();
    sheet.replaceSync(
      "piecework-player { --piecework-surface: rgb(1, 2, 3); --piecework-text: rgb(4, 5, 6); } " +
        "piecework-player::part(status) { text-transform: uppercase; }",
    );
    document.adoptedStyleSheets = [sheet];
    const inside = (part) =>
      getComputedStyle(document.querySelector("#player").shadowRoot.querySelector(`[part=${part}]`));
    return [inside("bar").backgroundColor, inside("facts").color, inside("status").textTransform];
  });
  assert.deepEqual(looks, ["rgb(1, 2, 3)", "rgb(4, 5, 6)", "uppercase"]);
});

test("a file that the browser cannot play is said, with a button to try again", async () => {
  const tracker = await signaling();
  const open = await site();
  const seeder = await open();
  const hash = await seeder.evaluate(async (tracker) => {
    const { Client } = await import(new URL("piecework.js", location.href));
    window.client = new Client({ trackers: [tracker], iceServers: [] });
    return (await window.client.seed(new File([new Uint8Array(50_000).fill(7)], "film.mp4"))).infoHash;
  }, tracker);
  const page = await open();
  await make(page, { src: `magnet:?xt=urn:btih:${hash}`, trackers: tracker });
  await heard(page, "error");
  assert.match(await page.locator("#player [role=alert]").textContent(), /^This browser cannot play the file/);
  assert.equal(await page.getByRole("button", { name: "Try again" }).isVisible(), true);
});
