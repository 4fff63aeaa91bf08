// Wallets of others for the test page: their own published code, bundled for the browser as a site would bundle it.
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { build } from "esbuild";
import { folder } from "../harness.mjs";

/** What is bundled. */
export const source = fileURLToPath(new URL("../pages/wallets.js", import.meta.url));
const globals = fileURLToPath(new URL("../pages/wallets_globals.js", import.meta.url));

/** A package under Rainbow's asks for Node's modules where it runs in Node. */
const browserOnly = {
  name: "browser only",
  setup: ({ onResolve }) =>
    onResolve({ filter: /^(https?|zlib|util|url)$/ }, ({ importer }) =>
      importer.includes("micro-ftch") ? { external: true } : undefined,
    ),
};

/** The module's file, to be mounted in a site. */
export async function wallets() {
  const outfile = join(folder("wallets"), "wallets.js");
  await build({
    entryPoints: [source],
    inject: [globals],
    define: { global: "globalThis" },
    plugins: [browserOnly],
    bundle: true,
    format: "esm",
    target: "es2022",
    logLevel: "error",
    outfile,
  });
  return outfile;
}
