import assert from "node:assert/strict";
import { test } from "node:test";
import { DEFAULTS, quiet } from "./build/settings.js";
import { left, MAX_TRACKERS_OF_SITE, originOf, Sites } from "./build/sites.js";

const DAY = { hour: 12, metered: false, onBattery: false };

test("uploading stops by the button, by the hour, on a battery and on a connection paid by volume", () => {
  assert.equal(quiet(DEFAULTS, DAY), "");
  assert.match(quiet({ ...DEFAULTS, paused: true }, DAY), /paused/);
  assert.match(quiet({ ...DEFAULTS, uploadLimit: 0 }, DAY), /switched off/);
  assert.match(quiet(DEFAULTS, { ...DAY, metered: true }), /volume/);
  assert.match(quiet(DEFAULTS, { ...DAY, onBattery: true }), /battery/);
  assert.equal(
    quiet({ ...DEFAULTS, onMetered: true, onBattery: true }, { hour: 0, metered: true, onBattery: true }),
    "",
  );
  assert.equal(quiet(DEFAULTS, { hour: 0, metered: null, onBattery: null }), "");
});

test("hours may go over midnight", () => {
  const at = (hour, hours) => quiet({ ...DEFAULTS, hours }, { ...DAY, hour }) === "";
  const open = (hours) => [...Array(24).keys()].filter((hour) => at(hour, hours));
  assert.deepEqual(open({ from: 22, to: 2 }), [0, 1, 22, 23]);
  assert.deepEqual(open({ from: 8, to: 10 }), [8, 9]);
});

test("a site is its origin, and what has none is no site", () => {
  assert.equal(originOf("https://a.example/path?x"), "https://a.example");
  for (const url of ["null", "about:blank", "data:text/html,x", "file:///x", "chrome-extension://x/", undefined])
    assert.equal(originOf(url), null, url);
});

test("what a site spent counts against its budget, and stays when the user decides anew", () => {
  let kept = [];
  const sites = new Sites([], () => (kept = sites.list()));
  sites.decide("https://a.example", { allowed: true, budget: 10n, ceiling: 1n });
  sites.spent("https://a.example", "h", (3n << 24n) + 1n);
  assert.equal(left(sites.of("https://a.example")), 6n);
  sites.decide("https://a.example", { allowed: true, budget: 4n, ceiling: 1n });
  sites.spent("https://a.example", "h", 1n << 24n);
  assert.equal(left(sites.of("https://a.example")), 0n);
  assert.deepEqual(kept[0].titles, [{ hash: "h", spentFine: (4n << 24n) + 1n }]);
});

test("of many sites that only asked, few are kept, and no decision goes for them", () => {
  let kept = [];
  const sites = new Sites([], () => (kept = sites.list()));
  sites.decide("https://allowed.example", { allowed: true, budget: 0n, ceiling: 0n });
  sites.decide("https://denied.example", { allowed: false, budget: 0n, ceiling: 0n });
  for (let i = 0; i < 2_000; i++) sites.asked(`https://${i}.example`);
  assert.equal(kept.length, 64 + 2);
  assert.equal(sites.of("https://allowed.example").allowed, true);
  assert.equal(sites.of("https://denied.example").allowed, false);
  for (let i = 0; i < 2_000; i++) sites.decide(`https://${i}.example`, { allowed: false, budget: 0n, ceiling: 0n });
  assert.equal(sites.of("https://allowed.example").allowed, true);
  assert.ok(kept.length <= 512 + 64, `${kept.length}`);
});

test("another vault's budgets are set anew", () => {
  const sites = new Sites([], () => undefined);
  const site = "https://a.example";
  sites.decide(site, { allowed: true, budget: 10n, ceiling: 1n });
  sites.spent(site, "h", 1n << 24n);
  sites.newVault();
  const plain = { allowed: true, budget: 0n, spentFine: 0n, ceiling: 0n, titles: [{ hash: "h", spentFine: 0n }] };
  assert.deepEqual(sites.of(site), { origin: site, ...plain });
});

test("a title that a site takes up again and again keeps few trackers on record", () => {
  const sites = new Sites([], () => undefined);
  const site = "https://a.example";
  const tracker = (at) => `wss://${at}.test`;
  for (let i = 0; i < 100; i++) sites.took(site, "h", [tracker(2 * i), tracker(2 * i + 1)]);
  const [{ trackers }] = sites.of(site).titles;
  assert.equal(trackers.length, MAX_TRACKERS_OF_SITE);
  // Those of now are among them.
  assert.deepEqual(trackers.slice(-2), [tracker(198), tracker(199)]);
});
