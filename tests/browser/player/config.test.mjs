// What the page says of a configuration with a slip of the pen: the start fails, by the field's name.
import assert from "node:assert/strict";
import { violations } from "./axe.mjs";
import { PAID, open, test } from "./page.mjs";

const ADDRESS = PAID.token.address;
const FREE = { trackers: PAID.trackers };

/** Configurations, and what the page says of each. */
const WRONG = [
  [[], /must be a JSON object/],
  [{ deploymet: "deployments/10.json" }, /no field deploymet\. Write deployment\./],
  [{ ...FREE, Vault: PAID.vault }, /no field Vault\. Write vault\./],
  [{ ...FREE, colour: "red" }, /no field colour\. Leave it out; docs\/page\.md/],
  [{ ...FREE, ["x".repeat(5000)]: 1 }, /no field x{40}\. Leave it out/],
  [{ ...FREE, constructor: 1 }, /no field constructor\./],
  [{ trackers: "wss://tracker.example" }, /trackers must be a list in square brackets/],
  [{ trackers: [5] }, /trackers must be a list of URLs, such as \["wss:/],
  [{ ...FREE, iceServers: "stun:stun.example" }, /iceServers must be a list in square brackets/],
  [{ ...FREE, iceServers: ["stun:stun.example"] }, /iceServers must be a list of servers, such as/],
  [{ ...FREE, iceServers: [{ url: "stun:stun.example" }] }, /iceServers must be a list of servers, such as/],
  [{ ...FREE, iceServers: [{ urls: "turn:turn.example", username: 5 }] }, /iceServers must be a list of servers/],
  [{ ...FREE, relayOnly: "true" }, /relayOnly must be true or false, without quotation marks/],
  [{ ...FREE, maxConnections: 0 }, /maxConnections must be a whole number from 1 to 100/],
  [{ ...FREE, maxConnections: "55" }, /maxConnections must be a whole number/],
  [{ ...FREE, uploadLimit: "2500" }, /uploadLimit must be a number of 0 or more, without quotation marks/],
  [{ ...FREE, magnet: ["magnet:?xt=a"] }, /magnet must be text/],
  [{ ...FREE, torrent: 5 }, /torrent must be text/],
  [{ ...FREE, name: {} }, /name must be text/],
  [{ ...FREE, walletKeys: [5] }, /walletKeys must be a list of private keys/],
  [{ ...FREE, wallet: 5792 }, /wallet must be text/],
  [{ ...FREE, maxPricePerGB: "15" }, /maxPricePerGB says nothing without a vault\. Name deployment or vault/],
  [{ ...PAID, vault: 5 }, /vault must be an address/],
  [{ ...PAID, chainId: "31337" }, /chainId must be a whole number of 1 or more, without quotation marks/],
  [{ ...PAID, chainId: null }, /chainId is missing/],
  [{ ...PAID, token: 5 }, /token must be an address/],
  [{ ...PAID, token: null }, /token is missing/],
  [{ ...PAID, token: { decimals: 6 } }, /token\.address is missing/],
  [{ ...PAID, token: { address: ADDRESS, decimal: 18 } }, /no field token\.decimal\. Write token\.decimals/],
  [{ ...PAID, token: { address: ADDRESS, decimals: "18" } }, /token\.decimals must be a whole number from 0 to 36/],
  [{ ...PAID, token: { address: ADDRESS, symbol: 5 } }, /token\.symbol must be text/],
  [{ ...PAID, symbol: 5 }, /symbol must be text/],
  [{ ...PAID, rpc: 8545 }, /rpc must be text/],
  [{ ...PAID, chainParams: "{}" }, /chainParams must be an object in braces/],
  [{ ...PAID, deployBlock: "5" }, /deployBlock must be a whole number/],
  [{ ...PAID, exitDelaySeconds: 1.5 }, /exitDelaySeconds must be a whole number/],
  [{ ...PAID, maxPricePerGB: true }, /maxPricePerGB must be a decimal number of tokens/],
  [{ ...PAID, budget: ["5"] }, /budget must be a decimal number of tokens/],
  [{ ...PAID, resellPercent: "50" }, /resellPercent must be a whole number from 0 to 255/],
  [{ ...PAID, coinPrice: ["3000"] }, /coinPrice must be a decimal number of tokens above 0/],
  [{ ...PAID, coinPrice: "3000", maxGasPercent: "5" }, /maxGasPercent must be a whole number from 1 to 100/],
  [{ ...PAID, maxGasPercent: 5 }, /maxGasPercent says nothing without coinPrice.*Name coinPrice, or leave out/],
];

test("a field that is unknown or of a wrong kind stops the page, which says what to write", async (t) => {
  for (const [setup, message] of WRONG) {
    const wrong = await open(t, "paid", { setup });
    assert.equal(await wrong.evaluate(() => document.body.dataset.view), "failed", JSON.stringify(setup));
    assert.match(await wrong.textContent(".failed-start[role=alert] p"), message, JSON.stringify(setup));
    await wrong.close();
  }
});

test("a configuration with every field is taken", async (t) => {
  const setup = {
    ...PAID,
    iceServers: [{ urls: ["turn:turn.example"], username: "a", credential: "b" }, { urls: "stun:stun.example" }],
    relayOnly: true,
    maxConnections: 20,
    uploadLimit: 100.5,
    name: "Film",
    symbol: "pwUSD",
    deployBlock: 0,
    exitDelaySeconds: 3600,
    chainParams: { chainId: "0x7a69" },
    budget: 5,
    deposit: "1",
    maxDeposit: "2.5",
    resellPercent: 40,
    coinPrice: "3000",
    minRedeem: "0.5",
    maxGasPercent: 20,
  };
  const page = await open(t, "paid", { setup });
  const config = await page.evaluate(() => {
    const { relayOnly, maxConnections, uploadLimit, iceServers, payment } = globalThis.pieceworkPlayer.app.config;
    const { resellPercent, maxGasPercent, coinPrice } = payment;
    return { relayOnly, maxConnections, uploadLimit, iceServers, resellPercent, maxGasPercent, coinPrice };
  });
  const { relayOnly, maxConnections, uploadLimit, iceServers, resellPercent, maxGasPercent, coinPrice } = setup;
  const given = { relayOnly, maxConnections, uploadLimit, iceServers, resellPercent, maxGasPercent, coinPrice };
  assert.deepEqual(config, given);
});

test("the start view that names a wrong field has no fault that axe finds", async (t) => {
  const page = await open(t, "paid", { setup: { ...FREE, relayOnly: "true" } });
  assert.deepEqual(await violations(page), []);
});
