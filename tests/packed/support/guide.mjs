// docs/guide as its test takes it: each block of code is taken by its page and its file's name or its language.
import assert from "node:assert/strict";
import { readdirSync, readFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { blocks, MAGNET, TRACKER } from "./readme.mjs";

const root = join(dirname(fileURLToPath(import.meta.url)), "../../..");
const folder = join(root, "docs/guide");
const NODE = "https://rpc.example";
/** The file that the guide's line deploys into, by the number of its chain. */
const DEPLOYED = "deployments/10.json";

/** The pages, by name. */
export const pages = readdirSync(folder).flatMap((name) => (name.endsWith(".md") ? [name.slice(0, -3)] : []));
const all = pages.flatMap((page) => blocks(path(page)).map((block) => ({ ...block, page })));
const taken = new Set();

function path(page) {
  return join(folder, `${page}.md`);
}

/** A page's text. */
export function text(page) {
  return readFileSync(path(page), "utf8");
}

/** The block that is this file, or the only one in this language without a file's name. */
export function block(page, name) {
  const found = all.filter((one) => one.page === page && (one.name ?? one.language) === name);
  assert.equal(found.length, 1, `the guide's page ${page} has ${found.length} blocks ${name}`);
  taken.add(found[0]);
  return found[0].text;
}

/** The lines of a page's shell block; one that ends with a backslash goes on in the next. */
export function lines(page) {
  return block(page, "sh")
    .replaceAll(/\\\n\s*/g, "")
    .trim()
    .split("\n");
}

/** The blocks that no test took. */
export function left() {
  return all
    .filter((one) => !taken.has(one))
    .map(({ page, heading, name, language }) => [page, heading, name ?? language]);
}

/** With values of this machine in place of those that a reader puts in. */
export function filled(text, { magnet, tracker, node, chainId, token }) {
  const values = [
    [MAGNET, magnet],
    [TRACKER, tracker],
    [NODE, node],
    [DEPLOYED, `deployments/${chainId}.json`],
    ["--token 0x…", `--token ${token}`],
  ];
  const put = (text, [placeholder, value]) => (text.includes(placeholder) ? text.replaceAll(placeholder, value) : text);
  return values.reduce(put, text);
}

/** What programs say, with the parts of a sentence that stands in several lines put together. */
export function said() {
  const sources = ["www/npm/src", "www/player/src", "www/extension/src"].flatMap((at) =>
    readdirSync(join(root, at), { recursive: true })
      .filter((name) => name.endsWith(".ts"))
      .map((name) => readFileSync(join(root, at, name), "utf8")),
  );
  return sources.join("\n").replaceAll(/["'`] \+\s*["'`]/g, "");
}
