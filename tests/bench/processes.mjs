// CPU time and memory of whole process trees, from /proc.
import { readFileSync, readdirSync } from "node:fs";

/** Clock ticks in a second: fixed at 100 in the interface to programs on every Linux architecture but Alpha. */
const TICKS = 100;
const PAGE_BYTES = 4096;

/** Every process: its parent, its CPU seconds with those of children it waited for, its resident bytes. */
function table() {
  const processes = new Map();
  for (const name of readdirSync("/proc")) {
    if (!/^\d+$/.test(name)) continue;
    try {
      const stat = readFileSync(`/proc/${name}/stat`, "utf8");
      // The name in brackets may hold anything; after it come state, parent, and so on.
      const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
      const ticks = fields.slice(11, 15).reduce((sum, field) => sum + Number(field), 0);
      processes.set(Number(name), {
        pid: Number(name),
        parent: Number(fields[1]),
        cpu: ticks / TICKS,
        rss: Number(fields[21]) * PAGE_BYTES,
      });
    } catch {
      // it ended meanwhile
    }
  }
  return processes;
}

/** The processes below these, themselves included. */
export function tree(roots) {
  const processes = table();
  const inside = new Set(roots);
  for (let size = 0; size !== inside.size; ) {
    size = inside.size;
    for (const { pid, parent } of processes.values()) if (inside.has(parent)) inside.add(pid);
  }
  return [...inside].map((pid) => processes.get(pid)).filter(Boolean);
}

/** CPU seconds that the trees have used so far. A process that ended is in its parent's sum. */
export const cpuSeconds = (roots) => tree(roots).reduce((sum, { cpu }) => sum + cpu, 0);

/**
 * The kind of a process: `renderer`, `network.mojom.NetworkService`, ..., for Chromium's own first one `browser`; else
 * its program's name.
 */
export function typeOf(pid) {
  try {
    const words = readFileSync(`/proc/${pid}/cmdline`, "utf8").split(/[\0 ]/);
    const option = (name) => words.find((word) => word.startsWith(name))?.slice(name.length);
    const program = words[0].slice(words[0].lastIndexOf("/") + 1);
    return option("--utility-sub-type=") ?? option("--type=") ?? (option("--user-data-dir=") ? "browser" : program);
  } catch {
    return "(ended)";
  }
}

/** The first process of the browser with this profile. */
export function browserOf(profile) {
  const pids = [...table().keys()].filter((pid) => {
    try {
      const line = readFileSync(`/proc/${pid}/cmdline`, "utf8");
      return line.includes(`--user-data-dir=${profile}`) && !line.includes("--type=");
    } catch {
      return false;
    }
  });
  if (pids.length === 0) throw new Error(`no browser runs with the profile ${profile}`);
  return Math.min(...pids);
}

/** CPU seconds of every thread below these, by the kind of the process and the name of the thread. */
export function threadSeconds(roots) {
  const seconds = new Map();
  for (const { pid } of tree(roots)) {
    const type = typeOf(pid);
    try {
      for (const task of readdirSync(`/proc/${pid}/task`)) {
        const stat = readFileSync(`/proc/${pid}/task/${task}/stat`, "utf8");
        const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
        // Pools number their threads; the pool counts.
        const name = stat.slice(stat.indexOf("(") + 1, stat.lastIndexOf(")")).replace(/[-/ ]?\d+$/, "");
        const key = `${type}: ${name}`;
        seconds.set(key, (seconds.get(key) ?? 0) + (Number(fields[11]) + Number(fields[12])) / TICKS);
      }
    } catch {
      // it ended meanwhile
    }
  }
  return seconds;
}
