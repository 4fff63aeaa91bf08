// Two wallets that others wrote, from the provider in the page down to the place where the person is asked. A person
// says yes or no, and signs with a key by ethers; everything else goes to the chain's node.
//
// MetaMask: its inpage provider, the streams and the engine that carry its requests to the extension. Rainbow: its
// inpage provider and the extension's handler of requests.
import { JsonRpcProvider as LegacyProvider } from "@ethersproject/providers";
import { JsonRpcEngine, createAsyncMiddleware } from "@metamask/json-rpc-engine";
import { createEngineStream } from "@metamask/json-rpc-middleware-stream";
import ObjectMultiplex from "@metamask/object-multiplex";
import { MetaMaskInpageProvider, MetaMaskInpageProviderStreamName } from "@metamask/providers";
import { providerErrors, rpcErrors } from "@metamask/rpc-errors";
import { RainbowProvider, handleProviderRequest } from "@rainbow-me/provider";
import { connect, createConfig, getConnection, http, injected } from "@wagmi/core";
import { JsonRpcProvider, Wallet } from "ethers";
import { Duplex } from "readable-stream";
import { UserRejectedRequestError, createWalletClient, custom, defineChain } from "viem";

/** A wallet begins on this chain and knows no other. */
const ELSEWHERE = 1;

/** The one who is asked, with the accounts of these keys. */
class Person {
  /** Methods, in order. */
  asked = [];
  /** Methods that get a no. */
  refuses = new Set();
  /** Methods that this wallet lacks. */
  lacks = new Set();
  chains = new Set([ELSEWHERE]);
  chainId = ELSEWHERE;
  connected = false;
  #node;
  #keys;
  #account = 0;

  constructor(rpc, keys) {
    this.#node = new JsonRpcProvider(rpc, undefined, { staticNetwork: true, cacheTimeout: -1 });
    this.#keys = keys.map((key) => new Wallet(key, this.#node));
  }

  get address() {
    return this.#keys[this.#account].address;
  }

  choose(account) {
    this.#account = account;
  }

  ask(method) {
    this.asked.push(method);
    return !this.refuses.has(method);
  }

  node(method, params) {
    return this.#node.send(method, params ?? []);
  }

  async send({ to, data, value }) {
    return (await this.#keys[this.#account].sendTransaction({ to, data, value })).hash;
  }

  sign(text) {
    const { domain, types, message } = JSON.parse(text);
    const { EIP712Domain: _, ...rest } = types;
    return this.#keys[this.#account].signTypedData(domain, rest, message);
  }
}

/** Two ends of one stream. */
function pair() {
  const end = () =>
    new Duplex({
      objectMode: true,
      read() {},
      write(chunk, _, done) {
        // As between a page and an extension, only a copy arrives.
        this.other.push(structuredClone(chunk));
        done();
      },
      final(done) {
        this.other.push(null);
        done();
      },
    });
  const [one, two] = [end(), end()];
  [one.other, two.other] = [two, one];
  return [one, two];
}

function metamask(person) {
  const [page, extension] = pair();
  const engine = new JsonRpcEngine();
  const tell = (method, params) => engine.emit("notification", { jsonrpc: "2.0", method, params });
  const chain = () => ({
    chainId: `0x${person.chainId.toString(16)}`,
    networkVersion: String(person.chainId),
    isConnected: true,
  });
  const accounts = () => (person.connected ? [person.address] : []);
  const approve = (method) => {
    if (person.lacks.has(method)) throw rpcErrors.methodNotFound();
    if (!person.ask(method)) throw providerErrors.userRejectedRequest();
  };
  engine.push(
    createAsyncMiddleware(async ({ method, params }, response) => {
      const answer = async () => {
        switch (method) {
          case "metamask_getProviderState":
            return { accounts: accounts(), isUnlocked: true, ...chain() };
          case "eth_chainId":
            return chain().chainId;
          case "eth_accounts":
            return accounts();
          case "eth_requestAccounts":
            if (!person.connected) approve(method);
            person.connected = true;
            return accounts();
          case "wallet_switchEthereumChain":
            if (!person.chains.has(Number(params[0].chainId)))
              throw providerErrors.custom({
                code: 4902,
                message: "Unrecognized chain ID. Try adding the chain first.",
              });
            approve(method);
            person.chainId = Number(params[0].chainId);
            tell("metamask_chainChanged", chain());
            return null;
          case "wallet_addEthereumChain":
            approve(method);
            person.chains.add(Number(params[0].chainId));
            return null;
          case "eth_sendTransaction":
            approve(method);
            return person.send(params[0]);
          case "eth_signTypedData_v4":
            approve(method);
            return person.sign(params[1]);
          default:
            if (method.startsWith("wallet_") || method.startsWith("metamask_")) throw rpcErrors.methodNotFound();
            return person.node(method, params);
        }
      };
      response.result = await answer();
    }),
  );
  const [here, there] = [page, extension].map((end) => {
    const all = new ObjectMultiplex();
    end.pipe(all).pipe(end);
    return all.createStream(MetaMaskInpageProviderStreamName);
  });
  const stream = createEngineStream({ engine });
  stream.pipe(there).pipe(stream);
  return {
    provider: new MetaMaskInpageProvider(here, { shouldSendMetadata: false, logger: silent }),
    switched: () => tell("metamask_accountsChanged", accounts()),
    /** The extension was updated or switched off. */
    goes: () => extension.end(),
  };
}

/** MetaMask logs its warnings, such as of a stream that ended. */
const silent = { debug() {}, error() {}, info() {}, log() {}, trace() {}, warn() {} };

function rainbow(person, rpc) {
  let reply;
  let emit;
  const sender = { url: location.href };
  const transport = {
    send: async (payload) => structuredClone(await reply(structuredClone(payload), { sender })),
    reply: async (answer) => {
      reply = answer;
    },
  };
  const legacy = new LegacyProvider(rpc);
  legacy.pollingInterval = 50;
  handleProviderRequest({
    providerRequestTransport: transport,
    getFeatureFlags: () => ({ custom_rpc: true }),
    checkRateLimit: async () => undefined,
    isSupportedChain: (chainId) => person.chains.has(chainId),
    getActiveSession: () => (person.connected ? { address: person.address, chainId: person.chainId } : null),
    removeAppSession: () => (person.connected = false),
    getChainNativeCurrency: () => undefined,
    getProvider: () => legacy,
    messengerProviderRequest: async ({ method, params }) => {
      if (person.lacks.has(method)) throw new Error("Method not supported");
      if (!person.ask(method)) throw new UserRejectedRequestError(new Error("User rejected the request."));
      switch (method) {
        case "eth_requestAccounts":
          person.connected = true;
          return { address: person.address, chainId: person.chainId };
        case "eth_sendTransaction":
          return person.send(params[0]);
        case "eth_signTypedData_v4":
          return person.sign(params[1]);
        case "wallet_addEthereumChain":
          return true;
      }
    },
    onAddEthereumChain: ({ proposedChain }) => {
      const chainAlreadyAdded = person.chains.has(Number(proposedChain.chainId));
      person.chains.add(Number(proposedChain.chainId));
      return { chainAlreadyAdded };
    },
    onSwitchEthereumChainNotSupported: () => undefined,
    onSwitchEthereumChainSupported: ({ proposedChain }) => {
      person.ask("wallet_switchEthereumChain");
      person.chainId = Number(proposedChain.chainId);
      provider.handleChainChanged(`0x${person.chainId.toString(16)}`);
    },
  });
  const provider = new RainbowProvider({
    providerRequestTransport: transport,
    onConstruct: (made) => (emit = made.emit),
  });
  return {
    provider,
    switched: () => emit("accountsChanged", person.connected ? [person.address] : []),
    goes: () => emit("disconnect", []),
  };
}

/** Makes a wallet: `window.wallet` has its provider and `window.person` says yes and no. */
window.install = (kind, rpc, keys) => {
  window.person = new Person(rpc, keys);
  window.wallet = kind === "metamask" ? metamask(person) : rainbow(person, rpc);
};

/** Connects by wagmi, as a site that has it would. */
window.byWagmi = async (rpc, chainId) => {
  const nativeCurrency = { name: "Ether", symbol: "ETH", decimals: 18 };
  const chain = defineChain({ id: chainId, name: "Test", nativeCurrency, rpcUrls: { default: { http: [rpc] } } });
  const target = { id: "other", name: "Other", provider: wallet.provider };
  const config = createConfig({
    chains: [chain],
    connectors: [injected({ target: () => target })],
    transports: { [chainId]: http(rpc) },
  });
  await connect(config, { connector: config.connectors[0] });
  const { connector } = getConnection(config);
  const provider = await connector.getProvider();
  await client.connectWallet({ provider });
  return client.walletAddress;
};

/** Connects by viem's client of the wallet. */
window.byViem = async () => {
  const provider = createWalletClient({ transport: custom(wallet.provider) });
  return client.connectWallet({ provider });
};
