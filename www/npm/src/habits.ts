/** What users of WebTorrent write out of habit and what has another name here: each is refused by naming the way. */

import { PieceworkError } from "./errors.js";

const none = (what: string, way: string) => new PieceworkError(`there is no ${what}: ${way}`);
const STORED = "the browser stores it";

/** Options of its client, its `add`, `seed` and `remove`. */
const OPTIONS: Record<string, string> = {
  maxConns: "use maxConnections",
  tracker: "use trackers, useTorrentTrackers and iceServers",
  announce: "use trackers",
  announceList: "use trackers",
  urlList: "use webSeeds",
  creationDate: "use created",
  path: STORED,
  store: STORED,
  destroyStore: "use deleteData",
};

/** Methods of its torrents. */
export const TORRENT = { destroy: "torrent.remove", select: "file.select", deselect: "file.deselect" };
/** Methods of its files. */
export const FILE = {
  getBlobURL: "file.blob",
  getBlob: "file.blob",
  getBuffer: "file.arrayBuffer",
  createReadStream: "file.stream",
  renderTo: "file.streamTo",
  appendTo: "file.streamTo",
};

/** Refuses such an option, and a callback among the options or behind them. */
export function renamed(options: unknown, call?: string, behind: readonly unknown[] = []): void {
  if (call && [options, ...behind].some((one) => typeof one === "function"))
    throw new PieceworkError(`${call} gives a promise in place of a callback: await client.${call}`);
  const theirs = Object.keys(options ?? {}).find((name) => Object.hasOwn(OPTIONS, name));
  if (theirs) throw none(`option ${theirs}`, OPTIONS[theirs] ?? "");
}

/** Refuses to listen to what never comes. */
export function noWire(event: string): void {
  if (event === "wire") throw none("event wire", "use peer, peerclosed and torrent.stats");
}

/** Gives a class methods that throw: `of` is a variable's name, `ways` has by their names what does it here. */
export function refuse({ prototype }: { prototype: object }, of: string, ways: Record<string, string>): void {
  for (const [name, way] of Object.entries(ways))
    (prototype as Record<string, unknown>)[name] = () => {
      throw none(`${of}.${name}`, `use ${way}`);
    };
}
