// Seeders outside a browser: ours, and libtorrent. Each answers with its process, for the accounts of CPU time.
import { spawn } from "node:child_process";
import { once } from "node:events";
import { delimiter, dirname, join } from "node:path";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import { ending, folder } from "../browser/support/harness.mjs";

const here = dirname(fileURLToPath(import.meta.url));

/** Serves the content that lies beside its .torrent; resolves with the process's id when it seeds. */
export function piecework(torrent) {
  const program = join(process.env.PIECEWORK_BINARIES ?? join(here, "../../target/release"), "piecework");
  return seeding(program, ["seed", torrent, "--no-stun", "--data", dirname(torrent), "--state", folder("seeder")]);
}

/** The same, by libtorrent. */
export function libtorrent(torrent) {
  const packages = process.env.PIECEWORK_LIBTORRENT ?? join(here, "../../target/bench/python");
  return seeding("python3", [join(here, "libtorrent_seed.py"), torrent], {
    PYTHONPATH: [packages, join(here, "../interop/peers")].join(delimiter),
  });
}

async function seeding(program, given, env = {}) {
  const child = spawn(program, given, { stdio: ["ignore", "pipe", "pipe"], env: { ...process.env, ...env } });
  const gone = new Promise((resolve) => child.once("close", resolve));
  ending(async () => {
    child.kill("SIGTERM");
    await gone;
  });
  const lines = [];
  await new Promise((resolve, reject) => {
    for (const pipe of [child.stdout, child.stderr]) {
      createInterface({ input: pipe }).on("line", (line) => {
        lines.push(line);
        lines.splice(0, lines.length - 20);
        if (line.startsWith("seeding")) resolve();
      });
    }
    once(child, "error").then(([error]) => reject(error), reject);
    gone.then((code) => reject(new Error(`${program} ended with ${code}:\n${lines.join("\n")}`)));
  });
  return child.pid;
}
