// What the element says where nothing failed and nothing plays, and how it knows a misspelt attribute.
import assert from "node:assert/strict";
import { test } from "node:test";
import { misspelt } from "./build/attributes.js";
import { aboveLimit, askedPrices, diagnose, tooDear } from "./build/diagnosis.js";

const peer = (pricePerGB = null, more = {}) => ({ downloaded: 0, buying: { pricePerGB }, ...more });
const title = (more = {}) => ({
  length: 1_000,
  selectedLength: 1_000,
  selectedVerified: 0,
  downloadRate: 0,
  maxPricePerGB: 5n,
  webSeeds: [],
  peers: [],
  ...more,
});
const tracker = (connected, error) => ({ url: "wss://tracker.example", connected, error });
const format = (units) => `${units} DUSD`;
const said = (torrent, { pays = true, waited = 0, trackers = [tracker(true, null)], isHost = true } = {}) =>
  diagnose({ torrent: title(torrent), client: { trackers, isHost }, pays, waited, format });

test("prices that are all above the page's limit are said with both sums, and one below it is enough", () => {
  const dear = title({ peers: [peer(10n), peer(8n), peer(), peer(0n)] });
  assert.deepEqual(askedPrices(dear, 12n), [12n, 10n, 8n]);
  assert.equal(aboveLimit(askedPrices(dear, 12n), dear), 8n);
  assert.equal(aboveLimit(askedPrices(dear, 5n), dear), null);
  assert.equal(aboveLimit([], dear), null);
  assert.equal(aboveLimit([1n], { ...dear, maxPricePerGB: 0n }), 1n);
  const text = "Sellers ask 8 DUSD per GB; this page pays at most 5 DUSD: nothing is bought from them.";
  assert.equal(tooDear(8n, 5n, format), text);
  assert.equal(said(dear), text);
  assert.equal(said({ ...dear, downloadRate: 1 }), "", "a peer gives it for nothing");
  assert.equal(said({ ...dear, selectedVerified: 1_000 }), "");
});

test("without a peer the element names the tracker that is missing, or that none can be reached", () => {
  assert.match(said({}, { trackers: [] }), /^No tracker is named, .*attribute trackers/);
  assert.equal(said({}, { trackers: [], isHost: false }), "", "another page's engine may have some");
  const refused = tracker(false, "closed with 1006");
  assert.match(
    said({}, { trackers: [refused, refused] }),
    /^No tracker can be reached, .*wss:\/\/tracker\.example: closed with 1006$/,
  );
  assert.equal(said({}, { trackers: [refused, tracker(true, null)] }), "");
  assert.equal(said({}, { trackers: [tracker(false, null)] }), "", "it is still being connected");
  assert.equal(said({ webSeeds: [{ state: "idle" }] }, { trackers: [] }), "");
  assert.match(said({ length: 0, selectedLength: 0 }, { trackers: [] }), /^No tracker is named/);
});

test("peers that give nothing to a page without a vault may want money, after a while", () => {
  const lacking = { pays: false, waited: 10_000 };
  assert.match(said({ peers: [peer()] }, lacking), /give nothing\. If this title costs money, .*attribute deployment/);
  assert.equal(said({ peers: [peer()] }, { ...lacking, waited: 9_999 }), "");
  assert.equal(said({ peers: [peer(), peer(null, { downloaded: 1 })] }, lacking), "");
  assert.equal(said({ peers: [peer()] }, { ...lacking, pays: true }), "");
});

test("an attribute that looks like one of the element's is named with what was meant, and others are not", () => {
  for (const [written, meant] of [
    ["tracker", "trackers"],
    ["max-price", "max-price-per-gb"],
    ["maxpricepergb", "max-price-per-gb"],
    ["max-price-per-gb-usd", "max-price-per-gb"],
    ["deploymnt", "deployment"],
    ["rpcurl", "rpc-url"],
    ["magnt", "magnet"],
    ["webseeds", "web-seeds"],
  ])
    assert.deepEqual(misspelt(["id", "class", written]), { written, meant }, written);
  const global = ["id", "class", "style", "slot", "part", "role", "lang", "title", "dir", "hidden", "tabindex", "is"];
  const more = ["aria-label", "data-src", "data-v-1f2e", "_ngcontent-abc", "exportparts", "width", "height", "onplay"];
  const right = ["src", "trackers", "vault", "chain-id", "token", "token-symbol", "upload-agreed", "keep"];
  assert.equal(misspelt([...global, ...more, ...right]), null);
  assert.equal(misspelt(["x".repeat(100_000)]), null);
});
