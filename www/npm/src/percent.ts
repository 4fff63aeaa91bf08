/** Escapes of one character in UTF-8. */
const ESCAPES =
  /%[0-7][\da-f]|%[cd][\da-f]%[89ab][\da-f]|%e[\da-f](?:%[89ab][\da-f]){2}|%f[0-7](?:%[89ab][\da-f]){3}/gi;

/**
 * A path with its percent escapes read. One that is none, or no UTF-8, stays as it is written, as in the URL standard's
 * percent-decode: people write `100% of it.ts` beside `a%20b.ts`.
 */
export function unescaped(path: string): string {
  return path.replace(ESCAPES, (escapes) => {
    try {
      return decodeURIComponent(escapes);
    } catch {
      return escapes;
    }
  });
}
