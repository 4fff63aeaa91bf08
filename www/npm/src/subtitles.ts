import type { Torrent, TorrentFile } from "./torrent.js";

/** Subtitle files of a torrent that are offered. */
const MAX_FILES = 32;

/** Puts subtitles into a video, in place of those it had: the page's `<track>` elements, then the torrent's files. */
export class Subtitles {
  readonly #video: HTMLVideoElement;
  readonly #page: ParentNode;
  readonly #failed: (error: unknown) => void;
  #files: HTMLTrackElement[] = [];
  /** Those that no service worker streams: each is fetched when its viewer chooses it. */
  #late = new Map<HTMLTrackElement, TorrentFile>();

  /** `page` has `<track>` elements as children; `failed` hears why a chosen file cannot be read. */
  constructor(video: HTMLVideoElement, page: ParentNode, failed: (error: unknown) => void) {
    this.#video = video;
    this.#page = page;
    this.#failed = failed;
    video.textTracks.addEventListener("change", () => this.#chosen());
  }

  /** Takes up the page's `<track>` elements as they are now. */
  bringIn(): void {
    const named = [...this.#page.children].filter((child) => child instanceof HTMLTrackElement);
    this.#video.replaceChildren(...named.map((track) => track.cloneNode()), ...this.#files);
  }

  /**
   * Offers the `.vtt` files that belong to the film, whose URL is known. A browser reads one only when its viewer
   * chooses it.
   */
  offer(torrent: Torrent, film: TorrentFile): void {
    const files = besideFilm(torrent.files, film).slice(0, MAX_FILES);
    this.#late.clear();
    this.#files = files.map(({ file, language, label }) => {
      const named = { kind: "subtitles", srclang: language, label };
      const track = Object.assign(document.createElement("track"), named);
      const url = file.streamURL;
      if (url === null) this.#late.set(track, file);
      else track.src = url;
      return track;
    });
    this.bringIn();
  }

  #chosen(): void {
    for (const [track, file] of this.#late) {
      if (track.track.mode === "disabled") continue;
      this.#late.delete(track);
      const again = (error: unknown) => {
        if (!this.#files.includes(track)) return;
        this.#late.set(track, file); // chosen again, it is tried again
        this.#failed(error);
      };
      const show = (url: string) => {
        track.src = url;
      };
      file.url().then(show, again);
    }
  }

  /** Takes the torrent's files back. */
  clear(): void {
    this.#late.clear();
    this.#files = [];
    this.bringIn();
  }
}

/** A subtitle file, the language its name tells (`""` for none), and what a viewer reads. */
export interface Subtitle<F> {
  file: F;
  language: string;
  label: string;
}

/**
 * The files named as the film is, in any folder: `film.vtt`, `film.en.vtt`, `Subs/film.pt-BR.forced.vtt`. Where the
 * film is the torrent's only one, every `.vtt` file is its.
 */
export function besideFilm<F extends Pick<TorrentFile, "name" | "selected">>(
  files: readonly F[],
  film: F,
): Subtitle<F>[] {
  const stem = film.name.replace(/\.[^.]*$/, "").toLowerCase();
  const texts = files.filter(({ name, selected }) => selected && /\.vtt$/i.test(name));
  const bare = (name: string) => name.slice(0, -".vtt".length);
  const named = texts.filter(({ name }) => `${bare(name).toLowerCase()}.`.startsWith(`${stem}.`));
  return (named.length > 0 ? named : texts).map((file) => {
    const own = bare(file.name);
    const isNamed = named.length > 0;
    const words = (isNamed ? own.slice(stem.length) : own).split(/[._ ]/).filter(Boolean);
    const at = words.findIndex((word) => languageName(word) !== null);
    const language = words[at] ?? "";
    const rest = words.filter((_, index) => index !== at);
    const label = language && (isNamed || words.length === 1) ? [languageName(language), ...rest].join(" ") : own;
    return { file, language, label: label || own };
  });
}

/** A language in the viewer's own, by its tag (BCP 47) of two or three letters and maybe a region; null: it is none. */
function languageName(tag: string): string | null {
  if (!/^[a-z]{2,3}(-[a-z]{2}|-[0-9]{3})?$/i.test(tag)) return null;
  try {
    return new Intl.DisplayNames(undefined, { type: "language", fallback: "none" }).of(tag) ?? null;
  } catch {
    return null; // no tag
  }
}
