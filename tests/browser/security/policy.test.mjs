import assert from "node:assert/strict";
import { CSP, browser, open, site } from "../support/harness.mjs";
import { test } from "../support/tests.mjs";

test("page, worker and service worker run under the strict policy, and each carries it", async () => {
  const url = await site();
  const { context } = await browser();
  const served = new Map();
  context.on("response", (response) =>
    served.set(new URL(response.url()).pathname, response.headers()["content-security-policy"]),
  );
  const page = await open(context, url);
  await page.run("start({})");
  await page.run("client.stats().then(() => true)");
  await page.run("navigator.serviceWorker.ready.then(() => true)");
  for (const path of ["/", "/dist/worker.js", "/piecework-sw.js"]) {
    const header = served.get(path) ?? (await fetch(url + path)).headers.get("content-security-policy");
    assert.equal(header, CSP, path);
  }
  assert.deepEqual(await page.run("violations"), []);
  assert.deepEqual(await page.run("missing()"), []);
  assert.deepEqual(page.errors, []);
  assert.deepEqual(await page.run("said"), []);
});

test("what is missing is named, and what to do", async () => {
  const url = await site();
  const { context } = await browser();
  const page = await context.newPage();
  await page.addInitScript(() => {
    delete window.RTCPeerConnection;
    delete window.webkitRTCPeerConnection;
  });
  const session = await context.newCDPSession(page);
  await page.goto(url);
  const { result } = await session.send("Runtime.evaluate", {
    expression: "window.loaded.then(() => missing())",
    awaitPromise: true,
    returnByValue: true,
  });
  assert.equal(result.value.length, 1);
  assert.equal(result.value[0].feature, "webrtc");
  assert.match(result.value[0].text, /WebRTC is missing: switch it on/);
});
