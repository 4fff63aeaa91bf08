/** Which bytes of a file are asked for; `end` is one past the last, `suffix` the last so many. */
export interface Range {
  start?: number;
  end?: number;
  suffix?: number;
}

/** Beyond every file, and told exactly. */
const FAR = Number.MAX_SAFE_INTEGER;
const position = (digits: string) => Math.min(Number(digits), FAR);

/**
 * A `Range` header as RFC 9110, section 14 reads it: the one range of bytes that it asks for, or null for the whole file, where it is
 * not valid, of another unit, or of several ranges. Whether it lies in the file is not looked at.
 */
export function parseRange(header: string | null): Range | null {
  const match = /^bytes=(\d*)-(\d*)$/i.exec(header?.trim() ?? "");
  if (!match) return null;
  const [, first = "", last = ""] = match;
  if (first === "") return last === "" ? null : { suffix: position(last) };
  if (last === "") return { start: position(first) };
  if (BigInt(last) < BigInt(first)) return null;
  return { start: position(first), end: Math.min(position(last) + 1, FAR) };
}
