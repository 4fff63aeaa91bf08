import assert from "node:assert/strict";
import { test } from "node:test";
import { trackersNamed } from "./build/named.js";

const bytes = (text) => new Uint8Array(Buffer.from(text, "latin1"));
const inTorrent = (text) => trackersNamed({ torrent: bytes(text) }, []);

test("the trackers of a .torrent file are found wherever writers put them, and no others", () => {
  const one = "14:wss://one.test";
  assert.deepEqual(inTorrent(`d8:announce${one}4:infod6:lengthi5eee`), ["wss://one.test"]);
  assert.deepEqual(inTorrent(`d13:announce-listll15:wss://two.test/14:wss://one.testel10:udp://x:801:yeee`), [
    "wss://two.test/",
    "wss://one.test",
  ]);
  assert.deepEqual(inTorrent(`d13:announce-listl${one}ee`), ["wss://one.test"]);
  // In the info dictionary and elsewhere it is a text like any other.
  assert.deepEqual(inTorrent(`d7:comment${one}4:infod8:announce${one}ee`), []);
  // Each of two keys of one name counts.
  assert.deepEqual(inTorrent(`d8:announce${one}8:announce15:wss://two.test/e`), ["wss://one.test", "wss://two.test/"]);
});

test("a magnet link names what the engine could take for an address", () => {
  const of = (rest) => trackersNamed({ magnet: `magnet:?xt=urn:btih:x${rest}` }, []);
  assert.deepEqual(of("&tr=wss%3A%2F%2Fone.test%2F&tr.1=WSS://two.test&TR=ws://three.test"), [
    "wss://one.test/",
    "WSS://two.test",
    "ws://three.test",
  ]);
  assert.deepEqual(of("&amp;tr=wss://one.test/?a%26b=1&amp;tr=wss://one.test/?a%26b=2"), [
    "wss://one.test/?a&b=1",
    "wss://one.test/?a&b=2",
  ]);
  assert.equal(of("&tr=wss%3A%2F%2Fone.test%20wss%3A%2F%2Ftwo.test,wss://three.test").length, 3);
});

test("an address that the engine takes for none is not kept", () => {
  assert.deepEqual(inTorrent(`d8:announce3000:wss://${"a".repeat(2_994)}e`), []);
  assert.deepEqual(trackersNamed({ magnet: `magnet:?tr=wss://${"a".repeat(60_000)}&tr=wss://b.test` }, []), [
    "wss://b.test",
  ]);
});

test("whatever bytes come, it ends, and gives trackers or throws", () => {
  const good = "d8:announce14:wss://one.test13:announce-listll14:wss://two.testeee4:infod6:lengthi5e4:name1:xee";
  let state = 1;
  const random = (below) => {
    state = (state * 48_271) % 2_147_483_647;
    return state % below;
  };
  let thrown = 0;
  for (let round = 0; round < 20_000; round++) {
    const torrent = bytes(good);
    for (let i = random(4); i >= 0; i--)
      torrent[random(torrent.length)] = random(2) ? random(256) : good.charCodeAt(random(good.length));
    try {
      assert.ok(trackersNamed({ torrent: torrent.subarray(0, 1 + random(2 * good.length)) }, []).length <= 3);
    } catch ({ message }) {
      assert.equal(message, "it is not bencoded");
      thrown++;
    }
  }
  assert.ok(thrown > 1_000 && thrown < 20_000, `${thrown}`);
  // Neither deep nor long ones exhaust anything.
  assert.throws(() => inTorrent(`d1:x${"l".repeat(1 << 20)}`));
  assert.throws(() => inTorrent("d99999999999999999999:"));
  assert.throws(() => inTorrent(`d13:announce-list${"l".repeat(1 << 20)}`));
});
