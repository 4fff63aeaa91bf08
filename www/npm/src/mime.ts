const OPAQUE = "application/octet-stream";

/** Media types by the ending of a name: what browsers play or show, and streams that are cut into segments. */
const TYPES: Record<string, string> = {
  mp4: "video/mp4",
  m4v: "video/mp4",
  m4s: "video/iso.segment",
  mov: "video/quicktime",
  webm: "video/webm",
  mkv: "video/x-matroska",
  ogv: "video/ogg",
  ts: "video/mp2t",
  m3u8: "application/vnd.apple.mpegurl",
  mpd: "application/dash+xml",
  mp3: "audio/mpeg",
  m4a: "audio/mp4",
  aac: "audio/aac",
  ogg: "audio/ogg",
  opus: "audio/ogg",
  flac: "audio/flac",
  wav: "audio/wav",
  jpg: "image/jpeg",
  jpeg: "image/jpeg",
  png: "image/png",
  gif: "image/gif",
  webp: "image/webp",
  avif: "image/avif",
  svg: "image/svg+xml",
  vtt: "text/vtt",
  srt: "application/x-subrip",
  txt: "text/plain; charset=utf-8",
  json: "application/json",
  pdf: "application/pdf",
};

/** Types that a browser makes a document of, with scripts in it: every XML is one (RFC 7303). */
const DOCUMENT = /\b(?:html|xml)\b/;

/**
 * The type of the bytes of a file where they come without the headers that keep a document apart: a Blob's URL is of
 * the page's own origin.
 */
export function typeOfBytes(name: string): string {
  const type = typeOf(name);
  return DOCUMENT.test(type) ? OPAQUE : type;
}

/** The media type of a file of this name; `application/octet-stream` if the ending says nothing. */
export function typeOf(name: string): string {
  const ending = name.slice(name.lastIndexOf(".") + 1).toLowerCase();
  return Object.hasOwn(TYPES, ending) ? (TYPES[ending] as string) : OPAQUE;
}
