// Builds dist/: the page, the development wallet, and the files of the npm package that the page needs beside it.
import { build } from "esbuild";
import { cp, mkdir, readdir, rm } from "node:fs/promises";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

const here = dirname(fileURLToPath(import.meta.url));
const dist = join(here, "dist");
const engine = join(here, "..", "npm", "dist");

const files = await readdir(engine, { withFileTypes: true }).catch(() => []);
if (!files.some((file) => file.name === "piecework.js")) {
  throw new Error(`${engine} is not built: run "npm run build" in www/npm first`);
}
await rm(dist, { recursive: true, force: true });
await mkdir(dist, { recursive: true });

// The package stays a file of its own, as a site would load it: the page contains nothing of it.
const packageBeside = {
  name: "package-beside",
  setup({ onResolve }) {
    onResolve({ filter: /^piecework$/ }, () => ({ path: "./piecework.js", external: true }));
    onResolve({ filter: /^piecework\/deployment$/ }, () => ({ path: "./deployment.js", external: true }));
    onResolve({ filter: /^piecework\/title$/ }, () => ({ path: "./title_card.js", external: true }));
  },
};
const common = {
  bundle: true,
  format: "esm",
  target: "es2022",
  outdir: dist,
  sourcemap: true,
  minify: true,
  legalComments: "none",
  logLevel: "warning",
};
await Promise.all([
  // A view that few open is a file of its own, and loads when it is opened.
  build({
    ...common,
    entryPoints: { page: join(here, "src", "main.ts") },
    splitting: true,
    chunkNames: "page-[name]-[hash]",
    plugins: [packageBeside],
  }),
  build({ ...common, entryPoints: { "dev-wallet": join(here, "dev-wallet.ts") } }),
  // A title's public page has no engine, and the player's page loads nothing of it.
  build({ ...common, entryPoints: { title: join(here, "src", "title_page.ts") }, plugins: [packageBeside] }),
  ...["index.html", "title.html", "theme.js", "page.css", "title.css", "dev-wallet.css", "icon.svg"].map((name) =>
    cp(join(here, name), join(dist, name)),
  ),
  // The custom element is not used here; types are for other programs.
  ...files
    .filter((file) => file.isFile() && !/^(player|sw)\.js/.test(file.name))
    .map((file) => cp(join(engine, file.name), join(dist, file.name))),
  // Under the name and at the place where the package looks for it.
  cp(join(engine, "sw.js"), join(dist, "piecework-sw.js")),
]);
