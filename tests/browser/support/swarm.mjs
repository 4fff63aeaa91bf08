// A file that a native seeder offers, and a bystander that sees the messages which a tracker passes on.
import { createHash } from "node:crypto";
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { folder, freezable, native, open, ours, run } from "./harness.mjs";

/** The line that a native peer prints when it offers all of a title. */
const SEEDING = /^seeding /;

/** A .torrent of so many bytes: its text for `add`, its digest, and a call that seeds it. */
export async function film(tracker, length) {
  const data = folder("native");
  const bytes = Buffer.alloc(length);
  for (let i = 0; i < bytes.length; i += 4) bytes.writeUInt32LE((i * 2654435761) >>> 0, i);
  writeFileSync(join(data, "film.bin"), bytes);
  const file = join(data, "film.torrent");
  const created = await run(["create", join(data, "film.bin"), "--tracker", tracker, "-o", file]);
  const seeding = (options) => [
    "seed",
    file,
    "--data",
    data,
    ...(options.includes("--state") ? [] : ["--state", join(data, "state")]),
    ...options,
  ];
  return {
    infoHash: /[0-9a-f]{40}/.exec(created)[0],
    torrent: readFileSync(file).toString("base64"),
    digest: createHash("sha256").update(bytes).digest("hex"),
    /** Starts a seeder; each of several needs a `--state` of its own. */
    seed: (...options) => native(seeding(options), SEEDING),
    /** The same seeder, which can be stopped. */
    seedFreezably: (...options) => freezable(ours("piecework"), seeding(options), SEEDING),
  };
}

/**
 * Joins a torrent's swarm as a leecher, from a page of its own, and answers nobody. It sees every peer that announces
 * offers after that. Peer ids are as on the wire.
 */
export async function bystander(context, url, tracker, infoHash) {
  const page = await open(context, url);
  const announce = {
    action: "announce",
    info_hash: Buffer.from(infoHash, "hex").toString("latin1"),
    peer_id: "-XX0000-bystander000",
    event: "started",
    uploaded: 0,
    downloaded: 0,
    left: 1,
    numwant: 0,
    offers: [],
  };
  const swarm = await page.run(`(${joinSwarm})(${JSON.stringify(tracker)}, ${JSON.stringify(announce)})`);
  return {
    /** The peers that were there already. */
    others: { seeders: swarm.complete, leechers: swarm.incomplete - 1 },
    /** Resolves with all offers, `{ peer, sdp }` each, once there is one of a peer other than these. */
    offeredBesides: (peers) => page.run(`bystander.offered(({ peer }) => !${JSON.stringify(peers)}.includes(peer))`),
    /** Resolves once this peer has offered. */
    offeredBy: (wanted) => page.run(`bystander.offered(({ peer }) => peer === ${JSON.stringify(wanted)})`),
    leave: () => page.close(),
  };
}

/** Runs in the page; resolves with the tracker's reply to the announce. */
function joinSwarm(tracker, announce) {
  const offers = [];
  const arrivals = new EventTarget();
  window.bystander = {
    offered: (fits) =>
      new Promise((resolve) => {
        const look = () => offers.some(fits) && resolve(offers);
        arrivals.addEventListener("offer", look);
        look();
      }),
  };
  const socket = new WebSocket(tracker);
  return new Promise((resolve, reject) => {
    socket.onopen = () => socket.send(JSON.stringify(announce));
    socket.onerror = () => reject(new Error(`no connection to ${tracker}`));
    socket.onmessage = ({ data }) => {
      const message = JSON.parse(data);
      if (message["failure reason"]) reject(new Error(message["failure reason"]));
      else if (message.offer) {
        offers.push({ peer: message.peer_id, sdp: message.offer.sdp });
        arrivals.dispatchEvent(new Event("offer"));
      } else resolve(message);
    };
  });
}
