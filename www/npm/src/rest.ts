// The part of the engine that few visits run, loaded by the worker at the first call of a function in it.

/** The engine cannot go on: a function that was called could not be loaded. */
export class RestMissing extends Error {}

/**
 * The module at this URL. The engine waits for it in the middle of a call, so it is loaded while nothing else runs in
 * the worker, as workers may.
 */
export function restAt(url: string): WebAssembly.Module {
  const request = new XMLHttpRequest();
  request.open("GET", url, false);
  request.responseType = "arraybuffer";
  const missing = (why: string) =>
    new RestMissing(`${url} could not be loaded (${why}): serve it beside the wasm, or name it by restUrl`);
  try {
    request.send();
  } catch (error) {
    throw missing(error instanceof Error ? error.message : String(error));
  }
  if (request.status !== 200) throw missing(`status ${request.status}`);
  return new WebAssembly.Module(request.response as ArrayBuffer);
}
