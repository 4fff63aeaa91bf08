// Installs the bundlers, as the lock file here names them, into target/packed, where the projects of the tests find
// them above their own folders. They are not in this folder: a bundler takes no project outside its own tree.
import { execFileSync } from "node:child_process";
import { copyFileSync, existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { SITES } from "./support/projects.mjs";

process.chdir(fileURLToPath(new URL(".", import.meta.url)));
const lock = readFileSync("package-lock.json", "utf8");
const stamp = `${SITES}/node_modules/.piecework-lock`;
if (!existsSync(stamp) || readFileSync(stamp, "utf8") !== lock) {
  rmSync(`${SITES}/node_modules`, { recursive: true, force: true });
  mkdirSync(SITES, { recursive: true });
  for (const name of [".npmrc", "package.json", "package-lock.json"]) copyFileSync(name, `${SITES}/${name}`);
  execFileSync("npm", ["ci", "--prefer-offline", "--no-audit", "--no-fund"], { cwd: SITES, stdio: "inherit" });
  writeFileSync(stamp, lock);
}
