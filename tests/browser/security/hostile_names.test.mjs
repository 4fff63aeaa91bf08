// Torrents whose names mean harm, in a real page and on a real disk: names are text, and nothing leaves its folder.
import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { mkdirSync, readFileSync, readdirSync } from "node:fs";
import { dirname, join, relative } from "node:path";
import { browserPath, launch } from "../support/browsers/chromium.mjs";
import { browser, ending, folder, native, open, run, signaling, site } from "../support/harness.mjs";
import { EMBED, serve } from "../support/player_site.mjs";
import { test } from "../support/tests.mjs";
import { hostileTorrent, hybridTorrent, singleTorrent } from "./names.mjs";

const sha256 = (bytes) => createHash("sha256").update(bytes).digest("hex");

/** Every file below a folder, by its path from there. */
function tree(root) {
  const files = readdirSync(root, { recursive: true, withFileTypes: true }).filter((entry) => !entry.isDirectory());
  return files.map((entry) => relative(root, join(entry.parentPath, entry.name))).sort();
}

/** The three torrents with a native seeder of each. */
async function seeded() {
  const tracker = await signaling();
  const video = process.env.PIECEWORK_VIDEO;
  assert.ok(video, "PIECEWORK_VIDEO names no video");
  const torrents = [];
  for (const make of [hostileTorrent, hybridTorrent, singleTorrent]) {
    const at = join(folder("seed"), "data");
    mkdirSync(at);
    const torrent = make({ tracker, at, film: readFileSync(video) });
    const [, infoHash, magnet] = await native(
      ["seed", torrent.path, "--data", at, "--state", join(dirname(at), "state")],
      /^seeding ([0-9a-f]{40}) (\S+)/,
    );
    assert.equal(infoHash, torrent.infoHash);
    torrents.push({ ...torrent, magnet });
  }
  return { tracker, torrents };
}

test("the native peer fetches hostile names into its folder, under harmless names, and nowhere else", async () => {
  const { torrents } = await seeded();
  for (const { path, files } of torrents) {
    const root = folder("get");
    const out = join(root, "a", "b", "out");
    mkdirSync(out, { recursive: true });
    await run(["get", path, "--output", out, "--state", join(root, "state")]);
    const found = tree(root).filter((name) => !name.startsWith("state/"));
    assert.deepEqual(found, files.map(({ safe }) => join("a/b/out", ...safe)).sort());
    for (const { safe, bytes } of files)
      assert.equal(sha256(readFileSync(join(out, ...safe))), sha256(bytes), safe.join("/"));
  }
});

test("a page stores files with hostile names under names of its own, and shows them as harmless text", async () => {
  const { torrents } = await seeded();
  const { context } = await browser();
  const page = await open(context, await site());
  const requests = [];
  context.on("request", (request) => requests.push(new URL(request.url()).pathname));
  await page.run("start({})");
  for (const { base64, files, infoHash } of torrents) {
    assert.equal(await page.run(`add("${base64}")`), infoHash);
    await page.run("done()");
    const held = await page.run(`Promise.all(torrent.files.map(async (file) => {
      const digest = new Uint8Array(await crypto.subtle.digest("SHA-256", await file.arrayBuffer()));
      const hex = [...digest].map((byte) => byte.toString(16).padStart(2, "0")).join("");
      return { path: file.path, name: file.name, digest: hex };
    }))`);
    // The first component is the torrent's own folder, where it has one.
    assert.deepEqual(
      held,
      files.map(({ safe, bytes }) => ({ path: safe, name: safe.at(-1), digest: sha256(bytes) })),
    );
  }
  const stored = await page.run(`(async () => {
    const list = async (folder, at) => {
      const found = [];
      for await (const entry of folder.values()) {
        const path = at + entry.name;
        found.push(...(entry.kind === "file" ? [path] : await list(entry, path + "/")));
      }
      return found;
    };
    return list(await navigator.storage.getDirectory(), "/");
  })()`);
  const journal = ["/piecework/journal-0", "/piecework/journal-1"];
  const data = stored.filter((path) => !journal.includes(path));
  assert.ok(data.length > 0 && data.length === stored.length - journal.length);
  for (const path of data) assert.match(path, /^\/piecework\/[0-9a-f]{40}\/(\d+|[a-z]+)$/);
  for (const path of requests)
    assert.match(path, /^\/(dist\/\w+\.(js|wasm)|piecework-sw\.js|__piecework\/[0-9a-f]{40}\/\d+\/[^/]*)?$/);
  assert.deepEqual([page.errors, await page.run("violations"), await page.run("said")], [[], [], []]);
});

/** A page that notes requests, violations of the policy, and elements that no script of ours makes. */
async function watched(url, prepare) {
  const started = await launch(await browserPath());
  ending(() => started.close());
  const page = started.context.pages()[0] ?? (await started.context.newPage());
  page.setDefaultTimeout(60_000);
  page.problems = [];
  page.requests = [];
  page.on("pageerror", (error) => page.problems.push(error.message));
  page.on("console", (message) => message.type() === "error" && page.problems.push(message.text()));
  page.on("dialog", (dialog) => {
    page.problems.push(dialog.message());
    return dialog.dismiss();
  });
  started.context.on("request", (request) => page.requests.push(request.url()));
  await page.addInitScript(() => {
    window.violations = [];
    document.addEventListener("securitypolicyviolation", (event) =>
      window.violations.push(`${event.violatedDirective} ${event.blockedURI}`),
    );
  });
  if (prepare) await page.addInitScript(prepare);
  await page.goto(url);
  return page;
}

/** Nothing of a name became more than text. */
async function assertHarmless(page) {
  assert.equal(await page.evaluate(() => "pwned" in window), false);
  const [violations, made] = await page.evaluate(() => {
    const all = (root) =>
      [...root.querySelectorAll("*")].flatMap((element) => [
        element,
        ...(element.shadowRoot ? all(element.shadowRoot) : []),
      ]);
    const odd = all(document).filter((element) =>
      [...element.attributes].some(
        ({ name, value }) =>
          name.startsWith("on") ||
          /^javascript:/i.test(value) ||
          (/^(src|href)$/.test(name) && value.includes("/pwned")),
      ),
    );
    return [window.violations, odd.map((element) => element.outerHTML)];
  });
  assert.deepEqual([violations, made, page.problems], [[], [], []]);
  assert.deepEqual(
    page.requests.filter((url) => new URL(url).pathname === "/pwned" || new URL(url).hostname !== "127.0.0.1"),
    [],
  );
}

test("the page's views show hostile names of link and torrent as text, and save under harmless ones", async () => {
  const { tracker, torrents } = await seeded();
  const pages = await serve({ config: () => ({ trackers: [tracker] }), connect: "ws://127.0.0.1:*" });
  ending(pages.close);
  const page = await watched(pages.url, () => {
    window.suggested = [];
    window.showSaveFilePicker = async ({ suggestedName }) => {
      window.suggested.push(suggestedName);
      return (await navigator.storage.getDirectory()).getFileHandle(`saved-${window.suggested.length}`, {
        create: true,
      });
    };
  });
  await page.waitForFunction(() => document.body.dataset.view === "open");
  // The link alone gives the name: nobody has the torrent.
  const name = `\u202e<img src=/pwned onerror=pwned=1><a href="javascript:pwned=1">x`;
  await page.fill("#magnet", `magnet:?xt=urn:btih:${"ab".repeat(20)}&dn=${encodeURIComponent(name)}`);
  await page.keyboard.press("Enter");
  await page.waitForFunction(() => document.body.textContent.includes("<img src=/pwned onerror=pwned=1>"));
  assert.equal(await page.evaluate(() => document.body.innerText.includes("\u202e")), false);
  await assertHarmless(page);

  const [{ magnet, files }] = torrents;
  await page.click("#nav-watch");
  await page.fill("#magnet", magnet.replace(/dn=[^&]*/, `dn=${encodeURIComponent(name)}`));
  await page.keyboard.press("Enter");
  await page.waitForFunction(
    () => document.body.dataset.phase === "offer" && !document.querySelector("#play").disabled,
  );
  assert.equal(await page.textContent("#title-name"), ".._.._etc_passwd");
  await page.click("#play");
  await page.waitForFunction(() => document.querySelector("#video").currentTime > 0.5);
  await page.waitForFunction((count) => document.querySelectorAll("#files li").length === count, files.length);
  const shown = await page.$$eval("#files .name", (names) => names.map(({ textContent }) => textContent));
  assert.equal(shown.at(-1).endsWith("_img src=_pwned onerror=pwned=1_.mp4"), true, shown.at(-1));
  assert.ok(
    shown.every((text) => !/[<>"\u202e\0]/.test(text) && text.length <= 200),
    shown.join("\n"),
  );
  // Every name that leaves for the visitor's disk.
  const saves = page.locator("#files button", { hasText: "Save" });
  for (let at = 0; at < files.length - 1; at++) {
    await saves.nth(at).click();
    await page.waitForFunction(
      (count) =>
        window.suggested.length === count &&
        [...document.querySelectorAll("#files button")].every(({ disabled }) => !disabled),
      at + 1,
    );
  }
  assert.deepEqual(
    await page.evaluate("window.suggested"),
    files.slice(0, -1).map(({ safe }) => safe.at(-1)),
  );
  await assertHarmless(page);
  await page.click("#nav-watch");
  await page.waitForFunction(() => document.querySelector("#library").textContent.includes(".._.._etc_passwd"));
  await assertHarmless(page);
});

test("`<piecework-player>` shows a torrent's hostile names as text", async () => {
  const { tracker, torrents } = await seeded();
  const pages = await serve({ config: () => null, connect: "ws://127.0.0.1:*", documents: EMBED });
  ending(pages.close);
  const page = await watched(`${pages.url}embed.html`);
  await page.evaluate(
    async (given) => {
      await customElements.whenDefined("piecework-player");
      const player = Object.assign(document.createElement("piecework-player"), { id: "player" });
      for (const [name, value] of Object.entries(given)) player.setAttribute(name, value);
      document.querySelector("main").append(player);
    },
    { magnet: torrents[0].magnet, trackers: tracker },
  );
  await page.waitForFunction(() =>
    document.querySelector("#player").shadowRoot.querySelector(".facts").textContent.startsWith(".._.._etc_passwd: "),
  );
  assert.equal(await page.getAttribute("#player video", "aria-label"), "Video: _img src=_pwned onerror=pwned=1_.mp4");
  await assertHarmless(page);
});

test("a visitor's file with an impossible name is refused with a remedy; markup in a name stays text", async () => {
  const tracker = await signaling();
  const pages = await serve({ config: () => ({ trackers: [tracker] }), connect: "ws://127.0.0.1:*" });
  ending(pages.close);
  const page = await watched(pages.url);
  await page.waitForFunction(() => document.body.dataset.view === "open");
  const share = async (name) => {
    const data = await page.evaluateHandle((name) => {
      const transfer = new DataTransfer();
      transfer.items.add(new File(["some bytes"], name));
      return transfer;
    }, name);
    await page.dispatchEvent("main", "drop", { dataTransfer: data });
    await page.waitForSelector("#share-chosen", { state: "visible" });
    await page.click("#share-go");
  };
  await share("..");
  await page.waitForFunction(() => document.querySelector("#share-error").textContent !== "");
  assert.match(
    await page.textContent("#share-error"),
    /"\.\." is no name to share under: rename it to at most 240 bytes/,
  );
  await share("é".repeat(200));
  await page.waitForFunction(() => document.querySelector("#share-error").textContent.includes("é…"));
  await share("<img src=pwned onerror=pwned=1>");
  await page.waitForFunction(() => document.body.dataset.phase === "watching");
  assert.equal(await page.textContent("#title-name"), "_img src=pwned onerror=pwned=1_");
  await assertHarmless(page);
});
