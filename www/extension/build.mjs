// Builds target/extension/: the folders chromium and firefox with the scripts, the pages, the engine's files and a
// manifest for each browser, and a zip of each. `--loopback` builds target/extension-loopback/ instead, which may speak
// to servers of this machine: for tests, and for work on it.
import { build } from "esbuild";
import { cp, mkdir, readFile, rm, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { icon } from "./icon.mjs";
import { zip } from "./zip.mjs";

const here = dirname(fileURLToPath(import.meta.url));
const engine = join(here, "..", "npm", "dist");
const player = join(here, "..", "player");
const loopback = process.argv.includes("--loopback");
const out = join(here, "../../target", loopback ? "extension-loopback" : "extension");
/** The extension's own pages; `host` has the engine. */
const PAGES = ["ask", "host", "library", "magnet", "options", "popup", "welcome"];
/** Files that one browser has no use for. */
const UNUSED = { chromium: [], firefox: ["background.js", "magnet.html", "magnet.js"] };

/** The manifest of one browser. Keys that both have are in `all`. */
function manifest({ all, action, policy, loopback: local, ...browsers }, browser) {
  const own = browsers[browser];
  const directives = { ...policy, ...(loopback ? { "connect-src": [...policy["connect-src"], ...local] } : {}) };
  const text = Object.entries(directives)
    .map(([name, sources]) => [name, ...sources].join(" "))
    .join("; ");
  const isThird = own.manifest_version === 3;
  return {
    ...all,
    ...own,
    permissions: [...all.permissions, ...own.permissions],
    [isThird ? "action" : "browser_action"]: action,
    content_security_policy: isThird ? { extension_pages: text } : text,
  };
}

/** A page: what its file has, in the frame that all pages have. */
function framed(frame, name, page) {
  const [title] = /^<title>.*<\/title>\n/.exec(page) ?? [];
  if (!title) throw new Error(`pages/${name}.html does not begin with its title`);
  const parts = { title: title.trimEnd(), name, content: page.slice(title.length) };
  return frame.replace(/<!-- (title|name|content) -->/g, (_, part) => parts[part]);
}

/** An element of the player's page, which two pages have then from one source. */
function partOf(page, id) {
  const [part] = new RegExp(`<(\\w+) id="${id}"[^]*?</\\1>`).exec(page) ?? [];
  if (!part) throw new Error(`www/player/index.html has no #${id}`);
  return part;
}

const shared = JSON.parse(await readFile(join(here, "manifest.json"), "utf8"));
const work = join(out, "all");
await rm(out, { recursive: true, force: true });
await mkdir(work, { recursive: true });
await build({
  bundle: true,
  format: "esm",
  target: "es2022",
  outdir: work,
  minify: true,
  legalComments: "none",
  logLevel: "warning",
  define: { LOOPBACK: String(loopback) },
  alias: {
    piecework: join(here, "../npm/src/index.ts"),
    "piecework/deployment": join(here, "../npm/src/deployment.ts"),
    "piecework/title": join(here, "../npm/src/title_card.ts"),
  },
  entryPoints: ["background", "content", ...PAGES].map((name) => join(here, "src", `${name}.ts`)),
});
for (const name of ["worker.js", "piecework_bg.wasm", "piecework_rest.wasm"])
  await cp(join(engine, name), join(work, name));
for (const name of ["page.css", "theme.js"]) await cp(join(player, name), join(work, name));
const look = await readFile(join(player, "index.html"), "utf8");
const frame = await readFile(join(here, "pages", "frame.html"), "utf8");
for (const name of PAGES) {
  const page = await readFile(join(here, "pages", `${name}.html`), "utf8");
  const whole = page.replace(/<!-- player: (\w+) -->/g, (_, id) => partOf(look, id));
  await writeFile(join(work, `${name}.html`), framed(frame, name, whole));
}
await cp(join(here, "pages", "extension.css"), join(work, "extension.css"));
await writeFile(join(work, "icon-128.png"), icon(128));
for (const browser of ["chromium", "firefox"]) {
  const folder = join(out, browser);
  await cp(work, folder, { recursive: true });
  for (const name of UNUSED[browser]) await rm(join(folder, name));
  await writeFile(join(folder, "manifest.json"), `${JSON.stringify(manifest(shared, browser), null, 2)}\n`);
  await writeFile(join(out, `piecework-${browser}.zip`), await zip(folder));
}
await rm(work, { recursive: true });
