// libtorrent, by its Python binding: one process for the whole run.
import { spawn } from "node:child_process";
import { dirname, join } from "node:path";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import { digestsOf } from "../contents.mjs";
import { ending, folder } from "../../browser/harness.mjs";

const here = dirname(fileURLToPath(import.meta.url));
const packages = process.env.PIECEWORK_LIBTORRENT ?? join(here, "../../../target/libtorrent");

export class Libtorrent {
  name = "libtorrent";
  #child;
  #waiting = new Map();
  /** Why nothing is answered any more. */
  #ended = null;
  #next = 1;
  #data = folder("libtorrent");
  #paths = new Map();

  static async start() {
    const peer = new Libtorrent();
    peer.#child = spawn("python3", [join(here, "libtorrent_peer.py")], { stdio: ["pipe", "pipe", "pipe"], env: { ...process.env, PYTHONPATH: packages } });
    const complaints = [];
    createInterface({ input: peer.#child.stderr }).on("line", (line) => complaints.push(line));
    createInterface({ input: peer.#child.stdout }).on("line", (line) => {
      const { id, error, ...answer } = JSON.parse(line);
      const waiting = peer.#waiting.get(id);
      peer.#waiting.delete(id);
      if (error === undefined) waiting?.resolve(answer);
      else waiting?.reject(new Error(`libtorrent: ${error}`));
    });
    const gone = new Promise((resolve) => peer.#child.once("exit", resolve));
    peer.#child.once("exit", (code, signal) => {
      peer.#ended = new Error(`libtorrent's process ended with ${code ?? signal}: ${complaints.join("\n")}`);
      for (const { reject } of peer.#waiting.values()) reject(peer.#ended);
    });
    peer.#child.stdin.on("error", () => undefined); // said by its exit
    ending(() => (peer.#child.stdin.end(), gone));
    peer.version = (await new Promise((resolve, reject) => peer.#waiting.set(0, { resolve, reject }))).version;
    return peer;
  }

  #command(command, fields) {
    if (this.#ended) return Promise.reject(this.#ended);
    const id = this.#next++;
    return new Promise((resolve, reject) => {
      this.#waiting.set(id, { resolve, reject });
      this.#child.stdin.write(`${JSON.stringify({ id, command, ...fields })}\n`);
    });
  }

  /** A torrent of this content, made by libtorrent: v1, or a hybrid of v1 and v2. */
  async create(content, tracker, { hybrid = false } = {}) {
    const { torrentFile, ...made } = await this.#command("create", { path: content.path, tracker, hybrid });
    return { ...made, torrentFile: Buffer.from(torrentFile, "base64") };
  }

  async seed(content, tracker) {
    const made = await this.create(content, tracker);
    await this.seedTorrent(content, made.torrentFile, tracker);
    return made;
  }

  async seedTorrent(content, torrentFile, tracker) {
    const { infoHash } = await this.#command("add", { torrentFile: torrentFile.toString("base64"), path: dirname(content.path), tracker });
    await this.#command("done", { infoHash });
    return infoHash;
  }

  async fetch(source, tracker) {
    const path = join(this.#data, String(this.#next));
    const { infoHash } = await this.#command("add", { ...(typeof source === "string" ? { magnet: source } : { torrentFile: source.toString("base64") }), path, tracker });
    this.#paths.set(infoHash, path);
    return infoHash;
  }

  async done(infoHash) {
    await this.#command("done", { infoHash });
  }

  async digests(infoHash) {
    return digestsOf(this.#paths.get(infoHash));
  }

  async remove(infoHash) {
    await this.#command("remove", { infoHash });
  }

  async state(infoHash) {
    return JSON.stringify(await this.#command("state", { infoHash }));
  }
}
