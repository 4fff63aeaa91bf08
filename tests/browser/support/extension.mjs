// The extension in Chromium, as a user has it: its first page, its own window that asks, its options.
import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { cpSync, existsSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { setTimeout } from "node:timers/promises";
import { browser, folder, open, run, site, withinAMinute } from "./harness.mjs";
import { Scene, UNIT_FINE } from "./paid/scene.mjs";
import { BLOCK, LOST_LINKS, MIB, forgiven } from "./paid/terms.mjs";
import { RemoteWallet } from "./paid/wallet.mjs";
import { film } from "./swarm.mjs";

/** The build that may speak to this machine. */
export const EXTENSION = join(import.meta.dirname, "../../../target/extension-loopback");
/** Chromium's folder of the build for users, which speaks to secure servers alone. */
export const FOR_USERS = join(import.meta.dirname, "../../../target/extension/chromium");

/** The build with a lower version in its manifest, in a folder of its own; `becomesNew` puts the build there. */
export function older(name) {
  const path = join(folder("older"), name);
  cpSync(join(EXTENSION, name), path, { recursive: true });
  const file = join(path, "manifest.json");
  const now = readFileSync(file, "utf8");
  writeFileSync(file, JSON.stringify({ ...JSON.parse(now), version: "0.0.1" }));
  return { path, version: JSON.parse(now).version, becomesNew: () => writeFileSync(file, now) };
}

/** A Chromium with the extension, from the folder `path`; `profile` as in {@link browser}. */
export async function extended(profile = folder("profile"), { path = join(EXTENSION, "chromium"), ...options } = {}) {
  if (!existsSync(join(path, "manifest.json"))) throw new Error("run `cargo xtask extension --loopback` first");
  // Its user switched on the developer mode. Without that, one that is loaded from a folder ends with its first reload.
  const settings = join(profile, "Default", "Preferences");
  if (!existsSync(settings)) {
    mkdirSync(join(profile, "Default"), { recursive: true });
    writeFileSync(settings, JSON.stringify({ extensions: { ui: { developer_mode: true } } }));
  }
  const flags = ["--headless=new", `--disable-extensions-except=${path}`, `--load-extension=${path}`];
  const started = await browser(profile, { ...options, flags, ignore: ["--disable-extensions"] });
  const { context } = started;
  let worker =
    context.serviceWorkers()[0] ??
    (await withinAMinute("the extension's background starts", context.waitForEvent("serviceworker")));
  const root = new URL("/", worker.url()).href;
  // It ends meanwhile.
  const ends = (one) => one.evaluate(() => globalThis.chrome.runtime.reload()).catch(() => undefined);
  return {
    ...started,
    root,
    version: () => worker.evaluate(() => globalThis.chrome.runtime.getManifest().version),
    own: (name) => ownPage(context, `${root}${name}`),
    /** Ends the document with the engine, as a crash of it would; gives whether there was one. */
    endHost: () => endHost(context, root),
    /** Ends the extension, as an update does, or its user. */
    goAway: () => ends(worker),
    /** What is in its folder now takes its place, as an update does; gives the version that runs then. */
    async update() {
      const next = withinAMinute("the next version starts", context.waitForEvent("serviceworker"));
      await ends(worker);
      worker = await next;
      return worker.evaluate(() => globalThis.chrome.runtime.getManifest().version);
    },
  };
}

/** A page of the extension itself, once it shows what the host says. */
async function ownPage(context, url) {
  const page = await context.newPage();
  page.on("pageerror", (error) => console.log(`  [extension] ${error.message}`));
  await page.goto(url);
  return page;
}

/** The first page's button, and no STUN server: tests talk to this machine alone. */
export async function setUp({ own }) {
  const options = await own("options.html");
  await options.locator("#ice").fill("none");
  await options.locator("#network button").click();
  await options.getByText("Saved").waitFor({ state: "attached" });
  await options.close();
  const welcome = await own("welcome.html");
  await welcome.locator("#start").click();
  await welcome.getByText("It runs.").waitFor();
  await welcome.close();
}

/** The user gives the extension the scene's vault. */
export async function useVault({ own }, { deployment }) {
  const options = await own("options.html");
  await options.locator("#deployment").fill(readFileSync(deployment, "utf8"));
  await options.locator("#most").fill("12");
  await options.locator("#vault button.primary").click();
  await options.getByText("paid in").waitFor();
  await options.close();
}

/** A page of the site with a client that asks for the extension; the user answers in the extension's window. */
export async function asking(extension, url, client = {}, { allow = true, budget = null, ceiling = null } = {}) {
  const page = await open(extension.context, url);
  const window = extension.context.waitForEvent("page");
  await page.run(`start(${JSON.stringify({ engine: "extension", ...client })})`);
  const question = await withinAMinute("the extension asks", window);
  await question.locator("#site").getByText(new URL(url).origin).waitFor();
  if (budget !== null) await question.locator("#budget").fill(budget);
  if (ceiling !== null) await question.locator("#ceiling").fill(ceiling);
  const closed = question.waitForEvent("close");
  await question.locator(allow ? "#yes" : "#no").click();
  await closed;
  return page;
}

/** Its target is not one of Playwright's pages. */
async function endHost(context, root) {
  const session = await context.browser().newBrowserCDPSession();
  const { targetInfos } = await session.send("Target.getTargets");
  const host = targetInfos.find(({ url }) => url === `${root}host.html`);
  if (host) await session.send("Target.closeTarget", { targetId: host.targetId });
  return host !== undefined;
}

/** Another peer fetches all of a title of one file, and needs no site for it; gives the file's digest. */
export async function fetched({ torrent }, name = "film.bin") {
  const data = folder("get");
  const file = join(data, "film.torrent");
  writeFileSync(file, Buffer.from(torrent, "base64"));
  await run(["get", file, "--output", data, "--state", join(data, "state")]);
  return createHash("sha256")
    .update(readFileSync(join(data, name)))
    .digest("hex");
}

/** So much time goes by as a peer beside the browser takes for a title at this rate. */
export async function meanwhile(tracker, bytesPerSecond) {
  const title = await film(tracker, 4 << 20);
  await title.seed("--upload-limit", bytesPerSecond);
  await fetched(title);
}

/** The options of a client that pays by the scene's vault, which the extension uses too. */
export function clientOf({ chain, chainId, anvil, tracker }) {
  const token = { address: chain.token, decimals: 6, symbol: "pwUSD" };
  const { vault, deployBlock } = chain;
  const payments = { vault, chainId, rpcUrl: anvil.url, token, maxPricePerGB: "12", deployBlock };
  return { trackers: [tracker], payments };
}

/** A chain with a vault, which the extension uses, and a site that pays by it. `options` are those of the browser. */
export async function paying(options = {}) {
  const [url, scene, extension] = [await site(), await Scene.deployed(), await extended(undefined, options)];
  await setUp(extension);
  await useVault(extension, scene);
  const wallet = await RemoteWallet.start(scene.chain, scene.payer);
  await wallet.injectInto(extension.context);
  return { url, scene, extension, wallet, client: clientOf(scene) };
}

/** What the site was told that it spent, for the title and in all. */
export const spentBySite = (page) =>
  page.run(`(async () => {
    const [title, { money }] = [await torrent.stats(), await client.stats()];
    return [String(title.spentFine), String(money.spentFine)];
  })()`);

/** Blocks that a kill may take of those that arrived and were asked for, at this rate (docs/decisions/003). */
function lostByKill(bytesPerSecond) {
  return Math.ceil((MIB + 0.4 * bytesPerSecond) / BLOCK);
}

/** What the seeder earned, in fine units. */
export async function earnedBy(seeder) {
  const { money } = await seeder.ask("stats");
  return BigInt(money.redeemable_fine) + (BigInt(money.redeemed) << 24n);
}

/**
 * What the site was told that it spent in all, and what the seller earned, once the one explains the other and both are
 * at least this: what a killed host had paid and not recorded is counted when the seller tells of it, and half a minute
 * later where no title's records show it (`EXPLAINED_WITHIN`). `lost` units may have been spent that never reached the
 * seller.
 */
export function bothSums(page, seeder, least, lost = 0n) {
  return until(
    async () => [BigInt((await spentBySite(page))[1]), await earnedBy(seeder)],
    ([spent, earned]) => explains(spent, earned, lost) && earned >= least,
    60_000,
  );
}

const explains = (spent, earned, lost) => earned <= spent && spent - earned <= lost;

/**
 * After one kill of the host in mid-sale each block of the title was paid once, but for those that the kill left unpaid
 * and its seller forgave, and for those on their way, which came and were paid again. A link whose PAY never left is
 * recorded and not earned. Gives what was spent, in fine units.
 */
export async function paidOnceButForTheKill(page, seeder, length, bytesPerSecond) {
  const [blocks, fine] = [Math.ceil(length / BLOCK), (count) => UNIT_FINE * BigInt(count)];
  const [least, most] = [blocks - forgiven(length), blocks + lostByKill(bytesPerSecond)];
  const [spent, earned] = await bothSums(page, seeder, fine(least), fine(LOST_LINKS));
  const told = `spent ${spent / UNIT_FINE}, earned ${earned / UNIT_FINE} of ${blocks}`;
  assert.ok(earned >= fine(least) && spent <= fine(most), told);
  assert.ok(explains(spent, earned, fine(LOST_LINKS)), told);
  return spent;
}

/** Looks ten times a second until it is so, or the time is over: a page that asks more often is refused. */
export async function until(look, fits, limitMs = 30_000) {
  for (const end = Date.now() + limitMs; ; await setTimeout(100)) {
    const now = await look();
    if (fits(now) || Date.now() > end) return now;
  }
}
