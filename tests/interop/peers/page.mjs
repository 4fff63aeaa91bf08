// Peers in Chromium: our page and WebTorrent, each in a browser of its own that is started once.
import assert from "node:assert/strict";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { browser, open, site } from "../../browser/support/harness.mjs";

const here = dirname(fileURLToPath(import.meta.url));
const pages = join(here, "../pages");
const bundle = join(here, "../node_modules/webtorrent/dist/webtorrent.min.js");

const text = JSON.stringify;

class Page {
  #context;
  #page;

  async open(context, url) {
    this.#context = context;
    this.#page = await open(context, url);
  }

  run(expression) {
    return this.#page.run(expression);
  }

  /** Chooses a file or folder as a visitor would. */
  async choose({ path, isFolder }) {
    await this.run("forget()");
    const session = await this.#context.newCDPSession(this.#page);
    const { root } = await session.send("DOM.getDocument");
    const { nodeId } = await session.send("DOM.querySelector", {
      nodeId: root.nodeId,
      selector: isFolder ? "#folder" : "#file",
    });
    await session.send("DOM.setFileInputFiles", { nodeId, files: [path] });
    await session.detach();
    await this.run("changed");
  }

  fetch(source, tracker) {
    return this.run(
      `add(${text(typeof source === "string" ? source : source.toString("base64"))}, ${text(tracker ?? null)})`,
    );
  }

  done(infoHash) {
    return this.run(`done(${text(infoHash)})`);
  }

  digests(infoHash) {
    return this.run(`digests(${text(infoHash)})`);
  }

  remove(infoHash) {
    return this.run(`remove(${text(infoHash)})`);
  }

  state(infoHash) {
    return this.run(`state(${text(infoHash)})`);
  }
}

/** Our page. */
export class Piecework extends Page {
  name = "page";
  #context;

  static async start() {
    return Piecework.#in((await browser()).context);
  }

  /** One more page of ours, of another origin: an engine, a storage and a peer of its own. */
  async another() {
    return Object.assign(await Piecework.#in(this.#context), { name: "another page" });
  }

  static async #in(context) {
    const peer = new Piecework();
    peer.#context = context;
    await peer.open(context, `${await site({ pages })}/piecework.html`);
    return peer;
  }

  async seed(content, tracker) {
    await this.choose(content);
    const { infoHash, torrentFile } = await this.run(`seed(${text(tracker)})`);
    const name = encodeURIComponent(content.name);
    const magnet = `magnet:?xt=urn:btih:${infoHash}&dn=${name}&tr=${encodeURIComponent(tracker)}`;
    return { infoHash, magnet, torrentFile: Buffer.from(torrentFile, "base64") };
  }

  /** A page makes its torrents itself: from the same files it must make the same torrent. */
  async seedTorrent(content, _torrentFile, tracker, infoHash) {
    const made = await this.seed(content, tracker);
    assert.equal(made.infoHash, infoHash, "our page makes another torrent of the same files");
    return made.infoHash;
  }
}

/** WebTorrent. */
export class WebTorrent extends Page {
  name = "WebTorrent";

  static async start() {
    const peer = new WebTorrent();
    const { context } = await browser();
    await peer.open(
      context,
      `${await site({ pages, policy: null, mounts: { "/webtorrent.min.js": bundle } })}/webtorrent.html`,
    );
    return peer;
  }

  async seed(content, tracker) {
    await this.choose(content);
    return this.run(`seed(${text(tracker)}, ${text(content.name)})`);
  }

  async seedTorrent(content, torrentFile, tracker) {
    await this.choose(content);
    return this.run(`seedTorrent(${text(torrentFile.toString("base64"))}, ${text(tracker)})`);
  }
}
