// One site for each contestant, each on a loopback address of its own: another address is another site to the browser,
// so contestants share no process, no storage and no engine.
import { createReadStream, statSync } from "node:fs";
import { createServer } from "node:http";
import { dirname, extname, join, normalize } from "node:path";
import { fileURLToPath } from "node:url";
import { CSP, ending } from "../browser/support/harness.mjs";

const here = dirname(fileURLToPath(import.meta.url));
const dist = join(here, "../../www/npm/dist");
const webtorrent = join(here, "node_modules/webtorrent/dist");
const TYPES = {
  ".html": "text/html",
  ".css": "text/css",
  ".json": "application/json",
  ".svg": "image/svg+xml",
  ".js": "text/javascript",
  ".wasm": "application/wasm",
  ".mp4": "video/mp4",
};
let next = 2;

/**
 * Serves the bench's pages with both packages, or a `folder`, and `files` (path to file); `strict` sends our policy;
 * `requests` is the log.
 */
export async function siteFor({ folder, files = {}, strict = false, requests = [] }) {
  const server = createServer((request, response) => {
    const path = normalize(new URL(request.url, "http://x").pathname);
    requests.push(path);
    const file = files[path] ?? (folder ? join(folder, path === "/" ? "index.html" : path) : fileOf(path));
    const found = statSync(file, { throwIfNoEntry: false });
    const headers = {
      "Cache-Control": "no-store",
      "X-Content-Type-Options": "nosniff",
      ...(strict ? { "Content-Security-Policy": CSP } : {}),
    };
    if (!found?.isFile()) return response.writeHead(404, headers).end();
    response.writeHead(200, {
      ...headers,
      "Content-Type": TYPES[extname(file)] ?? "application/octet-stream",
      "Content-Length": found.size,
    });
    createReadStream(file).pipe(response);
  });
  const host = `127.0.0.${next++}`;
  await new Promise((resolve, reject) => server.once("error", reject).listen(0, host, resolve));
  ending(
    () =>
      new Promise((resolve) => {
        server.close(resolve);
        server.closeAllConnections();
      }),
  );
  return `http://${host}:${server.address().port}`;
}

function fileOf(path) {
  if (path === "/piecework-sw.js") return join(dist, "sw.js");
  if (path === "/sw.min.js") return join(webtorrent, "sw.min.js");
  if (path.startsWith("/dist/")) return join(dist, path.slice(6));
  if (path.startsWith("/webtorrent/")) return join(webtorrent, path.slice(12));
  return join(here, "pages", path);
}
