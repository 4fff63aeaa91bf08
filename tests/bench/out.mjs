// The run's output: lines for the person who waits, and one JSON object per line for the command that reads the
// results.
import { appendFileSync, writeFileSync } from "node:fs";

/** Where the results go. */
export class Out {
  #path;
  #begun = Date.now();

  constructor(path) {
    this.#path = path;
    writeFileSync(path, "");
  }

  /** Writes a result at once, so that an interruption loses no measurement. */
  result(kind, fields) {
    appendFileSync(this.#path, `${JSON.stringify({ kind, ...fields })}\n`);
  }

  /** A line for the person. */
  say(text) {
    const seconds = Math.round((Date.now() - this.#begun) / 1000);
    console.log(`  ${String(Math.floor(seconds / 60)).padStart(2)}:${String(seconds % 60).padStart(2, "0")} ${text}`);
  }
}
