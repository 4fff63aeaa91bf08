// The chain's state by plain JSON-RPC; ethers only reads its logs.
import { AbiCoder, Interface, getAddress } from "ethers";

const VAULT = new Interface([
  "event Opened(bytes32 indexed id, address indexed owner, address indexed key, " +
    "uint96 tranche, uint112 amount, uint112 bond)",
  "event Withdrawn(bytes32 indexed id, uint256 amount)",
  "event Redeemed(bytes32 indexed id, address indexed payee, address indexed owner, uint256 packed, " +
    "bytes32 content, bytes32 root, bytes32 luck, bytes32 r, bytes32 vs, uint256 gross, uint256 cut)",
  "event Skipped(uint256 index, uint8 reason)",
]);
const BALANCE_OF = "0x70a08231";
const CREDIT = "0xd5d44d80";

/** One chain with one vault and one token. */
export class Chain {
  constructor({ rpc, vault, token, deployBlock }) {
    this.url = rpc;
    this.vault = vault;
    this.token = token;
    this.deployBlock = deployBlock;
  }

  async call(method, params = []) {
    const answer = await fetch(this.url, {
      method: "POST",
      headers: { "content-type": "application/json" },
      body: JSON.stringify({ jsonrpc: "2.0", id: 1, method, params }),
      signal: AbortSignal.timeout(60_000),
    });
    const { result, error } = await answer.json();
    if (error) throw new Error(`${method}: ${error.message}`);
    return result;
  }

  /** Token units that an address holds. */
  balanceOf(address) {
    return this.#of(this.token, BALANCE_OF, address);
  }

  /** Token units that the vault owes an address: royalties, bounties, fees. */
  creditOf(address) {
    return this.#of(this.vault, CREDIT, address);
  }

  async #of(to, selector, address) {
    const data = selector + AbiCoder.defaultAbiCoder().encode(["address"], [address]).slice(2);
    return BigInt(await this.call("eth_call", [{ to, data }, "latest"]));
  }

  /** A call of a contract, sent from an account that the node has the key of. */
  async send(from, to, signature, given) {
    const data = new Interface([`function ${signature}`]).encodeFunctionData(signature, given);
    await this.call("eth_sendTransaction", [{ from, to, data }]);
  }

  /** The vault's events so far, each with its transaction. */
  async events() {
    const logs = await this.call("eth_getLogs", [
      { address: this.vault, fromBlock: `0x${this.deployBlock.toString(16)}`, toBlock: "latest" },
    ]);
    return logs.flatMap((log) => {
      const event = VAULT.parseLog(log);
      return event ? [{ name: event.name, transaction: log.transactionHash, ...event.args.toObject() }] : [];
    });
  }

  /** Everything the vault paid, one row per voucher. */
  async redemptions() {
    const redeemed = (await this.events()).filter((event) => event.name === "Redeemed");
    return redeemed.map((event) => ({
      payee: getAddress(event.payee),
      owner: getAddress(event.owner),
      first: event.packed >> 224n,
      count: (event.packed >> 208n) & 0xffffn,
      content: event.content,
      gross: event.gross,
      cut: event.cut,
      net: event.gross - event.cut,
      transaction: event.transaction,
    }));
  }

  /** Gas and success of a transaction. */
  async receipt(hash) {
    const receipt = await this.call("eth_getTransactionReceipt", [hash]);
    return { hash, gas: Number(receipt.gasUsed), good: receipt.status === "0x1", to: receipt.to };
  }

  /** Moves the clock, so that a waiting time is over. */
  async passSeconds(seconds) {
    await this.call("evm_increaseTime", [seconds]);
    await this.call("evm_mine");
  }
}
