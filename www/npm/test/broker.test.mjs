import assert from "node:assert/strict";
import { test } from "node:test";
import { remoteAddress } from "./build/broker.js";

const candidate = (id, address) => [id, { type: "remote-candidate", address }];
const pair = (id, remoteCandidateId, more = {}) => [id, { type: "candidate-pair", remoteCandidateId, ...more }];
const connected = (...entries) => ({ getStats: async () => new Map(entries) });

test("the address of the pair that is in use counts, and none that was only offered", async () => {
  const offered = [
    candidate("lie", "203.0.113.5"),
    candidate("true", "192.0.2.7"),
    pair("p1", "lie", { nominated: true }),
    pair("p2", "true"),
  ];
  // Chromium names the pair in the transport, Firefox marks it.
  assert.equal(
    await remoteAddress(connected(...offered, ["t", { type: "transport", selectedCandidatePairId: "p2" }])),
    "192.0.2.7",
  );
  assert.equal(await remoteAddress(connected(...offered, pair("p3", "true", { selected: true }))), "192.0.2.7");
  assert.equal(
    await remoteAddress(connected(candidate("six", "2001:db8::7"), pair("p", "six", { selected: true }))),
    "2001:db8::7",
  );
});

test("an address that the browser keeps to itself is none", async () => {
  for (const hidden of [null, undefined, "", "5a1c1f0e-2b1d-4a0f-9d2c-0c6a7f3b9e11.local"]) {
    assert.equal(
      await remoteAddress(connected(candidate("c", hidden), pair("p", "c", { selected: true }))),
      null,
      String(hidden),
    );
  }
  assert.equal(await remoteAddress(connected(candidate("c", "192.0.2.7"), pair("p", "c"))), null);
  assert.equal(await remoteAddress(connected()), null);
});
