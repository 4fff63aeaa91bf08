// A web server that has a torrent's files (BEP 19), of another origin than the page.
import { createServer } from "node:http";
import { ending } from "./harness.mjs";

/**
 * Serves these bytes at `/film.mp4` and counts. `cors`: it lets every page read them; `ranges`: it serves parts;
 * `spoil(start, part)` changes bytes. `asked` has the headers of each GET, `sent` the bytes of bodies.
 */
export async function webSeed(bytes, { cors = true, ranges = true, spoil = (_, part) => part } = {}) {
  const seen = { asked: [], preflights: 0, sent: 0, url: "", origin: "" };
  const server = createServer((request, response) => {
    if (cors) response.setHeader("Access-Control-Allow-Origin", "*");
    if (request.method === "OPTIONS") {
      seen.preflights++;
      if (cors) response.setHeader("Access-Control-Allow-Headers", "Range");
      return response.writeHead(204).end();
    }
    seen.asked.push(request.headers);
    if (request.url !== "/film.mp4") return response.writeHead(404).end();
    const [, first, last] = /^bytes=(\d+)-(\d+)$/.exec(request.headers.range ?? "") ?? [];
    const [start, end] = ranges && first ? [Number(first), Number(last) + 1] : [0, bytes.length];
    const body = spoil(start, Buffer.from(bytes.subarray(start, end)));
    const part = { "Content-Range": `bytes ${start}-${end - 1}/${bytes.length}` };
    response.writeHead(ranges && first ? 206 : 200, {
      "Content-Length": body.length,
      ...(ranges && first ? part : {}),
    });
    // In parts, so that one that is not read to its end is not counted whole.
    const write = (from) => {
      if (response.destroyed) return;
      if (from >= body.length) return response.end();
      seen.sent += Math.min(65_536, body.length - from);
      response.write(body.subarray(from, from + 65_536), () => write(from + 65_536));
    };
    write(0);
  });
  await new Promise((resolve) => server.listen(0, "127.0.0.1", resolve));
  ending(
    () =>
      new Promise((resolve) => {
        server.close(resolve);
        server.closeAllConnections();
      }),
  );
  seen.origin = `http://127.0.0.1:${server.address().port}`;
  seen.url = `${seen.origin}/film.mp4`;
  return seen;
}
