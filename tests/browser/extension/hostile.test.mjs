import assert from "node:assert/strict";
import { asking, extended, meanwhile, setUp } from "../support/extension.mjs";
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
    events: () => answers.filter(({ t }) => t === "event").map(({ e }) => e),
    async read(hash) {
      const { port1, port2 } = new MessageChannel();
      const head = new Promise((resolve) => (port1.onmessage = ({ data }) => resolve(data)));
      (await port).postMessage({ t: "stream", hash, file: 0, start: 0, end: 1, port: port2 }, [port2]);
      return (await head).status ?? "bytes";
    },
    /** A reader that goes on: what it heard, and how it is asked for more. */
    async begin(hash, end) {
      const { port1, port2 } = new MessageChannel();
      window.reading = { heard: [], pull: () => port1.postMessage("pull") };
      port1.onmessage = ({ data }) => {
        reading.heard.push(data instanceof ArrayBuffer ? data.byteLength : data);
        heard.dispatchEvent(new Event("message"));
      };
      (await port).postMessage({ t: "stream", hash, file: 0, start: 0, end, port: port2 }, [port2]);
    },
    /** When the reader has heard something of this kind. */
    heard: (fits) =>
      new Promise((resolve) => {
        const look = () => reading.heard.some(fits) && resolve(reading.heard.find(fits));
        heard.addEventListener("message", look);
        look();
      }),
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

/** The user takes everything back from all sites. */
async function takeBack(extension) {
  const options = await extension.own("options.html");
  await options.locator("#sites li").first().waitFor();
  for (let sites = await options.locator("#sites li").count(); sites > 0; sites--) {
    await options.locator("#sites button").first().click();
    await options
      .locator("#sites li")
      .nth(sites - 1)
      .waitFor({ state: "detached" });
  }
  await options.locator("#no-sites").waitFor();
  await options.close();
}

/** Percents of the library's title that are here. */
async function here(extension) {
  const library = await extension.own("library.html");
  const words = await library.locator("#titles p", { hasText: "% here" }).first().textContent();
  await library.close();
  return Number(/([0-9]+) % here/.exec(words)[1]);
}

test("what the user takes back ends at once, in pages that are open too, and with it what is being read", async () => {
  const [url, tracker] = [await site(), await signaling()];
  const title = await film(tracker, 4 << 20);
  await title.seed();
  const extension = await extended();
  await setUp(extension);
  const page = await asking(extension, url);
  await page.run(`add("${title.torrent}")`);
  await page.run("done()");
  const reader = await hostile(extension, url);
  assert.equal(await reader.run("raw.open()"), "opened");
  await reader.run(`raw.ask("add", { torrent: ${bytes(title.torrent)}, onDemand: true }).then(() => 0)`);
  await reader.run(`raw.begin("${title.infoHash}", ${4 << 20})`);
  await reader.run("raw.heard(({ length }) => length > 0)");
  await reader.run("reading.pull()");
  assert.ok((await reader.run(`raw.heard((one) => typeof one === "number")`)) > 0);
  await takeBack(extension);
  await assert.rejects(page.run("digest()"));
  await reader.run(`raw.heard(({ error }) => error !== undefined)`);
  const count = await reader.run(`reading.heard.filter((one) => typeof one === "number").length`);
  await reader.run("reading.pull()");
  const again = await hostile(extension, url);
  assert.equal(await again.run("raw.open()"), "refused");
  assert.equal(await reader.run(`reading.heard.filter((one) => typeof one === "number").length`), count);
});

test("a title that its page leaves unfinished is fetched no more, nor one of a site that is taken back", async () => {
  const tracker = await signaling();
  const extension = await extended();
  await setUp(extension);
  for (const ends of ["torrent.remove()", null]) {
    const title = await film(tracker, 24 << 20);
    await title.seed("--upload-limit", "1M");
    const page = await asking(extension, await site());
    await page.run(`add("${title.torrent}")`);
    await page.run("pieces(4)");
    // It would go on by itself else: the pages of a site may be closed before their titles are whole.
    if (ends) {
      await page.run(ends);
      await page.close();
    }
    await takeBack(extension);
    // What was asked for already arrives.
    await meanwhile(tracker, "2M");
    const before = await here(extension);
    assert.ok(before > 0 && before < 100, `${before} %`);
    await meanwhile(tracker, "1M");
    assert.equal(await here(extension), before);
    const library = await extension.own("library.html");
    await library
      .getByRole("button", { name: /^Remove: / })
      .first()
      .click();
    await library.locator("#confirm-yes").click();
    await library.locator("#empty").waitFor();
    await library.close();
  }
});

test("a title of which nothing came does not stay, and fills nobody's library", async () => {
  const url = await site();
  const extension = await extended();
  await setUp(extension);
  const page = await hostile(extension, url);
  await asking(extension, url);
  assert.equal(await page.run("raw.open()"), "opened");
  const hash = (i) => i.toString(16).padStart(40, "0");
  const refused = [];
  for (let i = 1; i <= 140; i++) {
    const { refused: word } = await page.run(`raw.ask("add", { magnet: "magnet:?xt=urn:btih:${hash(i)}" })`);
    if (word) refused.push(word);
    if (i % 2) await page.run(`raw.ask("leave", { hash: "${hash(i)}" })`);
  }
  assert.match(refused.join(), /at most 64 titles/);
  await page.close();
  const library = await extension.own("library.html");
  await library.locator("#empty").waitFor();
  assert.equal(await library.locator("#titles li").count(), 0);
});

test("a site names few trackers at once, and leaves room for those of others", async () => {
  const [url, tracker] = [await site(), await signaling()];
  const extension = await extended();
  await setUp(extension);
  const page = await hostile(extension, url);
  const other = await asking(extension, await site());
  await asking(extension, url);
  assert.equal(await page.run("raw.open()"), "opened");
  const add = (i, from, count) => {
    const named = Array.from({ length: count }, (_, at) => `&tr=wss%3A%2F%2F127.0.0.1%3A1%2F${from + at}`).join("");
    const magnet = `magnet:?xt=urn:btih:${i.toString(16).padStart(40, "0")}${named}`;
    return page.run(`raw.ask("add", { magnet: "${magnet}" }).then(({ refused }) => refused ?? "ok")`);
  };
  assert.equal(await add(1, 0, 10), "ok");
  assert.match(await add(2, 10, 10), /at most 16 signaling servers/);
  assert.equal(await add(3, 10, 6), "ok");
  assert.match(await add(4, 90, 64), /at most 16 signaling servers/);
  // Its titles are left with their trackers.
  await page.run(`raw.ask("leave", { hash: "${"1".padStart(40, "0")}" })`);
  assert.equal(await add(5, 90, 10), "ok");

  const title = await film(tracker, 256 << 10);
  await title.seed();
  await other.run(`add("${title.torrent}")`);
  await other.run("done()");
  assert.equal(await other.run("digest()"), title.digest);
});

test("a page that only names a title hears nothing of how another site reads it", async () => {
  const [first, second, tracker] = [await site(), await site(), await signaling()];
  const title = await film(tracker, 8 << 20);
  await title.seed();
  const extension = await extended();
  await setUp(extension);
  await asking(extension, first);
  const other = await asking(extension, second);
  const spy = await hostile(extension, first);
  assert.equal(await spy.run("raw.open()"), "opened");
  const hash = title.infoHash;
  await spy.run(`raw.ask("add", { torrent: ${bytes(title.torrent)}, onDemand: true }).then(() => 0)`);
  const sees = () =>
    spy.run(`raw.ask("torrent", { hash: "${hash}" }).then(({ v }) => [v.verified, v.downloadRate, ...v.have])`);
  const before = await sees();
  await other.run(`add("${title.torrent}", { onDemand: true })`);
  await other.run("torrent.files[0].blob().then(() => 0)");
  assert.deepEqual((await other.run("stats()")).verified, 8 << 20);
  assert.deepEqual(await sees(), before);
  assert.deepEqual(await spy.run(`raw.events().filter((e) => e !== "ready")`), []);
  // One that reads it itself hears of it.
  await spy.run(`raw.begin("${hash}", ${8 << 20})`);
  await spy.run("raw.heard(({ length }) => length > 0)");
  assert.equal((await sees())[0], 8 << 20);
});

test("a page opens no second window with its question, and none without a press", async () => {
  const [first, second] = [await site(), await site()];
  const extension = await extended();
  await setUp(extension);
  const { context } = extension;
  const windows = [];
  context.on("page", (page) => page.url().includes("ask.html") && windows.push(page.url()));
  const wants = `raw.say({ t: "open", version: 1, payment: null, ask: true })`;
  const asks = async (url, press) => {
    const page = await hostile(extension, url);
    // What Playwright runs counts as pressed for some seconds.
    const unpressed = `void (function look() {
      navigator.userActivation.isActive ? setTimeout(look, 100) : ${wants}
    })()`;
    await page.run(press ? wants : unpressed);
    return page;
  };
  const popup = await extension.own("popup.html");
  // Nobody pressed anything: the question waits behind the button.
  await asks(first, false);
  await popup.getByText(`${first} asks`).waitFor();
  assert.deepEqual(windows, []);
  const shown = context.waitForEvent("page", (page) => page.url().includes("ask.html"));
  const page = await asks(second, true);
  await (await shown).close();
  await page.close();
  await asks(second, true);
  await popup.getByText(`${second} asks`).waitFor();
  assert.equal(context.pages().filter((one) => one.url().includes("ask.html")).length, 0);
});

test("a page that the user took back from asks nothing by itself", async () => {
  const url = await site();
  const extension = await extended();
  await setUp(extension);
  const page = await asking(extension, url);
  await page.run("client.stats().then(() => true)");
  await page.run(`void (window.failed = new Promise((resolve) =>
    client.on("error", ({ error }) => resolve(error.message))))`);
  await takeBack(extension);
  assert.match(await page.run("failed"), /does not allow/);
  // A page that asked again would be a question behind the button: it would ask within 5 s.
  await meanwhile(await signaling(), "600K");
  const popup = await extension.own("popup.html");
  await popup.getByText("0 pages", { exact: true }).waitFor();
  assert.equal(await popup.locator("#questions button").count(), 0);
});
