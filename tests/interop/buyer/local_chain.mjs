// A chain of this machine with a token and a vault, and the account that the buyer pays from.
import { existsSync, readFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { Chain } from "../../browser/support/demo/chain.mjs";
import { freezable } from "../../browser/support/harness.mjs";
import { ethers } from "./ethers.mjs";
import { decodeState, stateCall, vaultInterface } from "./vault.mjs";
import { accountId } from "./voucher.mjs";

const contracts = join(dirname(fileURLToPath(import.meta.url)), "../../../contracts");
const EXIT_DELAY = 72 * 3600;
const SINK = "0x000000000000000000000000000000000000dEaD";
const TOKENS_OF_AN_OWNER = 1_000_000_000n;
const NO_PERMIT = [0, 0, ethers.ZeroHash, ethers.ZeroHash];

/** anvil as npm has it, or as the system has it. */
function anvil() {
  const installed = join(contracts, "node_modules/.bin/anvil");
  return existsSync(installed) ? installed : "anvil";
}

/** The interface and bytecode of a contract that was built. */
function artifact(name) {
  const file = join(contracts, `out/${name}.sol/${name}.json`);
  if (!existsSync(file))
    throw new Error(`${file} is not there: run \`npm ci --ignore-scripts\` and \`npm run build\` in contracts`);
  const { abi, bytecode } = JSON.parse(readFileSync(file, "utf8"));
  return { abi, bytecode: bytecode.object };
}

/** A chain that this process started, with a token and a vault on it. */
export class LocalChain {
  #provider;
  #owner;
  #token;

  /** Starts anvil and deploys token and vault. */
  static async start() {
    const {
      match: [, port],
    } = await freezable(anvil(), ["--port", "0"], /Listening on 127\.0\.0\.1:(\d+)/);
    const chain = new LocalChain();
    chain.rpc = `http://127.0.0.1:${port}`;
    chain.#provider = new ethers.JsonRpcProvider(chain.rpc, undefined, { pollingInterval: 100, cacheTimeout: -1 });
    const [deployer, owner] = await chain.#provider.listAccounts();
    chain.#owner = owner;
    chain.chainId = Number((await chain.#provider.getNetwork()).chainId);
    chain.#token = await chain.#deploy("DemoToken", deployer);
    const vault = await chain.#deploy(
      "PieceworkVault",
      deployer,
      await chain.#token.getAddress(),
      ethers.ZeroAddress,
      SINK,
      EXIT_DELAY,
    );
    chain.owner = owner.address.toLowerCase();
    chain.token = (await chain.#token.getAddress()).toLowerCase();
    chain.vault = (await vault.getAddress()).toLowerCase();
    chain.reader = new Chain({ rpc: chain.rpc, vault: chain.vault, token: chain.token, deployBlock: 0 });
    return chain;
  }

  async #deploy(name, deployer, ...values) {
    const { abi, bytecode } = artifact(name);
    const contract = await new ethers.ContractFactory(abi, bytecode, deployer).deploy(...values);
    await contract.waitForDeployment();
    return contract;
  }

  /** Opens an account of the owner for this session key; answers with the data that a buyer needs of it. */
  async open({ sessionKey, tranche, amount, bond }) {
    const sessionAddress = ethers.computeAddress(sessionKey).toLowerCase();
    const token = this.#token.connect(this.#owner);
    await (await token.mint(this.owner, TOKENS_OF_AN_OWNER)).wait();
    await (await token.approve(this.vault, amount + bond)).wait();
    const data = vaultInterface.encodeFunctionData("open", [sessionAddress, tranche, amount, bond, NO_PERMIT]);
    await (await this.#owner.sendTransaction({ to: this.vault, data })).wait();
    const id = accountId(this.owner, sessionAddress);
    return {
      vault: this.vault,
      chainId: this.chainId,
      owner: this.owner,
      sessionKey,
      sessionAddress,
      id,
      ...(await this.state(id)),
    };
  }

  /** The vault's state of an account and of the word of serials that has this one. */
  async state(id, serial = 0) {
    return decodeState(await this.reader.call("eth_call", [{ to: this.vault, data: stateCall(id, serial) }, "latest"]));
  }

  /** Gives an address coins for its gas. */
  fund(address) {
    return this.reader.call("anvil_setBalance", [address, ethers.toQuantity(ethers.parseEther("10"))]);
  }
}

/**
 * The serials below `next` that the vault has consumed and that no record names. One such serial shows that the records
 * are old.
 */
export async function unknownSerials(chain, id, records) {
  const found = [];
  for (let word = 0; word * 256 < records.next; word++) {
    const { spentWord } = await chain.state(id, word * 256);
    for (let bit = 0; bit < 256; bit++) {
      const serial = word * 256 + bit;
      if (((spentWord >> BigInt(bit)) & 1n) === 1n && serial > 0 && !records.names(serial)) found.push(serial);
    }
  }
  return found;
}
