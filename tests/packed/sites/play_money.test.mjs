// The README's chain of one's own machine: its lines deploy, its account pays and sells, and its token is made.
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { delimiter, join } from "node:path";
import { Chain } from "../../browser/support/demo/chain.mjs";
import { folder, native, ours, run, signaling } from "../../browser/support/harness.mjs";
import { Anvil } from "../../browser/support/paid/scene.mjs";
import { test } from "../../browser/support/tests.mjs";
import { sh, write } from "../support/projects.mjs";
import { README, recipe } from "../support/readme.mjs";

const NODE = "http://127.0.0.1:8545";
const UNITS = 10_000_000_000n;

test("the README's lines make a vault and play money on a chain of this machine, and a film is sold", async () => {
  const { commands } = recipe("Trying it with play money");
  const [anvil, made] = [await Anvil.start(), folder("play-money")];
  const here = (text) => text.replaceAll(NODE, anvil.url);
  write(made, { "site/.keep": "", "film.mp4": "a film" });
  await sh(made, `PATH='${join(ours("piecework"), "..")}${delimiter}'"$PATH"\n${here(commands)}`);
  const deployment = JSON.parse(readFileSync(join(made, "site/deployment.json"), "utf8"));
  assert.deepEqual([deployment.chainId, deployment.token.decimals], [31337, 6]);
  const [{ address, privateKey }, other] = anvil.accounts;
  assert.equal(readFileSync(join(made, "play.key"), "utf8").trim(), privateKey, "it is anvil's first key");
  const chain = new Chain({ rpc: anvil.url, vault: deployment.vault.address, token: deployment.token.address });
  assert.equal(await chain.balanceOf(address), UNITS);

  // What `cast send` sends.
  const text = readFileSync(README, "utf8");
  const [, signature, units] = /`cast send TOKEN "(\S+)" ACCOUNT (\d+) /.exec(text);
  await chain.send(other.address, chain.token, signature, [other.address, BigInt(units)]);
  assert.equal(await chain.balanceOf(other.address), UNITS);

  await run(["create", join(made, "film.mp4"), "--tracker", await signaling(), "-o", join(made, "film.torrent")]);
  const [seed] = /(?<=`piecework )seed film\.torrent [^`]*--payee-key[^`]*/.exec(text);
  const words = here(seed).split(" ");
  assert.ok(words.includes(anvil.url));
  const at = words.map((word) => (/\.(torrent|key|json)$/.test(word) || word === "." ? join(made, word) : word));
  await native(at, /^seeding /);
});
