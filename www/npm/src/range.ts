/** The bytes of a file that a request asks for; `end` is one past the last, `suffix` the last so many. */
export interface Range {
  start?: number;
  end?: number;
  suffix?: number;
}

/** Beyond every file, and exact as a number. */
const FAR = Number.MAX_SAFE_INTEGER;
const position = (digits: string) => Math.min(Number(digits), FAR);

/**
 * A `Range` header as RFC 9110, section 14 reads it: the one range of bytes that it asks for. Null stands for the whole
 * file, if the header is not valid, of another unit, or of several ranges. The function does not check that the range
 * lies in the file.
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
