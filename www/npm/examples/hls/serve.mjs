// Serves the two pages, the package's files and the players with the header that a site of streams sends, on
// http://127.0.0.1:8080 or the port that is named.
import { createReadStream, statSync } from "node:fs";
import { createServer } from "node:http";
import { extname, join, normalize } from "node:path";
import { fileURLToPath } from "node:url";

const here = fileURLToPath(new URL(".", import.meta.url));
const dist = join(here, "../../dist");
/** Folders by the beginning of a path; `/` is this one. */
const FOLDERS = { "/piecework/": dist, "/players/": join(here, "../../node_modules"), "/": here };
/** A client registers its service worker wherever a site has it. */
const FILES = { "/": join(here, "index.html"), "/piecework-sw.js": join(dist, "sw.js") };
const TYPES = {
  ".html": "text/html; charset=utf-8",
  ".js": "text/javascript",
  ".mjs": "text/javascript",
  ".wasm": "application/wasm",
};
const HEADERS = {
  // As in the main README. Players of segments feed the picture by a `blob:` address.
  "Content-Security-Policy":
    "default-src 'none'; script-src 'self' 'wasm-unsafe-eval'; worker-src 'self'; connect-src 'self' ws: wss:; " +
    "style-src 'self'; img-src 'self' data:; media-src 'self' blob:; base-uri 'none'; form-action 'none'; " +
    "require-trusted-types-for 'script'; trusted-types piecework",
  "X-Content-Type-Options": "nosniff",
};

const server = createServer((request, response) => {
  const path = normalize(new URL(request.url, "http://x").pathname);
  const base = Object.keys(FOLDERS).find((base) => path.startsWith(base));
  const file = FILES[path] ?? join(FOLDERS[base], path.slice(base.length));
  if (!statSync(file, { throwIfNoEntry: false })?.isFile()) return response.writeHead(404, HEADERS).end();
  response.writeHead(200, { ...HEADERS, "Content-Type": TYPES[extname(file)] ?? "application/octet-stream" });
  createReadStream(file).pipe(response);
});
server.listen(Number(process.argv[2] ?? 8080), "127.0.0.1", () => {
  console.log(`http://127.0.0.1:${server.address().port}/ (hls.js), and /shaka.html there (Shaka Player)`);
});
