// libtorrent, by its Python binding.
import { spawn } from "node:child_process";
import { dirname, join } from "node:path";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import { digestsOf } from "../contents.mjs";
import { ending, folder } from "../../browser/support/harness.mjs";

const here = dirname(fileURLToPath(import.meta.url));
const packages = process.env.PIECEWORK_LIBTORRENT ?? join(here, "../../../target/libtorrent");

/** One run of libtorrent_peer.py: a session. */
class Session {
  #child;
  #waiting = new Map();
  /** The reason why nothing answers any more. */
  #ended = null;
  #next = 1;
  #gone;

  static async start() {
    const session = new Session();
    const child = spawn("python3", [join(here, "libtorrent_peer.py")], {
      stdio: ["pipe", "pipe", "pipe"],
      env: { ...process.env, PYTHONPATH: packages },
    });
    session.#child = child;
    const complaints = [];
    createInterface({ input: child.stderr }).on("line", (line) => complaints.push(line));
    createInterface({ input: child.stdout }).on("line", (line) => {
      const { id, error, ...answer } = JSON.parse(line);
      const waiting = session.#waiting.get(id);
      session.#waiting.delete(id);
      if (error === undefined) waiting?.resolve(answer);
      else waiting?.reject(new Error(`libtorrent: ${error}`));
    });
    session.#gone = new Promise((resolve) => child.once("exit", resolve));
    child.once("exit", (code, signal) => {
      session.#ended = new Error(`libtorrent's process ended with ${code ?? signal}: ${complaints.join("\n")}`);
      for (const { reject } of session.#waiting.values()) reject(session.#ended);
    });
    child.stdin.on("error", () => undefined); // reported by its exit
    session.version = (await new Promise((resolve, reject) => session.#waiting.set(0, { resolve, reject }))).version;
    return session;
  }

  command(command, fields) {
    if (this.#ended) return Promise.reject(this.#ended);
    const id = this.#next++;
    return new Promise((resolve, reject) => {
      this.#waiting.set(id, { resolve, reject });
      this.#child.stdin.write(`${JSON.stringify({ id, command, ...fields })}\n`);
    });
  }

  end() {
    this.#child.stdin.end();
    return this.#gone;
  }
}

/**
 * A session for each torrent. In one session, a torrent that was removed stays in the swarm of bittorrent-tracker's
 * server under an id that nobody answers for (libtorrent takes a new id each time, and says no farewell on its socket),
 * and libtorrent 2.1.1 now and then crashes after a removal (SIGSEGV in its own code).
 */
export class Libtorrent {
  name = "libtorrent";
  /** Makes torrents, and has none. */
  #maker;
  /** By info hash. */
  #sessions = new Map();
  #next = 1;
  #data = folder("libtorrent");
  #paths = new Map();

  static async start() {
    const peer = new Libtorrent();
    peer.#maker = await Session.start();
    ending(() => Promise.all([peer.#maker, ...peer.#sessions.values()].map((session) => session.end())));
    peer.version = peer.#maker.version;
    return peer;
  }

  /** A torrent of this content, made by libtorrent: v1, or a hybrid of v1 and v2; with this tracker in it, if any. */
  async create(content, tracker, { hybrid = false } = {}) {
    const { torrentFile, ...made } = await this.#maker.command("create", { path: content.path, tracker, hybrid });
    return { ...made, torrentFile: Buffer.from(torrentFile, "base64") };
  }

  async seed(content, tracker) {
    const made = await this.create(content, tracker);
    await this.seedTorrent(content, made.torrentFile, tracker);
    return made;
  }

  async seedTorrent(content, torrentFile, tracker) {
    const infoHash = await this.#add({
      torrentFile: torrentFile.toString("base64"),
      path: dirname(content.path),
      tracker,
    });
    await this.done(infoHash);
    return infoHash;
  }

  async fetch(source, tracker) {
    const path = join(this.#data, String(this.#next++));
    const infoHash = await this.#add({
      ...(typeof source === "string" ? { magnet: source } : { torrentFile: source.toString("base64") }),
      path,
      tracker,
    });
    this.#paths.set(infoHash, path);
    return infoHash;
  }

  async #add(fields) {
    const session = await Session.start();
    const { infoHash } = await session.command("add", fields);
    this.#sessions.set(infoHash, session);
    return infoHash;
  }

  async done(infoHash) {
    await this.#sessions.get(infoHash).command("done", { infoHash });
  }

  async digests(infoHash) {
    return digestsOf(this.#paths.get(infoHash));
  }

  async remove(infoHash) {
    const session = this.#sessions.get(infoHash);
    this.#sessions.delete(infoHash);
    await session?.end();
  }

  async state(infoHash) {
    return JSON.stringify((await this.#sessions.get(infoHash)?.command("state", { infoHash })) ?? "not running");
  }
}
