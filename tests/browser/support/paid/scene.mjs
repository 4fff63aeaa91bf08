// The parts of a paid transfer: a real chain with token and vault, a tracker, and a native seeder that asks for money.
import { execFile, spawn } from "node:child_process";
import { createHash, randomBytes } from "node:crypto";
import { once } from "node:events";
import { existsSync, readFileSync, readdirSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { ContractFactory, JsonRpcProvider } from "ethers";
import { Chain } from "../demo/chain.mjs";
import { Seeder } from "../demo/seeder.mjs";
import { ending, folder, signaling, withinAMinute } from "../harness.mjs";

const root = join(dirname(fileURLToPath(import.meta.url)), "../../../..");
/** The command line. */
export const piecework = join(process.env.PIECEWORK_BINARIES ?? join(root, "target/debug"), "piecework");
const EXIT_DELAY_SECONDS = 72 * 3600;
/** Token units of 10^-6 that the payer's wallet begins with. */
export const FUNDS = 1_000_000_000n;
/** Whole tokens per 10^9 bytes. */
export const PRICE = 10;
/** 2^-24 token units for each block of 16 KiB, rounded up as seller and buyer do. */
export const UNIT_FINE = (((BigInt(PRICE) * 1_000_000n) << 24n) * 16_384n + 999_999_999n) / 1_000_000_000n;

/** What a page that bought at that price asks for a block by default: half of it. */
export const RESALE_FINE = ((((BigInt(PRICE) * 1_000_000n) / 2n) << 24n) * 16_384n + 999_999_999n) / 1_000_000_000n;

/** A local chain that can be stopped and started again where it was, on the same port. */
export class Anvil {
  #child = null;
  #state = join(folder("anvil"), "state.json");
  port = 0;

  static async start() {
    const anvil = new Anvil();
    ending(() => anvil.stop());
    await anvil.run();
    return anvil;
  }

  get url() {
    return `http://127.0.0.1:${this.port}`;
  }

  async run() {
    const child = spawn(program(), ["--host", "127.0.0.1", "--port", String(this.port), "--state", this.#state], {
      stdio: ["ignore", "pipe", "inherit"],
    });
    this.#child = child;
    const lines = createInterface({ input: child.stdout });
    const accounts = [];
    const listens = new Promise((resolve, reject) => {
      child.once("error", reject);
      child.once("exit", (code) => reject(new Error(`anvil ended with ${code}`)));
      lines.on("line", (line) => {
        const [, at, word] = /^\((\d+)\) (0x[0-9a-fA-F]+)/.exec(line) ?? [];
        if (word?.length === 42) accounts[at] = { address: word };
        if (word?.length === 66) accounts[at].privateKey = word;
        const [, port] = /^Listening on 127\.0\.0\.1:(\d+)/.exec(line) ?? [];
        if (!port) return;
        this.port = Number(port);
        resolve(this.port);
      });
    });
    await withinAMinute("anvil listens", listens);
    this.accounts = accounts;
  }

  /** Ends the chain. Its state is in its state file. */
  async stop() {
    const child = this.#child;
    this.#child = null;
    if (!child || child.exitCode !== null || child.signalCode !== null) return;
    const gone = once(child, "exit");
    child.kill("SIGTERM");
    await gone;
  }
}

/** A chain with a vault, a funded payer, a tracker. */
export class Scene {
  /** `decimals`: of the token; `funds`: what the payer's wallet begins with, in token units. */
  static async open({ decimals = 6, funds = FUNDS } = {}) {
    const scene = new Scene();
    scene.decimals = decimals;
    scene.anvil = await Anvil.start();
    const [deployer, payer, payee, sink] = scene.anvil.accounts;
    scene.payer = payer.address;
    scene.payee = payee.address;
    const provider = new JsonRpcProvider(scene.anvil.url, undefined, { staticNetwork: true, pollingInterval: 20 });
    const signer = await provider.getSigner(deployer.address);
    const deploy = async (name, ...given) => {
      const { abi, bytecode } = JSON.parse(readFileSync(join(root, `contracts/out/${name}.sol/${name}.json`), "utf8"));
      const contract = await new ContractFactory(abi, bytecode.object, signer).deploy(...given);
      await withinAMinute(`${name} is deployed`, mined(provider, contract.deploymentTransaction().hash));
      return contract;
    };
    const token = decimals === 6 ? await deploy("DemoToken") : await deploy("DemoTokenOf", decimals);
    const registry = "0x0000000000000000000000000000000000000000";
    const anotherVault = async () =>
      deploy("PieceworkVault", await token.getAddress(), registry, sink.address, EXIT_DELAY_SECONDS);
    const vault = await anotherVault();
    /** The address of another vault of the same token. */
    scene.vault = async () => (await anotherVault()).getAddress();
    scene.mint = (to, amount) =>
      withinAMinute(
        "tokens are minted",
        token.mint(to, amount).then(({ hash }) => mined(provider, hash)),
      );
    await scene.mint(payer.address, funds);
    const deployBlock = (await mined(provider, vault.deploymentTransaction().hash)).blockNumber;
    const { chainId } = await provider.getNetwork();
    scene.chain = new Chain({
      rpc: scene.anvil.url,
      vault: await vault.getAddress(),
      token: await token.getAddress(),
      deployBlock,
    });
    scene.chainId = Number(chainId);
    ending(() => provider.destroy());
    scene.folder = folder("paid");
    scene.#key("payee.key", payee);
    scene.tracker = await signaling();
    return scene;
  }

  /**
   * A new chain on which `piecework vault deploy` puts token and vault, as an operator would. What it wrote is all that
   * anybody knows of them: `deployment` is its file. The deployer's account, which is the payer too, holds the tokens.
   */
  static async deployed() {
    const scene = new Scene();
    scene.anvil = await Anvil.start();
    scene.folder = folder("paid");
    const [payer, payee] = scene.anvil.accounts;
    scene.payer = payer.address;
    scene.payee = payee.address;
    const key = scene.#key("payer.key", payer);
    scene.#key("payee.key", payee);
    const files = join(scene.folder, "deployments");
    const words = ["--rpc", scene.anvil.url, "--key", key, "--demo-token", "--write-rpc", "-o", files];
    await promisify(execFile)(piecework, ["vault", "deploy", ...words]);
    const [name] = readdirSync(files).filter((name) => /^\d+\.json$/.test(name));
    scene.deployment = join(files, name);
    const { chainId, vault, token, rpc } = JSON.parse(readFileSync(scene.deployment, "utf8"));
    scene.chainId = chainId;
    scene.decimals = token.decimals;
    scene.chain = new Chain({ rpc, vault: vault.address, token: token.address, deployBlock: vault.block });
    scene.tracker = await signaling();
    return scene;
  }

  /** The file of an account's key. */
  #key(name, { privateKey }) {
    const path = join(this.folder, name);
    writeFileSync(path, `${privateKey}\n`, { mode: 0o600 });
    return path;
  }

  /** Content, or so many random bytes, with its link, and its .torrent in base64. */
  async title(name, given) {
    const content = typeof given === "number" ? randomBytes(given) : given;
    const path = join(this.folder, name);
    const torrent = `${path}.torrent`;
    writeFileSync(path, content);
    const { stdout } = await promisify(execFile)(piecework, [
      "create",
      path,
      "--force",
      "--tracker",
      this.tracker,
      "--piece-length",
      "64K",
      "--output",
      torrent,
    ]);
    return {
      path: torrent,
      torrent: readFileSync(torrent).toString("base64"),
      magnet: stdout.split(/\s/).find((word) => word.startsWith("magnet:")),
      digest: createHash("sha256").update(content).digest("hex"),
      bytes: content.length,
    };
  }

  /**
   * Signs a title by `piecework publish` with the key of one of anvil's accounts, and registers it with these words:
   * `["--register"]`. Answers the signed title.
   */
  async publish(title, account, words = []) {
    const key = this.#key(`publisher ${account}.key`, this.anvil.accounts[account]);
    const path = title.path.replace(/(?: by \d+)?\.torrent$/, ` by ${account}.torrent`);
    const given = ["--key", key, "--deployment", this.deployment, "--output", path, "--force", "--json", ...words];
    const { stdout } = await promisify(execFile)(piecework, ["publish", title.path, ...given]);
    return { ...title, ...JSON.parse(stdout), path, torrent: readFileSync(path).toString("base64") };
  }

  /** Sells these titles, no faster than `bytesPerSecond`; by the deployment's file alone, if there is one. */
  async seeder(titles, bytesPerSecond, { price = PRICE, vault = this.chain.vault } = {}) {
    const { token } = this.chain;
    const flags = ["--rpc", this.anvil.url, "--chain-id", String(this.chainId), "--vault", vault, "--token", token];
    const chain = this.deployment ? ["--deployment", this.deployment] : flags;
    const money = ["--price", String(price), "--payee-key", join(this.folder, "payee.key"), "--redeem-every", "0"];
    const how = ["--upload-limit", String(bytesPerSecond), "--json", "--stdin-commands", "--state", folder("seeder")];
    const seeder = await Seeder.take({
      command: [
        piecework,
        "seed",
        "--no-stun",
        ...titles.map((title) => title.path),
        "--data",
        this.folder,
        ...chain,
        ...money,
        ...how,
      ],
    });
    ending(() => seeder.close());
    return seeder;
  }

  /** The page's options. */
  options(more = {}) {
    const token = { address: this.chain.token, decimals: this.decimals, symbol: "pwUSD" };
    const { vault, deployBlock } = this.chain;
    return {
      trackers: [this.tracker],
      payments: {
        vault,
        chainId: this.chainId,
        rpcUrl: this.anvil.url,
        token,
        maxPricePerGB: "12",
        budget: "4",
        deployBlock,
        ...more,
      },
    };
  }
}

/**
 * The receipt of a transaction. anvil mines a transaction by itself, but now and then leaves one that came while it was
 * at the one before: it is told to mine.
 */
async function mined(provider, hash) {
  for (const until = Date.now() + 60_000; Date.now() < until; ) {
    const receipt = await provider.getTransactionReceipt(hash);
    if (receipt?.status === 0) throw new Error(`${hash} was reverted`);
    if (receipt) return receipt;
    await provider.send("evm_mine", []);
  }
  throw new Error(`${hash} is in no block after a minute`);
}

/** anvil itself: it would survive a wrapper that is killed. */
function program() {
  const scope = join(root, "contracts/node_modules/@foundry-rs");
  const packages = existsSync(scope) ? readdirSync(scope).filter((name) => name.startsWith("anvil-")) : [];
  return packages.map((name) => join(scope, name, "bin/anvil")).find((path) => existsSync(path)) ?? "anvil";
}
