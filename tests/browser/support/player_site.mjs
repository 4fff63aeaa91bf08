// The built page on a free port under the strict policy that a site should send. `config` answers `demo.json`, which
// the page asks for first on this machine. `documents` come before the page's own files.
import { existsSync } from "node:fs";
import { readFile } from "node:fs/promises";
import { createServer } from "node:http";
import { dirname, extname, join, normalize } from "node:path";
import { fileURLToPath } from "node:url";

const here = dirname(fileURLToPath(import.meta.url));
const root = join(here, "..", "..", "..");
/** The folder of www/player that `npm run build` fills. */
export const dist = join(root, "www", "player", "dist");
const TYPES = {
  ".html": "text/html; charset=utf-8",
  ".js": "text/javascript",
  ".css": "text/css",
  ".svg": "image/svg+xml",
  ".json": "application/json",
  ".mp4": "video/mp4",
  ".vtt": "text/vtt",
  ".wasm": "application/wasm",
};

/** The `documents` of a site whose author embeds `<piecework-player>`: `embed.html` and the element's script. */
export const EMBED = {
  "/embed.html": join(here, "pages", "embed.html"),
  "/player.js": join(root, "www", "npm", "dist", "player.js"),
};

/** The header. `connect` are the sources besides the site itself. */
export function policy(connect = "") {
  return (
    "default-src 'none'; script-src 'self' 'wasm-unsafe-eval'; worker-src 'self'; " +
    `connect-src 'self'${connect && ` ${connect}`}; style-src 'self'; img-src 'self' data:; media-src 'self'; ` +
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'; " +
    "trusted-types piecework"
  );
}

/**
 * Serves the site. Answers `{url, close}`. `config()` is the site's configuration, or `null` for a site without one.
 */
export async function serve({ config, connect = "", documents = {}, video = null }) {
  if (!existsSync(join(dist, "page.js")))
    throw new Error("www/player/dist is not built: run `npm run build` in www/npm and www/player");
  const headers = {
    "content-security-policy": policy(connect),
    "x-content-type-options": "nosniff",
    "cache-control": "no-cache",
  };
  const answer = async (request, response) => {
    const { pathname } = new URL(request.url, "http://page");
    const send = (status, body, type, more = {}) =>
      response.writeHead(status, { ...headers, "content-type": type, ...more }).end(body);
    if (pathname === "/demo.json")
      return config() ? send(200, JSON.stringify(config()), TYPES[".json"]) : send(404, "", "text/plain");
    const type = TYPES[extname(pathname)] ?? "application/octet-stream";
    if (documents[pathname]) return send(200, await readFile(documents[pathname]), type);
    if (pathname === "/video.mp4" && video) {
      const [, from, to] = /bytes=(\d+)-(\d*)/.exec(request.headers.range ?? "bytes=0-") ?? [];
      const [start, end] = [Number(from), to ? Number(to) : video.length - 1];
      return send(206, video.subarray(start, end + 1), TYPES[".mp4"], {
        "content-range": `bytes ${start}-${end}/${video.length}`,
        "accept-ranges": "bytes",
      });
    }
    const file = normalize(join(dist, pathname === "/" ? "index.html" : pathname));
    if (!file.startsWith(dist) || !existsSync(file)) return send(404, "not found", "text/plain");
    return send(200, await readFile(file), TYPES[extname(file)] ?? type);
  };
  const server = createServer((request, response) => void answer(request, response));
  await new Promise((resolve) => server.listen(0, "127.0.0.1", resolve));
  const close = () =>
    new Promise((resolve) => {
      server.close(resolve);
      server.closeAllConnections();
    });
  return { url: `http://127.0.0.1:${server.address().port}/`, close };
}
