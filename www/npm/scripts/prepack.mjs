// Before `npm pack`: builds dist/, and brings the licences of the repository, of which every package has its own copy.
// `build.mjs` says what is missing where the wasm is not built.
import { copyFileSync, existsSync } from "node:fs";
import { fileURLToPath } from "node:url";

process.chdir(fileURLToPath(new URL("..", import.meta.url)));
if (!existsSync("THIRD-PARTY-LICENSES")) {
  console.error("The licences of what the wasm is built of are missing: `cargo xtask npm` writes them, and packs.");
  process.exit(1);
}
for (const name of ["LICENSE-APACHE", "LICENSE-MIT"]) copyFileSync(`../../${name}`, name);
await import("./build.mjs");
