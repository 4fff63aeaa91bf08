// Projects of a developer who installed the package: fresh folders with the tarball in them, and the README's files.
import { execFile } from "node:child_process";
import { existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";

const root = join(dirname(fileURLToPath(import.meta.url)), "../../..");
/** Cargo's target folder. */
export const target = process.env.PIECEWORK_TARGET ?? join(root, "target");
/** The projects, and above them the bundlers. */
export const SITES = join(target, "packed");
const { version } = JSON.parse(readFileSync(join(root, "www/npm/package.json"), "utf8"));
/** What `cargo xtask npm` made. */
export const TARBALL = join(target, `npm/piecework-${version}.tgz`);

/** npm asks no registry and no person. */
const QUIET = { npm_config_offline: "true", npm_config_yes: "false", NO_COLOR: "1", NEXT_TELEMETRY_DISABLED: "1" };

/** A fresh project with the package installed and these files in it, by path. */
export async function project(name, { files = {}, manifest = { type: "module" } } = {}) {
  if (!existsSync(TARBALL)) throw new Error(`${TARBALL} is missing: run \`cargo xtask npm\``);
  const folder = join(SITES, name);
  rmSync(folder, { recursive: true, force: true });
  write(folder, { "package.json": JSON.stringify({ private: true, ...manifest }), ...files });
  await sh(folder, `npm install --ignore-scripts --no-audit --no-fund --no-package-lock ${TARBALL}`);
  return folder;
}

/** Writes files, by path below the folder. */
export function write(folder, files) {
  for (const [path, text] of Object.entries(files)) {
    mkdirSync(dirname(join(folder, path)), { recursive: true });
    writeFileSync(join(folder, path), text);
  }
}

/** Runs lines of a shell in a folder. Answers what they printed; fails with it. */
export async function sh(folder, lines) {
  try {
    const env = { ...process.env, ...QUIET };
    const { stdout, stderr } = await promisify(execFile)("sh", ["-ec", lines], { cwd: folder, env });
    return stdout + stderr;
  } catch (error) {
    throw new Error(`${lines}\nended with ${error.code}:\n${error.stdout}${error.stderr}`);
  }
}

/** A program of the bundlers' install. */
export function tool(path) {
  return join(SITES, "node_modules", path);
}
