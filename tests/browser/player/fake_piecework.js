// Stands in for the package `piecework` in tests of the page's views. It has the same public surface, with a swarm, a
// wallet and a chain that the test moves by hand. `?scene=` names its first state, and `window.fake` is the handle. The
// package reads and writes the amounts.
export {
  BOND_EXPLAINED,
  FINE_BITS,
  bondFor,
  formatAmount,
  historyCSV,
  parseAmount,
  parseTypedAmount,
  proposedDeposit,
  titleCost,
  whyNotBought,
} from "./real_piecework.js";

const UNITS = 1_000_000n;
const FINE = 24n;
const HASH = "c12fe1c06bba254a9dc9f519b335aa7c1367a88a";

class Emitter {
  #listeners = new Map();
  on(name, listener) {
    const list = this.#listeners.get(name) ?? [];
    this.#listeners.set(name, [...list, listener]);
    return () => undefined;
  }
  emit(name, event) {
    for (const listener of this.#listeners.get(name) ?? []) listener(event);
  }
}

export class PieceworkError extends Error {}
export class PieceworkRejectedError extends PieceworkError {}
export class PieceworkUnsupportedError extends PieceworkError {
  constructor(missing) {
    super(missing.map((feature) => feature.text).join(" "));
    this.missing = missing;
  }
}

const fake = {
  history: [],
  scene: new URLSearchParams(location.search).get("scene") ?? "paid",
  calls: [],
  uploadLimit: undefined,
  stored: [],
  wallets: [
    {
      id: "one.example",
      name: "First Wallet",
      icon:
        "data:image/svg+xml,%3Csvg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 8 8'%3E" +
        "%3Crect width='8' height='8' fill='%23e2761b'/%3E%3C/svg%3E",
    },
    { id: "two.example", name: "<b>Second</b> Wallet", icon: "" },
  ],
  rejects: false,
  fails: "",
  money: {
    accountReady: false,
    lack: null,
    balance: 0n,
    locked: 0n,
    spent: 0n,
    spentFine: 0n,
    budget: UNITS,
    redeemable: 0n,
    redeemableFine: 0n,
    redeemed: 0n,
    redeemableRanges: 0,
    vouchersSigned: 0,
    preimagesReleased: 0,
    preimagesReceived: 0,
  },
  account: {
    owner: "0x1111111111111111111111111111111111111111",
    sessionKey: "0x2222222222222222222222222222222222222222",
    balance: 0n,
    bond: 0n,
    known: false,
    exitAt: null,
    withdrawn: false,
  },
  trackers: [{ url: "wss://tracker.example/", connected: true, error: null }],
  torrent: null,
  client: null,
};
window.fake = fake;

const side = (more = {}) => ({ pricePerGB: null, active: false, paid: 0n, paidFine: 0n, blocks: 0, note: "", ...more });
fake.peer = (id, more = {}) => ({
  id,
  client: "Piecework 0.1.0",
  haveCount: fake.torrent?.state.pieceCount ?? 0,
  downloaded: 0,
  uploaded: 0,
  downloadRate: 0,
  uploadRate: 0,
  peerChoking: false,
  amChoking: false,
  requestsOut: 0,
  requestsIn: 0,
  buying: side(),
  selling: side(),
  ...more,
});
fake.side = side;
fake.has = (piece) => {
  const { state } = fake.torrent;
  state.have[piece >> 3] |= 0x80 >> (piece & 7);
};

const SELLER = () => fake.peer(1, { buying: side({ pricePerGB: 10n * UNITS, active: false }) });

/** A file of a title. */
const file = (path, length, streamTo) => ({
  path,
  name: path.at(-1),
  length,
  streamTo,
  selected: true,
  async select() {
    fake.calls.push(`select ${this.name}`);
    this.selected = true;
  },
  async deselect() {
    fake.calls.push(`deselect ${this.name}`);
    this.selected = false;
  },
});

export class Torrent extends Emitter {
  signature = "unsigned";
  title = null;
  ready = Promise.resolve(this);
  async registration() {
    return null;
  }
  constructor(infoHash) {
    super();
    this.infoHash = infoHash;
    this.name = "Big Buck Bunny.mp4";
    const large = fake.scene === "large";
    const length = large ? 10_000 * 1_048_576 : 24_812_003;
    const pieceLength = large ? 1_048_576 : 32_768;
    const pieceCount = Math.ceil(length / pieceLength);
    this.files = [file(["Big Buck Bunny.mp4"], length, (video) => this.#streamTo(video))];
    this.state = {
      infoHash,
      name: this.name,
      state: "downloading",
      onDemand: true,
      kept: fake.scene === "kept",
      length,
      pieceLength,
      pieceCount,
      have: new Uint8Array(Math.ceil(pieceCount / 8)),
      verified: 0,
      downloaded: 0,
      uploaded: 0,
      wasted: 0,
      downloadRate: 0,
      uploadRate: 0,
      maxPricePerGB: 15n * UNITS,
      sellPricePerGB: 5n * UNITS,
      spent: 0n,
      spentFine: 0n,
      earned: 0n,
      earnedFine: 0n,
      maxCost: 376_012n,
      peers: [],
      webSeeds: [],
      swarm: null,
    };
    fake.torrent = this;
    if (["paid", "large", "kept"].includes(fake.scene)) this.state.peers = [SELLER()];
    if (fake.scene === "free") this.state.peers = [fake.peer(1, { client: "WebTorrent 3.0.21" })];
    if (fake.scene === "metadata") Object.assign(this.state, { state: "metadata", name: "", length: 0, pieceCount: 0 });
    if (fake.scene === "several") {
      this.files = ["Season/One.mp4", "Season/Two.mp4", "Season/readme.txt"].map((path) =>
        file(path.split("/"), length / 4, (video) => this.#streamTo(video)),
      );
      this.state.peers = [fake.peer(1)];
    }
    if (fake.scene === "unplayable") {
      this.files = [file(["book.epub"], length, () => fake.calls.push("streamTo"))];
      this.state.peers = [fake.peer(1)];
    }
    if (fake.scene === "hostile") {
      this.files[0].path = [`\u202e4pm.exe`];
      const markup = '<img src=x onerror="window.hacked=1"><script>window.hacked=1</script>';
      this.state.name = this.name = `${markup}\u202e\u0007\u2028${"long ".repeat(400)}`;
      this.state.peers = [
        fake.peer(1, { client: "<svg onload=window.hacked=1>", buying: side({ pricePerGB: 0n, note: "<b>note</b>" }) }),
      ];
    }
  }
  async #streamTo(video) {
    fake.calls.push("streamTo");
    video.src = "/video.mp4";
  }
  async stats() {
    const { length, verified } = this.state;
    return structuredClone({ selectedLength: length, selectedVerified: verified, ...this.state });
  }
  async keep(whole) {
    fake.calls.push(`keep ${whole}`);
    this.state.onDemand = !whole;
    this.state.kept = whole;
  }
  async setMaxPricePerGB(price) {
    fake.calls.push(`maxPricePerGB ${price}`);
    this.maxCost ??= { at: this.state.maxPricePerGB, is: this.state.maxCost };
    this.state.maxCost = (this.maxCost.is * fake.client.parse(price)) / this.maxCost.at;
    this.state.maxPricePerGB = fake.client.parse(price);
  }
  async pause() {
    this.state.state = "paused";
  }
  async resume() {
    this.state.state = "downloading";
  }
  async remove() {
    fake.calls.push("remove");
    fake.stored = fake.stored.filter((hash) => hash !== this.infoHash);
    fake.client.torrents = [];
  }
}

export class Client extends Emitter {
  torrents = [];
  static missing() {
    return fake.scene === "unsupported"
      ? [
          {
            feature: "opfs",
            text:
              "The browser's private file storage (OPFS) is missing: " +
              "update the browser, or leave private browsing.",
          },
        ]
      : [];
  }
  constructor(options) {
    super();
    fake.client = this;
    fake.options = options;
    fake.uploadLimit = options.uploadLimit;
    if (fake.scene === "library") fake.stored = [HASH];
  }
  async stats() {
    if (fake.scene === "slow") await new Promise((resolve) => (fake.answerStats = resolve));
    if (fake.scene === "down") throw new PieceworkError("The engine stopped.");
    const { downloadRate = 0, uploadRate = 0 } = fake.torrent?.state ?? {};
    return {
      downloadRate,
      uploadRate,
      trackers: structuredClone(fake.trackers),
      // Nothing that was paid waits to be redeemed, unless a test says so.
      money: { free: fake.money.balance - fake.money.locked, ...fake.money },
      isHost: true,
    };
  }
  async stored() {
    if (fake.scene === "slow")
      await new Promise((resolve, reject) => Object.assign(fake, { answer: resolve, refuse: reject }));
    return [...fake.stored];
  }
  async add(source, options) {
    fake.calls.push(`add onDemand=${options.onDemand}`);
    if (typeof source === "string" && source.includes("broken"))
      throw new PieceworkError("the magnet link is not valid: xt is not an info hash");
    if (this.torrents.length === 0) this.torrents = [new Torrent(HASH)];
    if (!fake.stored.includes(HASH)) fake.stored.push(HASH);
    return this.torrents[0];
  }
  async seed(files, options) {
    fake.calls.push(`seed ${[...files].map((file) => file.name).join()} ${JSON.stringify(options)}`);
    if (fake.fails) throw new PieceworkError(fake.fails);
    this.torrents = [new Torrent(HASH)];
    const { state } = fake.torrent;
    Object.assign(state, { state: "seeding", verified: state.length, have: state.have.fill(255), peers: [] });
    fake.stored.push(HASH);
    return this.torrents[0];
  }
  async seedLibrary() {
    fake.calls.push("seedLibrary");
    return [];
  }
  async setUploadLimit(limit) {
    fake.calls.push(`uploadLimit ${limit}`);
    fake.uploadLimit = limit;
  }
  async wallets() {
    return fake.wallets;
  }
  async connectWallet(id) {
    fake.calls.push(`connect ${id}`);
    if (fake.rejects) throw new PieceworkRejectedError("Refused in the wallet.");
    if (fake.fails) throw new PieceworkError(fake.fails);
    return fake.account.owner;
  }
  async deposit({ amount, bond }) {
    fake.calls.push(`deposit ${amount} ${bond}`);
    Object.assign(fake.account, { balance: this.parse(amount), bond: this.parse(bond), known: true });
    Object.assign(fake.money, { accountReady: true, lack: null, balance: fake.account.balance });
    return { ...fake.account };
  }
  async account() {
    return { ...fake.account };
  }
  async setBudget(total) {
    fake.calls.push(`budget ${total}`);
    fake.money.budget = this.parse(total);
  }
  get depositSlice() {
    return undefined;
  }
  async redemptionCost() {
    const unknown = { fee: null, cost: null, isDear: null, isLoss: null };
    return { amount: fake.money.redeemable, transactions: 1, ...unknown, ...fake.cost };
  }
  async credit() {
    return 0n;
  }
  async redeem() {
    fake.calls.push("redeem");
    const paid = fake.money.redeemable;
    Object.assign(fake.money, { redeemable: 0n, redeemableFine: 0n, redeemed: fake.money.redeemed + paid });
    return { paid, batches: 1 };
  }
  async history() {
    if (fake.fails) throw new PieceworkError(fake.fails);
    return fake.history;
  }
  async clearHistory() {
    fake.history = [];
  }
  async exit() {
    fake.calls.push("exit");
    fake.account.exitAt = new Date(Date.now() + 72 * 3600 * 1000);
    return { ...fake.account };
  }
  async withdraw() {
    fake.calls.push("withdraw");
    Object.assign(fake.account, { withdrawn: true, exitAt: null });
    fake.money.accountReady = false;
  }
  async recoverDeposits() {
    return [
      {
        ...fake.account,
        balance: 1_870_000n,
        bond: 2_500_000n,
        known: true,
        sessionKey: "0x3333333333333333333333333333333333333333",
        exit: async () => undefined,
        withdraw: async () => undefined,
      },
    ];
  }
  parse(amount) {
    const [whole, places = ""] = String(amount).split(".");
    return BigInt(whole) * UNITS + BigInt(places.padEnd(6, "0").slice(0, 6) || "0");
  }
  format(units) {
    return `${units / UNITS}.${(units % UNITS).toString().padStart(6, "0")}`;
  }
}

/** Half of the title is here, two peers are busy. */
fake.half = () => {
  const { state } = fake.torrent;
  for (let piece = 0; piece < state.pieceCount; piece += 1)
    if (piece < state.pieceCount * 0.42 || (piece * 7919) % 97 < 14) fake.has(piece);
  state.verified = Math.floor(state.length * 0.51);
  Object.assign(state, {
    downloaded: 12_700_400,
    uploaded: 3_211_264,
    downloadRate: 4_312_000,
    uploadRate: 812_000,
    spentFine: 127_004n << FINE,
    earnedFine: (16_056n << FINE) + 9_000_000n,
  });
  state.peers = [
    fake.peer(1, {
      client: "Piecework 0.1.0",
      downloaded: 8_912_896,
      downloadRate: 3_100_000,
      buying: side({ pricePerGB: 10n * UNITS, active: true, paidFine: 89_128n << FINE, blocks: 544 }),
    }),
    fake.peer(2, {
      client: "Piecework 0.1.0",
      downloaded: 3_787_504,
      downloadRate: 1_212_000,
      buying: side({ pricePerGB: 5n * UNITS, active: true, paidFine: 18_937n << FINE, blocks: 231 }),
    }),
    fake.peer(3, {
      client: "Piecework 0.1.0",
      haveCount: 112,
      uploaded: 3_211_264,
      uploadRate: 812_000,
      selling: side({ pricePerGB: 5n * UNITS, active: true, paidFine: (16_056n << FINE) + 9_000_000n, blocks: 196 }),
    }),
    fake.peer(4, { client: "WebTorrent 3.0.21", peerChoking: true, haveCount: 300 }),
    fake.peer(5, {
      client: "Piecework 0.1.0",
      buying: side({ pricePerGB: 22n * UNITS, note: "Asks for more than your limit." }),
    }),
  ];
  Object.assign(fake.money, {
    accountReady: true,
    balance: 1_998_000n,
    locked: 40_000n,
    spentFine: (127_004n << FINE) + 5_000_000n,
    spent: 127_004n,
    redeemable: 16_056n,
    redeemableFine: (16_056n << FINE) + 9_000_000n,
    redeemableRanges: 2,
    vouchersSigned: 14,
    preimagesReleased: 775,
    preimagesReceived: 196,
  });
};
