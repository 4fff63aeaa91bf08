// Two homes behind routers of their own, and the network between them, made of Linux network namespaces: veth pairs for
// cables, nftables for the routers' address translation. Needs root.
//
//   h1 192.168.1.2 --- r1 203.0.113.11 ---+--- 203.0.113.1 pub (servers)
//   h2 192.168.2.2 --- r2 203.0.113.12 ---+--- 203.0.113.254 net (takes what is for nobody here, and drops it)
//
// The name of every namespace begins with the number of this process. What a process that was killed left behind is
// removed by the next one.
import { execFileSync, spawn } from "node:child_process";
import { existsSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";

const PREFIX = "pwnat-";
/** The only address that both homes can reach. */
export const PUBLIC = "203.0.113.1";
const NOBODY = "203.0.113.254";

/**
 * How a router translates. `cone` keeps the port of a packet, so its outer address is the same for all destinations,
 * and lets in only answers. `symmetric` takes a new port for each destination.
 */
const TRANSLATIONS = { cone: "masquerade", symmetric: "masquerade random,fully-random" };

/** No step takes longer. */
const STEP_MS = 60_000;

const labs = new Set();
let count = 0;

/** Why no lab can be made on this machine; null if one can. */
export function forbidden() {
  const probe = `${PREFIX}${process.pid}-probe`;
  try {
    ip(["netns", "add", probe]);
    run("ip", ["netns", "exec", probe, "nft", "-f", "-"], router("cone"));
    return null;
  } catch (error) {
    return String(error.stderr || error.message)
      .trim()
      .split("\n")[0];
  } finally {
    quietly(() => ip(["netns", "del", probe]));
  }
}

/** A network with two homes behind routers of these kinds. */
export function lab(kind) {
  if (labs.size === 0) removeLeftovers();
  const made = new Lab();
  labs.add(made);
  made.build(kind);
  return made;
}

class Lab {
  #prefix = `${PREFIX}${process.pid}-${++count}-`;
  #children = new Set();
  #endings = [];
  folder = mkdtempSync(join(tmpdir(), "piecework-nat-"));

  build(kind) {
    const name = (place) => this.#name(place);
    const cable = (place, end, other, far) =>
      `link add ${end} netns ${name(place)} type veth peer name ${far} netns ${name(other)}`;
    const plugs = ["net", "r1", "r2"];
    batch(
      [],
      [
        ...PLACES.map((place) => `netns add ${name(place)}`),
        ...plugs.map((place) => cable(place, "wan", "pub", place)),
        ...[1, 2].map((n) => cable(`r${n}`, "lan", `h${n}`, "eth0")),
      ],
    );
    const up = (device, address) => [`addr add ${address}/24 dev ${device}`, `link set ${device} up`];
    const inside = (place, lines) => batch(["-n", name(place)], ["link set lo up", ...lines]);
    inside("pub", [
      "link add cables type bridge",
      ...up("cables", PUBLIC),
      ...plugs.map((place) => `link set ${place} master cables up`),
      `route add default via ${NOBODY}`,
    ]);
    inside("net", up("wan", NOBODY));
    for (const n of [1, 2]) {
      inside(`r${n}`, [
        ...up("wan", `203.0.113.1${n}`),
        ...up("lan", `192.168.${n}.1`),
        `route add default via ${NOBODY}`,
      ]);
      inside(`h${n}`, [...up("eth0", `192.168.${n}.2`), `route add default via 192.168.${n}.1`]);
      const forwards = "echo 1 > /proc/sys/net/ipv4/ip_forward && exec nft -f -";
      run("ip", ["netns", "exec", name(`r${n}`), "sh", "-c", forwards], router(kind));
    }
  }

  #name(place) {
    return this.#prefix + place;
  }

  /** The command line that starts a program at a place. */
  at(place) {
    return ["ip", "netns", "exec", this.#name(place)];
  }

  /** Runs a program at a place to its end. Answers its exit code and output. */
  async run(place, command, words) {
    const program = this.#spawn(place, command, words);
    const code = await soon(`${command} ends`, program.ended);
    return { code, output: program.lines.join("\n") };
  }

  /**
   * Starts a program at a place. `match` resolves with its output's first match of a pattern, `lines` is its output so
   * far, `ended` resolves with its exit code.
   */
  start(place, command, words) {
    const program = this.#spawn(place, command, words);
    return {
      ...program,
      match: (pattern) => soon(`${command} says ${pattern}`, program.match(pattern)),
      stop: async () => {
        program.child.kill("SIGTERM");
        await soon(`${command} ends`, program.ended);
      },
    };
  }

  #spawn(place, command, words) {
    const [first, ...rest] = [...this.at(place), command, ...words];
    const child = spawn(first, rest, { stdio: ["ignore", "pipe", "pipe"] });
    this.#children.add(child);
    const lines = [];
    const hear = new Set();
    for (const stream of [child.stdout, child.stderr]) {
      createInterface({ input: stream }).on("line", (line) => {
        lines.push(line);
        for (const listener of hear) listener();
      });
    }
    const ended = new Promise((resolve, reject) => {
      child.once("error", reject);
      child.once("close", resolve);
    });
    ended.then(
      () => this.#children.delete(child),
      () => this.#children.delete(child),
    );
    const match = (pattern) =>
      new Promise((resolve, reject) => {
        const look = () => {
          const found = lines.map((line) => pattern.exec(line)).find(Boolean);
          if (found) {
            hear.delete(look);
            resolve(found);
          }
        };
        hear.add(look);
        look();
        ended.then((code) => reject(new Error(`${command} ended with ${code}:\n${lines.join("\n")}`)), reject);
      });
    return { child, lines, ended, match };
  }

  /** Has `close` do this first. */
  ending(end) {
    this.#endings.push(end);
  }

  /** Ends all that runs here, and takes the network down. */
  async close() {
    for (const end of this.#endings.splice(0).reverse()) await end();
    const over = [...this.#children].map((child) => new Promise((resolve) => child.once("close", resolve)));
    this.closeNow();
    await Promise.all(over);
  }

  /** The same, as a process does that ends. */
  closeNow() {
    labs.delete(this);
    for (const place of PLACES) remove(this.#name(place));
    rmSync(this.folder, { recursive: true, force: true });
  }
}

const PLACES = ["pub", "net", "r1", "r2", "h1", "h2"];

/** A router drops what nobody inside asked for, as those at home do. */
function router(kind) {
  return `
table ip router {
  chain out { type nat hook postrouting priority srcnat; oifname "wan" ${TRANSLATIONS[kind]}; }
  chain in { type filter hook input priority filter; iifname "wan" ct state new drop; }
  chain through { type filter hook forward priority filter; iifname "wan" ct state new drop; }
}
`;
}

/** Ends what runs in a namespace, and removes it. */
function remove(name) {
  quietly(() => {
    for (const pid of run("ip", ["netns", "pids", name]).split("\n").filter(Boolean))
      quietly(() => process.kill(Number(pid), "SIGKILL"));
  });
  quietly(() => ip(["netns", "del", name]));
}

/** Removes the namespaces of processes that are gone. */
function removeLeftovers() {
  const names = run("ip", ["netns", "list"])
    .split("\n")
    .map((line) => line.split(" ")[0]);
  for (const name of names) {
    const pid = new RegExp(`^${PREFIX}(\\d+)-`).exec(name)?.[1];
    if (pid && !existsSync(`/proc/${pid}`)) remove(name);
  }
}

function ip(words) {
  run("ip", words);
}

/** Many commands of `ip` in one process. */
function batch(options, lines) {
  run("ip", [...options, "-batch", "-"], `${lines.join("\n")}\n`);
}

function run(command, words, input = "") {
  return execFileSync(command, words, { input, encoding: "utf8", stdio: ["pipe", "pipe", "pipe"] });
}

function quietly(step) {
  try {
    step();
  } catch {
    // it is gone already
  }
}

/** The result of a promise, or a failure: a test does not wait for ever. */
export function soon(what, promise) {
  let timer;
  const late = new Promise((_, reject) => {
    timer = setTimeout(() => reject(new Error(`nothing within ${STEP_MS / 1000} s: ${what}`)), STEP_MS);
  });
  return Promise.race([promise, late]).finally(() => clearTimeout(timer));
}

process.on("exit", () => {
  for (const made of [...labs]) made.closeNow();
});
for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"]) process.on(signal, () => process.exit(130));
