// The native seeder, driven by its line protocol (`piecework seed --json --stdin-commands`).
//
// Either the orchestration started it and hands over a named pipe and a log (`commands`, `log`). Or it hands over the
// command line, and the play-through starts it (`command`: [program, ...arguments]).
import { spawn } from "node:child_process";
import { open } from "node:fs/promises";
import { createInterface } from "node:readline";

const ANSWER_LIMIT_MS = 60_000;
const START_LIMIT_MS = 60_000;

/** A running seeder. */
export class Seeder {
  #waiting = [];
  #write;
  #stop;

  constructor(write, stop) {
    this.#write = write;
    this.#stop = stop;
  }

  /** Takes over the seeder that the configuration describes. */
  static async take(config) {
    const { name = "seeder", command, commands, log } = config;
    if (command) return Object.assign(await Seeder.#spawn(command), { name });
    if (commands && log) return Object.assign(await Seeder.#follow(commands, log), { name });
    throw new Error(
      "the configuration says neither how to start the seeder (seeder.command) " +
        "nor where its commands go (seeder.commands, seeder.log)",
    );
  }

  static async #spawn([program, ...given]) {
    const child = spawn(program, given, { stdio: ["pipe", "pipe", "inherit"] });
    const ended = new Promise((resolve) => child.once("close", resolve));
    const seeder = new Seeder(
      async (line) => void child.stdin.write(line),
      async () => {
        child.stdin.end("quit\n");
        const timer = setTimeout(() => child.kill("SIGKILL"), 10_000);
        await ended;
        clearTimeout(timer);
      },
    );
    const lines = createInterface({ input: child.stdout });
    const ready = new Promise((resolve, reject) => {
      const timer = setTimeout(() => reject(new Error("the seeder did not say that it is seeding")), START_LIMIT_MS);
      child.once("error", reject);
      child.once("close", (code) => reject(new Error(`the seeder ended with ${code}`)));
      lines.on("line", (line) => {
        if (!/seeding/i.test(line)) return;
        clearTimeout(timer);
        resolve();
      });
    });
    lines.on("line", (line) => seeder.#read(line));
    await ready;
    return seeder;
  }

  static async #follow(commands, log) {
    const pipe = await open(commands, "w");
    const file = await open(log, "r");
    let at = (await file.stat()).size;
    let rest = "";
    let reading = false;
    const seeder = new Seeder(
      (line) => pipe.write(line),
      async () => {
        clearInterval(timer);
        await pipe.close();
        await file.close();
      },
    );
    // A log that another process writes has no events of its own, so this looks at it until the answer is there.
    const timer = setInterval(async () => {
      if (reading || seeder.#waiting.length === 0) return;
      reading = true;
      const { bytesRead, buffer } = await file
        .read({ position: at, buffer: Buffer.alloc(1 << 20) })
        .finally(() => (reading = false));
      at += bytesRead;
      rest += buffer.subarray(0, bytesRead).toString();
      const lines = rest.split("\n");
      rest = lines.pop() ?? "";
      for (const line of lines) seeder.#read(line);
    }, 100);
    return seeder;
  }

  /** Gives a command and waits for its answer. */
  async ask(command) {
    const answer = new Promise((resolve, reject) => {
      const timer = setTimeout(() => reject(new Error(`the seeder did not answer ${command}`)), ANSWER_LIMIT_MS);
      const answered = (value) => {
        clearTimeout(timer);
        resolve(value);
      };
      this.#waiting.push({ command, resolve: answered });
    });
    await this.#write(`${command}\n`);
    return answer;
  }

  async close() {
    await this.#stop();
  }

  #read(line) {
    if (!line.startsWith("{")) return;
    let json;
    try {
      json = JSON.parse(line);
    } catch {
      return; // not an answer: a log line that begins alike
    }
    const at = this.#waiting.findIndex((waiting) => waiting.command === json.command);
    if (at >= 0) this.#waiting.splice(at, 1)[0].resolve(json);
  }
}
