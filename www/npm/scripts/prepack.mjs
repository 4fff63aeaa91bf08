// Before `npm pack`: builds dist/, and brings what the package has a copy of: the repository's licences, and what a
// document says of the element. `build.mjs` says what is missing where the wasm is not built. `postpack` takes the
// copies away.
import { copyFileSync, existsSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { fileURLToPath } from "node:url";

process.chdir(fileURLToPath(new URL("..", import.meta.url)));
if (!existsSync("THIRD-PARTY-LICENSES")) {
  console.error("The licences of what the wasm is built of are missing: `cargo xtask npm` writes them, and packs.");
  process.exit(1);
}
for (const name of ["LICENSE-APACHE", "LICENSE-MIT"]) copyFileSync(`../../${name}`, name);
const page = "docs/page.md";
const [, element] = readFileSync(`../../${page}`, "utf8").split(/^(?=## The element$)/m);
if (!element) throw new Error(`${page} has no heading "The element"`);
mkdirSync("docs", { recursive: true });
writeFileSync(page, element);
await import("./build.mjs");
