// The package's README, as the tests of each bundler take it: its files and its command lines, by heading.
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

export const README = join(dirname(fileURLToPath(import.meta.url)), "../../../www/npm/README.md");
export const MAGNET = "magnet:?xt=urn:btih:…";
export const TRACKER = "wss://tracker.example";
const NODE = "https://rpc.example";

/** Every code block: its heading, its language, the file's name if a line with it stands above, and its text. */
export function blocks(document = README) {
  let heading = "";
  const found = [];
  for (const part of readFileSync(document, "utf8").matchAll(
    /^#+ (.*)$|(?:^`([^`\n]+)`:\n\n)?^```(\w+)\n([\s\S]*?)^```$/gm,
  )) {
    if (part[1] !== undefined) heading = part[1];
    else found.push({ heading, name: part[2], language: part[3], text: part[4] });
  }
  return found;
}

/** The files under a heading, by path, and its command lines without the installation. */
export function recipe(heading) {
  const own = blocks().filter((block) => block.heading === heading);
  assert.ok(own.length > 0, `README.md has no heading ${heading}`);
  const files = Object.fromEntries(own.filter(({ name }) => name).map(({ name, text }) => [name, text]));
  const lines = own.filter(({ language }) => language === "sh").map(({ text }) => text);
  return { files, commands: lines.join("").replace(/^npm install piecework$\n/m, "") };
}

/** The attributes that a paying page has besides. */
function payingAttributes() {
  const { files } = recipe("Paying");
  const [, attributes] = /trackers="[^"]*"\s+([^>]*)>/.exec(files["paying.html"]);
  return attributes;
}

/**
 * Files with a real link and tracker in the place of those that README and examples name. The element has these
 * attributes more: by default those with which it pays. `needed` has to be in one of them.
 */
export function filled(
  files,
  { free: { magnet }, tracker, scene },
  more = ` ${payingAttributes()}`,
  needed = [MAGNET, TRACKER],
) {
  const escaped = (text) => text.replaceAll("&", "&amp;");
  const found = [];
  const fill = ([name, text]) => {
    found.push(...[MAGNET, TRACKER].filter((placeholder) => text.includes(placeholder)));
    const inMarkup = /\.(html|jsx)$/.test(name);
    const linked = text
      .replaceAll(MAGNET, inMarkup ? escaped(magnet) : magnet)
      .replaceAll(`trackers="${TRACKER}"`, `trackers="${tracker}"${more}`)
      .replaceAll(TRACKER, tracker)
      .replaceAll(NODE, scene?.anvil.url ?? NODE);
    return [name, linked];
  };
  const result = Object.fromEntries(Object.entries(files).map(fill));
  for (const placeholder of needed) assert.ok(found.includes(placeholder), `${placeholder} was not replaced`);
  return result;
}

/** The header of the README, for trackers, nodes and wallets of this machine; `more`: what a recipe adds at its end. */
export function policy(more = "") {
  const [{ text }] = blocks().filter(({ language }) => language === "txt");
  const [, value] = /^Content-Security-Policy: (.*)\n$/.exec(text);
  const local = value.replace("wss://tracker.example https://rpc.example", "ws://127.0.0.1:* http://127.0.0.1:*");
  assert.notEqual(local, value);
  return local + more;
}
