// The file that `piecework vault deploy` writes, in the page and in `<piecework-player>`: with a real chain, and with
// files that are wrong. The strict policy is around both.
import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { promisify } from "node:util";
import { browserPath, launch } from "../support/browsers/chromium.mjs";
import { ending } from "../support/harness.mjs";
import { piecework, Scene } from "../support/paid/scene.mjs";
import { EMBED, serve } from "../support/player_site.mjs";
import { test } from "../support/tests.mjs";

const AT = "/deployments/31337.json";

/** The command line's own file of a vault on the scene's chain, for the scene's token. */
async function deployed(scene) {
  const key = join(scene.folder, "deployer.key");
  writeFileSync(key, `${scene.anvil.accounts[0].privateKey}\n`, { mode: 0o600 });
  const folder = join(scene.folder, "deployments");
  const words = ["vault", "deploy", "--rpc", scene.anvil.url, "--key", key, "--token", scene.chain.token];
  await promisify(execFile)(piecework, [...words, "-o", folder, "--write-rpc"]);
  const path = join(folder, "31337.json");
  return { path, json: JSON.parse(readFileSync(path, "utf8")) };
}

/** A site with this configuration and these files, open in a browser of its own. */
async function visit({ config = null, documents, path = "" }) {
  const connect = "ws://127.0.0.1:* http://127.0.0.1:*";
  const site = await serve({ config: () => config, connect, documents });
  ending(site.close);
  const browser = await launch(await browserPath());
  ending(() => browser.close());
  const page = browser.context.pages()[0] ?? (await browser.context.newPage());
  page.setDefaultTimeout(60_000);
  page.problems = [];
  page.on("pageerror", (error) => page.problems.push(error.message));
  await page.goto(`${site.url}${path}`);
  return page;
}

test("the page takes vault, chain, token, block and delay from the file that its configuration names", async () => {
  const scene = await Scene.open();
  const { path, json } = await deployed(scene);
  const config = { trackers: [scene.tracker], deployment: "deployments/31337.json", maxPricePerGB: "12" };
  const page = await visit({ config, documents: { [AT]: path } });
  await page.waitForFunction(() => document.body.dataset.view === "open");
  const payment = await page.evaluate(() => {
    const { vault, chainId, rpcUrl, token, deployBlock, exitDelaySeconds, maxPerGB } =
      globalThis.pieceworkPlayer.app.config.payment;
    return { vault, chainId, rpcUrl, token, deployBlock, exitDelaySeconds, maxPerGB: String(maxPerGB) };
  });
  assert.deepEqual(payment, {
    vault: json.vault.address,
    chainId: 31337,
    rpcUrl: scene.anvil.url,
    token: { address: scene.chain.token, decimals: 6, symbol: "pwUSD" },
    deployBlock: json.vault.block,
    exitDelaySeconds: 259_200,
    maxPerGB: "12000000",
  });
  assert.deepEqual(page.problems, []);
});

test("a configuration that says it twice, and a file that is wrong or of another site, are named", async () => {
  const scene = await Scene.open();
  const { path, json } = await deployed(scene);
  const bad = join(scene.folder, "bad.json");
  const { address } = json.vault;
  // Two digits exchanged.
  const swapped = address.replace(/([a-f])([0-9])/i, "$2$1");
  assert.notEqual(swapped, address);
  writeFileSync(bad, readFileSync(path, "utf8").replace(address, swapped));
  for (const [config, says] of [
    [{ deployment: "deployments/31337.json", vault: address }, /deployment and vault both name it. Leave out vault/],
    [{ deployment: "deployments/31337.json", exitDelaySeconds: 5 }, /Leave out exitDelaySeconds/],
    [{ deployment: "bad.json" }, /vault\.address is wrong: .*copy it again/],
    [{ deployment: "gone.json" }, /gone\.json could not be loaded \(status 404\)/],
    [{ deployment: "https://elsewhere.example/10.json" }, /is not of this site/],
    [{ deployment: 10 }, /deployment must be the URL of a file/],
  ]) {
    const page = await visit({ config, documents: { [AT]: path, "/bad.json": bad } });
    await page.waitForFunction(() => document.body.dataset.view === "failed");
    assert.match(await page.textContent(".failed-start"), says);
  }
});

test("the element offers a deposit at the vault of its file, and refuses a second word for it", async () => {
  const scene = await Scene.open();
  const { path, json } = await deployed(scene);
  // The seller sells at the vault of the same file.
  scene.chain.vault = json.vault.address;
  const title = await scene.title("film.mp4", 300_000);
  await scene.seeder([title], 1_000_000);
  const page = await visit({ documents: { ...EMBED, [AT]: path, "/film.torrent": title.path }, path: "embed.html" });
  const embed = (given) =>
    page.evaluate(async (attributes) => {
      await customElements.whenDefined("piecework-player");
      document.querySelector("#player")?.remove();
      const player = Object.assign(document.createElement("piecework-player"), { id: "player" });
      for (const [name, value] of Object.entries(attributes)) player.setAttribute(name, value);
      document.querySelector("main").append(player);
    }, given);
  const named = {
    deployment: AT.slice(1),
    torrent: "/film.torrent",
    "max-price-per-gb": "12",
    trackers: scene.tracker,
  };
  await embed({ ...named, "token-symbol": "USDC" });
  await page.waitForFunction(() =>
    document
      .querySelector("#player")
      .shadowRoot.querySelector("[role=alert]")
      .textContent.includes("deployment and token-symbol both name it"),
  );
  await embed(named);
  const offer = page.locator("#player .offer p");
  await offer.waitFor({ state: "visible" });
  assert.match(await offer.textContent(), /costs 10 pwUSD per GB/);
  assert.deepEqual(page.problems, []);
});
