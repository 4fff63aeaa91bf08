// The public surface as one checked file: api/piecework.d.ts. `--check` fails when it differs from the
// sources; without it the snapshot is written anew.
import { execFileSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

const PUBLIC = [
  "index",
  "client",
  "source",
  "torrent",
  "title",
  "fetching",
  "reading",
  "payments",
  "terms",
  "free",
  "deployment",
  "history",
  "ice",
  "lack",
  "wallet",
  "way",
  "errors",
  "emitter",
  "units",
  "deposit",
  "player",
  "streams",
  "hls",
  "shaka",
];
const SNAPSHOT = "api/piecework.d.ts";

process.chdir(fileURLToPath(new URL("..", import.meta.url)));
const folder = mkdtempSync(join(tmpdir(), "piecework-api-"));
try {
  execFileSync(process.execPath, ["node_modules/typescript/bin/tsc", "-p", "tsconfig.json", "--outDir", folder], {
    stdio: "inherit",
  });
  const text = PUBLIC.map((name) => `// ---- ${name}\n${readFileSync(join(folder, `${name}.d.ts`), "utf8")}`).join(
    "\n",
  );
  if (process.argv.includes("--check")) {
    if (readFileSync(SNAPSHOT, "utf8") !== text) {
      console.error(`The public surface is not what ${SNAPSHOT} says. If that is meant: npm run api, and commit it.`);
      process.exitCode = 1;
    }
  } else {
    writeFileSync(SNAPSHOT, text);
  }
} finally {
  rmSync(folder, { recursive: true });
}
