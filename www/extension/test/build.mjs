// Compiles what the unit tests import into test/build.
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { build } from "esbuild";

const here = dirname(fileURLToPath(import.meta.url));
await build({
  entryPoints: ["account", "book", "gate", "keepers", "named", "readers", "relay", "sites", "settings", "wishes"].map(
    (name) => join(here, "../src", `${name}.ts`),
  ),
  format: "esm",
  target: "es2022",
  outdir: join(here, "build"),
  bundle: true,
});
