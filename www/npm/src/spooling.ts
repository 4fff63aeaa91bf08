/** Streams that are to be seeded, read to their end: a module that a page loads when it first seeds one. */

/** All streams of one torrent together. The browser keeps their bytes until the engine has stored them. */
export const MOST_STREAMED_BYTES = 1 << 30;
/** Bytes that are gathered before they go to the browser's store of blobs. */
const PART = 8 << 20;

/**
 * The files with a Blob of the same name in place of each stream. A stream that is longer than the bound, or that the
 * signal ends, is cancelled.
 */
export async function spooled(
  files: readonly unknown[],
  {
    signal,
    refuse,
    most = MOST_STREAMED_BYTES,
  }: { signal?: AbortSignal | null | undefined; refuse: (text: string) => Error; most?: number },
): Promise<unknown[]> {
  let left = most;
  const done: unknown[] = [];
  for (const file of files) {
    if (!(file instanceof ReadableStream)) {
      done.push(file);
      continue;
    }
    const parts: Blob[] = [];
    let chunks: Uint8Array<ArrayBuffer>[] = [];
    let gathered = 0;
    const put = () => {
      parts.push(new Blob(chunks));
      [chunks, gathered] = [[], 0];
    };
    const reader = (file as ReadableStream<unknown>).getReader();
    const stop = () => void reader.cancel(signal?.reason).catch(() => undefined);
    signal?.addEventListener("abort", stop, { once: true });
    try {
      for (;;) {
        signal?.throwIfAborted();
        const { done: isOver, value } = await reader.read();
        signal?.throwIfAborted();
        if (isOver) break;
        if (!(value instanceof Uint8Array)) throw refuse("a stream to be seeded gives chunks of type Uint8Array");
        left -= value.length;
        if (left < 0)
          throw refuse(
            `the streams to be seeded are longer than ${most} bytes together: give a File or a Blob, which the ` +
              "browser keeps outside the page's memory",
          );
        chunks.push(value.slice());
        gathered += value.length;
        if (gathered >= PART) put();
      }
    } catch (error) {
      stop();
      throw error;
    } finally {
      signal?.removeEventListener("abort", stop);
    }
    put();
    const { name } = file as { name?: unknown };
    done.push(typeof name === "string" ? Object.assign(new Blob(parts), { name }) : new Blob(parts));
  }
  return done;
}
