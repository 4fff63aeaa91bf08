// The test page as a paying viewer, in words of these tests. Money is in 2^-24 token units.
import { browser, open } from "../harness.mjs";
import { UNIT_FINE } from "./scene.mjs";

/** Opens the page with the wallet in it and starts a client. It asks the wallet for nothing. */
export async function viewer(url, wallet, options, profile) {
  const started = await browser(profile);
  await wallet.injectInto(started.context);
  const page = await open(started.context, url);
  page.browser = started;
  await start(page, options);
  return page;
}

/** Starts a client in a page just loaded. */
export async function start(page, options) {
  await page.run(`start(${JSON.stringify(options)})`);
}

/** Loads the page again, and starts a client in it. */
export async function reload(page, options) {
  await page.reload();
  await page.run("window.loaded");
  await start(page, options);
}

/** Connects the wallet and deposits whole tokens. */
export async function deposit(page, amount) {
  return page.run(`(async () => {
    await client.connectWallet();
    return String((await client.deposit({ amount: "${amount}" })).balance);
  })()`);
}

/** Takes a title up. Notes from then on the pieces that come in by the network, and the messages about payments. */
export async function add(page, title) {
  return page.run(`(async () => {
    window.fetched = [];
    const bytes = Uint8Array.from(atob("${title.torrent}"), (c) => c.charCodeAt(0));
    window.torrent = await client.add(bytes, { onDemand: false });
    torrent.on("piece", ({ piece }) => fetched.push(piece));
    await torrent.ready;
    return torrent.infoHash;
  })()`);
}

/** The state of the title and the money: bytes, pieces, fine units. */
export async function look(page) {
  const { have, fetched, ...rest } = await page.run(`(async () => {
    const { have, verified, downloaded, wasted, spentFine, state } = await torrent.stats();
    const { money } = await client.stats();
    return {
      have: [...have], verified, downloaded, wasted, state, fetched: [...fetched], titleSpent: String(spentFine),
      spent: String(money.spentFine), locked: String(money.locked), balance: String(money.balance),
      accountReady: money.accountReady, lack: money.lack,
      vouchersSigned: money.vouchersSigned, preimagesReleased: money.preimagesReleased,
    };
  })()`);
  const pieces = new Set(
    have.flatMap((byte, at) => [...Array(8).keys()].filter((bit) => byte & (0x80 >> bit)).map((bit) => at * 8 + bit)),
  );
  return { ...rest, pieces, fetched: new Set(fetched), titleSpent: BigInt(rest.titleSpent), spent: BigInt(rest.spent) };
}

/**
 * The bytes and messages of this client, once the seller's ledger agrees with the buyer's and so many blocks are paid.
 * (The ledgers also agree while the rest waits for the next range.) After half a minute, the state as it is then.
 */
export async function settled(page, seeder, blocks = 0) {
  const least = UNIT_FINE * BigInt(blocks);
  for (const until = Date.now() + 30_000; ; ) {
    const [now, { money, torrents }] = [await look(page), await seeder.ask("stats")];
    const earned = BigInt(money.redeemable_fine) + (BigInt(money.redeemed) << 24n);
    if ((earned === now.spent && now.spent >= least) || Date.now() > until)
      return { ...now, earned, sent: torrents.reduce((sum, torrent) => sum + torrent.uploaded, 0), money };
  }
}

/**
 * What was spent for the title, in fine units, once it is so much: it follows the payments within half a second. After
 * half a minute, what it is then.
 */
export async function titleSpent(page, least) {
  for (const until = Date.now() + 30_000; ; ) {
    const now = (await look(page)).titleSpent;
    if (now >= least || Date.now() > until) return now;
  }
}
