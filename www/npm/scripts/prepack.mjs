// Before `npm pack`: builds dist/, and brings what the package has a copy of: the repository's licences, and the
// documents that are for its users. `build.mjs` says what is missing where the wasm is not built. `postpack` takes the
// copies away.
import { copyFileSync, existsSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { fileURLToPath } from "node:url";

process.chdir(fileURLToPath(new URL("..", import.meta.url)));
if (!existsSync("THIRD-PARTY-LICENSES")) {
  console.error("The licences of what the wasm is built of are missing: `cargo xtask npm` writes them, and packs.");
  process.exit(1);
}
for (const name of ["LICENSE-APACHE", "LICENSE-MIT"]) copyFileSync(`../../${name}`, name);
// What names other documents of the repository, and its tests, leads nowhere in a package. Only a link to the package's
// own README stays one.
const README = "../www/npm/";
const KEPT = "](https:README.md";
const unlinked = (text) =>
  text
    .replace(/^## Shown by$[\s\S]*/m, "")
    .replaceAll(`](${README}README.md`, KEPT)
    .replace(/ \(\[[^\]]+\]\((?!https?:|#)[^)]*\)\)|: see \[[^\]]+\]\((?!https?:|#)[^)]*\)/g, "")
    .replace(/\[([^\]]+)\]\((?!https?:|#)[^)]*\)/g, "$1")
    .replaceAll(KEPT, "](../README.md");
const read = (name) => readFileSync(`../../docs/${name}.md`, "utf8");
const [, element] = read("page").split(/^(?=## The element$)/m);
if (!element) throw new Error('docs/page.md has no heading "The element"');
mkdirSync("docs", { recursive: true });
writeFileSync("docs/page.md", unlinked(element));
for (const name of ["webtorrent", "streams"]) writeFileSync(`docs/${name}.md`, unlinked(read(name)));
await import("./build.mjs");
