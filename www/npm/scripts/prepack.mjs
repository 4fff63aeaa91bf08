// Before `npm pack`: builds dist/, and brings what the package has a copy of: the repository's licences, and the
// document that describes the element. `build.mjs` says what is missing where the wasm is not built.
import { copyFileSync, existsSync, mkdirSync } from "node:fs";
import { fileURLToPath } from "node:url";

process.chdir(fileURLToPath(new URL("..", import.meta.url)));
if (!existsSync("THIRD-PARTY-LICENSES")) {
  console.error("The licences of what the wasm is built of are missing: `cargo xtask npm` writes them, and packs.");
  process.exit(1);
}
mkdirSync("docs", { recursive: true });
for (const name of ["LICENSE-APACHE", "LICENSE-MIT", "docs/page.md"]) copyFileSync(`../../${name}`, name);
await import("./build.mjs");
