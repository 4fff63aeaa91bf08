// The findings of the play-through: lines for people, checks that all must hold, and the same as JSON.
import { mkdir, writeFile } from "node:fs/promises";
import { dirname } from "node:path";

const FINE_BITS = 24n;

/** Collects checks and tables; nothing is decided twice. */
export class Report {
  checks = [];
  facts = {};

  /** Something that must hold. */
  check(what, holds, detail = "") {
    this.checks.push({ what, holds: Boolean(holds), detail: String(detail) });
    console.log(`${holds ? "  ok    " : "  FAILED"}  ${what}${detail === "" ? "" : `: ${detail}`}`);
  }

  /** Two amounts that must be the same to the last unit. */
  equal(what, ours, theirs) {
    this.check(what, ours === theirs, ours === theirs ? ours : `${ours} is not ${theirs}`);
  }

  /** Something to be known, in the JSON too. */
  fact(name, value) {
    this.facts[name] = value;
  }

  /** A table with a title; the first row names the columns. */
  table(title, rows) {
    console.log(`\n${title}`);
    const widths = rows[0].map((_, column) => Math.max(...rows.map((row) => String(row[column] ?? "").length)));
    for (const row of rows) {
      const cells = row.map((cell, column) => {
        const text = String(cell ?? "");
        return column === 0 ? text.padEnd(widths[column]) : text.padStart(widths[column]);
      });
      console.log(`  ${cells.join("  ")}`);
    }
  }

  /** Writes the JSON and prints the result. */
  async finish(path) {
    const failed = this.checks.filter((check) => !check.holds);
    const json = { passed: failed.length === 0, checks: this.checks, ...this.facts };
    await mkdir(dirname(path), { recursive: true });
    await writeFile(
      path,
      JSON.stringify(json, (_, value) => (typeof value === "bigint" ? value.toString() : value), 2),
    );
    console.log(`\nreport: ${path}`);
    console.log(`${this.checks.length - failed.length} checks hold, ${failed.length} do not`);
    return failed.length === 0;
  }
}

/** Of the token. */
let decimals = 6;

/** The token has so many decimals. */
export function setDecimals(given) {
  decimals = given;
}

/** Token units as a decimal number of tokens. */
export function tokens(units) {
  const sign = units < 0n ? "-" : "";
  const digits = (units < 0n ? -units : units).toString().padStart(decimals + 1, "0");
  const point = digits.length - decimals;
  return `${sign}${digits.slice(0, point)}${decimals > 0 ? "." : ""}${digits.slice(point)}`;
}

/** Fine units: whole token units and the rest in 2^-24 of one. */
export function fineText(fine) {
  const rest = fine & ((1n << FINE_BITS) - 1n);
  return `${tokens(fine >> FINE_BITS)}${rest === 0n ? "" : ` + ${rest}/2^24`}`;
}

/** Bytes with thousands separators. */
export function grouped(number) {
  return Number(number).toLocaleString("en");
}

export { FINE_BITS };
