// Builds dist/: the page's modules, the worker, the service worker, the wasm beside them, and the types.
// The wasm and its bindings come from `cargo xtask wasm`.
import { execFileSync } from "node:child_process";
import { createHash } from "node:crypto";
import { existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { dirname } from "node:path";
import { fileURLToPath } from "node:url";
import { gzipSync } from "node:zlib";
import { build as bundle } from "esbuild";
import { minify } from "terser";

process.chdir(fileURLToPath(new URL("..", import.meta.url)));
if (!existsSync("wasm/piecework_bg.wasm")) {
  console.error("www/npm/wasm is missing: run `cargo xtask wasm` first.");
  process.exit(1);
}
rmSync("dist", { recursive: true, force: true });
mkdirSync("dist");
const common = { bundle: true, minify: true, target: "es2022", legalComments: "none", logLevel: "warning" };

/** Bundles, and writes what is left after terser: 2 to 4 % less than after esbuild alone, compressed. */
async function build(options) {
  const { outputFiles } = await bundle({ ...common, ...options, write: false });
  for (const { path, text } of outputFiles) {
    const { code } = await minify(text, {
      module: options.format === "esm",
      ecma: 2022,
      compress: { passes: 3, hoist_funs: true, lhs_constants: false },
    });
    mkdirSync(dirname(path), { recursive: true });
    writeFileSync(path, code);
  }
}

/** Names what a module imports from a file of its own, which is loaded besides. */
const apart = (name, files) => ({
  name,
  setup: ({ onResolve }) =>
    onResolve({ filter: /^\.\// }, ({ path }) => (files[path] ? { path: files[path], external: true } : undefined)),
});

/** Takes another file for one that a module imports. */
const instead = (name, of, file) => ({
  name,
  setup: ({ onResolve }) =>
    onResolve({ filter: /^\./ }, ({ path }) =>
      path === of ? { path: fileURLToPath(new URL(file, root)) } : undefined,
    ),
});
const root = new URL("..", import.meta.url);

/** The engine and its module in a folder of dist/: what a page loads by `piecework`, or by `piecework/free`. */
async function edition(folder, wasmFolder, entry, plugins) {
  const wasm = readFileSync(`${wasmFolder}/piecework_bg.wasm`);
  // A build without optimisation (`cargo xtask wasm --dev`) is in one piece.
  const rest = existsSync(`${wasmFolder}/piecework_rest.wasm`)
    ? readFileSync(`${wasmFolder}/piecework_rest.wasm`)
    : null;
  // The worker and its wasm belong together: all carry this build's mark, and the worker looks before it runs the wasm.
  const hash = createHash("sha256")
    .update(wasm)
    .update(rest ?? "")
    .update(readFileSync(`${wasmFolder}/piecework.js`));
  const mark = hash.digest("hex").slice(0, 16);
  await build({ entryPoints: { piecework: entry }, format: "esm", outdir: folder, plugins });
  await build({
    entryPoints: ["src/worker.ts"],
    format: "esm",
    outdir: folder,
    define: { "import.meta.url": "self.location.href", BUILD_MARK: JSON.stringify(mark) },
    plugins: [instead("wasm", "../wasm/piecework.js", `${wasmFolder}/piecework.js`)],
  });
  writeFileSync(`${folder}/piecework_bg.wasm`, Buffer.concat([wasm, customSection("piecework", mark)]));
  if (rest) writeFileSync(`${folder}/piecework_rest.wasm`, Buffer.concat([rest, customSection("piecework", mark)]));
}

/** What few pages use is a module of its own beside the first edition's, loaded when it is first called for. */
const ON_DEMAND = ["blobs", "fetching", "loading", "seeding", "remote"];
const onDemand = (folder) => Object.fromEntries(ON_DEMAND.map((name) => [`./${name}.js`, `${folder}/${name}.js`]));
for (const name of ON_DEMAND) await build({ entryPoints: [`src/${name}.ts`], format: "esm", outdir: "dist" });

const paying = { "./payments.js": "./payments.js", "./titles.js": "./titles.js" };
await edition("dist", "wasm", "src/index.ts", [apart("apart", { ...paying, ...onDemand(".") })]);
// They have one kind of error with the module that loads them.
const errors = { "./errors.js": "./piecework.js" };
for (const name of ["payments", "titles"])
  await build({ entryPoints: [`src/${name}.ts`], format: "esm", outdir: "dist", plugins: [apart("errors", errors)] });
await edition("dist/free", "wasm-free", "src/free.ts", [
  instead("free", "./paying.js", "src/nopaying.ts"),
  apart("apart", onDemand("..")),
]);
// The player stands beside the module it plays with: two copies would be two engines.
const beside = apart("beside", {
  "./index.js": "./piecework.js",
  "./deployment.js": "./deployment.js",
  "./title_card.js": "./title_card.js",
});
await build({ entryPoints: ["src/player.ts"], format: "esm", outdir: "dist", plugins: [beside] });
// A file of its own: a page that names its vault by itself does not load it.
await build({ entryPoints: ["src/deployment.ts"], format: "esm", outdir: "dist" });
await build({ entryPoints: ["src/title_card.ts"], format: "esm", outdir: "dist" });
// So are the adapters: each page has one player at most.
for (const name of ["hls", "shaka"]) await build({ entryPoints: [`src/${name}.ts`], format: "esm", outdir: "dist" });
await build({ entryPoints: ["src/sw.ts"], format: "iife", outdir: "dist" });
execFileSync(process.execPath, ["node_modules/typescript/bin/tsc", "-p", "tsconfig.json"], { stdio: "inherit" });

// What pages load, as a server sends it.
const PAGES = {
  "a page that pays": ["piecework.js", "payments.js", "worker.js", "piecework_bg.wasm"],
  "and the rest of its engine": ["piecework_rest.wasm"],
  "a page with piecework/free": ["free/piecework.js", "free/worker.js", "free/piecework_bg.wasm"],
  "and the rest of that engine": ["free/piecework_rest.wasm"],
};
for (const [page, files] of Object.entries(PAGES)) {
  const sizes = files
    .filter((file) => existsSync(`dist/${file}`))
    .map((file) => gzipSync(readFileSync(`dist/${file}`), { level: 9 }).length);
  console.log(
    `${page.padEnd(30)} ${String(sizes.reduce((a, b) => a + b, 0)).padStart(8)} bytes by node's zlib: ${sizes.join(" + ")}`,
  );
}

/** A custom section of a wasm module, its lengths below 128. */
function customSection(name, text) {
  const body = Buffer.from(`${String.fromCharCode(name.length)}${name}${text}`, "latin1");
  return Buffer.concat([Buffer.from([0, body.length]), body]);
}
