// The page takes the address of the connection for a peer's address, whatever the peer's description names.
import assert from "node:assert/strict";
import { browser, folder, open, signaling, site } from "../support/harness.mjs";
import { test } from "../support/tests.mjs";

/** An address of TEST-NET-3 (RFC 5737), which nobody has. */
const LIE = "203.0.113.5";

/**
 * Runs before a page's scripts. It keeps the addresses that the page reports to its engine. With a lie, it puts that
 * into each description that leaves.
 */
function watch(lie) {
  if (window.told) return;
  window.told = [];
  window.described = [];
  const post = Worker.prototype.postMessage;
  Worker.prototype.postMessage = function (message, ...rest) {
    if (message.t === "address") told.push(message.address);
    if (lie && (message.t === "offer" || message.t === "answer")) {
      const [line] = /^a=candidate:.*typ host.*$/m.exec(message.sdp);
      const fields = line.trim().split(" ");
      fields[4] = lie;
      const reflexive = fields.join(" ").replace("typ host", `typ srflx raddr 0.0.0.0 rport 9`);
      described.push(
        ...[...message.sdp.matchAll(/^a=candidate:\S+ \d+ \S+ \d+ (\S+)/gm)].map(([, address]) => address),
      );
      return post.call(this, { ...message, sdp: message.sdp.replace(line, `${reflexive}\r\n${line}`) }, ...rest);
    }
    return post.call(this, message, ...rest);
  };
}

/** A page in a browser of its own. */
async function watched(url, lie) {
  const { context } = await browser(folder("profile"));
  await context.addInitScript(watch, lie);
  return open(context, url);
}

test("a peer that names another's address in its description is known by the one it has", async () => {
  const [url, tracker] = [await site(), await signaling()];
  const trackers = JSON.stringify({ trackers: [tracker] });
  const [liar, honest] = [await watched(url, LIE), await watched(url, null)];
  await liar.run(`start(${trackers})`);
  const torrent = await liar.run(`seed(${2 << 20}, 3)`);
  await honest.run(`start(${trackers})`);
  await honest.run(`add(${JSON.stringify(torrent)})`);
  await honest.run("done()");
  const [told, described] = [await honest.run("told"), await liar.run("described")];
  assert.ok(told.length > 0);
  for (const address of told) assert.ok(described.includes(address) && address !== LIE, `${address} of ${described}`);
});
