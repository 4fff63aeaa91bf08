/** The options of `add` and `new Client` that are lists: a mistake is named where it is made. */
import { PieceworkError } from "./errors.js";

/** Signaling servers; none if the option was left out. Their forms are the engine's matter, which names a bad one. */
export function trackersOf(given: unknown): string[] {
  const kinds = 'a list of URLs, such as ["wss://tracker.example"]';
  return listOf("trackers", given, kinds, (one) => (typeof one === "string" ? one : null)) ?? [];
}

/** Web servers, none if the option was left out: their addresses, relative ones as seen from the page. */
export function webSeedsOf(given: unknown): string[] {
  const kinds = 'a list of URLs, such as ["https://site.example/film.mp4"]';
  const read = (one: unknown) => {
    const text = one instanceof URL ? one.href : one;
    return typeof text === "string" && URL.canParse(text, document.baseURI)
      ? new URL(text, document.baseURI).href
      : null;
  };
  return listOf("webSeeds", given, kinds, read) ?? [];
}

/** The files to fetch, by index or path; undefined if none are named. */
export function filesOf(given: unknown): readonly (number | string)[] | undefined {
  const kinds = 'a list of indices (whole numbers from 0) and paths, such as [0, "extras/intro.mp4"]';
  return listOf("files", given, kinds, (one) =>
    typeof one === "string" || (Number.isSafeInteger(one) && Number(one) >= 0) ? (one as number | string) : null,
  );
}

/** The servers; undefined if the option was left out. */
export function iceServersOf(given: unknown): RTCIceServer[] | undefined {
  const kinds = 'a list of servers, such as [{ urls: "stun:stun.example" }]; [] asks none';
  return listOf("iceServers", given, kinds, (one) => {
    const urls: unknown = typeof one === "object" && one !== null && "urls" in one ? one.urls : null;
    const list: unknown[] = Array.isArray(urls) ? urls : [urls];
    return list.length > 0 && list.every((url) => typeof url === "string") ? (one as RTCIceServer) : null;
  });
}

function listOf<T>(option: string, given: unknown, kinds: string, read: (one: unknown) => T | null): T[] | undefined {
  if (given === undefined || given === null) return undefined;
  const wrong = () => new PieceworkError(`${option} must be ${kinds}`);
  if (!Array.isArray(given)) throw wrong();
  return given.map((one: unknown) => {
    const value = read(one);
    if (value === null) throw wrong();
    return value;
  });
}
