// What `piecework vault deploy` carries: the creation code of vault, registry, splitters, their factory and demo token,
// and the standard JSON input of vault and registry, with which block explorers verify the source.
//
// `npm run artifact` writes artifacts/ from what `npm run build` made. `npm run test:artifact` writes nothing: it fails
// when a committed file is not what the sources compile to, or when the committed input does not compile to the
// committed code, to the byte.

import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

const solc = createRequire(import.meta.url)("solc");
const root = join(dirname(fileURLToPath(import.meta.url)), "..");
const renewal = "run `npm run build` and `npm run artifact` in contracts/, and commit artifacts/";

/** The compiler's output of a contract, as forge keeps it. */
function built(name) {
  const { bytecode, metadata } = JSON.parse(readFileSync(join(root, `out/${name}.sol/${name}.json`), "utf8"));
  return { code: bytecode.object, metadata };
}

/** The input of the compiler, with every source that the contract needs and the settings of foundry.toml. */
function standardInput({ metadata }) {
  const { compilationTarget: _, ...settings } = metadata.settings;
  const sources = {};
  for (const path of Object.keys(metadata.sources)) {
    sources[path] = { content: readFileSync(join(root, path), "utf8") };
  }
  return {
    language: "Solidity",
    sources,
    settings: { ...settings, outputSelection: { "*": { "*": ["abi", "evm.bytecode", "evm.deployedBytecode"] } } },
  };
}

/** The creation code that an input compiles to. */
function compiled(input, name) {
  const { contracts, errors = [] } = JSON.parse(solc.compile(JSON.stringify(input)));
  const fault = errors.find(({ severity }) => severity === "error");
  if (fault) throw new Error(fault.formattedMessage);
  return `0x${contracts[`src/${name}.sol`][name].evm.bytecode.object}`;
}

function artifact(name, { code, metadata }) {
  const [file] = Object.keys(metadata.settings.compilationTarget);
  return {
    contract: `${file}:${name}`,
    compiler: metadata.compiler.version,
    evmVersion: metadata.settings.evmVersion,
    creationCode: code,
  };
}

/** Whose source is verified. */
const verified = ["PieceworkVault", "PieceworkRegistry"];
const files = {};
for (const name of [...verified, "SplitterFactory", "Splitter", "DemoToken"])
  files[`${name}.json`] = artifact(name, built(name));
for (const name of verified) files[`${name}.standard.json`] = standardInput(built(name));

const isCheck = process.argv.includes("--check");
const faults = [];
for (const [name, value] of Object.entries(files)) {
  const path = join(root, "artifacts", name);
  const text = `${JSON.stringify(value, null, 2)}\n`;
  if (!isCheck) {
    mkdirSync(dirname(path), { recursive: true });
    writeFileSync(path, text);
  } else if (readFileSync(path, "utf8") !== text) {
    faults.push(`artifacts/${name} is not what the sources compile to: ${renewal}`);
  }
}
const committed = (name) => JSON.parse(readFileSync(join(root, "artifacts", name), "utf8"));
for (const name of verified) {
  if (compiled(committed(`${name}.standard.json`), name) !== committed(`${name}.json`).creationCode) {
    faults.push(`artifacts/${name}.standard.json does not compile to the committed code: ${renewal}`);
  }
}
for (const fault of faults) console.error(fault);
process.exitCode = faults.length > 0 ? 1 : 0;
