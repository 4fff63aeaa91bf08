// The delays that a viewer notices, in milliseconds since the navigation began.

/** Plays `url` and reads its first bytes beside it. */
export async function watch(video, url) {
  const notes = { urlMs: performance.now() };
  const frame = new Promise((resolve, reject) => {
    video.requestVideoFrameCallback(() => resolve(performance.now()));
    video.addEventListener("error", () => reject(new Error(`video error ${video.error.code}: ${video.error.message}`)));
  });
  video.addEventListener("loadedmetadata", () => (notes.metadataMs = performance.now()), { once: true });
  const byte = fetch(url, { headers: { Range: "bytes=0-" } }).then(async ({ body }) => {
    const reader = body.getReader();
    const { value } = await reader.read();
    if (!(value?.byteLength > 0)) throw new Error("the first read of the file brought nothing");
    const now = performance.now();
    void reader.cancel();
    return now;
  });
  video.src = url;
  void video.play();
  [notes.firstByteMs, notes.firstFrameMs] = await Promise.all([byte, frame]);
  return notes;
}
