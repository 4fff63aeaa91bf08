/**
 * Tells the engine where a player is. Browsers read ahead of what they show by bounds of their own, and the engine
 * holds these reads to what the player needs, because what is fetched may be paid for.
 */

/** A player this often says where it is, besides at each seek and stop: a new engine has not heard of it. */
const EVERY_MS = 500;
/**
 * A standstill of this length is one for lack of data. On a busy machine a decoder falls behind for a moment though the
 * data is there.
 */
const STARVED_MS = 2_000;
/** Numbers of players go round after so many. */
const MAX_PLAYERS = 1_000;

/** Fields of the message `play`. Without `position` the player plays no more. */
export interface Playhead {
  player: number;
  file: number;
  /** Bytes, as if the film had one bit rate. */
  position?: number;
  /** Bytes of the file per second of playing. */
  rate?: number;
  /** It stands still, because it lacks data. */
  starved?: boolean;
}

let next = 0;
const following = new WeakMap<HTMLMediaElement, () => void>();

/** Follows a player as long as it plays what is its source now, or until the answer is called. */
export function follow(
  video: HTMLMediaElement,
  file: number,
  length: number,
  tell: (head: Playhead) => void,
): () => void {
  following.get(video)?.();
  const player = next++ % MAX_PLAYERS;
  const source = video.src;
  let told = false;
  /** Since when it stands still. */
  let still: number | null = null;
  const look = () => {
    if (video.src !== source) return stop();
    const { currentTime, duration, readyState, ended } = video;
    // Before it knows how long the film is, a player reads the beginning and the index.
    if (!(duration > 0 && duration < Infinity)) return;
    const position = Math.min(length, Math.floor((currentTime / duration) * length));
    const rate = Math.ceil(length / duration);
    const stands = readyState < video.HAVE_FUTURE_DATA && !ended;
    still = stands ? (still ?? performance.now()) : null;
    told = true;
    tell({ player, file, position, rate, starved: still !== null && performance.now() - still >= STARVED_MS });
  };
  const stop = () => {
    clearInterval(timer);
    for (const name of NEWS) video.removeEventListener(name, look);
    if (following.get(video) === stop) following.delete(video);
    if (told) tell({ player, file });
  };
  const timer = setInterval(look, EVERY_MS);
  for (const name of NEWS) video.addEventListener(name, look);
  following.set(video, stop);
  look();
  return stop;
}

const NEWS = ["loadedmetadata", "durationchange", "seeking", "waiting", "emptied"] as const;
