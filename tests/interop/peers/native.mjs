// Our native peer, `piecework`: a process for each torrent.
import { execFile, spawn } from "node:child_process";
import { rmSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { digestsOf } from "../contents.mjs";
import { ending, folder } from "../../browser/support/harness.mjs";

const here = dirname(fileURLToPath(import.meta.url));
const program = join(process.env.PIECEWORK_BINARIES ?? join(here, "../../../target/debug"), "piecework");

/** A process that has not ended by then after Ctrl-C is killed, and has failed. */
const STOP_LIMIT_MS = 60_000;

export class Native {
  name = "native";
  #folder = folder("native");
  #next = 1;
  #running = new Map();

  static async start() {
    const peer = new Native();
    ending(() => Promise.all([...peer.#running.keys()].map((infoHash) => peer.remove(infoHash))));
    peer.version = (await promisify(execFile)(program, ["--version"])).stdout.trim().split(" ")[1];
    return peer;
  }

  /** Our parser's view of a .torrent. */
  async infoHash(torrentFile) {
    return (await this.#written(torrentFile)).infoHash;
  }

  /** A torrent of this content, made by our native peer. */
  async create(content, tracker) {
    const file = join(this.#folder, `${this.#next++}.torrent`);
    return JSON.parse(
      (await promisify(execFile)(program, ["create", content.path, "--tracker", tracker, "-o", file, "--json"])).stdout,
    );
  }

  async seed(content, tracker) {
    const { file, info_hash: infoHash, magnet } = await this.create(content, tracker);
    await this.#seeding(infoHash, file, dirname(content.path), []);
    return { infoHash, magnet };
  }

  async seedTorrent(content, torrentFile, tracker) {
    const { file, infoHash } = await this.#written(torrentFile);
    await this.#seeding(infoHash, file, dirname(content.path), ["--tracker", tracker]);
    return infoHash;
  }

  /** Begins to fetch a magnet link, or a .torrent's bytes, and seeds what is complete. */
  async fetch(source, tracker) {
    const path = join(this.#folder, String(this.#next++));
    const { file, infoHash } =
      typeof source === "string"
        ? { file: source, infoHash: /urn:btih:([0-9a-f]{40})/i.exec(source)[1].toLowerCase() }
        : await this.#written(source);
    this.#start(infoHash, [
      "get",
      "--no-stun",
      file,
      "-o",
      join(path, "data"),
      "--state",
      join(path, "state"),
      "--seed",
      "--json",
      "--stats",
      "5",
      ...(tracker ? ["--tracker", tracker] : []),
    ]);
    this.#running.get(infoHash).path = path;
    return infoHash;
  }

  async done(infoHash) {
    await this.#line(infoHash, ({ event }) => event === "complete");
  }

  async digests(infoHash) {
    return digestsOf(join(this.#running.get(infoHash).path, "data"));
  }

  /** Ends the process that has the torrent, as Ctrl-C does; its exit code must be 0. */
  async remove(infoHash) {
    const running = this.#running.get(infoHash);
    if (!running) return;
    this.#running.delete(infoHash);
    running.child.kill("SIGINT");
    const timer = setTimeout(() => running.child.kill("SIGKILL"), STOP_LIMIT_MS);
    const code = await running.gone;
    clearTimeout(timer);
    if (running.path) rmSync(running.path, { recursive: true, force: true });
    if (code !== 0) throw new Error(`piecework ended with ${code} instead of 0: ${running.lines.join("\n")}`);
  }

  async state(infoHash) {
    return this.#running.get(infoHash)?.lines.slice(-3).join("\n") ?? "not running";
  }

  async #written(torrentFile) {
    const file = join(this.#folder, `${this.#next++}.torrent`);
    writeFileSync(file, torrentFile);
    const { stdout } = await promisify(execFile)(program, ["info", file, "--json"]);
    return { file, infoHash: JSON.parse(stdout).info_hash };
  }

  async #seeding(infoHash, file, data, more) {
    this.#start(infoHash, [
      "seed",
      file,
      "--data",
      data,
      "--state",
      join(this.#folder, `state-${this.#next++}`),
      "--no-stun",
      "--json",
      "--stats",
      "5",
      ...more,
    ]);
    await this.#line(infoHash, ({ event }) => event === "seeding");
  }

  #start(infoHash, words) {
    const child = spawn(program, words, { stdio: ["ignore", "pipe", "pipe"] });
    const running = {
      child,
      lines: [],
      listeners: new Set(),
      gone: new Promise((resolve) => child.once("exit", (code, signal) => resolve(code ?? signal))),
    };
    const hear = (line) => {
      running.lines.push(line);
      for (const listener of running.listeners) listener(line);
    };
    createInterface({ input: child.stdout }).on("line", hear);
    createInterface({ input: child.stderr }).on("line", hear);
    this.#running.set(infoHash, running);
  }

  /** Resolves at the first line of JSON that fits, past or future. */
  #line(infoHash, fits) {
    const running = this.#running.get(infoHash);
    return new Promise((resolve, reject) => {
      const look = (line) => {
        if (!line.startsWith("{") || !fits(JSON.parse(line))) return false;
        running.listeners.delete(look);
        resolve(line);
        return true;
      };
      if (running.lines.some(look)) return;
      running.listeners.add(look);
      running.gone.then((code) => reject(new Error(`piecework ended with ${code}: ${running.lines.join("\n")}`)));
    });
  }
}
