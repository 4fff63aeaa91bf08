// Builds dist/: the page's modules, the worker, the service worker, the wasm beside them, and the types.
// The wasm and its bindings come from `cargo xtask wasm`.
import { execFileSync } from "node:child_process";
import { createHash } from "node:crypto";
import { existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { gzipSync } from "node:zlib";
import { build } from "esbuild";

process.chdir(fileURLToPath(new URL("..", import.meta.url)));
if (!existsSync("wasm/piecework_bg.wasm")) {
  console.error("www/npm/wasm is missing: run `cargo xtask wasm` first.");
  process.exit(1);
}
rmSync("dist", { recursive: true, force: true });
mkdirSync("dist");
// The worker and its wasm belong together: both carry this build's mark, and the worker looks before it runs the wasm.
const wasm = readFileSync("wasm/piecework_bg.wasm");
const mark = createHash("sha256").update(wasm).update(readFileSync("wasm/piecework.js")).digest("hex").slice(0, 16);
const common = { bundle: true, minify: true, target: "es2022", legalComments: "none", logLevel: "warning" };
// What few pages use is a module of its own, loaded when it is first called for.
const ON_DEMAND = ["blobs", "fetching", "parsed", "spooling", "remote"];
const onDemand = {
  name: "on-demand",
  setup: ({ onResolve }) =>
    onResolve({ filter: new RegExp(`^\\./(${ON_DEMAND.join("|")})\\.js$`) }, ({ path, kind }) =>
      kind === "dynamic-import" ? { path, external: true } : undefined,
    ),
};
const main = { ...common, entryPoints: { piecework: "src/index.ts" }, format: "esm", outdir: "dist" };
await build({ ...main, plugins: [onDemand] });
for (const name of ON_DEMAND)
  await build({ ...common, entryPoints: [`src/${name}.ts`], format: "esm", outdir: "dist" });
// The player stands beside the module it plays with: two copies would be two engines.
const beside = {
  name: "beside",
  setup: ({ onResolve }) =>
    onResolve({ filter: /^\.\/(index|deployment)\.js$/ }, ({ path }) => ({
      path: path === "./index.js" ? "./piecework.js" : path,
      external: true,
    })),
};
await build({ ...common, entryPoints: ["src/player.ts"], format: "esm", outdir: "dist", plugins: [beside] });
// A file of its own: a page that names its vault by itself does not load it.
await build({ ...common, entryPoints: ["src/deployment.ts"], format: "esm", outdir: "dist" });
// So are the adapters: each page has one player at most.
for (const name of ["hls", "shaka"])
  await build({ ...common, entryPoints: [`src/${name}.ts`], format: "esm", outdir: "dist" });
await build({
  ...common,
  entryPoints: ["src/worker.ts"],
  format: "esm",
  outdir: "dist",
  define: { "import.meta.url": "self.location.href", BUILD_MARK: JSON.stringify(mark) },
});
await build({ ...common, entryPoints: ["src/sw.ts"], format: "iife", outdir: "dist" });
writeFileSync("dist/piecework_bg.wasm", Buffer.concat([wasm, customSection("piecework", mark)]));
execFileSync(process.execPath, ["node_modules/typescript/bin/tsc", "-p", "tsconfig.json"], { stdio: "inherit" });

// The files that a paying page loads, as a server sends them.
const files = ["piecework.js", "worker.js", "sw.js", "piecework_bg.wasm"];
const sizes = files.map((file) => gzipSync(readFileSync(`dist/${file}`), { level: 9 }).length);
for (const [i, file] of files.entries()) console.log(`${file.padEnd(20)} ${String(sizes[i]).padStart(8)} bytes gzip`);
console.log(`${"together".padEnd(20)} ${String(sizes.reduce((a, b) => a + b)).padStart(8)} bytes gzip`);

/** A custom section of a wasm module, its lengths below 128. */
function customSection(name, text) {
  const body = Buffer.from(`${String.fromCharCode(name.length)}${name}${text}`, "latin1");
  return Buffer.concat([Buffer.from([0, body.length]), body]);
}
