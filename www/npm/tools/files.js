// The package's files as a site serves them.
import { readdirSync, readFileSync } from "node:fs";

const dist = new URL("../dist/", import.meta.url);

/** The service worker's name at the site: the page looks for it beside itself. */
export const SERVICE_WORKER = "piecework-sw.js";
/** The folder for everything else. */
export const FOLDER = "piecework";
export const { version } = JSON.parse(readFileSync(new URL("../package.json", import.meta.url), "utf8"));

/** The header that the site sends with page, worker and service worker. The two hosts are the site's own to name. */
export const POLICY = [
  "default-src 'none'",
  "script-src 'self' 'wasm-unsafe-eval'",
  "worker-src 'self'",
  "connect-src 'self' wss://tracker.example https://rpc.example",
  "style-src 'self'",
  "img-src 'self' data:",
  "media-src 'self' blob:",
  "base-uri 'none'",
  "form-action 'none'",
  "require-trusted-types-for 'script'",
  "trusted-types piecework",
].join("; ");

/** The service worker's script. */
export function serviceWorker() {
  return readFileSync(new URL("sw.js", dist));
}

/** What a site serves, each with its path below the site's folder. */
export function files() {
  const inFolder = (folder) =>
    readdirSync(new URL(folder, dist), { withFileTypes: true })
      .filter((entry) => entry.isFile())
      .map(({ name }) => folder + name);
  // The edition without payments has an engine of its own.
  const names = [...inFolder(""), ...inFolder("free/")].filter((name) => name !== "sw.js").sort();
  const rest = names.map((name) => ({ path: `${FOLDER}/${name}`, bytes: readFileSync(new URL(name, dist)) }));
  return [{ path: SERVICE_WORKER, bytes: serviceWorker() }, ...rest];
}
