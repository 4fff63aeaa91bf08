// CPU profiles of every thread that runs script for a contestant, while it transfers: where the time goes, by function.
import { writeFileSync } from "node:fs";
import { join } from "node:path";

const TOP = 25;
const SAMPLE_MICROSECONDS = 500;

/** Profiles `work`; writes a `.cpuprofile` per thread into `folder` and answers with the busiest functions of each. */
export async function profiled(name, sides, folder, work) {
  const threads = [];
  for (const [side, { devtools, origin }] of Object.entries(sides)) {
    for (const target of await devtools.of(origin)) {
      await target.send("Profiler.enable");
      await target.send("Profiler.setSamplingInterval", { interval: SAMPLE_MICROSECONDS });
      await target.send("Profiler.start");
      threads.push({ side, ...target });
    }
  }
  const value = await work();
  const busy = [];
  for (const { side, type, send } of threads) {
    const { profile } = await send("Profiler.stop");
    const path = join(folder, `${name}-${side}-${type}.cpuprofile`);
    writeFileSync(path, JSON.stringify(profile));
    busy.push({ side, type, path, ...busiest(profile) });
  }
  return { value, threads: busy };
}

/**
 * Self time by function, the most first; all time counts as busy, except idle time and the program's time outside of
 * script.
 */
function busiest({ nodes, samples, timeDeltas, startTime, endTime }) {
  const names = new Map(nodes.map(({ id, callFrame }) => [id, nameOf(callFrame)]));
  const self = new Map();
  for (const [at, id] of samples.entries())
    self.set(names.get(id), (self.get(names.get(id)) ?? 0) + timeDeltas[at] / 1000);
  const idle = (self.get("(idle)") ?? 0) + (self.get("(program)") ?? 0);
  const all = [...self.values()].reduce((sum, ms) => sum + ms, 0);
  const rows = [...self].filter(([name]) => name !== "(idle)").toSorted((a, b) => b[1] - a[1]);
  return {
    ms: (endTime - startTime) / 1000,
    busyMs: all - idle,
    functions: rows.slice(0, TOP).map(([name, ms]) => ({ name, ms: Math.round(ms * 10) / 10 })),
  };
}

function nameOf({ functionName, url, lineNumber }) {
  const file = url.slice(url.lastIndexOf("/") + 1);
  const isPlaced = file && !file.endsWith(".wasm") && !functionName.startsWith("(");
  return `${functionName || "(anonymous)"}${isPlaced ? ` ${file}:${lineNumber + 1}` : ""}`;
}
