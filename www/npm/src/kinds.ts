/** What kind of value a caller gave. */

/**
 * Makes an error of a sentence, for modules that load alone: they must not bring a second copy of the client's errors.
 */
export type Refusal = (text: string) => Error;

/** Its bytes, if it is made of some. */
export function bytesOf(source: unknown): Uint8Array | null {
  if (source instanceof ArrayBuffer) return new Uint8Array(source);
  return ArrayBuffer.isView(source) ? new Uint8Array(source.buffer, source.byteOffset, source.byteLength) : null;
}

/** A list, a FileList, a Set and so on. */
export function isIterable(source: unknown): source is Iterable<unknown> {
  return typeof source === "object" && source !== null && Symbol.iterator in source;
}

/** In words, for a refusal. */
export function kindOf(value: unknown): string {
  if (typeof value !== "object" || value === null)
    return `${value === null || value === undefined ? value : `a ${typeof value}`}`;
  return `an object of type ${value.constructor?.name ?? "Object"}`;
}
