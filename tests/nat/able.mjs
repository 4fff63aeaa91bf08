// Says in one line why this machine cannot make the networks of these tests, and nothing if it can.
import { forbidden } from "./lab.mjs";

const why = forbidden();
if (why) console.log(why);
