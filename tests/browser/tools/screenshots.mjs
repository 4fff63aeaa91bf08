// Pictures of the states of page, element and extension, and of the publisher's page, each in phone and wide, light and
// dark. They show the real thing in Chromium with a real signaling server, native seeders and, where there is money, a
// real chain. Nothing is posed: every state comes about as in use.
//
//   PIECEWORK_FILM=FILE node tests/browser/tools/screenshots.mjs [--out DIR] [--once] [WORD...]
//
// Words choose scenes by name. With --once there is one picture of each state, wide and light. `cargo xtask
// screenshots` makes the film.
import { execFileSync } from "node:child_process";
import { randomBytes } from "node:crypto";
import { copyFileSync, cpSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { createServer } from "node:net";
import { dirname, join, resolve } from "node:path";
import { parseArgs } from "node:util";
import { fileURLToPath } from "node:url";
import { Interface } from "ethers";
import { browserPath, launch } from "../support/browsers/chromium.mjs";
import { clientOf, extended, setUp, until, useVault } from "../support/extension.mjs";
import { cleanUp, ending, folder, native, open, run, signaling, site } from "../support/harness.mjs";
import { make } from "../support/paid/element.mjs";
import { Scene } from "../support/paid/scene.mjs";
import { dropTorrent, pinnedTo, publishedFilms } from "../support/paid/titles.mjs";
import { add, deposit, viewer } from "../support/paid/viewer.mjs";
import { RemoteWallet } from "../support/paid/wallet.mjs";
import { EMBED, serve } from "../support/player_site.mjs";

const root = join(dirname(fileURLToPath(import.meta.url)), "../../..");
const options = {
  out: { type: "string", default: join(root, "target/screenshots") },
  once: { type: "boolean", default: false },
};
const { values, positionals } = parseArgs({ options, allowPositionals: true });
const out = resolve(values.out);
const film = process.env.PIECEWORK_FILM;
if (!film) throw new Error("PIECEWORK_FILM names no film; cargo xtask screenshots makes one");
const SIZES = { phone: { width: 360, height: 740 }, wide: { width: 1280, height: 860 } };
/** For what is a part of a page, or a window of its own. */
const PART = { width: 760, height: 640 };
const SMALL = { width: 480, height: 640 };
const POPUP = { width: 380, height: 600 };
const SHOWN = values.once
  ? { sizes: ["wide"], colours: ["light"] }
  : { sizes: ["phone", "wide"], colours: ["light", "dark"] };
/** Bytes per second, so that a picture in the middle of a transfer can be taken. */
const THIN = 220_000;
const LIMIT_MS = 60_000;
const taken = [];

/** Pictures of this page's present state, in each size and colour: of an element alone, or in another wide size. */
async function shoot(page, name, { whole = true, of = null, wide = SIZES.wide } = {}) {
  for (const size of SHOWN.sizes) {
    for (const colorScheme of SHOWN.colours) {
      await page.setViewportSize(size === "wide" ? wide : SIZES[size]);
      await page.emulateMedia({ colorScheme });
      await page.evaluate((top) => {
        if (top) scrollTo(0, 0);
        return new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)));
      }, !whole);
      const path = join(out, `${name}-${size}-${colorScheme}.png`);
      if (of) await page.locator(of).screenshot({ path });
      else await page.screenshot({ path, fullPage: whole });
      taken.push(path);
    }
  }
  await page.setViewportSize(SIZES.wide);
  await page.emulateMedia({ colorScheme: "light" });
  console.log(`  ${name}`);
}

/** A browser of its own at a site with this configuration. */
async function visit(config, { lacks = false, documents = {} } = {}) {
  const site = await serve({ config: () => config, connect: "ws://127.0.0.1:* http://127.0.0.1:*", documents });
  ending(site.close);
  const browser = await launch(await browserPath(), { viewport: SIZES.wide });
  ending(() => browser.close());
  const page = browser.context.pages()[0] ?? (await browser.context.newPage());
  page.setDefaultTimeout(LIMIT_MS);
  if (lacks) await page.addInitScript(() => delete StorageManager.prototype.getDirectory);
  await page.goto(site.url);
  await page.waitForFunction(
    () =>
      document.body.dataset.view === "failed" ||
      (document.body.dataset.view === "open" && document.querySelector("#library-reading").hidden),
  );
  return page;
}

async function openMagnet(page, magnet) {
  await page.fill("#magnet", magnet);
  await page.press("#magnet", "Enter");
}

/** Opens a title and waits until it can be played. */
async function offered(page, magnet) {
  await openMagnet(page, magnet);
  await page.waitForFunction(
    () => document.body.dataset.phase === "offer" && !document.querySelector("#play").disabled,
  );
}

async function plays(page, share) {
  await page.waitForFunction(
    () => document.body.dataset.phase === "watching" && document.querySelector("#video").currentTime > 0.5,
  );
  await page.check("#keep");
  await page.waitForFunction((wanted) => {
    const { look } = globalThis.pieceworkPlayer.app.title;
    return look && look.verified >= look.length * wanted;
  }, share);
}

/** Describes a file or folder and seeds it. Answers its magnet link. */
async function seeded(path, tracker, pieceLength, ...more) {
  const torrent = `${path}.torrent`;
  const said = await run([
    "create",
    path,
    "--force",
    "--tracker",
    tracker,
    "--piece-length",
    pieceLength,
    "-o",
    torrent,
  ]);
  await native(["seed", torrent, "--data", dirname(path), "--state", folder("seeder"), ...more], /^seeding /);
  return said.split(/\s/).find((word) => word.startsWith("magnet:"));
}

/** A copy of the film under a name for people. */
function filmIn(at, name = "Evening over the bay.mp4") {
  const path = join(at, name);
  writeFileSync(path, readFileSync(film));
  return path;
}

/** A port on which nobody listens. */
async function deadPort() {
  const server = createServer();
  await new Promise((done) => server.listen(0, "127.0.0.1", done));
  const { port } = server.address();
  await new Promise((done) => server.close(done));
  return port;
}

/** What a page of the extension shows once it has heard from the engine. */
const READY = {
  welcome: "#start",
  popup: "#now div",
  library: "#titles p",
  options: "#sites li",
};

const scenes = {
  async opening() {
    const page = await visit({ trackers: [await signaling()] });
    await shoot(page, "empty");
    await openMagnet(page, "https://example.org/film");
    await page.waitForFunction(() => document.querySelector("#open-error").textContent !== "");
    await shoot(page, "bad-magnet");
    await page.setInputFiles("#share-files", {
      name: "Grandmother's garden.mp4",
      mimeType: "video/mp4",
      buffer: readFileSync(film),
    });
    await page.waitForSelector("#share-chosen", { state: "visible" });
    await shoot(page, "share-own");
    const data = await page.evaluateHandle(() => {
      const transfer = new DataTransfer();
      transfer.items.add(new File(["x"], "film.torrent"));
      return transfer;
    });
    await page.dispatchEvent("main", "dragenter", { dataTransfer: data });
    await shoot(page, "dropping", { whole: false });
    await page.dispatchEvent("main", "dragleave", { dataTransfer: data });
    await page.click("#share-go");
    await page.waitForFunction(() => document.body.dataset.phase === "watching");
    await shoot(page, "shared");
    await page.click("#nav-money");
    await page.waitForFunction(() => document.body.dataset.view === "money");
    await shoot(page, "money-none");
  },

  async metadata() {
    const page = await visit({ trackers: [await signaling()] });
    await openMagnet(page, `magnet:?xt=urn:btih:${randomBytes(20).toString("hex")}&dn=Nobody+has+this`);
    await page.waitForFunction(
      () =>
        document.body.dataset.phase === "metadata" &&
        globalThis.pieceworkPlayer.app.look?.trackers.some((one) => one.connected),
    );
    await shoot(page, "metadata");
    const lost = await visit({ trackers: [`ws://127.0.0.1:${await deadPort()}/`] });
    await openMagnet(lost, `magnet:?xt=urn:btih:${randomBytes(20).toString("hex")}`);
    await lost.waitForFunction(() => document.querySelector("#waiting-text").textContent === "No tracker answers");
    await shoot(lost, "dead-tracker");
  },

  async unsupported() {
    await shoot(await visit({ trackers: [] }, { lacks: true }), "unsupported");
  },

  async free() {
    const tracker = await signaling();
    const magnet = await seeded(filmIn(folder("free")), tracker, "16K", "--upload-limit", String(THIN));
    const page = await visit({ trackers: [tracker] });
    await offered(page, magnet);
    await shoot(page, "offer-free");
    await page.click("#play");
    await plays(page, 0.3);
    await shoot(page, "playing-free");
    await page.context().setOffline(true);
    await page.waitForSelector("#banner", { state: "visible" });
    await shoot(page, "offline-playing");
    await page.click("#nav-watch");
    await page.waitForFunction(() => document.querySelectorAll("#library li").length === 1);
    await shoot(page, "offline-library");
    await page.context().setOffline(false);
    await page.waitForSelector("#banner", { state: "hidden" });
    await shoot(page, "library");
  },

  async pieces() {
    const [tracker, data] = [await signaling(), join(folder("large"), "Ten thousand pieces")];
    mkdirSync(data);
    filmIn(data, "film.mp4");
    // The rest of 10,000 pieces of 16 KiB.
    writeFileSync(join(data, "more.bin"), Buffer.alloc(10_000 * 16_384 - readFileSync(film).length, "pieces "));
    const magnet = await seeded(data, tracker, "16K");
    const page = await visit({ trackers: [tracker] });
    await offered(page, magnet);
    await page.click("#play");
    await plays(page, 0.3);
    await page.click("#pause");
    await page.waitForFunction(() => document.querySelector("#title-facts").textContent.includes("paused"));
    await shoot(page, "pieces-10000");
  },

  async paid() {
    const scene = await Scene.open();
    const { accounts } = scene.anvil;
    const token = new Interface(["function mint(address to, uint256 amount)"]);
    // The scene's payer has funds; the second viewer gets some too.
    await scene.chain.call("eth_sendTransaction", [
      {
        from: accounts[0].address,
        to: scene.chain.token,
        data: token.encodeFunctionData("mint", [accounts[5].address, 1_000_000_000n]),
      },
    ]);
    const path = filmIn(scene.folder);
    const torrent = `${path}.torrent`;
    const said = await run([
      "create",
      path,
      "--force",
      "--tracker",
      scene.tracker,
      "--piece-length",
      "16K",
      "-o",
      torrent,
    ]);
    const magnet = said.split(/\s/).find((word) => word.startsWith("magnet:"));
    await scene.seeder([{ path: torrent }], THIN);
    const { vault, deployBlock } = scene.chain;
    const config = (key) => ({
      trackers: [scene.tracker],
      magnet,
      vault,
      deployBlock,
      chainId: scene.chainId,
      rpc: scene.anvil.url,
      token: scene.chain.token,
      symbol: "pwUSD",
      maxPricePerGB: "15",
      resalePercent: 50,
      wallet: "batch",
      walletKeys: [accounts[key].privateKey],
    });

    const page = await visit(config(1));
    await shoot(page, "empty-paid");
    await page.click("#nav-money");
    await page.waitForFunction(() => document.body.dataset.view === "money");
    await shoot(page, "money-empty");
    await page.click("#nav-watch");
    await page.click("#featured-open");
    await page.waitForFunction(
      () => document.body.dataset.phase === "offer" && !document.querySelector("#play").disabled,
    );
    await shoot(page, "offer-paid");
    await page.click("#play");
    await page.click(".dev-wallet-no");
    await page.waitForFunction(() => document.querySelector("#play-error").textContent !== "");
    await shoot(page, "wallet-refused");
    await page.click("#play");
    await page.click(".dev-wallet-yes");
    await page.waitForFunction(() => document.querySelector(".dev-wallet h2")?.textContent.startsWith("Send"));
    await shoot(page, "wallet-asking", { whole: false });
    await page.click(".dev-wallet-yes");
    await plays(page, 0.35);
    await shoot(page, "playing-paid");
    await shoot(page, "playing-paid-top", { whole: false });

    const second = await visit(config(5));
    await offered(second, magnet);
    await second.click("#play");
    for (let prompt = 0; prompt < 2; prompt += 1) await second.click(".dev-wallet-yes");
    await page.waitForFunction(() => globalThis.pieceworkPlayer.app.title.look.earnedFine > 0n);
    await plays(page, 1);
    await page.waitForFunction(() => globalThis.pieceworkPlayer.app.look.money.redeemable > 9_000n);
    await shoot(page, "earning");
    await page.click("#nav-money");
    await page.waitForFunction(() => !document.querySelector("#redeem").disabled);
    await shoot(page, "money");
    await page.click("#exit");
    await page.waitForSelector("#confirm", { state: "visible" });
    await shoot(page, "money-exit", { whole: false });
    await page.click("#confirm-yes");
    await page.click(".dev-wallet-yes");
    await page.waitForSelector("#exit-state", { state: "visible" });
    await shoot(page, "money-exiting");

    await second.click("#nav-money");
    await scene.anvil.stop();
    await second.click("#recover");
    await second.waitForFunction(() => !document.querySelector("#money-message").hidden);
    await shoot(second, "rpc-down");
    await second.context().setOffline(true);
    await second.waitForSelector("#banner", { state: "visible" });
    await shoot(second, "offline-money");
  },

  async titles() {
    const { scene, seeder, films, other, creator } = await publishedFilms(() => readFileSync(film));
    const { accounts } = scene.anvil;
    const wallet = { wallet: "batch", walletKeys: [accounts[0].privateKey] };
    const config = { trackers: [scene.tracker], deployment: "deployment.json", maxPricePerGB: "15", ...wallet };
    const documents = { "/deployment.json": scene.deployment };
    const page = await visit(config, { documents });
    const shown = async (name, state) => {
      await page.waitForFunction(
        ([state, isRefused]) => {
          const card = document.querySelector("#published .piecework-title");
          const refused = document.querySelector("#play")?.textContent === "Not to be bought";
          const isAsked = document.querySelector("#costs").textContent.includes("Lowest price");
          return (
            card?.dataset.state === state && card.querySelector(".failed").hidden && isAsked && refused === isRefused
          );
        },
        [state, state === "wrong"],
      );
      await shoot(page, `title-${name}`);
    };
    const back = () => page.click("#nav-watch");
    for (const [name, state] of [
      ["signed", "signed"],
      ["unsigned", "unsigned"],
      ["second", "registered"],
      ["tampered", "wrong"],
      ["registered", "registered"],
    ]) {
      await page.evaluate(dropTorrent, films[name].torrent);
      await shown(name, state);
      await back();
    }
    await page.evaluate(dropTorrent, films.registered.torrent);
    await page.click("#published summary");
    await shown("details", "registered");
    await back();
    await page.evaluate(dropTorrent, films.pinned.torrent);
    await page.waitForSelector("#published [data-state=signed]");
    await back();
    await openMagnet(page, pinnedTo(films.pinned, other));
    await shown("other-signer", "wrong");

    const buyer = await viewer(await site(), await RemoteWallet.start(scene.chain, scene.payer), scene.options());
    await deposit(buyer, "1");
    await add(buyer, films.registered);
    await buyer.run("done()");
    await seeder.ask("redeem");
    const money = await visit(
      { ...config, walletKeys: [accounts.find(({ address }) => address === creator).privateKey] },
      { documents },
    );
    await money.click("#nav-money");
    await money.click("#connect");
    await money.click(".dev-wallet-yes");
    await money.locator("#credit:enabled").waitFor();
    await shoot(money, "money-creator");
    await money.click("#credit");
    await money.click(".dev-wallet-yes");
    await money.waitForFunction(() =>
      document.querySelector("#money-message").textContent.includes("went to your wallet"),
    );
    await shoot(money, "money-creator-claimed");
    await scene.anvil.stop();
    await page.click("#nav-watch");
    await page.evaluate(dropTorrent, films.signed.torrent);
    await page.waitForFunction(() =>
      document.querySelector("#published .failed")?.textContent.startsWith("Whether it is registered is not known"),
    );
    await shoot(page, "title-no-chain");
  },

  async element() {
    const { scene, title, wallet } = await sold();
    const documents = { ...EMBED, "/deployment.json": scene.deployment };
    const connect = "ws://127.0.0.1:* http://127.0.0.1:*";
    const { url, close } = await serve({ config: () => null, connect, documents });
    ending(close);
    const page = await withWallet(wallet, `${url}embed.html`);
    const of = { of: "#player", wide: PART };
    const told = { deployment: "deployment.json", "max-price-per-gb": "15", consent: "" };
    await page.evaluate(make, { src: title.magnet, trackers: scene.tracker, ...told });
    await page.locator("#player .pay:enabled").waitFor();
    await shoot(page, "element-consent", of);
    await page.getByRole("button", { name: "Upload while I watch" }).click();
    await shoot(page, "element-offer", of);
    await payIn(page);
    await shoot(page, "element-playing", of);
  },

  async publisher() {
    const scene = await Scene.deployed();
    const url = await publisherSite(scene);
    const publishers = await RemoteWallet.start(scene.chain, scene.payee);
    publishers.signs = true;
    const seller = await withWallet(publishers, url);
    await seller.setInputFiles("#file", filmIn(folder("chosen")));
    await seller.fill("#price", "10");
    await seller.check("#sign");
    await seller.fill("#licence", "CC-BY-4.0");
    await seller.check("#register");
    await seller.getByText("One transaction from your wallet").waitFor();
    await seller.fill("#share", "5");
    await shoot(seller, "publisher-new", { wide: PART });
    await seller.click("#go");
    const link = await seller.locator("#films .watch").inputValue();
    const buyer = await withWallet(await RemoteWallet.start(scene.chain, scene.payer), link);
    await payIn(buyer);
    await seller.locator("#redeem:enabled").waitFor();
    await shoot(seller, "publisher", { wide: PART });
    await seller.click("#redeem");
    await seller.getByText("came to 0x").waitFor();
    await shoot(seller, "publisher-redeemed", { wide: PART });
  },

  async extension() {
    const { scene, title, seeder, wallet } = await sold();
    const [url, extension] = [await site(), await extended()];
    await wallet.injectInto(extension.context);
    const pages = async (wanted) => {
      for (const [name, wide] of Object.entries(wanted)) {
        const page = await extension.own(`${name}.html`);
        await page.locator(READY[name]).first().waitFor();
        await shoot(page, `extension-${name}`, { wide, of: "main" });
        await page.close();
      }
    };
    await pages({ welcome: PART });
    await setUp(extension);
    await useVault(extension, scene);

    const client = clientOf(scene);
    const page = await open(extension.context, url);
    const asks = extension.context.waitForEvent("page");
    await page.run(`start(${JSON.stringify({ engine: "extension", ...client })})`);
    const question = await asks;
    await question.locator("#money").waitFor();
    await question.fill("#budget", "1");
    await shoot(question, "extension-ask", { wide: SMALL, of: "main" });
    const closed = question.waitForEvent("close");
    await question.click("#yes");
    await closed;
    await deposit(page, "1");
    await add(page, title);
    await page.run("done()");
    await seeder.close();

    // Another viewer buys from the extension alone.
    const payer = await RemoteWallet.start(scene.chain, scene.payer);
    const buyer = await viewer(url, payer, { ...client, payments: { ...client.payments, budget: "1" } });
    await deposit(buyer, "1");
    await add(buyer, title);
    await buyer.run("done()");
    const library = await extension.own("library.html");
    const words = () => library.locator("#titles p").first().textContent();
    await until(words, (text) => /earned 0\.[0-9]*[1-9]/.test(text));
    await library.close();
    await pages({ popup: POPUP, library: PART, options: PART });
  },
};

/** The example's site as its owner sets it up: the package's files in it, its tracker, its vault. */
function publisherSite({ tracker, deployment }) {
  const at = folder("publisher");
  cpSync(join(root, "www/npm/examples/publisher/site"), at, { recursive: true });
  for (const name of readdirSync(at).filter((name) => /\.(html|js)$/.test(name))) {
    const text = readFileSync(join(at, name), "utf8").replaceAll("wss://tracker.example", tracker);
    writeFileSync(join(at, name), text);
  }
  execFileSync(process.execPath, [join(root, "www/npm/tools/piecework.js"), "copy", at]);
  copyFileSync(deployment, join(at, "deployment.json"));
  copyFileSync(join(root, "www/player/icon.svg"), join(at, "favicon.ico"));
  return site({ pages: at, bare: true });
}

/** Sold by a native seeder, with a wallet that can pay for it. */
async function sold() {
  const scene = await Scene.deployed();
  const title = await scene.title("Evening over the bay.mp4", readFileSync(film));
  const seeder = await scene.seeder([title], 20_000_000);
  return { scene, title, seeder, wallet: await RemoteWallet.start(scene.chain, scene.payer) };
}

/** A tab of a browser of its own with this wallet in it. */
async function withWallet(wallet, url) {
  const browser = await launch(await browserPath(), { viewport: SIZES.wide });
  ending(() => browser.close());
  await wallet.injectInto(browser.context);
  const page = browser.context.pages()[0] ?? (await browser.context.newPage());
  page.setDefaultTimeout(LIMIT_MS);
  await page.goto(url);
  return page;
}

async function payIn(page) {
  await page.locator("piecework-player .pay:enabled").click();
  await page.waitForFunction(() => document.querySelector("piecework-player").video.currentTime > 1);
}

mkdirSync(out, { recursive: true });
const chosen = Object.entries(scenes).filter(([name]) => positionals.length === 0 || positionals.includes(name));
if (chosen.length === 0) throw new Error(`no scene of this name; there are ${Object.keys(scenes).join(", ")}`);
try {
  for (const [name, play] of chosen) {
    console.log(name);
    await play();
    await cleanUp();
  }
} finally {
  await cleanUp();
}
console.log(`${taken.length} pictures in ${out}`);
process.exit(0);
