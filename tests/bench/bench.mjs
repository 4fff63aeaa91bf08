// The browser's half of `cargo xtask bench`: measures as the configuration says, and writes one result a line.
//
//   node tests/bench/bench.mjs CONFIG.json
import { readFileSync } from "node:fs";
import { cleanUp } from "../browser/support/harness.mjs";
import { Out } from "./out.mjs";
import { memory } from "./memory.mjs";
import { size } from "./size.mjs";
import { transfer } from "./transfer.mjs";
import { video } from "./video.mjs";

/** Each by the name that `--only` takes. */
const SECTIONS = { transfer, video, memory, size };

const config = JSON.parse(readFileSync(process.argv[2], "utf8"));
const out = new Out(config.results);
for (const signal of ["SIGTERM", "SIGINT"]) process.once(signal, () => cleanUp().finally(() => process.exit(1)));

let failed = 0;
for (const name of config.sections) {
  try {
    await SECTIONS[name](config, out);
  } catch (error) {
    failed++;
    console.error(`  ${name}: ${error.stack ?? error}`);
    out.result("failed", { section: name, error: String(error.message ?? error) });
  } finally {
    await cleanUp();
  }
}
process.exit(failed === 0 ? 0 : 1);
