/** Torrents as `parse-torrent` describes them: a module that a page loads when it first adds one. */
import type { ParsedTorrent } from "./source.js";

/** The .torrent file of a parsed torrent, or a magnet link where it holds no info dictionary. */
export function sourceOf(parsed: ParsedTorrent): { torrent: Uint8Array } | { magnet: string } {
  if (parsed.torrentFile) return { torrent: parsed.torrentFile };
  const [trackers, webSeeds] = [parsed.announce, parsed.urlList].map((urls) =>
    Array.isArray(urls) ? urls.flat().filter((url): url is string => typeof url === "string") : [],
  );
  if (parsed.infoBuffer) return { torrent: torrentOf(parsed.infoBuffer, trackers ?? [], webSeeds ?? []) };
  const all = (key: string, values: readonly string[] = []) =>
    values.map((value) => `&${key}=${encodeURIComponent(value)}`).join("");
  const name = typeof parsed.name === "string" ? [parsed.name] : [];
  const link = `magnet:?xt=urn:btih:${parsed.infoHash}`;
  return { magnet: `${link}${all("dn", name)}${all("tr", trackers)}${all("ws", webSeeds)}` };
}

/** A .torrent file around the bytes of an info dictionary (BEP 3, BEP 12, BEP 19). */
function torrentOf(info: Uint8Array, trackers: readonly string[], webSeeds: readonly string[]): Uint8Array {
  const encoder = new TextEncoder();
  const text = (value: string) => `${encoder.encode(value).length}:${value}`;
  const list = (values: readonly string[]) => `l${values.join("")}e`;
  const tiers = trackers.length > 0 ? `${text("announce-list")}${list(trackers.map((url) => list([text(url)])))}` : "";
  const seeds = webSeeds.length > 0 ? `${text("url-list")}${list(webSeeds.map(text))}` : "";
  const [before, after] = [encoder.encode(`d${tiers}${text("info")}`), encoder.encode(`${seeds}e`)];
  const torrent = new Uint8Array(before.length + info.length + after.length);
  torrent.set(before);
  torrent.set(info, before.length);
  torrent.set(after, before.length + info.length);
  return torrent;
}
