import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { createServer } from "node:http";
import { test } from "node:test";
import { AbiCoder, getAddress, id, Interface, Signature, Wallet, ZeroAddress } from "ethers";
import {
  infoV2Of,
  registerCall,
  titleBytes,
  titleHash,
  titleId,
  titleIn,
  titleOf,
  torrentWith,
} from "./build/title_bytes.js";
import { MOST_LISTED, TITLE_SELECTORS, Titles, typedTitle } from "./build/titles.js";

const { vectors, type: TITLE_FIELDS } = JSON.parse(
  readFileSync(new URL("../../../tests/vectors/titles.json", import.meta.url), "utf8"),
);
const coder = AbiCoder.defaultAbiCoder();
globalThis.document = { baseURI: "http://page.example/" };

/** A vector's title as `title_bytes.ts` has it. */
const titleFrom = ({ title, registry, chain_id: chainId, signature: { r, vs } }) => ({
  words: {
    ...title,
    length: BigInt(title.length),
    publisher: title.publisher.toLowerCase(),
    creator: title.creator.toLowerCase(),
  },
  registry: registry.toLowerCase(),
  chainId,
  signature: r + vs.slice(2),
});
const bytesOf = (vector) => Uint8Array.from(Buffer.from(vector.bencoded, "hex"));
/** A .torrent file with these top-level values, each bencoded. */
const torrentOf = (entries) =>
  Buffer.from(
    `d${Object.keys(entries)
      .sort()
      .map((key) => `${key.length}:${key}${entries[key]}`)
      .join("")}e`,
    "latin1",
  );
const INFO = "d6:lengthi1e4:name1:x12:piece lengthi16384e6:pieces20:aaaaaaaaaaaaaaaaaaaae";

test("ids, hashes and bytes of titles are those of the vectors", () => {
  for (const vector of vectors) {
    const title = titleFrom(vector);
    assert.equal(titleId(title.words), vector.id, vector.name);
    assert.equal(titleHash(title.words), vector.struct_hash, vector.name);
    assert.equal(Buffer.from(titleBytes(title)).toString("hex"), vector.bencoded, vector.name);
    assert.deepEqual(titleIn(bytesOf(vector)), title, vector.name);
  }
});

test("a wallet makes the signatures of the vectors, and a registration is the call that ethers makes", async () => {
  const fields = TITLE_FIELDS.map(({ type, name }) => `${type} ${name}`).join(",");
  const registry = new Interface([`function register((${fields}) title)`]);
  for (const vector of vectors) {
    const { domain, types, message } = typedTitle(titleFrom(vector));
    const { EIP712Domain: _, ...own } = types;
    const signed = await new Wallet(vector.publisher_key).signTypedData(domain, structuredClone(own), message);
    const { r, yParityAndS: vs } = Signature.from(signed);
    assert.deepEqual({ r, vs }, vector.signature, vector.name);
    const call = registry.encodeFunctionData("register", [vector.title]);
    assert.equal(registerCall(titleFrom(vector).words), call, vector.name);
  }
});

const VAULT = getAddress(`0x${"7a".repeat(20)}`);
const REGISTRY = getAddress(vectors[1].registry);
const CREATOR = getAddress(`0x${"c1".repeat(20)}`);
const NOW = 1_790_000_000;
const RECORD = "tuple(address creator, uint16 bps, uint48 registeredAt, address publisher, bytes32 titleHash)";

const fits = ({ words }) => ({ hash: titleHash(words) });

/** Titles whose connected wallet is this one. Registrations are sent nowhere: they are counted. */
function publishing(wallet, { signs = (typed) => signed(wallet, typed), registry = REGISTRY, judges = fits } = {}) {
  const seen = { prompts: [], sent: [], adopted: [] };
  const payments = {
    address: wallet.address.toLowerCase(),
    sign: async (_, typed) => {
      seen.prompts.push(typed);
      return signs(typed);
    },
    ethCall: async (_, data) => {
      if (!data.startsWith(TITLE_SELECTORS["record(bytes32)"])) return coder.encode(["address"], [registry]);
      const there = record({ publisher: wallet.address });
      const none = record({ creator: ZeroAddress, bps: 0, registeredAt: 0, publisher: ZeroAddress });
      return coder.encode([RECORD], [seen.sent.length > 0 ? there : none]);
    },
    sendOnce: async (_, to, data, done) => {
      if (!(await done())) seen.sent.push({ to, data });
    },
  };
  const titles = new Titles({ options: { vault: VAULT, chainId: 31337 } }, async () => payments);
  // The engine takes the title and judges it.
  const publish = (torrent, options) => {
    const client = {
      add: async (file) => {
        seen.adopted.push(titleOf(file));
        return { leave: async () => undefined };
      },
    };
    const lookAtTitle = async () => {
      torrent.title = judges(seen.adopted.at(-1));
    };
    return titles.publish(Object.assign(torrent, { lookAtTitle }), options, client);
  };
  return { publish, seen };
}

async function signed(wallet, { domain, types: { Title }, message }) {
  return wallet.signTypedData(domain, { Title: [...Title] }, message);
}

const film = {
  infoHash: "0102030405060708090a0b0c0d0e0f1011121314",
  name: "Evening over the bay",
  length: 25_731_571,
  title: null,
  torrentFile: torrentOf({ info: INFO }),
  magnetURI: "magnet:?xt=urn:btih:0102030405060708090a0b0c0d0e0f1011121314&dn=x&pw.by=0x12&tr=ws%3A%2F%2Fx",
};

test("a title that is only signed has the bytes of its vector, but for the date", async () => {
  const [vector] = vectors;
  const wallet = new Wallet(vector.publisher_key);
  const { publish, seen } = publishing(wallet);
  const published = await publish(film, { creator: vector.title.creator });
  const { words, ...rest } = titleOf(published.torrentFile);
  const { created, ...said } = words;
  const { created: _, ...expected } = titleFrom(vector).words;
  assert.deepEqual(said, expected);
  assert.ok(Math.abs(created - Date.now() / 1_000) < 60);
  assert.deepEqual([rest.registry, rest.chainId], [ZeroAddress, 31337]);
  assert.deepEqual([published.id, published.isRegistered], [vector.id, false]);
  assert.equal(
    published.magnetURI,
    `magnet:?xt=urn:btih:${film.infoHash}&dn=x&tr=ws%3A%2F%2Fx&pw.by=${wallet.address.toLowerCase()}`,
  );
  assert.deepEqual([seen.prompts.length, seen.sent.length], [1, 0]);
  assert.deepEqual(seen.adopted, [titleOf(published.torrentFile)]);
});

test("registering is one prompt more, and a second try asks for no more than what is missing", async () => {
  const wallet = Wallet.createRandom();
  const { publish, seen } = publishing(wallet);
  const options = { share: "2.5", licence: "CC-BY-4.0", register: true };
  const first = await publish(film, options);
  assert.deepEqual([seen.prompts.length, seen.sent.length], [1, 1]);
  assert.equal(seen.sent[0].to, REGISTRY);
  const { words, registry } = titleOf(first.torrentFile);
  assert.deepEqual([words.bps, words.licence, registry], [250, "CC-BY-4.0", REGISTRY.toLowerCase()]);
  assert.equal(seen.sent[0].data, registerCall(words));
  assert.ok(Buffer.from(first.torrentFile).includes(Buffer.from(`10:pw.content32:`)));
  assert.ok(first.magnetURI.endsWith(`&pw.content=${first.id}`));
  const again = await publish({ ...film, torrentFile: first.torrentFile }, options);
  assert.deepEqual([seen.prompts.length, seen.sent.length], [1, 1]);
  assert.deepEqual(again, first);
  // Other words are signed anew.
  await publish({ ...film, torrentFile: first.torrentFile }, { ...options, licence: "CC0-1.0" });
  assert.deepEqual([seen.prompts.length, seen.sent.length], [2, 1]);
});

test("bad words, a torrent that is not ready and a wallet with a form of its own are refused by name", async () => {
  const wallet = Wallet.createRandom();
  const { publish, seen } = publishing(wallet);
  for (const [options, says] of [
    [{ name: "" }, /name must have 1 to 256 bytes/],
    [{ name: "\u00e4".repeat(129) }, /name must have/],
    [{ name: "a\u202eb" }, /not seen/],
    [{ licence: "x".repeat(257) }, /licence must have at most 256/],
    [{ creator: "0x12" }, /creator "0x12" is not an address/],
    [{ creator: ZeroAddress }, /is not an address/],
    [{ share: 100.01 }, /share "100.01" must be a number from 0 to 100/],
    [{ share: "1.234" }, /at most two decimals/],
    [{ share: -1 }, /share "-1"/],
    [{ previous: "0x1" }, /previous must be 0x and 64/],
    [{ salt: "y" }, /salt must be/],
  ])
    await assert.rejects(publish(film, options), says);
  await assert.rejects(publish({ ...film, torrentFile: null }, {}), /wait for torrent\.ready/);
  assert.equal(seen.prompts.length, 0);
  for (const answer of ["0x", `0x${"1".repeat(400)}`, `0x${"1".repeat(64)}${"f".repeat(64)}1b`, "signed"]) {
    const { publish } = publishing(wallet, { signs: () => answer });
    await assert.rejects(publish(film, {}), /signs in a form of its own/);
  }
  const other = publishing(wallet, { judges: () => null });
  await assert.rejects(other.publish({ ...film, signature: "unsigned" }, { register: true }), /signed it wrongly/);
  await assert.rejects(
    other.publish({ ...film, signature: { wrong: "why" } }, {}),
    /not signed as it should be: why\./,
  );
  assert.equal(other.seen.sent.length, 0);
  const none = publishing(wallet, { registry: ZeroAddress });
  await assert.rejects(none.publish(film, { register: true }), /asks no registry/);
});

test("a torrent of both versions has the hash of its second one in the title", async () => {
  assert.equal(await infoV2Of(film.torrentFile), `0x${"0".repeat(64)}`);
  const info = `d6:lengthi1e12:meta versioni2e4:name1:xe`;
  const digest = new Uint8Array(await crypto.subtle.digest("SHA-256", Buffer.from(info)));
  assert.equal(await infoV2Of(torrentOf({ info })), `0x${Buffer.from(digest).toString("hex")}`);
});

test("a title is put into a .torrent file and found there, and nothing else of the file changes", () => {
  const bytes = bytesOf(vectors[1]);
  const plain = torrentOf({ announce: "3:ws:", info: INFO, zz: "li1eli2eee", "\u00e9": "1:x" });
  const signed = torrentWith(plain, { "pw.title": bytes, "pw.content": null });
  assert.deepEqual(titleOf(signed), titleFrom(vectors[1]));
  assert.deepEqual(Buffer.from(torrentWith(signed, { "pw.title": null })), plain);
  assert.equal(titleOf(plain), null);
  assert.deepEqual(titleOf(torrentWith(signed, { "pw.title": bytesOf(vectors[0]) })), titleFrom(vectors[0]));
});

test("bytes that are no title, or no .torrent file, are none", () => {
  const good = Buffer.from(bytesOf(vectors[1]));
  for (let length = 0; length < good.length; length++) assert.equal(titleIn(good.subarray(0, length)), null);
  const swapped = (from, to) => Buffer.from(good.toString("latin1").replace(from, to), "latin1");
  for (const [from, to] of [
    ["1:vi1e", "1:vi2e"],
    ["5:chaini31337e", "5:chaini-1e"],
    ["3:bpsi10000e", "3:bpsi99999999999999999999e"],
    ["4:name20:", "4:name19:"],
    ["7:licence9:CC-BY-4.0", "7:licencei1e"],
    ["7:licence9:CC-BY-4.0", "7:licence1:\xff"],
  ]) {
    assert.ok(good.toString("latin1").includes(from), from);
    assert.equal(titleIn(swapped(from, to)), null, to);
  }
  for (const torrent of ["", "i1e", "d", "d1:a", "d1:ai1", `d1:a${"l".repeat(1_000)}`, "d9999999999:a", "d1:a-1:ae"])
    assert.equal(titleOf(Buffer.from(torrent)), null, torrent);
});

test("every selector is the hash of its signature", () => {
  for (const [signature, selector] of Object.entries(TITLE_SELECTORS))
    assert.equal(selector, id(signature).slice(0, 10), signature);
});

// ------------------------------------------------------------------------------------ the chain

const registered = vectors[1];
const torrent = {
  infoHash: registered.title.infoHash.slice(2),
  title: {
    id: registered.id,
    hash: registered.struct_hash,
    publisher: registered.title.publisher.toLowerCase(),
    chainId: registered.chain_id,
    registry: registered.registry.toLowerCase(),
  },
};
const unsigned = { infoHash: torrent.infoHash, title: null };

const record = (more = {}) => ({
  creator: CREATOR,
  bps: 500,
  registeredAt: NOW,
  publisher: getAddress(`0x${"99".repeat(20)}`),
  titleHash: `0x${"00".repeat(32)}`,
  ...more,
});
const own = (more = {}) =>
  record({ publisher: getAddress(registered.title.publisher), titleHash: registered.struct_hash, ...more });
const word = (byte) => `0x${byte.toString(16).padStart(64, "0")}`;

/** What a node that serves these registrations answers to each call. */
function answers({ own: mine = null, list = [], count = list.length, registry = REGISTRY, ...more } = {}) {
  const none = record({ creator: ZeroAddress, bps: 0, registeredAt: 0, publisher: ZeroAddress });
  return {
    eth_chainId: "0x7a69",
    "registry()": coder.encode(["address"], [registry]),
    "record(bytes32)": coder.encode([RECORD], [mine ?? none]),
    "countOf(bytes20)": coder.encode(["uint256"], [count]),
    "titlesOf(bytes20,uint256,uint256)": coder.encode(
      ["bytes32[]", `${RECORD}[]`],
      [list.map(([id]) => id), list.map(([, one]) => one)],
    ),
    ...more,
  };
}

/** Titles read through a real HTTP node that answers so; `raw`: the whole body of each answer. */
async function reading(t, answers, { raw = null, registry = undefined } = {}) {
  const asked = [];
  const server = createServer((request, response) => {
    let body = "";
    request.on("data", (chunk) => (body += chunk));
    request.on("end", () => {
      const { method, params } = JSON.parse(body);
      const data = params[0]?.data ?? "";
      const call = Object.entries(TITLE_SELECTORS).find(([, selector]) => data.startsWith(selector))?.[0];
      asked.push({ method, to: params[0]?.to, call, data });
      response.end(raw ?? JSON.stringify({ jsonrpc: "2.0", id: 1, result: answers[call ?? method] }));
    });
  });
  await new Promise((done) => server.listen(0, "127.0.0.1", done));
  t.after(() => server.close());
  const rpcUrl = `http://127.0.0.1:${server.address().port}/secret`;
  const options = { vault: VAULT, chainId: 31337, rpcUrl, ...(registry && { registry: { address: registry } }) };
  const titles = new Titles({ options }, () => Promise.reject(new Error("no wallet is asked")));
  return { titles, asked };
}

test("a registered title is said with its date, and creator and share as they are now", async (t) => {
  const list = [
    [registered.id, own()],
    [word(2), record({ registeredAt: NOW + 5 })],
  ];
  const { titles, asked } = await reading(t, answers({ own: own(), list }), { registry: REGISTRY.toLowerCase() });
  assert.deepEqual(await titles.registration(torrent), {
    registry: REGISTRY,
    own: {
      id: registered.id,
      publisher: getAddress(registered.title.publisher),
      creator: CREATOR,
      share: 5,
      registeredAt: new Date(NOW * 1_000),
    },
    sameWords: true,
    isForIt: true,
    earlier: null,
    count: 2,
  });
  const calls = asked.filter(({ method }) => method === "eth_call");
  assert.deepEqual(
    calls.map(({ call, to }) => [call, to]),
    [
      ["registry()", VAULT],
      ["record(bytes32)", REGISTRY],
      ["countOf(bytes20)", REGISTRY],
      ["titlesOf(bytes20,uint256,uint256)", REGISTRY],
    ],
  );
  assert.equal(calls[1].data, TITLE_SELECTORS["record(bytes32)"] + registered.id.slice(2));
  const asks = coder.encode(["bytes20", "uint256", "uint256"], [registered.title.infoHash, 0, MOST_LISTED]);
  assert.equal(calls[3].data, TITLE_SELECTORS["titlesOf(bytes20,uint256,uint256)"] + asks.slice(2));
});

test("words that were registered otherwise are said to be others", async (t) => {
  const other = own({ titleHash: word(9) });
  const { titles } = await reading(t, answers({ own: other, list: [[registered.id, other]] }));
  const { sameWords, own: said } = await titles.registration(torrent);
  assert.deepEqual([sameWords, said.id], [false, registered.id]);
});

test("an earlier registration is of somebody else, and stands before the title's own", async (t) => {
  const first = [word(1), record()];
  const mine = [registered.id, own({ registeredAt: NOW + 1 })];
  // Its own earlier registration is not somebody else's.
  const before = [word(3), own({ registeredAt: NOW - 1 })];
  const after = [word(4), record({ registeredAt: NOW + 2 })];
  const earlier = async (list, mine, of = torrent) => {
    const { titles } = await reading(t, answers({ own: mine?.[1], list }));
    const { earlier, own, count } = await titles.registration(of);
    return [earlier?.id, own?.id, count];
  };
  assert.deepEqual(await earlier([before, first, mine, after], mine), [first[0], registered.id, 4]);
  assert.deepEqual(await earlier([before, mine, after], mine), [undefined, registered.id, 3]);
  // What is not registered came after all of them.
  assert.deepEqual(await earlier([before, after], null), [after[0], undefined, 2]);
  assert.deepEqual(await earlier([first, after], null, unsigned), [first[0], undefined, 2]);
  assert.deepEqual(await earlier([], null, unsigned), [undefined, undefined, 0]);
});

test("of a long list the first are looked at, and all are counted", async (t) => {
  const list = Array.from({ length: MOST_LISTED }, (_, at) => [word(at + 1), record({ registeredAt: NOW + at })]);
  const { titles } = await reading(t, answers({ list, count: 1_000_000 }));
  const { count, earlier } = await titles.registration(unsigned);
  assert.deepEqual([count, earlier.id], [1_000_000, word(1)]);
});

test("a vault that asks no registry, or another than the site names", async (t) => {
  const none = await reading(t, answers({ registry: ZeroAddress }));
  assert.equal(await none.titles.registration(torrent), null);
  for (const asks of [ZeroAddress, CREATOR]) {
    const { titles } = await reading(t, answers({ registry: asks }), { registry: REGISTRY });
    await assert.rejects(titles.registration(torrent), /asks the registry .*, not 0x5FbDB.*configuration is wrong/);
  }
  const slip = await reading(t, answers(), { registry: "0x12" });
  await assert.rejects(slip.titles.registration(torrent), /payments\.registry\.address is not an address/);
});

test("a node's answer that no registry gives is an error", async (t) => {
  const list = (...all) => answers({ list: all });
  const mine = [registered.id, own()];
  const one = [word(1), record()];
  const two = [word(2), record({ registeredAt: NOW + 1 })];
  const long = list(one)["titlesOf(bytes20,uint256,uint256)"];
  const cases = {
    "another publisher's record under the title's id": answers({ own: record() }),
    "a record of a zero creator": answers({ own: own({ creator: ZeroAddress }) }),
    "a share above the whole": answers({ own: own({ bps: 10_001 }) }),
    "a date before there was a registry": answers({ own: own({ registeredAt: 5 }) }),
    "a date that never comes": answers({ own: own({ registeredAt: 2 ** 48 - 1 }) }),
    "no record at all": answers({ "record(bytes32)": "0x" }),
    "a record of more words": answers({ "record(bytes32)": coder.encode([RECORD, "uint256"], [own(), 1]) }),
    "a later one first": list(two, one),
    "one twice": list(one, one),
    "more than were asked for": list(
      ...Array.from({ length: MOST_LISTED + 1 }, (_, at) => [word(at + 1), record({ registeredAt: NOW + at })]),
    ),
    "fewer than it counts": answers({ own: own(), list: [mine], count: 2 }),
    "a count without end": answers({ count: 2n ** 200n }),
    "a list that is cut": answers({ count: 1, "titlesOf(bytes20,uint256,uint256)": long.slice(0, -64) }),
    "records that begin elsewhere": answers({
      count: 1,
      "titlesOf(bytes20,uint256,uint256)": long.replace(word(128).slice(2), word(96).slice(2)),
    }),
    "a dirty address": answers({ "registry()": `0x${"ff".repeat(32)}` }),
  };
  for (const [what, given] of Object.entries(cases)) {
    const { titles } = await reading(t, given);
    await assert.rejects(titles.registration(torrent), /does not answer .* as it should/, what);
  }
});

test("a node that is of another chain, silent, or endless is named without its path", async (t) => {
  const elsewhere = await reading(t, answers({ eth_chainId: "0x1" }));
  await assert.rejects(elsewhere.titles.registration(torrent), /is not of chain 31337/);
  for (const raw of ["", "nonsense", "null", "{}", JSON.stringify({ result: "0x123" }), "x".repeat(1 << 20)]) {
    const { titles } = await reading(t, answers(), { raw });
    await assert.rejects(titles.registration(torrent), (error) => {
      assert.match(error.message, /node at 127\.0\.0\.1:\d+ (gives no answer|is not of chain)/);
      assert.doesNotMatch(error.message, /secret/);
      return true;
    });
  }
});
