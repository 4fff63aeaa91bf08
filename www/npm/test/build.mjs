// Compiles what the unit tests import: the page's sources, one by one, into test/build.
import { fileURLToPath } from "node:url";
import { build } from "esbuild";

process.chdir(fileURLToPath(new URL("..", import.meta.url)));
await build({
  entryPoints: [
    "src/client.ts",
    "src/deployment.ts",
    "src/keccak.ts",
    "src/emitter.ts",
    "src/link.ts",
    "src/lists.ts",
    "src/stores.ts",
    "src/protocol.ts",
    "src/torrent.ts",
    "src/trusted.ts",
    "src/units.ts",
    "src/history.ts",
    "src/deposit.ts",
    "src/abi.ts",
    "src/bridge.ts",
    "src/broker.ts",
    "src/gathering.ts",
    "src/ice.ts",
    "src/errors.ts",
    "src/answers.ts",
    "src/range.ts",
    "src/blobs.ts",
    "src/source.ts",
    "src/following.ts",
    "src/unsettled.ts",
    "src/wallet.ts",
    "src/worth.ts",
    "src/webseeds.ts",
    "src/payments.ts",
    "src/playhead.ts",
  ],
  format: "esm",
  target: "es2022",
  outdir: "test/build",
  bundle: false,
});
