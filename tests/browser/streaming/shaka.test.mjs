// DASH and HLS out of a torrent, by Shaka Player and `piecework/shaka`: three levels, sold by a native seeder.
import assert from "node:assert/strict";
import { browser, open } from "../support/harness.mjs";
import { playerSite } from "../support/paid/stream.mjs";
import { elsewhere, endsWell, watchesAgain, watchesPaidStream } from "../support/paid/stream_scenes.mjs";
import { test } from "../support/tests.mjs";

for (const manifest of ["manifest.mpd", "master.m3u8"])
  test(`Shaka plays ${manifest}, changes levels, seeks; the viewer pays for the segments that it loads`, async () => {
    const scene = await watchesPaidStream("shaka-player", { manifest });
    const { page, bought } = scene;
    // Its own numbers are those of the network.
    const { estimatedBandwidth, bytesDownloaded } = await page.run(`(() => {
      const { estimatedBandwidth, bytesDownloaded } = player.getStats();
      return { estimatedBandwidth, bytesDownloaded };
    })()`);
    assert.ok(estimatedBandwidth > 1_000_000, `${estimatedBandwidth}`);
    assert.ok(bytesDownloaded > 0 && bytesDownloaded <= bought.blocks * 16_384, `${bytesDownloaded}`);
    await watchesAgain(scene);
    await endsWell(scene, "shaka-player");
  });

test("Shaka gets errors of its own kind, and a manifest that leads out of its torrent is refused", async () => {
  const { host, asked } = await elsewhere("nothing");
  const there = `http://${host}`;
  const page = await open((await browser()).context, await playerSite("shaka-player", "shaka"));
  await page.run("start({})");
  await page.run(`(async () => {
    const { Player: shaka, piecework, urlOf } = await import("/player.js");
    window.shaka = shaka;
    const file = (name, text) =>
      Object.defineProperty(new File([text], name), "webkitRelativePath", { value: "show/" + name });
    const playlist = (uri) => "#EXTM3U\\n#EXT-X-STREAM-INF:BANDWIDTH=100000,CODECS=\\"avc1.4d400c\\"\\n" + uri + "\\n";
    window.torrent = await client.seed([
      file("foreign.m3u8", playlist("${there}/low.m3u8")),
      file("missing.m3u8", playlist("low.m3u8")),
      file("part.bin", "0123456789"),
    ]);
    window.player = new shaka.Player();
    await player.attach(video);
    window.release = piecework(shaka, player, torrent, { allow: (url) => url.endsWith("/allowed") });
    window.urlOf = urlOf;
    window.failure = (work) => work.then(() => "it loaded", ({ category, code, severity, data }) => ({
      category, code, severity, status: data?.[1], text: String(data?.[0]?.message ?? data?.[2]),
    }));
    // A request as Shaka makes it, of the type for a file of the site's own.
    window.ask = (url, more = {}) => {
      const { makeRequest, defaultRetryParameters } = shaka.net.NetworkingEngine;
      const request = makeRequest([url], defaultRetryParameters());
      const { headers = {}, ...rest } = more;
      Object.assign(request.headers, headers);
      Object.assign(request, rest);
      return player.getNetworkingEngine().request(shaka.net.NetworkingEngine.RequestType.APP, request);
    };
    window.text = (data) => new TextDecoder().decode(data);
  })()`);
  const { Category, Code, Severity } = await page.run(
    "({ Category: shaka.util.Error.Category, Code: shaka.util.Error.Code, Severity: shaka.util.Error.Severity })",
  );
  const failure = (work) => page.run(`failure(${work})`);

  const foreign = await failure(`player.load(urlOf(torrent, "foreign.m3u8"))`);
  assert.deepEqual([foreign.category, foreign.code], [Category.NETWORK, Code.REQUEST_FILTER_ERROR]);
  assert.match(foreign.text, /is no address in this torrent: see the option allow/);
  assert.deepEqual(asked, []);
  const missing = await failure(`player.load(urlOf(torrent, "missing.m3u8"))`);
  assert.deepEqual(missing, {
    category: Category.NETWORK,
    code: Code.BAD_HTTP_STATUS,
    severity: Severity.CRITICAL,
    status: 404,
    text: "there is no file low.m3u8 in show: see torrent.files",
  });

  // Parts, heads, what the site allows, and an end that the player wants.
  const answered = await page.run(`(async () => {
    const ranged = ask(urlOf(torrent, "part.bin"), { headers: { Range: "bytes=2-4" } });
    const { data, status, headers, uri } = await ranged.promise;
    const head = await ask(urlOf(torrent, "part.bin"), { method: "HEAD" }).promise;
    const own = await ask("${there}/allowed").promise;
    return [
      text(data), status, headers["content-range"], uri,
      head.data.byteLength, head.headers["content-length"], text(own.data),
    ];
  })()`);
  const url = await page.run(`urlOf(torrent, "part.bin")`);
  assert.deepEqual(answered, ["234", 206, "bytes 2-4/10", url, 0, "10", "nothing"]);
  assert.deepEqual(asked, ["/allowed"]);
  const outside = await failure(`ask(urlOf(torrent, "part.bin"), { headers: { Range: "bytes=10-" } }).promise`);
  assert.deepEqual([outside.code, outside.status], [Code.BAD_HTTP_STATUS, 416]);

  // Of a torrent that nobody has, nothing comes: a request ends when it is aborted, or late.
  await page.run(`(async () => {
    window.unknown = await client.add("ab".repeat(20), { trackers: ["ws://127.0.0.1:9/"] });
    window.other = new shaka.Player();
    (await import("/player.js")).piecework(shaka, other, unknown);
    window.askUnknown = (timeout) => {
      const { makeRequest, defaultRetryParameters } = shaka.net.NetworkingEngine;
      const retry = { ...defaultRetryParameters(), timeout, maxAttempts: 1, connectionTimeout: 0 };
      const request = makeRequest([urlOf(unknown, "a.ts")], retry);
      return other.getNetworkingEngine().request(shaka.net.NetworkingEngine.RequestType.APP, request);
    };
  })()`);
  const aborted = await failure(`(async () => {
    const operation = askUnknown(0);
    await new Promise((resolve) => setTimeout(resolve));
    void operation.abort();
    return operation.promise;
  })()`);
  assert.equal(aborted.code, Code.OPERATION_ABORTED);
  assert.equal((await failure("askUnknown(50).promise")).code, Code.TIMEOUT);

  // A player that was let go gets nothing more.
  await page.run("release()");
  const gone = await failure(`ask(urlOf(torrent, "part.bin")).promise`);
  assert.deepEqual([gone.code, gone.status], [Code.BAD_HTTP_STATUS, 404]);
});
