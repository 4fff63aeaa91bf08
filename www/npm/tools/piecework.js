#!/usr/bin/env node
// `npx piecework copy DIR`: places what a site serves of this package, for pages without a bundler, and for bundlers
// that do not know of service workers.
import { createHash } from "node:crypto";
import { existsSync, lstatSync, mkdirSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { parseArgs } from "node:util";
import { FOLDER, files, POLICY, SERVICE_WORKER, version } from "./files.js";

const HELP = `Piecework's files for a web site.

Usage: npx piecework copy [--base PATH] [--force] DIR

Copies the service worker to DIR/${SERVICE_WORKER}, and the modules, the worker and the wasm to DIR/${FOLDER}/. Prints
what the page passes to Piecework, and the header that the site sends. Run it again after each update of the package.

  DIR           the folder that the site serves as its root, such as public; it is made if it is missing
  --base PATH   where the site serves DIR, for the printed lines [default: /]
  --force       overwrite files of these names that an earlier copy did not write, or that were changed since
  -h, --help    this text
  --version     the package's version

Exit codes: 0 done, 1 not done, 2 wrong arguments.`;

/** In it an earlier copy left the hashes of what it wrote. */
const RECORD = `${FOLDER}/copied.json`;

class Wrong extends Error {
  constructor(text, code = 1) {
    super(text);
    this.code = code;
  }
}

try {
  main(process.argv.slice(2));
} catch (error) {
  console.error(`piecework: ${error.message}`);
  process.exitCode = error instanceof Wrong ? error.code : 1;
}

function main(words) {
  const { values, positionals } = read(words);
  if (values.help) return console.log(HELP);
  if (values.version) return console.log(version);
  const [command, folder, ...more] = positionals;
  if (command !== "copy")
    throw new Wrong(`${command ? `there is no command ${command}` : "no command"}: npx piecework --help`, 2);
  if (!folder || more.length > 0) throw new Wrong("name one folder: npx piecework copy public", 2);
  const isPath = /^\/([^/\\?#][^?#]*\/)?$/.test(values.base);
  // As a page writes it: a blank or a quotation mark in it would end the printed line too early.
  const base = isPath ? new URL(values.base, "http://site.example").pathname : null;
  if (base === null)
    throw new Wrong(`--base is a path with a slash at both ends, such as /films/, not ${values.base}`, 2);
  const names = copy(folder, values.force);
  console.log(told(folder, base, names));
}

function read(args) {
  try {
    return parseArgs({
      args,
      allowPositionals: true,
      options: {
        base: { type: "string", default: "/" },
        force: { type: "boolean", default: false },
        help: { type: "boolean", short: "h", default: false },
        version: { type: "boolean", default: false },
      },
    });
  } catch (error) {
    throw new Wrong(`${error.message.split(". ")[0]}: npx piecework --help`, 2);
  }
}

/** Copies, or throws before anything is written. Answers the paths. */
function copy(folder, force) {
  const parent = dirname(folder);
  if (!existsSync(folder) && !existsSync(parent))
    throw new Wrong(`there is no folder ${parent} to make ${folder} in: name the folder that your site serves`);
  const folders = [folder, join(folder, FOLDER), join(folder, FOLDER, "free")];
  for (const path of [parent, ...folders]) {
    const isLink = lstatSync(path, { throwIfNoEntry: false })?.isSymbolicLink() ?? false;
    if (isLink && !existsSync(path)) throw new Wrong(`${path} is a link that leads nowhere`);
    if (existsSync(path) && !statSync(path).isDirectory()) throw new Wrong(`${path} is not a folder`);
  }
  // Through a link the files would land where nobody named, over what is there.
  for (const path of folders.slice(1))
    if (lstatSync(path, { throwIfNoEntry: false })?.isSymbolicLink())
      throw new Wrong(`${path} is a link: name the folder that it leads to, or move it away`);
  const before = recorded(folder);
  const wanted = files();
  const inTheWay = wanted.filter(({ path }) => isFolder(join(folder, path)));
  if (inTheWay.length > 0)
    throw new Wrong(
      `a folder where a file goes: ${inTheWay.map(({ path }) => join(folder, path)).join(", ")}. Nothing was written.`,
    );
  const foreign = wanted.filter(({ path, bytes }) => !isOurs(join(folder, path), [hash(bytes), before[path]]));
  if (foreign.length > 0 && !force)
    throw new Wrong(
      `not ours, or changed since an earlier copy: ${foreign.map(({ path }) => join(folder, path)).join(", ")}. ` +
        "Nothing was written. Move them away, or pass --force to overwrite them.",
    );
  // One by one: told to make those above too, Node tries for ever where nobody can make one, as below /proc.
  for (const path of folders) if (!existsSync(path)) mkdirSync(path);
  for (const { path, bytes } of wanted) {
    // What has this name goes, and not what a link of this name leads to.
    rmSync(join(folder, path), { force: true });
    writeFileSync(join(folder, path), bytes);
  }
  // What an earlier version had, and this one has not.
  const gone = Object.keys(before).filter((path) => !wanted.some((file) => file.path === path));
  for (const path of gone) if (isOurs(join(folder, path), [before[path]])) rmSync(join(folder, path), { force: true });
  const hashes = Object.fromEntries(wanted.map(({ path, bytes }) => [path, hash(bytes)]));
  writeFileSync(join(folder, RECORD), `${JSON.stringify({ version, sha256: hashes }, null, 1)}\n`);
  return wanted.map(({ path }) => path);
}

/** The hashes of an earlier copy, by path; only paths that a copy can have written. */
function recorded(folder) {
  const path = join(folder, RECORD);
  const found = lstatSync(path, { throwIfNoEntry: false });
  if (!found) return {};
  let read = null;
  try {
    read = found.isFile() ? JSON.parse(readFileSync(path, "utf8")) : null;
  } catch {
    // It is no JSON.
  }
  const { version, sha256: record } = read ?? {};
  if (typeof version !== "string" || typeof record !== "object" || record === null)
    throw new Wrong(`${path} is not the record of an earlier copy: move it away`);
  const plain = new RegExp(`^(${FOLDER}/(free/)?[\\w.-]+|${SERVICE_WORKER.replace(".", "\\.")})$`);
  return Object.fromEntries(Object.entries(record ?? {}).filter(([name]) => plain.test(name)));
}

/** Whether the path is free, or has one of these contents. */
function isOurs(path, hashes) {
  const found = lstatSync(path, { throwIfNoEntry: false });
  return !found || (found.isFile() && hashes.includes(hash(readFileSync(path))));
}

function isFolder(path) {
  return lstatSync(path, { throwIfNoEntry: false })?.isDirectory() ?? false;
}

function hash(bytes) {
  return createHash("sha256").update(bytes).digest("hex");
}

function told(folder, base, names) {
  const at = (name) => `${base}${FOLDER}/${name}`;
  return `piecework ${version}: ${names.length} files in ${folder}

  ${join(folder, SERVICE_WORKER)}   the service worker, at the root of the site
  ${join(folder, FOLDER)}   ${names
    .filter((path) => path !== SERVICE_WORKER)
    .map((path) => path.slice(FOLDER.length + 1))
    .join(", ")}

Without a bundler, the page needs no more than this:

  <script type="module" src="${at("player.js")}"></script>

With a bundler that does not place the worker and the wasm itself, as esbuild, and for pages below ${base}:

  new Client({
    workerUrl: "${at("worker.js")}",
    wasmUrl: "${at("piecework_bg.wasm")}",
    serviceWorkerUrl: "${base}${SERVICE_WORKER}",
  })
  <piecework-player worker-url="${at("worker.js")}" wasm-url="${at("piecework_bg.wasm")}"
    service-worker-url="${base}${SERVICE_WORKER}" …>

Send this header with the page and with all of these files. Put your tracker and your chain's node in:

  Content-Security-Policy: ${POLICY}`;
}
