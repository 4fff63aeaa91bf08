// Serves the test page on loopback, under this policy, for a browser in the same network namespace.
import { site } from "../browser/support/harness.mjs";

console.log(await site({ policy: process.argv[2] }));
