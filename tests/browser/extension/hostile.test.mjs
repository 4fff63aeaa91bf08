import assert from "node:assert/strict";
import { asking, extended, setUp } from "../support/extension.mjs";
import { open, signaling, site } from "../support/harness.mjs";
import { bystander, film } from "../support/swarm.mjs";
import { test } from "../support/tests.mjs";

/** Runs in a hostile page: speaks to the provider itself, without our package. */
function raw() {
  const answers = [];
  const heard = new EventTarget();
  const port = new Promise((resolve) =>
    addEventListener("message", ({ data, ports }) => data?.piecework === "provider" && resolve(ports[0])),
  );
  const found = !dispatchEvent(new CustomEvent("piecework:requestProvider", { cancelable: true }));
  port.then((one) => {
    one.onmessage = ({ data }) => {
      answers.push(data);
      heard.dispatchEvent(new Event("message"));
    };
  });
  let id = 0;
  window.raw = {
    found,
    say: async (message) => (await port).postMessage(message),
    /** The next message of this kind. */
    next: (fits) =>
      new Promise((resolve) => {
        const look = () => answers.some(fits) && resolve(answers.find(fits));
        heard.addEventListener("message", look);
        look();
      }),
    async open(fields = {}) {
      await window.raw.say({ t: "open", version: 1, payment: null, ask: false, ...fields });
      return (await window.raw.next(({ t }) => ["opened", "refused", "gone"].includes(t))).t;
    },
    /** "ok", or the words of the refusal. */
    async ask(t, fields = {}) {
      const mine = ++id;
      await window.raw.say({ ...fields, t, id: mine });
      const answer = await window.raw.next((message) => message.id === mine && ["ok", "err"].includes(message.t));
      return answer.t === "ok" ? { v: answer.v } : { refused: answer.message };
    },
    async read(hash) {
      const { port1, port2 } = new MessageChannel();
      const head = new Promise((resolve) => (port1.onmessage = ({ data }) => resolve(data)));
      (await port).postMessage({ t: "stream", hash, file: 0, start: 0, end: 1, port: port2 }, [port2]);
      return (await head).status ?? "bytes";
    },
  };
  return found;
}

const hostile = async (extension, url) => {
  const page = await open(extension.context, url);
  assert.equal(await page.run(`(${raw})()`), true);
  return page;
};
const bytes = (torrent) => `Uint8Array.from(atob("${torrent}"), (c) => c.charCodeAt(0))`;

test("a page whose site nobody allowed starts nothing, and learns only that the extension is there", async () => {
  const [url, tracker] = [await site(), await signaling()];
  const title = await film(tracker, 1 << 20);
  const extension = await extended();
  await setUp(extension);
  const page = await hostile(extension, url);
  assert.equal(await page.run("raw.open()"), "refused");
  await page.run(`raw.say({ t: "add", id: 1, torrent: ${bytes(title.torrent)}, onDemand: false, check: "resume" })`);
  assert.equal(await page.run(`raw.read("${title.infoHash}")`), 503);

  // The words are the same when the user said no, and when it pays by a vault of its own.
  const again = async (fields) => {
    const other = await hostile(extension, url);
    await other.run(`raw.open(${JSON.stringify(fields)})`);
    const word = await other.run(`raw.next(({ t }) => t === "refused").then(({ message }) => message)`);
    await other.close();
    return word;
  };
  const word = await again({});
  assert.equal(await again({ payment: { vault: `0x${"11".repeat(20)}`, chainId: 1 } }), word);
  await asking(extension, url, {}, { allow: false });
  assert.equal(await again({}), word);
  assert.equal(await again({ ask: true }), word);

  // Nobody announced the title, and nothing of it is here.
  const watcher = await bystander(extension.context, url, tracker, title.infoHash);
  assert.deepEqual(watcher.others, { seeders: 0, leechers: 0 });
  const library = await extension.own("library.html");
  await library.locator("#empty").waitFor();
  assert.equal(await library.locator("#titles li").count(), 0);
});

test("an allowed site sees its own titles alone, and reaches nothing that is the user's", async () => {
  const [first, second, tracker] = [await site(), await site(), await signaling()];
  const title = await film(tracker, 1 << 20);
  await title.seed();
  const extension = await extended();
  await setUp(extension);
  const page = await asking(extension, first);
  await page.run(`add("${title.torrent}")`);
  await page.run("done()");

  await asking(extension, second);
  const other = await hostile(extension, second);
  assert.equal(await other.run("raw.open()"), "opened");
  const hash = title.infoHash;
  const { v: hello } = await other.run(`raw.ask("hello")`);
  assert.deepEqual(hello, { stored: [], vault: null, chainId: null, sessionKey: null, payee: null, generation: null });
  const requests = {
    add: { hash },
    torrent: { hash },
    remove: { hash, deleteData: true },
    pause: { hash },
    select: { hash, files: [0], priority: "skip" },
    price: { hash, pricePerBlock: 0 },
    limits: { uploadLimit: 0 },
    seed: { name: "x", isFolder: false, files: [{ path: ["x"] }], trackers: [] },
    receipts: {},
    clearReceipts: {},
    budget: { total: 1 },
    accountId: { owner: `0x${"11".repeat(20)}` },
    account: { owner: `0x${"11".repeat(20)}` },
    newSessionKey: { old: `0x${"11".repeat(20)}` },
    redeem: { to: `0x${"11".repeat(20)}` },
  };
  for (const [t, fields] of Object.entries(requests)) {
    const { refused } = await other.run(`raw.ask("${t}", ${JSON.stringify(fields)})`);
    assert.equal(typeof refused, "string", `${t} was not refused`);
  }
  assert.equal(await other.run(`raw.read("${hash}")`), 404);
  const seen = await other.run(`raw.ask("snapshot").then(({ v }) => Object.keys(v).concat(v.trackers.length))`);
  assert.deepEqual(seen, ["downloadRate", "uploadRate", "trackers", "money", 0]);
  // The first site still has its title.
  assert.equal(await page.run("digest()"), title.digest);
});

test("what the user takes back ends at once, in pages that are open too", async () => {
  const [url, tracker] = [await site(), await signaling()];
  const title = await film(tracker, 1 << 20);
  await title.seed();
  const extension = await extended();
  await setUp(extension);
  const page = await asking(extension, url);
  await page.run(`add("${title.torrent}")`);
  await page.run("done()");
  const options = await extension.own("options.html");
  await options.locator("#sites button").click();
  await options.locator("#no-sites").waitFor();
  await assert.rejects(page.run("digest()"));
  const again = await hostile(extension, url);
  assert.equal(await again.run("raw.open()"), "refused");
});

test("a page opens no second window with its question, and none without a press", async () => {
  const url = await site();
  const extension = await extended();
  await setUp(extension);
  const { context } = extension;
  const windows = [];
  context.on("page", (page) => page.url().includes("ask.html") && windows.push(page));
  const asks = async () => {
    const page = await hostile(extension, url);
    await page.run(`raw.say({ t: "open", version: 1, payment: null, ask: true })`);
    return page;
  };
  const shown = context.waitForEvent("page", (page) => page.url().includes("ask.html"));
  const first = await asks();
  await (await shown).close();
  await first.close();
  await asks();
  // It waits behind the button instead, which the user opens.
  const popup = await extension.own("popup.html");
  await popup.getByText(`${url} asks`).waitFor();
  assert.equal(context.pages().filter((page) => page.url().includes("ask.html")).length, 0);
});
