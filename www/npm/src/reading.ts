import { PieceworkError } from "./errors.js";
import type { StreamHead } from "./protocol.js";

/** A part of a file, and what ends its reading. */
export interface ReadOptions {
  /** The first byte; default 0. */
  start?: number;
  /** One past the last byte, as in `Blob.slice`; default: the file's length. */
  end?: number;
  /** Ends the reading: what is not fetched by then is neither fetched nor paid. */
  signal?: AbortSignal | null;
}

/**
 * @internal The bytes of an engine's reader, one chunk for each pull. `open` hands the reader's port to the engine.
 * `late`: not before somebody reads.
 */
export function chunksOf(
  open: (port: MessagePort) => void,
  { signal, late = false }: { signal?: AbortSignal | null | undefined; late?: boolean } = {},
): ReadableStream<Uint8Array<ArrayBuffer>> {
  let port: MessagePort | null = null;
  let over = false;
  let aborted: () => void = () => undefined;
  // The promise for the next message: first for the head, then for each pull's chunk.
  let answered: (() => void) | null = null;
  const answer = () => new Promise<void>((resolve) => (answered = resolve));
  const end = () => {
    over = true;
    port?.close();
    signal?.removeEventListener("abort", aborted);
  };
  const begin = (controller: ReadableStreamDefaultController<Uint8Array<ArrayBuffer>>) => {
    const { port1, port2 } = new MessageChannel();
    port = port1;
    port1.onmessage = ({ data }: MessageEvent<StreamHead | ArrayBuffer | "end">) => {
      if (data instanceof ArrayBuffer) {
        controller.enqueue(new Uint8Array(data));
      } else if (data === "end") {
        end();
        controller.close();
      } else if ("error" in data) {
        end();
        controller.error(new PieceworkError(data.error));
      }
      answered?.();
    };
    const head = answer();
    open(port2);
    return head;
  };
  return new ReadableStream<Uint8Array<ArrayBuffer>>(
    {
      start: (controller) => {
        aborted = () => {
          port?.postMessage("cancel");
          end();
          controller.error(signal?.reason);
        };
        if (signal?.aborted) return aborted();
        signal?.addEventListener("abort", aborted);
        return late ? undefined : begin(controller);
      },
      pull: async (controller) => {
        if (!port) await begin(controller);
        if (over) return;
        port?.postMessage("pull");
        return answer();
      },
      cancel: () => {
        port?.postMessage("cancel");
        end();
      },
    },
    { highWaterMark: late ? 0 : 1 },
  );
}
