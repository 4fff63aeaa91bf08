// What the run says: lines for the person who waits, and one JSON object per line for the command that reads the results.
import { appendFileSync, writeFileSync } from "node:fs";

/** Where the results go. */
export class Out {
  #path;
  #begun = Date.now();

  constructor(path) {
    this.#path = path;
    writeFileSync(path, "");
  }

  /** A result, written at once: what was measured before an interruption is not lost. */
  result(kind, fields) {
    appendFileSync(this.#path, `${JSON.stringify({ kind, ...fields })}\n`);
  }

  /** A line for the person. */
  say(text) {
    const seconds = Math.round((Date.now() - this.#begun) / 1000);
    console.log(`  ${String(Math.floor(seconds / 60)).padStart(2)}:${String(seconds % 60).padStart(2, "0")} ${text}`);
  }
}
