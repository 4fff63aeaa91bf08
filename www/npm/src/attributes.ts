/** The attributes of `<piecework-player>`, and a slip of the pen in one. */

/** Those whose whole number is checked, and the most of each. */
export const WHOLE: Record<string, number> = {
  "chain-id": Number.MAX_SAFE_INTEGER,
  "token-decimals": 36,
  "upload-limit": Number.MAX_SAFE_INTEGER,
  "max-gas-percent": 100,
};

/** Those that have no place beside `deployment`. */
export const NAMED_BY_DEPLOYMENT = ["vault", "chain-id", "token", "token-decimals", "token-symbol"] as const;

const NAMES = [
  ...["src", "magnet", "torrent", "poster", "muted", "loop", "controls", "crossorigin", "autoplay", "keep", "engine"],
  ...["trackers", "web-seeds", "ice-servers", "upload-limit", "upload-agreed", "consent", "seed-library"],
  ...["worker-url", "wasm-url", "service-worker-url", "deployment", "rpc-url", "max-price-per-gb", "budget"],
  ...["deposit", "max-deposit", "coin-price", "min-redeem", "max-gas-percent", ...NAMED_BY_DEPLOYMENT],
];
/** Letters that may be wrong in a name that is guessed, and the least that it has. */
const MOST_SLIPS = 2;
const FEWEST_LETTERS = 4;
const LONGEST_NAME = 40;

/**
 * Of the attributes that an element has, the first that is none of ours and looks like one: what was written, and what
 * was meant. Attributes that resemble none are the page's, or its framework's.
 */
export function misspelt(names: readonly string[]): { written: string; meant: string } | null {
  for (const written of names) {
    if (NAMES.includes(written) || written.length < FEWEST_LETTERS || written.length > LONGEST_NAME) continue;
    const bare = (name: string) => name.replaceAll("-", "");
    const meant =
      NAMES.find(
        (name) => distance(bare(written), bare(name)) <= (name.length > FEWEST_LETTERS + 1 ? MOST_SLIPS : 1),
      ) ?? NAMES.find((name) => written.includes("-") && (name.startsWith(written) || written.startsWith(`${name}-`)));
    if (meant && !GLOBAL.has(written)) return { written, meant };
  }
  return null;
}

/** Attributes that every element has, and that look like one of ours. */
const GLOBAL = new Set(["slot", "style", "title", "class", "part", "role", "lang", "hidden", "inert", "nonce"]);

/** Letters to change, add or leave out between two words (Levenshtein). */
function distance(one: string, other: string): number {
  let row = Array.from({ length: other.length + 1 }, (_, at) => at);
  for (const [line, letter] of [...one].entries()) {
    const next = [line + 1];
    for (let at = 0; at < other.length; at++)
      next.push(Math.min((next[at] ?? 0) + 1, (row[at + 1] ?? 0) + 1, (row[at] ?? 0) + (letter === other[at] ? 0 : 1)));
    row = next;
  }
  return row[other.length] ?? 0;
}
