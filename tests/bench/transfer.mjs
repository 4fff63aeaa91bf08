// The transfers: contestants take turns in one and the same pair of browsers, and each round is a pair of any two of
// them.
import { Four, Free, Libtorrent, Native, Paid, Raw, Surroundings, WebTorrent, content } from "./contestants.mjs";
import { inspectable } from "../browser/support/browsers/devtools.mjs";
import { browserOf, cpuSeconds, threadSeconds } from "./processes.mjs";
import { profiled } from "./profile.mjs";

const MIB = 1 << 20;
/** After the first verified byte. */
const WARM_UP_MS = 1_000;
/** The bytes of each transfer that are measured. */
const WINDOW_BYTES = 64 * MIB;
/** Enough for a second of warm-up at 64 MiB/s and the window after it. */
const CONTENT_BYTES = 128 * MIB;
/** Just under 64 KiB is the longest message that every browser takes. */
const RAW_MESSAGES = [16 * 1024, 65_535];
/** For a step of a transfer: far longer than the slowest machine needs. */
const STEP_MS = 300_000;
/** Runs with each message length, to choose the faster. */
const RAW_TRIALS = 3;
/** Contestants whose ratios are asked for stand side by side. */
const CONTESTANTS = {
  raw: Raw,
  paid: Paid,
  free: Free,
  webtorrent: WebTorrent,
  libtorrent: Libtorrent,
  native: Native,
  four: Four,
};

export async function transfer({ pairs, contestants, profiles, replaced }, out) {
  const [seeding, fetching] = [await inspectable(), await inspectable()];
  const roots = [seeding, fetching].map(({ profile }) => browserOf(profile));
  const span = { warmUpMs: WARM_UP_MS, windowBytes: WINDOW_BYTES };
  const around = new Surroundings({ seeding, fetching, content: content(CONTENT_BYTES), replaced });
  const field = [];
  for (const [name, Contestant] of Object.entries(CONTESTANTS)) {
    if (contestants.length > 0 && !contestants.includes(name)) continue;
    const one = new Contestant();
    await limited(one, "was prepared", one.open(around));
    field.push(one);
    out.say(`${one.label}: ready`);
    out.result("contestant", { name, label: one.label, pieceLength: one.pieceLength ?? null });
  }

  const run = async (one, during = (work) => work()) => {
    await limited(one, "began", one.begin(span));
    await limited(one, "warmed up", one.warm());
    const all = [...roots, ...one.extra];
    const before = cpuSeconds(all);
    const { bytes, ms, firstMs } = await during(() => limited(one, "was measured", one.full()));
    const cpu = cpuSeconds(all) - before;
    const end = await limited(one, "ended", one.finish());
    return { mbPerSecond: bytes / ms / 1e3, bytes, ms, cpuPerGb: cpu / (bytes / 1e9), firstMs, ...end };
  };

  const raw = field.find((one) => one instanceof Raw);
  if (raw) await chooseMessages(raw, run, out);
  for (let round = 0; round < pairs; round++) {
    // Each round runs the other way round, so that nobody always runs after the same one.
    const order = round % 2 === 0 ? field : field.toReversed();
    const said = [];
    for (const one of order) {
      const result = await run(one);
      out.result("transfer", { contestant: one.name, round, ...result });
      said.push(`${one.name} ${result.mbPerSecond.toFixed(1)}`);
    }
    out.say(`round ${round + 1} of ${pairs}, MB/s: ${said.join(", ")}`);
  }
  for (const one of profiles ? field : []) {
    const sides = { seeder: { ...seeding, origin: one.origin }, fetcher: { ...fetching, origin: one.origin } };
    await run(one, async (work) => {
      const { value, threads } = await profiled(one.name, sides, profiles, work);
      for (const thread of threads) out.result("profile", { contestant: one.name, ...thread });
      return value;
    });
    // Again without the profiler, which costs time itself.
    await run(one, async (work) => {
      const all = [...roots, ...one.extra];
      const before = threadSeconds(all);
      const traffic = await one.fetcher.run("traffic()");
      const value = await work();
      const after = await one.fetcher.run("traffic()");
      for (const name of Object.keys(after)) traffic[name] = after[name] - traffic[name];
      const threads = [...threadSeconds(all)].map(([name, seconds]) => ({
        name,
        seconds: seconds - (before.get(name) ?? 0),
      }));
      const busy = threads.filter(({ seconds }) => seconds >= 0.02).toSorted((a, b) => b.seconds - a.seconds);
      out.result("threads", { contestant: one.name, bytes: value.bytes, ms: value.ms, threads: busy, traffic });
      return value;
    });
    out.say(`${one.label}: profiled`);
  }
}

/** A step that does not end is reported with the messages of the contestant's pages. */
async function limited(one, step, work) {
  let timer;
  const late = new Promise((_, reject) => {
    timer = setTimeout(async () => {
      const said = await Promise.all(
        one.pages.filter(Boolean).map((page) => page.run("said").catch((error) => error.message)),
      );
      reject(
        new Error(
          `${one.label}: no transfer ${step} within ${STEP_MS / 1000} s; its pages said ${JSON.stringify(said)}`,
        ),
      );
    }, STEP_MS);
  });
  return Promise.race([work, late]).finally(() => clearTimeout(timer));
}

/** The faster of the two lengths, by the medians of a few alternating runs. */
async function chooseMessages(raw, run, out) {
  const rates = RAW_MESSAGES.map(() => []);
  for (let trial = 0; trial < RAW_TRIALS; trial++) {
    for (const [at, bytes] of RAW_MESSAGES.entries()) {
      raw.messageBytes = bytes;
      rates[at].push((await run(raw)).mbPerSecond);
    }
  }
  const medians = rates.map((list) => list.toSorted((a, b) => a - b)[Math.floor(list.length / 2)]);
  raw.messageBytes = RAW_MESSAGES[medians.indexOf(Math.max(...medians))];
  out.say(
    "data channel: messages of " +
      `${RAW_MESSAGES.map((bytes, at) => `${bytes} bytes ${medians[at].toFixed(1)} MB/s`).join(", of ")}; ` +
      `${raw.messageBytes} it is`,
  );
  out.result("raw", { messages: RAW_MESSAGES, medians, chosen: raw.messageBytes });
}
