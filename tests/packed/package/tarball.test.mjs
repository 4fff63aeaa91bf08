// The tarball itself: what is in it, how tools and a server read it, and that its README is tried.
import assert from "node:assert/strict";
import { readdirSync, readFileSync } from "node:fs";
import { join, posix } from "node:path";
import { test } from "../../browser/support/tests.mjs";
import { project, sh, TARBALL, write } from "../support/projects.mjs";
import { blocks, recipe } from "../support/readme.mjs";

const NO_TYPES = "worker.js sw.js piecework.wasm rest.wasm";
/** The headings whose blocks a test of this folder runs, each as it is. */
const TRIED = [
  "A film in a page",
  "Vite",
  "webpack",
  "esbuild",
  "Next",
  "TypeScript",
  "Without the element",
  "Paying",
  "Trying it with play money",
  "Content Security Policy",
];

test("the tarball has README, picture, licences and types, and no source of tests or tools of the build", async () => {
  const listed = (await sh(join(TARBALL, ".."), `tar -tf ${TARBALL}`)).trim().split("\n");
  const names = listed.map((path) => path.slice("package/".length));
  for (const name of [
    "README.md",
    "LICENSE-MIT",
    "LICENSE-APACHE",
    "THIRD-PARTY-LICENSES",
    "player.png",
    "docs/page.md",
    "docs/webtorrent.md",
    "docs/streams.md",
    "dist/types/index.d.ts",
    "dist/sw.js",
  ])
    assert.ok(names.includes(name), `${name} is not in it`);
  const [first] = names.filter(
    (name) =>
      !/^(README\.md|LICENSE-\w+|THIRD-PARTY-LICENSES|player\.png|package\.json|(dist|tools|api|docs)\/.+)$/.test(name),
  );
  assert.equal(first, undefined);
  const licences = await sh(join(TARBALL, ".."), `tar -xOf ${TARBALL} package/THIRD-PARTY-LICENSES`);
  // BSD-3-Clause asks for its text wherever the code goes.
  assert.match(licences, /\n==== [^\n]*subtle \d[^\n]*\n[^=]*Redistributions in binary form/);
  assert.match(licences, /\n==== [^\n]*wasm-bindgen \d/);
});

test("what the tarball's documents link to or name is in the tarball", async () => {
  const listed = await sh(join(TARBALL, ".."), `tar -tf ${TARBALL}`);
  const names = listed
    .trim()
    .split("\n")
    .map((path) => path.slice("package/".length));
  const documents = names.filter((name) => name.endsWith(".md"));
  assert.deepEqual(documents.sort(), ["README.md", "docs/page.md", "docs/streams.md", "docs/webtorrent.md"]);
  const texts = new Map();
  for (const name of documents) texts.set(name, await sh(join(TARBALL, ".."), `tar -xOf ${TARBALL} package/${name}`));
  // As GitHub and npm name a heading's place.
  const places = (text) =>
    [...text.matchAll(/^#+ (.*)$/gm)].map(([, heading]) =>
      heading
        .toLowerCase()
        .replace(/[^\w\- ]/g, "")
        .replaceAll(" ", "-"),
    );
  for (const [name, text] of texts) {
    let links = 0;
    for (const [, link] of text.matchAll(/\]\((?!https?:)([^)\s]*)\)/g)) {
      const [path, place] = link.split("#");
      const at = path === "" ? name : posix.join(posix.dirname(name), path);
      assert.ok(names.includes(at), `${name} has a link to ${link}`);
      if (place) assert.ok(places(texts.get(at)).includes(place), `${name} has a link to ${link}`);
      links++;
    }
    if (name === "README.md") assert.ok(links > 3);
    const prose = text.replace(/\]\([^)]*\)/g, "]").replace(/https?:\S+/g, "");
    for (const [mention] of prose.matchAll(/[\w./-]+\.md\b/g))
      assert.ok(
        [mention, posix.join(posix.dirname(name), mention)].some((at) => names.includes(at)),
        `${name}: ${mention}`,
      );
    assert.doesNotMatch(prose, /\brecord \d{3}\b|\b(?:crate|tests|www|xtask|contracts)\//, name);
  }
});

test("publint and attw find nothing wrong with the package and its types", async () => {
  const folder = await project("linted");
  assert.match(await sh(folder, `npx publint --strict ${TARBALL}`), /All good/);
  await sh(folder, `npx attw ${TARBALL} --profile esm-only --exclude-entrypoints ${NO_TYPES}`);
});

test("strict TypeScript takes the package's types, with Vite's own, and knows the element", async () => {
  const config = {
    compilerOptions: {
      strict: true,
      noEmit: true,
      exactOptionalPropertyTypes: true,
      module: "esnext",
      moduleResolution: "bundler",
      target: "es2022",
      lib: ["es2023", "dom", "dom.iterable"],
      types: [],
    },
    include: ["*.ts"],
  };
  const folder = await project("typed");
  write(folder, {
    "tsconfig.json": JSON.stringify(config),
    "vite.config.ts":
      'import { defineConfig } from "vite";\nimport piecework from "piecework/vite";\n' +
      "export default defineConfig({ plugins: [piecework()] });\n",
    "app.ts":
      'import { Client, type Torrent } from "piecework";\nimport { PieceworkPlayer } from "piecework/player";\n' +
      'import { loadDeployment } from "piecework/deployment";\n' +
      'const { vault, chainId, token } = await loadDeployment("deployment.json");\n' +
      'const client: Client = new Client({ payments: { vault, chainId, token, maxPricePerGB: "1" } });\n' +
      "const torrent: Torrent = await client.add(new Uint8Array(20));\n" +
      "const player = new PieceworkPlayer();\nplayer.client = client;\nconst shown: HTMLElement = player;\n" +
      'document.querySelector("piecework-player")?.video.pause();\n' +
      "export { shown, torrent };\n",
    "wrong.ts":
      'import { Client } from "piecework";\n// @ts-expect-error no such option\nnew Client({ tracker: 1 });\n',
  });
  // Vite's own types are not ours to check.
  assert.equal(await sh(folder, "npx tsc --skipLibCheck"), "");
  const { files } = recipe("TypeScript");
  const jsx = { ...config.compilerOptions, jsx: "preserve" };
  write(folder, {
    ...files,
    "film.tsx":
      'export const film = <piecework-player src="magnet:?xt=urn:btih:" ref={(player) => player?.video.pause()} />;\n',
    "other.tsx": "// @ts-expect-error no such attribute\nexport const other = <piecework-player source={1} />;\n",
    "tsconfig.json": JSON.stringify({ compilerOptions: jsx, include: ["*.d.ts", "*.tsx"] }),
  });
  assert.equal(await sh(folder, "npx tsc"), "");
  write(folder, { "tsconfig.json": JSON.stringify({ ...config, include: ["app.ts", "wrong.ts"] }) });
  assert.equal(await sh(folder, "npx tsc"), "");
});

test("a server may load every module, and make a page without an element", async () => {
  const folder = await project("server");
  const { exports } = JSON.parse(readFileSync(join(folder, "node_modules/piecework/package.json"), "utf8"));
  const modules = Object.entries(exports).filter(([, target]) => target.default);
  const names = modules.map(([name]) => `piecework${name.slice(1)}`);
  assert.ok(names.includes("piecework/player"));
  const script = `for (const name of ${JSON.stringify(names)}) await import(name);\nconsole.log("loaded");`;
  write(folder, { "server.mjs": script });
  assert.equal(await sh(folder, "node server.mjs"), "loaded\n");
});

test("each file, command and header that the README shows is tried here", () => {
  const headings = [...new Set(blocks().map(({ heading }) => heading))];
  assert.deepEqual(headings.sort(), [...TRIED].sort());
  const folder = new URL("../sites/", import.meta.url);
  const files = [...readdirSync(folder).map((name) => new URL(name, folder)), new URL(import.meta.url)];
  const sources = files.map((file) => readFileSync(file, "utf8").replace(/^const TRIED = [\s\S]*?^\];$/m, ""));
  for (const heading of TRIED.slice(0, -1))
    assert.ok(sources.join("\n").includes(JSON.stringify(heading)), `no test takes ${heading}`);
});
