// The things that `<piecework-player>` loads, stops and uploads: the element alone, in a page under the strict policy,
// with real peers.
import assert from "node:assert/strict";
import { browser, open, signaling, site } from "../support/harness.mjs";
import { test } from "../support/tests.mjs";

const MIB = 1 << 20;

/** Waits in the page until an expression holds. An error in it ends the wait. */
const until = (page, expression) =>
  page.run(`new Promise((resolve, reject) => {
    const look = async () => ((await (${expression})) ? resolve(true) : setTimeout(() => look().catch(reject), 20));
    look().catch(reject);
  })`);

/** A page that seeds such titles. Answers their magnet links. A title of one file has the file's name. */
async function seeding(url, tracker, titles, options = {}) {
  const page = await open((await browser()).context, url);
  await page.run(`start(${JSON.stringify({ trackers: [tracker], ...options })})`);
  await page.run(`window.bytes = (length) => new Blob(Array.from({ length: Math.ceil(length / 65536) }, (_, at) =>
    crypto.getRandomValues(new Uint8Array(Math.min(65536, length - at * 65536)))))`);
  const links = [];
  for (const files of titles) {
    const name = files.length > 1 ? { name: `${files[0][0]} and so on` } : {};
    const made = `${JSON.stringify(files)}.map(([name, length]) => new File([bytes(length)], name))`;
    const hash = await page.run(`client.seed(${made}, ${JSON.stringify(name)}).then(({ infoHash }) => infoHash)`);
    links.push(magnet(hash, tracker));
  }
  return { page, links };
}

const magnet = (hash, tracker) => `magnet:?xt=urn:btih:${hash}&tr=${encodeURIComponent(tracker)}`;

/** A page with the element's script, and helpers to make one and look at it. */
async function viewing(url, context) {
  const page = await open(context ?? (await browser()).context, url);
  await page.run(`import("/dist/player.js").then(() => void Object.assign(window, {
    make: (attributes, client) => {
      window.player = document.createElement("piecework-player");
      player.setAttribute("ice-servers", "none");
      for (const [name, value] of Object.entries(attributes)) player.setAttribute(name, value);
      if (client) player.client = client;
      document.body.append(player);
    },
    part: (selector) => player.shadowRoot.querySelector(selector).textContent,
    plays: () => decodeURIComponent(player.video.getAttribute("src")?.split("/").pop() ?? ""),
  }))`);
  return page;
}
const make = (page, attributes) => page.run(`make(${JSON.stringify(attributes)})`);

test("the element reads a source however it was pasted, and plays the largest file that looks playable", async () => {
  const [url, tracker] = [await site(), await signaling()];
  const { links } = await seeding(url, tracker, [
    [
      ["Sample.webm", 20_000],
      ["film.mp4", 90_000],
      ["notes.txt", 200_000],
    ],
  ]);
  const page = await viewing(url);
  const link = links[0];
  for (const src of [
    link,
    `\n   ${link}\n  `,
    link.replace("magnet", "MAGNET"),
    `\u00a0${link}`,
    link.replace("&tr", "\n&tr"),
  ]) {
    await make(page, { src });
    await until(page, `plays() === "film.mp4" && part("[role=status]") === ""`);
    assert.equal(await page.run(`player.torrent.name`), "Sample.webm and so on");
    // The bytes are no film, and that is all that is wrong.
    await until(page, `part("[role=alert]").startsWith("This browser cannot play the file")`);
    await page.run("player.remove()");
    assert.equal(await page.run(`plays()`), "");
  }
  assert.deepEqual(page.errors, []);
});

test("a source that is missing or wrong is said, and the next one plays", async () => {
  const [url, tracker] = [await site(), await signaling()];
  const { links } = await seeding(url, tracker, [[["film.mp4", 50_000]]]);
  const page = await viewing(url);
  await make(page, { src: "   " });
  await until(page, `part("[role=status]").startsWith("Nothing to play")`);
  for (const [src, said] of [
    ["magnet:?xt=broken", /magnet link/i],
    ["/missing.torrent", /could not be loaded from .*missing\.torrent \(status 404\)/],
    ["/index.html", /\.torrent file is not valid/],
  ]) {
    await page.run(`player.setAttribute("src", ${JSON.stringify(src)})`);
    await until(page, `part("[role=alert]") !== ""`);
    assert.match(await page.run(`part("[role=alert]")`), said, src);
    assert.equal(await page.run(`part("[role=status]")`), "", src);
  }
  await page.run(`player.setAttribute("src", ${JSON.stringify(links[0])})`);
  await until(page, `plays() === "film.mp4" && part("[role=alert]").startsWith("This browser cannot play the file")`);
  await page.run(`player.removeAttribute("src")`);
  await until(page, `plays() === "" && player.torrent === null && part("[role=status]").startsWith("Nothing to play")`);
});

test("of several quick changes the last one plays, and nothing of the others runs on", async () => {
  const [url, tracker] = [await site(), await signaling()];
  const { links } = await seeding(
    url,
    tracker,
    ["red", "blue", "green"].map((name) => [[`${name}.mp4`, 40_000]]),
  );
  const page = await viewing(url);
  await make(page, { src: links[0] });
  for (const order of [
    [1, 2, 0, 1, 0],
    [1, 0, 1],
    [2, 1, 2],
  ]) {
    // Some changes come in one turn, and some while the element looks for the title before.
    await page.run(`(async () => {
      for (const [i, src] of ${JSON.stringify(order.map((at) => links[at]))}.entries()) {
        player.setAttribute("src", src);
        if (i % 2) await player.client.stats();
      }
    })()`);
    const name = `${["red", "blue", "green"][order.at(-1)]}.mp4`;
    await until(page, `plays() === "${name}"`);
    assert.equal(await page.run("player.torrent.files[0].name"), name);
    await until(
      page,
      `player.client.torrents.length === 1 && player.client.stats().then(({ torrents }) => torrents.length === 1)`,
    );
    assert.equal(await page.run("player.client.torrents[0] === player.torrent"), true);
  }
});

test("a title that is left in mid-download is fetched no further, unless another client uses it", async () => {
  const [url, tracker] = [await site(), await signaling()];
  const { links, page: seeder } = await seeding(url, tracker, [[["long.mp4", 24 * MIB]], [["short.mp4", 40_000]]], {
    uploadLimit: 2_000_000,
  });
  const sent = () => seeder.run("client.torrents[0].stats().then(({ uploaded }) => uploaded)");
  const page = await viewing(url);
  const begun = `player.torrent.stats().then(({ verified }) => verified > ${MIB})`;
  await make(page, { src: links[0], keep: "" });
  await until(page, `plays() === "long.mp4" && ${begun}`);
  await page.run(`player.setAttribute("src", ${JSON.stringify(links[1])})`);
  await until(page, `plays() === "short.mp4"`);
  await until(seeder, "client.torrents[0].stats().then(({ peers }) => peers.length === 0)");
  assert.ok((await sent()) < 12 * MIB, "it was left in the middle");

  // A client of the page's own uses the title, too. Then the element goes, and the page's use stays.
  await page.run("player.remove()");
  await page.run(
    `import("/dist/piecework.js")
      .then(({ Client }) => void (window.own = new Client({ trackers: ["${tracker}"], iceServers: [] })))`,
  );
  await page.run(`own.add(${JSON.stringify(links[0])}).then((torrent) => void (window.torrent = torrent))`);
  await page.run(`make({ src: ${JSON.stringify(links[0])} }, own)`);
  await until(page, `plays() === "long.mp4"`);
  await until(page, `torrent.stats().then(({ state }) => state === "downloading")`);
  const { verified, downloaded } = await page.run("stats()");
  assert.ok(verified - downloaded > 0, `what was fetched is still there: ${verified} here, ${downloaded} of it since`);
  await page.run("player.remove()");
  await until(page, `torrent.stats().then(({ verified }) => verified > ${verified + MIB})`);
  assert.equal(await page.run("own.torrents.length"), 1);
});

test("nothing is uploaded before the visitor presses play; the notice and its switch come before that", async () => {
  const film = process.env.PIECEWORK_VIDEO;
  assert.ok(film, "PIECEWORK_VIDEO names no video");
  const [url, tracker] = [await site({ mounts: { "/film.mp4": film } }), await signaling()];
  const { page: seeder } = await seeding(url, tracker, []);
  const hash = await seeder.run(`fetch("/film.mp4").then((film) => film.blob())
    .then((film) => client.seed(new File([film], "film.mp4"))).then(({ infoHash }) => infoHash)`);
  const src = magnet(hash, tracker);
  const page = await viewing(url);
  await make(page, { src, trackers: tracker, keep: "", "upload-limit": "50000000" });
  await until(page, `player.torrent?.stats().then(({ state }) => state === "seeding")`);
  await until(page, "player.video.readyState >= HTMLMediaElement.HAVE_METADATA");
  assert.match(await page.run(`part("label")`), /Watching also uploads to other viewers, from when you press play/);
  assert.equal(await page.run("player.client.uploading"), false);
  await seeder.close();
  // A visitor who asks for the title finds only that page, which has all of it and gives nothing.
  const other = await viewing(url);
  await make(other, { src, trackers: tracker, keep: "", "upload-agreed": "" });
  assert.equal(await other.run("player.client.uploading"), true);
  assert.match(await other.run(`part("label")`), /Watching also uploads to other viewers$/);
  await until(
    page,
    "player.torrent.stats().then(({ peers }) => peers.length > 0 && peers.every(({ amChoking }) => amChoking))",
  );
  assert.equal(await page.run("player.torrent.stats().then(({ uploaded }) => uploaded)"), 0);
  await page.run("void player.video.play().catch(() => undefined)");
  await until(other, `player.torrent?.stats().then(({ state }) => state === "seeding")`);
  assert.equal(await page.run("player.client.uploading"), true);
  assert.match(await page.run(`part("label")`), /Watching also uploads to other viewers$/);
  await page.run(`player.shadowRoot.querySelector("input").click()`);
  await until(page, "!player.client.uploading");

  // Where it plays by itself, nobody has pressed play: the switch is off until the visitor sets it.
  const self = await viewing(url);
  await make(self, { src, trackers: tracker, autoplay: "" });
  await until(self, "player.video.readyState >= HTMLMediaElement.HAVE_METADATA");
  assert.match(await self.run(`part("label")`), /only once you switch it on here/);
  await self.run("void player.video.play().catch(() => undefined)");
  assert.equal(await self.run("player.client.uploading || player.shadowRoot.querySelector('input').checked"), false);
  await self.run(`player.shadowRoot.querySelector("input").click()`);
  assert.equal(await self.run("player.client.uploading"), true);
  assert.match(await self.run(`part("label")`), /Watching also uploads to other viewers$/);
});

test("only the beginning is fetched before anybody plays; a button that keys reach keeps all of it", async () => {
  const film = process.env.PIECEWORK_VIDEO;
  assert.ok(film, "PIECEWORK_VIDEO names no video");
  const [url, tracker] = [await site({ mounts: { "/film.mp4": film } }), await signaling()];
  const { page: seeder } = await seeding(url, tracker, []);
  const hash = await seeder.run(`fetch("/film.mp4").then((film) => film.blob())
    .then((film) => client.seed(new File([film], "film.mp4"))).then(({ infoHash }) => infoHash)`);
  const page = await viewing(url);
  await make(page, { src: magnet(hash, tracker), trackers: tracker });
  await until(page, "player.video.readyState >= HTMLMediaElement.HAVE_METADATA");
  await until(
    page,
    `player.shadowRoot.querySelector('.bar button:not([hidden])')?.textContent === 'Keep the whole title'`,
  );
  const { verified, length, onDemand } = await page.run(
    "player.torrent.stats().then(({ verified, length, onDemand }) => ({ verified, length, onDemand }))",
  );
  assert.equal(onDemand, true);
  assert.ok(verified < length / 2, `${verified} of ${length} bytes are here already`);
  await page.run(`player.shadowRoot.querySelector(".bar button:not([hidden])").focus()`);
  await page.keyboard.press("Enter");
  await until(page, `player.torrent.stats().then(({ state }) => state === "seeding")`);
  await until(page, `player.shadowRoot.querySelector(".bar button:not([hidden])") === null`);
});

test("a title that its visitor chose to keep is kept again when it is played at the next visit", async () => {
  const film = process.env.PIECEWORK_VIDEO;
  const [url, tracker] = [await site({ mounts: { "/film.mp4": film } }), await signaling()];
  const { page: seeder } = await seeding(url, tracker, [], { uploadLimit: 2_000_000 });
  const hash = await seeder.run(`fetch("/film.mp4").then((film) => film.blob())
    .then((film) => client.seed(new File([film], "film.mp4"))).then(({ infoHash }) => infoHash)`);
  const page = await viewing(url);
  const kept = (of = page) => of.run("player.torrent.stats().then(({ kept, onDemand }) => [kept, !onDemand])");
  const shown = (of) =>
    until(of, `player.shadowRoot.querySelector('.bar button:not([hidden])')?.textContent === 'Keep the whole title'`);
  await make(page, { src: magnet(hash, tracker), trackers: tracker });
  await shown(page);
  assert.deepEqual(await kept(), [false, false]);
  await page.run(`player.shadowRoot.querySelector(".bar button:not([hidden])").click()`);
  await until(page, "player.torrent.stats().then(({ kept }) => kept)");
  assert.deepEqual(await kept(), [true, true]);

  const next = await viewing(url, page.context());
  await page.close();
  await make(next, { src: magnet(hash, tracker), trackers: tracker });
  await shown(next);
  assert.deepEqual(await kept(next), [true, false]);
  await next.run("void player.video.play().catch(() => undefined)");
  await until(next, `player.torrent.stats().then(({ state }) => state === "seeding")`);
  assert.deepEqual(await kept(next), [true, true]);
  assert.equal(await next.run("part('[role=status]')"), "All of it is fetched, as you chose before.");
});
