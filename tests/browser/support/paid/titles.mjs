// A film in every state that its title can be in: published by the command line, registered on a real chain, all sold
// by one native seeder.
import { Scene } from "./scene.mjs";

const PUBLISHER = 2;
const OTHER = 4;
const CREATOR = 3;
const BLOCK = 16_384;

/**
 * Films by their state, each with its .torrent in base64 and its link. `content`: the bytes of a film with this name;
 * else they are random.
 */
export async function publishedFilms(content = () => 8 * BLOCK) {
  const scene = await Scene.deployed();
  const account = (at) => scene.anvil.accounts[at].address;
  const make = (name) => scene.title(`${name}.mp4`, content(name));
  const shares = ["--share", "5", "--creator", account(CREATOR), "--licence", "CC-BY-4.0"];
  const registered = await scene.publish(await make("Registered"), PUBLISHER, [...shares, "--register"]);
  const signed = await scene.publish(await make("Signed"), PUBLISHER);
  const unsigned = await make("Unsigned");
  const copied = await make("Copied");
  await scene.publish(copied, OTHER, ["--register"]);
  const second = await scene.publish(copied, PUBLISHER, ["--register"]);
  const good = await scene.publish(await make("Tampered"), PUBLISHER);
  const pinned = await scene.publish(await make("Pinned"), PUBLISHER);
  const linked = await scene.publish(await make("Linked"), PUBLISHER, [...shares, "--register"]);
  const awaited = await scene.publish(await make("Awaited"), PUBLISHER);
  // One letter of the licence or the name is another: the publisher signed no such words.
  const bytes = Buffer.from(good.torrent, "base64");
  bytes[bytes.lastIndexOf("Tampered")] += 1;
  const tampered = { ...good, torrent: bytes.toString("base64") };
  const seeder = await scene.seeder([registered, signed, unsigned, second, good, pinned, linked, awaited], 20_000_000);
  return {
    scene,
    seeder,
    publisher: account(PUBLISHER),
    other: account(OTHER),
    creator: account(CREATOR),
    films: { registered, signed, unsigned, second, tampered, pinned, linked, awaited },
  };
}

/** A link to a film that names somebody else as its publisher. */
export function pinnedTo(film, address) {
  return `${film.magnet.replace(/&pw\.by=[^&]*/g, "")}&pw.by=${address}`;
}

/** Opens a .torrent file in the page as a dropped one. Runs in the page. */
export function dropTorrent(base64) {
  const transfer = new DataTransfer();
  const bytes = Uint8Array.from(atob(base64), (letter) => letter.charCodeAt(0));
  transfer.items.add(new File([bytes], "film.torrent", { type: "application/x-bittorrent" }));
  document.querySelector("main").dispatchEvent(new DragEvent("drop", { dataTransfer: transfer, bubbles: true }));
}
