import assert from "node:assert/strict";
import { browser, open, signaling, signalingAt, site } from "../support/harness.mjs";
import { film } from "../support/swarm.mjs";
import { test } from "../support/tests.mjs";

const DEFAULT = ["stun:stun.l.google.com:19302", "stun:stun.cloudflare.com:3478"];

/** A torrent that nobody has, at a tracker that is not there. */
const UNKNOWN = `magnet:?xt=urn:btih:${"a".repeat(40)}&tr=ws%3A%2F%2F127.0.0.1%3A9`;

/** A page that notes which servers each of its connections asks. */
async function noting(url) {
  const { context } = await browser();
  await context.addInitScript(() => {
    if (typeof RTCPeerConnection === "undefined" || window.asked) return;
    window.asked = [];
    const news = [];
    window.asks = (test) =>
      new Promise((resolve) => {
        const look = () => (test(asked) ? resolve(true) : news.push(look));
        look();
      });
    window.RTCPeerConnection = class extends RTCPeerConnection {
      constructor(configuration) {
        super(configuration);
        asked.push(configuration.iceServers.flatMap(({ urls }) => urls));
        for (const look of news.splice(0)) look();
      }
    };
  });
  return open(context, url);
}

test("a page that names no servers asks the public STUN servers, and one with an empty list asks none", async () => {
  const url = await site();
  for (const [options, expected] of [
    ["{ iceServers: undefined }", DEFAULT],
    ["{ iceServers: [] }", []],
    ["{ iceServers: [{ urls: 'stun:127.0.0.1:9' }] }", ["stun:127.0.0.1:9"]],
  ]) {
    const page = await noting(url);
    await page.run(`start(${options})`);
    // It makes offers as soon as a torrent wants some.
    await page.run(`void client.add("${UNKNOWN}")`);
    await page.run("asks((asked) => asked.length >= 5)");
    for (const servers of await page.run("asked")) assert.deepEqual(servers, expected);
    await page.context().close();
  }
});

test("the element asks the public STUN servers, or those of its attribute", async () => {
  const url = await site();
  for (const [attribute, expected] of [
    [null, DEFAULT],
    ["none", []],
    [
      "stun:127.0.0.1:9 turn:me:secret@127.0.0.1:9?transport=tcp",
      ["stun:127.0.0.1:9", "turn:127.0.0.1:9?transport=tcp"],
    ],
  ]) {
    const page = await noting(url);
    await page.run(`import("/dist/player.js").then(() => {
      const player = document.createElement("piecework-player");
      const attribute = ${JSON.stringify(attribute)};
      if (attribute !== null) player.setAttribute("ice-servers", attribute);
      player.setAttribute("magnet", "${UNKNOWN}");
      document.body.append(player);
    })`);
    await page.run("asks((asked) => asked.length > 0)");
    for (const servers of await page.run("asked")) assert.deepEqual(servers, expected);
    await page.context().close();
  }
});

test("a page uses the servers that a configured tracker names, and not those of a torrent's own", async () => {
  const url = await site();
  const [mine, other] = ["stun:127.0.0.1:9", "stun:127.0.0.1:10"];
  const configured = await signalingAt(0, ["--stun", mine]);
  const shared = await film((await signalingAt(0, ["--stun", other])).url, 1 << 20);
  await shared.seed();
  const page = await noting(url);
  await page.run(`start({ trackers: ["${configured.url}"] })`);
  await page.run(`add("${shared.torrent}")`);
  // The seeder is met at the torrent's own tracker, so that has answered.
  await page.run("done()");
  await page.run(`asks((asked) => asked.some((servers) => servers.includes("${mine}")))`);
  assert.deepEqual([...new Set((await page.run("asked")).flat())], [mine]);
});

test("a page that asks the public servers fetches where nobody knows their names", async () => {
  const [url, tracker] = [await site(), await signaling()];
  const shared = await film(tracker, 1 << 20);
  await shared.seed();
  const page = await noting(url);
  await page.run("start({ iceServers: undefined })");
  await page.run(`add("${shared.torrent}")`);
  await page.run("done()");
  assert.equal(await page.run("digest()"), shared.digest);
});
