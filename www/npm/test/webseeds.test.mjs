import assert from "node:assert/strict";
import { once } from "node:events";
import { createServer } from "node:http";
import { test } from "node:test";
import { Worker } from "node:worker_threads";

/** A module whose only function `f` is `unreachable`. */
const TRAP = "AGFzbQEAAAABBAFgAAADAgEABwUBAWYAAAoFAQMAAAs=";

/** What a worker as the engine's tells and catches while it asks for `url`. `onTold` is what `tell` does. */
async function ask(url, onTold) {
  const script = `
    const { parentPort } = require("node:worker_threads");
    const trap = new WebAssembly.Instance(new WebAssembly.Module(Buffer.from("${TRAP}", "base64"))).exports.f;
    process.on("unhandledRejection", (reason) =>
      parentPort.postMessage({ trapped: reason instanceof WebAssembly.RuntimeError, text: String(reason) }));
    import(${JSON.stringify(new URL("build/webseeds.js", import.meta.url).href)}).then(({ webSeeds }) => {
      const ask = webSeeds((answer) => {
        parentPort.postMessage({ answer });
        ${onTold}
      });
      ask(1, ${JSON.stringify(url)}, 0, 9);
    });`;
  const worker = new Worker(script, { eval: true });
  const said = [];
  worker.on("message", (message) => said.push(message));
  await once(worker, "exit");
  return said;
}

async function served(run) {
  const server = createServer((_, response) => {
    response.writeHead(206, { "Content-Range": "bytes 0-9/10" });
    response.end("0123456789");
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  try {
    await run(`http://127.0.0.1:${server.address().port}/f`);
  } finally {
    server.closeAllConnections();
    server.close();
  }
}

test("an answer is told in its order, with its end", () =>
  served(async (url) => {
    const told = (await ask(url, "")).map(({ answer }) => answer);
    assert.equal(told[0].status, 206);
    assert.equal(told[0].range, "bytes 0-9/10");
    const bytes = told.slice(1, -1).map((answer) => Buffer.from(answer.bytes));
    assert.equal(Buffer.concat(bytes).toString(), "0123456789");
    assert.equal(told.at(-1).error, null);
  }));

for (const [when, condition] of [
  ["at its head", "answer.status"],
  ["at its bytes", "answer.bytes"],
  ["at its end", "answer.error !== undefined"],
])
  test(`a trap of the engine ${when} is no fault of the web seed, and is not swallowed`, () =>
    served(async (url) => {
      const said = await ask(url, `if (${condition}) trap();`);
      assert.equal(said.at(-1).trapped, true, JSON.stringify(said));
      const faults = said.filter(({ answer }) => typeof answer?.error === "string");
      assert.deepEqual(faults, [], "the engine was told of a fault");
    }));
