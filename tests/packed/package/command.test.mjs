// `npx piecework copy`, as a site owner types it.
import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "../../browser/support/tests.mjs";
import { project, sh, write } from "../support/projects.mjs";
import { blocks } from "../support/readme.mjs";

/** How a call ends that does not succeed. */
async function refused(folder, line) {
  const error = await sh(folder, line).then(
    (output) => assert.fail(output),
    (error) => error,
  );
  const [, code, text] = /ended with (\d+):\n([\s\S]*)$/.exec(error.message);
  return { code: Number(code), text: text.trim() };
}

test("the command places all files, and prints what the page passes and the README's header", async () => {
  const folder = await project("copied");
  const output = await sh(folder, "npx piecework copy public");
  const dist = join(folder, "node_modules/piecework/dist");
  const same = (name, path) => assert.deepEqual(readFileSync(join(dist, name)), readFileSync(join(folder, path)));
  same("sw.js", "public/piecework-sw.js");
  const files = readdirSync(dist, { withFileTypes: true }).filter((entry) => entry.isFile() && entry.name !== "sw.js");
  assert.ok(files.length >= 5);
  for (const { name } of files) {
    same(name, `public/piecework/${name}`);
    assert.ok(output.includes(name), output);
  }
  const [{ text }] = blocks().filter(({ language }) => language === "txt");
  assert.ok(output.includes(text.trim()), output);
  const root = readFileSync(new URL("../../../README.md", import.meta.url), "utf8");
  assert.ok(root.includes(text.trim()), "the repository's README has another header");
  for (const words of [
    'src="/piecework/player.js"',
    'workerUrl: "/piecework/worker.js"',
    'worker-url="/piecework/worker.js"',
  ])
    assert.ok(output.includes(words), output);
  assert.match(
    await sh(folder, "npx piecework copy --base /films/ public"),
    /serviceWorkerUrl: "\/films\/piecework-sw\.js"/,
  );
});

test("the command overwrites what it wrote, and nothing else without --force", async () => {
  const folder = await project("copied-again");
  write(folder, { "public/piecework-sw.js": "// the site's own\n" });
  const first = await refused(folder, "npx piecework copy public");
  assert.equal(first.code, 1);
  assert.match(first.text, /^piecework: not ours, .*: public\/piecework-sw\.js\. Nothing was written\..*--force/);
  assert.equal(existsSync(join(folder, "public/piecework")), false);
  assert.equal(readFileSync(join(folder, "public/piecework-sw.js"), "utf8"), "// the site's own\n");
  await sh(folder, "npx piecework copy --force public");

  // An earlier version left other bytes, and a file that this one has not.
  const old = { "piecework/player.js": "// earlier\n", "piecework/gone.js": "// gone\n" };
  const record = join(folder, "public/piecework/copied.json");
  const written = JSON.parse(readFileSync(record, "utf8"));
  for (const [path, text] of Object.entries(old)) {
    writeFileSync(join(folder, "public", path), text);
    written.sha256[path] = createHash("sha256").update(text).digest("hex");
  }
  written.sha256["../outside.js"] = createHash("sha256").update("// outside\n").digest("hex");
  writeFileSync(join(folder, "outside.js"), "// outside\n");
  writeFileSync(record, JSON.stringify(written));
  await sh(folder, "npx piecework copy public");
  assert.equal(existsSync(join(folder, "public/piecework/gone.js")), false);
  assert.equal(existsSync(join(folder, "outside.js")), true);
  assert.doesNotMatch(readFileSync(join(folder, "public/piecework/player.js"), "utf8"), /earlier/);

  // Somebody edited one of ours.
  writeFileSync(join(folder, "public/piecework/worker.js"), "// edited\n");
  assert.match((await refused(folder, "npx piecework copy public")).text, /public\/piecework\/worker\.js\. Nothing/);
  assert.equal(readFileSync(join(folder, "public/piecework/worker.js"), "utf8"), "// edited\n");
});

test("the command writes through no link, and over no record of another program's", async () => {
  const folder = await project("copied-links", { files: { "elsewhere/worker.js": "// theirs\n" } });
  const theirs = () => readdirSync(join(folder, "elsewhere"));
  mkdirSync(join(folder, "public"));
  symlinkSync(join(folder, "elsewhere"), join(folder, "public/piecework"));
  for (const flag of ["", "--force "]) {
    const { text } = await refused(folder, `npx piecework copy ${flag}public`);
    assert.match(text, /public\/piecework\/? is a link: name the folder that it leads to/);
  }
  assert.deepEqual(theirs(), ["worker.js"]);
  rmSync(join(folder, "public/piecework"));
  for (const foreign of ['{"files": ["a.js"]}', "[]", "null", '{"version": 3, "sha256": {}}', "no JSON"]) {
    write(folder, { "public/piecework/copied.json": foreign });
    const { text } = await refused(folder, "npx piecework copy public");
    assert.match(text, /copied\.json is not the record of an earlier copy: move it away/, foreign);
    assert.equal(readFileSync(join(folder, "public/piecework/copied.json"), "utf8"), foreign);
  }
  rmSync(join(folder, "public/piecework/copied.json"));
  write(folder, { "elsewhere/copied.json": '{"version": "0", "sha256": {}}' });
  symlinkSync(join(folder, "elsewhere/copied.json"), join(folder, "public/piecework/copied.json"));
  assert.match((await refused(folder, "npx piecework copy public")).text, /not the record of an earlier copy/);
  assert.equal(readFileSync(join(folder, "elsewhere/copied.json"), "utf8"), '{"version": "0", "sha256": {}}');
});

test("the command overwrites no file behind a link, and begins nothing that it cannot end", async () => {
  const folder = await project("copied-odd", { files: { "theirs.js": "// theirs\n", "a-file": "" } });
  mkdirSync(join(folder, "public"));
  symlinkSync(join(folder, "theirs.js"), join(folder, "public/piecework-sw.js"));
  await sh(folder, "npx piecework copy --force public");
  assert.equal(readFileSync(join(folder, "theirs.js"), "utf8"), "// theirs\n");
  const same = (name, path) => assert.deepEqual(readFileSync(join(folder, name)), readFileSync(join(folder, path)));
  same("node_modules/piecework/dist/sw.js", "public/piecework-sw.js");
  await sh(folder, "npx piecework copy public");

  symlinkSync(join(folder, "nowhere"), join(folder, "dangling"));
  for (const path of ["folder/piecework/player.js", "worker/piecework-sw.js", "inner/piecework/free/worker.js"])
    mkdirSync(join(folder, path), { recursive: true });
  write(folder, { "half/piecework/free": "" });
  const [way, file] = ["a folder where a file goes", "is not a folder"];
  for (const [target, text] of [
    ["folder", `${way}: folder/piecework/player.js. Nothing was written.`],
    ["worker", `${way}: worker/piecework-sw.js. Nothing was written.`],
    ["inner", `${way}: inner/piecework/free/worker.js. Nothing was written.`],
    ["half", `half/piecework/free ${file}`],
    ["a-file/site", `a-file ${file}`],
    ["dangling", "dangling is a link that leads nowhere"],
  ]) {
    const before = readdirSync(folder, { recursive: true });
    for (const flag of ["", "--force "])
      assert.deepEqual(await refused(folder, `npx piecework copy ${flag}${target}`), {
        code: 1,
        text: `piecework: ${text}`,
      });
    assert.deepEqual(readdirSync(folder, { recursive: true }), before, target);
  }
  // Node makes such a folder for ever if it is told to make those above too.
  if (existsSync("/proc/self")) assert.equal((await refused(folder, "npx piecework copy /proc/site")).code, 1);
});

test("folders and bases of any name do, and a base is printed as a page writes it", async () => {
  const folder = await project("copied \u00fc #%25");
  for (const [base, printed] of [
    ["/my films/", "/my%20films/"],
    ["/\u00fc/", "/%C3%BC/"],
    ['/a"b/', "/a%22b/"],
  ]) {
    const output = await sh(folder, `npx piecework copy --base '${base}' 'my site \u00fc'`);
    assert.ok(output.includes(`src="${printed}piecework/player.js"`), output);
    assert.ok(output.includes(`serviceWorkerUrl: "${printed}piecework-sw.js"`), output);
  }
  assert.ok(existsSync(join(folder, "my site \u00fc/piecework-sw.js")));
  for (const base of ["//elsewhere.example/", "/a?b/", "/a#b/", "/\\elsewhere.example/"])
    assert.equal((await refused(folder, `npx piecework copy --base '${base}' other`)).code, 2, base);
  assert.equal(existsSync(join(folder, "other")), false);
});

test("the command explains itself, and names what is wrong with its words", async () => {
  const folder = await project("explained", { files: { "a-file": "" } });
  assert.match(await sh(folder, "npx piecework --help"), /Usage: npx piecework copy .*DIR/);
  const { version } = JSON.parse(readFileSync(join(folder, "node_modules/piecework/package.json"), "utf8"));
  assert.equal((await sh(folder, "npx piecework --version")).trim(), version);
  for (const [line, code, text] of [
    ["npx piecework", 2, /no command: npx piecework --help/],
    ["npx piecework move public", 2, /there is no command move/],
    ["npx piecework copy", 2, /name one folder/],
    ["npx piecework copy a b", 2, /name one folder/],
    ["npx piecework copy --fast public", 2, /Unknown option '--fast'/],
    ["npx piecework copy --base films public", 2, /--base is a path with a slash at both ends/],
    ["npx piecework copy no/such/folder", 1, /there is no folder no\/such to make no\/such\/folder in/],
    ["npx piecework copy a-file", 1, /a-file is not a folder/],
  ]) {
    const end = await refused(folder, line);
    assert.equal(end.code, code, `${line}: ${end.text}`);
    assert.match(end.text, text, line);
  }
});
