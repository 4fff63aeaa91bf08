// Finds the functions of the engine that few visits run, and writes the lists that `cargo xtask wasm` splits it by.
// After `cargo xtask wasm --counting`, with the variables of the browser tests: node tests/browser/tools/rare.mjs.
// Then `cargo xtask wasm`, `npm run build` in www/npm, and the tests of size/ say whether the split holds.
import { execFileSync, spawn } from "node:child_process";
import { appendFileSync, readFileSync, writeFileSync } from "node:fs";
import { createServer } from "node:http";
import { fileURLToPath } from "node:url";

const root = fileURLToPath(new URL("../../../", import.meta.url));
/** The visits that the first part is enough for. In those of `free` nobody pays, and all load the full edition. */
const VISITS = {
  free: ["streaming/video", "streaming/first_visit", "transfer/page_to_page"],
  paid: ["size/size", "payments/second_title", "transfer/free_edition"],
};
/** What makes a torrent is rare, though some of these visits make one for the others to fetch. */
const MAKING = new RegExp(
  "metainfo::(create|Metainfo>::from_info)|web::(seed::(?!tidy)|storage::(Storage>::(write|begin)_new|NewFiles)" +
    "|page::Pages>::making|data_channel::Bridged)",
);
/** What is recorded of a piece in the making when a durability cycle begins: only some runs of a visit do so. */
const BY_CHANCE = /ScratchEntry|storage::Unrecorded/;
const EDITIONS = [
  { name: "full", wasm: "www/npm/wasm", dist: "www/npm/dist", list: "xtask/bindgen/rare.txt" },
  { name: "free", wasm: "www/npm/wasm-free", dist: "www/npm/dist/free", list: "xtask/bindgen/rare-free.txt" },
];
/** Milliseconds between two looks of a worker at what ran. */
const EVERY = 200;

let visit = "";
/** For each edition the functions that ran, by the kind of visit. */
const ran = { full: { free: new Set(), paid: new Set() }, free: { free: new Set(), paid: new Set() } };
const server = createServer(async (request, response) => {
  let body = "";
  for await (const chunk of request) body += chunk;
  const into = ran[request.url.slice(1)][visit];
  for (const function_ of body.split(",")) into.add(Number(function_));
  response.writeHead(204).end();
});
await new Promise((resolve) => server.listen(0, "127.0.0.1", resolve));
const collector = `http://127.0.0.1:${server.address().port}`;

const read = (file) => readFileSync(root + file, "utf8");
for (const edition of EDITIONS) {
  const [at, ...lines] = read(`${edition.wasm}/names.txt`).trimEnd().split("\n");
  edition.at = Number(at);
  edition.functions = lines.map((line) => ({ hash: line.slice(0, 8), name: line.slice(9) }));
  const bindings = `${edition.wasm}/piecework.js`;
  const text = read(bindings).replace("\n    return wasm;", "\n    globalThis.counted = wasm;\n    return wasm;");
  writeFileSync(root + bindings, text);
}
execFileSync("npm", ["run", "--silent", "build"], { cwd: `${root}www/npm`, stdio: "inherit" });
for (const { name, dist, at, functions } of EDITIONS) {
  appendFileSync(
    `${root}${dist}/worker.js`,
    `;{const seen=new Set();setInterval(()=>{if(!globalThis.counted)return;
const memory=Object.values(counted).find((value)=>value instanceof WebAssembly.Memory);const news=[];
new Uint8Array(memory.buffer,${at},${functions.length}).forEach((ran,at)=>ran&&!seen.has(at)&&news.push(at));
for(const at of news)seen.add(at);
const sent={method:"POST",mode:"no-cors",body:news.join()};
if(news.length)void fetch("${collector}/${name}",sent).catch(()=>0)},${EVERY})}\n`,
  );
}
for (const [kind, files] of Object.entries(VISITS)) {
  visit = kind;
  const tests = spawn(process.execPath, [`${root}tests/browser/run.mjs`, ...files], { stdio: "inherit" });
  await new Promise((resolve) => tests.once("exit", resolve));
}
server.close();

/** Names of functions that ran, of one edition, in visits of these kinds. */
const named = (edition, kinds) =>
  kinds.flatMap((kind) => [...ran[edition.name][kind]].map((at) => edition.functions[at]?.name ?? ""));
const [full, free] = EDITIONS;
full.ran = named(full, ["free", "paid"]);
free.ran = [...named(free, ["free", "paid"]), ...named(full, ["free"])];
for (const { functions, ran, list } of EDITIONS) {
  const often = new Set(ran.filter((name) => !MAKING.test(name)));
  const hashes = new Set(
    functions.filter(({ name }) => name && !often.has(name) && !BY_CHANCE.test(name)).map(({ hash }) => hash),
  );
  for (const { hash, name } of functions) if (often.has(name)) hashes.delete(hash);
  const words = [...hashes].sort();
  const lines = [];
  for (let at = 0; at < words.length; at += 13) lines.push(words.slice(at, at + 13).join(" "));
  writeFileSync(root + list, `${lines.join("\n")}\n`);
  console.log(`${list}: ${words.length} of ${functions.length} functions are rare`);
}
