// Several clients of one origin, on one page and on pages that want different things of the engine that they share.
import assert from "node:assert/strict";
import { browser, open, signaling, site } from "../support/harness.mjs";
import { test } from "../support/tests.mjs";

const MIB = 1 << 20;
const payments = (vault, more = {}) => ({
  vault: `0x${vault.repeat(20)}`,
  chainId: 31337,
  token: { address: `0x${"55".repeat(20)}`, decimals: 6, symbol: "DUSD" },
  maxPricePerGB: "20",
  budget: "2",
  ...more,
});
const start = (page, options) => page.run(`start(${JSON.stringify(options)})`);
/** A second client of the page. */
const another = (page, name, options = {}) =>
  page.run(`void (window.${name} = new client.constructor(${JSON.stringify(options)}))`);
const read = (page) =>
  page.run(`Promise.all(Array.from({ length: 8 }, async (_, i) => {
  const range = "bytes=" + i * 1000 + "-" + (i * 1000 + 999);
  const answer = await fetch(await torrent.files[0].url(), { headers: { range } });
  return (await answer.arrayBuffer()).byteLength;
}))`);

test("several clients on one page read each range once, whichever of them runs the engine", async () => {
  const url = await site();
  const { context } = await browser();
  const page = await open(context, url);
  await start(page, {});
  await another(page, "second");
  await another(page, "third");
  await page.run(`seed(${MIB}, 3)`);
  await page.run("done()");
  assert.deepEqual(await read(page), Array(8).fill(1000));
  assert.deepEqual(
    await page.run("Promise.all([second, third].map((one) => one.stats().then(({ isHost }) => isHost)))"),
    [false, false],
  );
  // The engine goes to another of them, and then to the last.
  for (const next of ["second", "third"]) {
    await page.run(`client.destroy().then(() => (window.client = ${next}))`);
    await page.run(`client.add(torrent.infoHash).then((taken) => (window.torrent = taken).ready).then(() => true)`);
    assert.deepEqual(await read(page), Array(8).fill(1000), next);
    assert.equal(await page.run("client.stats().then(({ isHost }) => isHost)"), true, next);
  }
  assert.deepEqual(page.errors, []);
});

// Chromium lets a page's later requests for a lock overtake its first ones, unless the browser is asked in good order.
// The two others come in the tasks in which they overtook most often.
test("of several clients on one page the first runs the engine, however soon the others come", async () => {
  const url = await site();
  const { context } = await browser();
  for (let visit = 0; visit < 5; visit++) {
    const page = await open(context, `${url}?visit=${visit}`);
    const hosts = await page.run(`new Promise((resolve) => {
      const options = { iceServers: [] };
      start(options);
      const { port1, port2 } = new MessageChannel();
      const others = [];
      port1.onmessage = () => {
        others.push(new client.constructor(options));
        if (others.length < 2) return port2.postMessage(0);
        resolve(Promise.all([client, ...others].map((one) => one.stats().then(({ isHost }) => isHost))));
      };
      port2.postMessage(0);
    })`);
    assert.deepEqual(hosts, [true, false, false], `visit ${visit}`);
    await page.close();
  }
});

test("what only one client of a page used is stopped with it, and what another uses goes on", async () => {
  const url = await site();
  const { context } = await browser();
  const page = await open(context, url);
  await start(page, {});
  await another(page, "second");
  await page.run(`seed(${MIB}, 4)`);
  const hash = await page.run("torrent.infoHash");
  await page.run(`second.add("${hash}").then(() => true)`);
  const running = () => page.run("client.stats().then(({ torrents }) => torrents.length)");
  assert.equal(await running(), 1);
  await page.run("second.destroy()");
  assert.equal(await running(), 1);
  await another(page, "third");
  await page.run(`third.seed(new File(["another"], "another.txt")).then(() => true)`);
  assert.equal(await running(), 2);
  await page.run("third.destroy()");
  await page.run(`new Promise((resolve) => {
    const look = async () => ((await client.stats()).torrents.length === 1 ? resolve(true) : setTimeout(look, 20));
    look();
  })`);
});

test("a page that pays and one that does not share an engine in any order; another vault has its own", async () => {
  const [url, tracker] = [await site(), await signaling()];
  for (const first of ["free", "paying"]) {
    const { context } = await browser();
    const pages = { free: null, paying: null };
    for (const kind of first === "free" ? ["free", "paying"] : ["paying", "free"]) {
      pages[kind] = await open(context, url);
      await start(
        pages[kind],
        kind === "free" ? { trackers: [tracker] } : { trackers: [tracker], payments: payments("44") },
      );
      await pages[kind].run(`seed(${MIB}, ${kind === "free" ? 1 : 2})`);
      await pages[kind].run("done()");
    }
    assert.match(await pages.paying.run("client.payee"), /^0x[0-9a-f]{40}$/, first);
    assert.equal(await pages[first].run("client.stats().then(({ isHost }) => isHost)"), true, first);
    // Both pages have the titles that they added, in one engine.
    for (const page of Object.values(pages)) {
      assert.equal(await page.run("torrent.stats().then(({ state }) => state)"), "seeding", first);
      assert.deepEqual(await read(page), Array(8).fill(1000), first);
      assert.deepEqual(await page.run("said"), [], first);
    }
    const third = await open(context, url);
    await start(third, { trackers: [tracker], payments: payments("66") });
    assert.deepEqual(await third.run("client.stored()"), [], first);
    assert.equal(await third.run("client.stats().then(({ isHost }) => isHost)"), true, first);
    assert.deepEqual(await third.run("said"), [], first);
    // The page with the engine goes, and the others go on. That holds too where the paying page comes last.
    await third.close();
    await pages[first].close();
    const left = pages[first === "free" ? "paying" : "free"];
    await left.run(`new Promise((resolve) => {
      const look = async () => ((await client.stats()).isHost ? resolve(true) : setTimeout(look, 20));
      look();
    })`);
    await left.run("done()");
    await context.close();
  }
});

test("two clients of one page with two vaults and the same title read it each from its own engine", async () => {
  const [url, tracker] = [await site(), await signaling()];
  const { context } = await browser();
  const page = await open(context, url);
  // The second vault's client comes first, and later both: whichever a page made first must not matter.
  for (const vault of ["44", "66"]) {
    await start(page, { trackers: [tracker], payments: payments(vault) });
    await page.run("client.stats().then(() => { (window.clients ??= []).push(client); })");
  }
  assert.deepEqual(
    await page.run("Promise.all(clients.map((client) => client.stats().then(({ isHost }) => isHost)))"),
    [true, true],
  );
  for (const [giver, taker] of [
    [0, 1],
    [1, 0],
  ]) {
    // One engine has the title whole, and the other has it from the first as any peer would.
    const digests = await page.run(`(async () => {
      window.client = clients[${giver}];
      await seed(${MIB}, ${giver + 5});
      const given = torrent;
      window.taken = await clients[${taker}].add(given.torrentFile, { onDemand: true });
      await taken.ready;
      const digest = async (url) => {
        const whole = await (await fetch(url)).arrayBuffer();
        const hash = await crypto.subtle.digest("SHA-256", whole);
        return [...new Uint8Array(hash)].map((byte) => byte.toString(16).padStart(2, "0")).join("");
      };
      return Promise.all([digest(await given.files[0].url()), digest(await taken.files[0].url())]);
    })()`);
    const whole = await page.run(`patternDigest(${MIB}, ${giver + 5})`);
    assert.deepEqual(digests, [whole, whole]);
    assert.equal(await page.run("taken.stats().then(({ verified }) => verified)"), MIB, `the engine of ${taker}`);
  }
  assert.deepEqual(page.errors, []);
  // The address of a file reads nowhere else when the client that gave it is gone.
  const status = await page.run(`(async () => {
    const url = await taken.files[0].url();
    await clients[0].destroy();
    return (await fetch(url)).status;
  })()`);
  assert.equal(status, 503);
});

test("two vaults that one store served by turns in an earlier version are served by turns still", async () => {
  const [url, { context }] = [await site(), await browser()];
  const page = await open(context, url);
  await start(page, { payments: payments("44") });
  await page.run("client.stats().then(() => true)");
  await page.run(`new Promise((resolve, reject) => {
    const opening = indexedDB.open("piecework");
    opening.onsuccess = () => {
      const keys = opening.result.transaction("keys", "readwrite").objectStore("keys");
      const putting = keys.put(new Uint8Array(60), "session 31337 0x${"66".repeat(20)}");
      putting.transaction.oncomplete = () => resolve(opening.result.close());
      putting.transaction.onabort = reject;
    };
  })`);
  const other = await open(context, url);
  await start(other, { payments: payments("66") });
  assert.match(
    await other.run("client.stats().then(() => 'runs', (error) => error.message)"),
    new RegExp(
      "runs Piecework with the vault 0x(44){20} on chain 31337, " +
        "this one is set to the vault 0x(66){20} on chain 31337: close that page",
    ),
  );
});

test("a second page sets its own limit alone, and says which of its options have no effect", async () => {
  const [url, tracker] = [await site(), await signaling()];
  const { context } = await browser();
  const host = await open(context, url);
  await start(host, { trackers: [tracker], storageLimit: 3 * MIB, uploadLimit: 0 });
  await host.run("client.stats().then(() => true)");
  const second = await open(context, url);
  await start(second, { trackers: [tracker], storageLimit: 9 * MIB, uploadLimit: 0, maxConnections: 7 });
  await second.run("client.stats().then(() => true)");
  assert.deepEqual(await second.run("said"), [
    "Another page of this site already runs Piecework. " +
      "While it does, these options of this page have no effect: maxConnections, storageLimit.",
  ]);
  assert.deepEqual(await host.run("said"), []);

  // The host's storage limit still holds when the other page sets the upload limit.
  await second.run("client.setUploadLimit(1e6).then(() => true)");
  assert.match(await host.run(`seed(${4 * MIB}, 9).then(() => "fits", (error) => error.message)`), /storage/);
  await second.run(`client.setStorageLimit(${9 * MIB}).then(() => true)`);
  await host.run(`seed(${4 * MIB}, 9)`);
  await host.run("done()");
});

test("an upload that was switched off stays off when the engine starts again", async () => {
  const [url, tracker] = [await site(), await signaling()];
  const seeder = await open((await browser()).context, url);
  await start(seeder, { trackers: [tracker] });
  const torrent = await seeder.run(`seed(${MIB}, 6)`);
  await seeder.run("client.setUploading(false).then(() => true)");
  const warned = seeder.run(`new Promise((resolve) => client.on("warning", ({ text }) => resolve(text)))`);
  await seeder.run(`workers.at(-1).dispatchEvent(new ErrorEvent("error", { message: "a trap" })), true`);
  assert.match(await warned, /a new one starts/);
  await seeder.run("torrent.stats().then(() => true)");
  const viewer = await open((await browser()).context, url);
  await start(viewer, { trackers: [tracker] });
  await viewer.run(`add(${JSON.stringify(torrent)})`);
  await viewer.run(`new Promise((resolve) => {
    const look = async () => ((await torrent.stats()).peers.length > 0 ? resolve(true) : setTimeout(look, 20));
    look();
  })`);
  assert.equal(await viewer.run("torrent.stats().then(({ downloaded }) => downloaded)"), 0);
  await seeder.run("client.setUploading(true).then(() => true)");
  await viewer.run("done()");
});

const budget = (page) => page.run("client.stats().then(({ money }) => String(money.budget))");

test("a budget that was set holds when the engine starts again", async () => {
  const [url, tracker] = [await site(), await signaling()];
  const page = await open((await browser()).context, url);
  await start(page, { trackers: [tracker], payments: payments("44", { budget: "20" }) });
  await page.run(`client.setBudget("0.3").then(() => true)`);
  assert.equal(await budget(page), "300000");
  const warned = page.run(`new Promise((resolve) => client.on("warning", ({ text }) => resolve(text)))`);
  await page.run(`workers.at(-1).dispatchEvent(new ErrorEvent("error", { message: "a trap" })), true`);
  assert.match(await warned, /a new one starts/);
  assert.equal(await budget(page), "300000");
});

const runsTheEngine = `new Promise((resolve) => {
  const look = async () => ((await client.stats()).isHost ? resolve(true) : setTimeout(look, 20));
  look();
})`;

test("a budget that was set on any page holds when the page whose engine it is goes", async () => {
  const [url, tracker] = [await site(), await signaling()];
  for (const sets of ["host", "second"]) {
    const { context } = await browser();
    const options = { trackers: [tracker], payments: payments("44", { budget: "20" }) };
    const pages = { host: await open(context, url) };
    await start(pages.host, options);
    await pages.host.run("client.stats().then(() => true)");
    pages.second = await open(context, url);
    await start(pages.second, options);
    assert.equal(await budget(pages.second), "20000000");
    await pages[sets].run(`client.setBudget("0.3").then(() => true)`);
    assert.equal(await budget(pages.second), "300000");
    await pages.host.close();
    await pages.second.run(runsTheEngine);
    assert.equal(await budget(pages.second), "300000", sets);
  }
});

test("a page's price limit holds for a title that is in use already, here or on the page with the engine", async () => {
  const [url, link] = [await site(), `magnet:?xt=urn:btih:${"ab".repeat(20)}`];
  const { context } = await browser();
  const options = { trackers: ["wss://tracker.invalid"], payments: payments("44") };
  const add = (page, more) =>
    page.run(`client.add("${link}", ${JSON.stringify(more)}).then((taken) => ((window.taken = taken), true))`);
  const most = (page) => page.run("taken.stats().then(({ maxPricePerGB }) => Number(maxPricePerGB))");
  const page = await open(context, url);
  await start(page, options);
  await add(page, { onDemand: true });
  assert.equal(await most(page), 20_000_000);
  await add(page, { maxPricePerGB: "1" });
  assert.equal(await most(page), 1_000_000);
  const second = await open(context, url);
  await start(second, options);
  await add(second, {});
  assert.equal(await most(second), 1_000_000);
  await add(second, { maxPricePerGB: "0" });
  assert.equal(await most(second), 0);
  await page.run(`taken.setMaxPricePerGB("1").then(() => true)`);
  const third = await open(context, url);
  await start(third, options);
  await add(third, {});
  assert.equal(await most(third), 1_000_000);
  await page.close();
  await Promise.race([second, third].map((other) => other.run(runsTheEngine)));
  for (const other of [second, third]) assert.equal(await most(other), 1_000_000);
});

test("limits and counts that are none are refused by a sentence", async () => {
  const url = await site();
  const { context } = await browser();
  const page = await open(context, url);
  for (const maxConnections of [0, -1, 1.5, 101, "many"])
    assert.match(
      await page.run(
        `(() => {
          try {
            return start({ maxConnections: ${JSON.stringify(maxConnections)} });
          } catch (error) {
            return error.message;
          }
        })()`,
      ),
      /maxConnections must be a whole number from 1 to 100/,
    );
  for (const limit of ["NaN", "-1", '"much"'])
    assert.match(
      await page.run(
        `(() => { try { return start({ uploadLimit: ${limit} }); } catch (error) { return error.message; } })()`,
      ),
      /uploadLimit must be null or a number of 0 or more/,
    );
  await start(page, { payments: payments("44", { resellPercent: 300 }) });
  assert.match(
    await page.run("client.stats().then(() => 'runs', (error) => error.message)"),
    /resellPercent.* must be a whole number from 0 to 255/,
  );
});

test("a page without payments makes a paying page's engine fetch nothing that nobody watches", async () => {
  const [url, tracker] = [await site(), await signaling()];
  const { context } = await browser();
  const magnet = `magnet:?xt=urn:btih:${"ab".repeat(20)}`;
  const onDemand = (page, options = {}) =>
    page.run(`(async () => {
      const torrent = await client.add("${magnet}", ${JSON.stringify(options)});
      return (await torrent.stats()).onDemand;
    })()`);
  const [paying, free] = [await open(context, url), await open(context, url)];
  await start(paying, { trackers: [tracker], payments: payments("44") });
  assert.equal(await onDemand(paying), true);
  await start(free, { trackers: [tracker] });
  assert.equal(await onDemand(free), true, "the engine pays");
  assert.equal(await onDemand(paying), true);
  assert.equal(await onDemand(free, { onDemand: false }), false, "unless it is said");
  // Where nobody pays, all of it is fetched.
  const { context: other } = await browser();
  const alone = await open(other, url);
  await start(alone, { trackers: [tracker] });
  assert.equal(await onDemand(alone), false);
});
