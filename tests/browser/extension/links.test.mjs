// Magnet links in pages, which Chromium brings to the extension once its user said so there.
import assert from "node:assert/strict";
import { extended, setUp } from "../support/extension.mjs";
import { open, signaling, site } from "../support/harness.mjs";
import { film } from "../support/swarm.mjs";
import { test } from "../support/tests.mjs";

/** Clicks a link to this address in the page. */
const follows = (page, href) =>
  page.run(`void document.body.appendChild(Object.assign(document.createElement("a"),
    { href: ${JSON.stringify(href)}, textContent: "film" })).click()`);

test("a magnet link in a page opens the library with it, and is fetched once its user adds it", async () => {
  const [url, tracker, extension] = [await site(), await signaling(), await extended()];
  const title = await film(tracker, 256 << 10);
  await title.seed();
  await setUp(extension);
  const options = await extension.own("options.html");
  const session = await extension.context.newCDPSession(options);
  // The browser asks its user, who agrees.
  await session.send("Page.setRPHRegistrationMode", { mode: "autoAccept" });
  await options.locator("#magnets").click();
  assert.equal(await options.locator("#failed").textContent(), "");

  const page = await open(extension.context, url);
  const link = `magnet:?xt=urn:btih:${title.infoHash}&tr=${encodeURIComponent(tracker)}&dn=a%20film`;
  await follows(page, link);
  await page.waitForURL(`${extension.root}library.html?add=*`);
  assert.equal(await page.locator("#link").inputValue(), link);
  await page.locator("#empty").waitFor();
  await page.locator("#add button").click();
  await page.getByText("film.bin: 262 kB, 100 % here").waitFor();
});

test("a page opens no other page of the extension, and none in a frame", async () => {
  const [url, extension] = [await site({ policy: null }), await extended()];
  await setUp(extension);
  const page = await open(extension.context, url);
  for (const name of ["library.html", "options.html", "ask.html", "host.html", "page.css"])
    assert.equal(await page.run(`fetch("${extension.root}${name}").then(() => "it came", () => "blocked")`), "blocked");
  await page.run(`void (window.framed = new Promise((resolve) => {
    const frame = Object.assign(document.createElement("iframe"), { src: "${extension.root}magnet.html?link=x" });
    frame.onload = () => resolve(true);
    document.body.append(frame);
  }))`);
  await page.run("framed");
  assert.deepEqual(
    page
      .frames()
      .map((frame) => frame.url())
      .filter((one) => one.startsWith(extension.root)),
    [],
  );

  const other = await open(extension.context, url);
  await follows(other, `${extension.root}magnet.html?link=${encodeURIComponent("javascript:alert(1)")}`);
  await other.getByText("This is no magnet link.").waitFor();
  const third = await open(extension.context, url);
  await follows(third, `${extension.root}library.html?add=x`);
  await third.getByText("ERR_BLOCKED_BY_CLIENT").waitFor();
});
