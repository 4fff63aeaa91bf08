/**
 * HLS out of a torrent, played by hls.js. A script of its own: a page that plays none does not load it.
 *
 * ```js
 * import Hls from "hls.js";
 * import { settings, urlOf } from "piecework/hls";
 *
 * const torrent = await client.add(magnet, { onDemand: true });
 * const hls = new Hls(settings(torrent));
 * hls.loadSource(urlOf(torrent, "master.m3u8"));
 * hls.attachMedia(video);
 * ```
 */
import type { HlsConfig, Loader, LoaderCallbacks, LoaderConfiguration, LoaderContext, LoaderStats } from "hls.js";
import { answer, chunksIn, joined, type Streamed, Unanswered } from "./streams.js";

export { type Streamed, urlOf } from "./streams.js";

/** As for a player of a file: `AHEAD_SECONDS` in crate/src/torrent/players.rs. */
const AHEAD_SECONDS = 30;

type Retry = LoaderConfiguration["loadPolicy"]["errorRetry"];
interface Job {
  readonly context: LoaderContext;
  readonly config: LoaderConfiguration;
  readonly callbacks: LoaderCallbacks<LoaderContext>;
}

/** A load waits for as long as its bytes take, and one that broke off is tried again so often. */
const patient = (maxNumRetry: number) => ({
  default: {
    maxTimeToFirstByteMs: Number.POSITIVE_INFINITY,
    maxLoadTimeMs: Number.POSITIVE_INFINITY,
    timeoutRetry: null,
    errorRetry: { maxNumRetry, retryDelayMs: 1000, maxRetryDelayMs: 8000 },
  },
});

/**
 * What hls.js is told so that a viewer pays for what is watched: {@link piecework} as its loader, `ahead` seconds of
 * the stream fetched ahead of the picture (30 if not said), and no segment fetched for a measurement alone. By itself
 * hls.js fetches up to 60 MB ahead. No load ends because it takes long: hls.js would ask the same peers again, and give
 * up after a while. Spread it to add settings of your own.
 */
export function settings(torrent: Streamed, { ahead = AHEAD_SECONDS }: { ahead?: number } = {}): Partial<HlsConfig> {
  return {
    loader: piecework(torrent),
    maxBufferLength: ahead,
    maxMaxBufferLength: ahead,
    testBandwidth: false,
    manifestLoadPolicy: patient(2),
    playlistLoadPolicy: patient(2),
    fragLoadPolicy: patient(6),
    keyLoadPolicy: patient(6),
  };
}

/**
 * The class that hls.js takes as `loader`, without the other {@link settings}: everything that hls.js loads comes out
 * of this torrent, and an address that leads elsewhere is refused. Begin with an address of {@link urlOf}.
 *
 * hls.js decides what is fetched, and so what is bought: the segments that it loads, and of the torrent's pieces all
 * that these lie in.
 */
export function piecework(torrent: Streamed): HlsConfig["loader"] {
  return class extends TorrentLoader {
    constructor() {
      super(torrent);
    }
  };
}

/** One load of hls.js, with the tries that its policy allows. */
class TorrentLoader implements Loader<LoaderContext> {
  context: LoaderContext | null = null;
  /** hls.js reads it while it loads, and keeps it. */
  stats: LoaderStats = {
    aborted: false,
    loaded: 0,
    retry: 0,
    total: 0,
    chunkCount: 0,
    bwEstimate: 0,
    loading: { start: 0, first: 0, end: 0 },
    parsing: { start: 0, end: 0 },
    buffering: { start: 0, first: 0, end: 0 },
  };
  readonly #torrent: Streamed;
  #job: Job | null = null;
  /** Ends the try that is under way. */
  #stop: AbortController | null = null;
  #response: Response | null = null;
  /** Of the next limit of time, or of the next try. */
  #timer: ReturnType<typeof setTimeout> | undefined;

  constructor(torrent: Streamed) {
    this.#torrent = torrent;
  }

  load(context: LoaderContext, config: LoaderConfiguration, callbacks: LoaderCallbacks<LoaderContext>): void {
    if (this.stats.loading.start) throw new Error("a loader of hls.js loads once");
    this.stats.loading.start = performance.now();
    this.context = context;
    this.#job = { context, config, callbacks };
    this.#try(this.#job);
  }

  abort(): void {
    const job = this.#job;
    this.#halt();
    job?.callbacks.onAbort?.(this.stats, job.context, this.#response);
  }

  destroy(): void {
    this.#job = null;
    this.context = null;
    this.#halt();
    this.#response = null;
  }

  getCacheAge(): number | null {
    return null;
  }

  getResponseHeader(name: string): string | null {
    return this.#response?.headers.get(name) ?? null;
  }

  #try(job: Job): void {
    const { stats } = this;
    Object.assign(stats, { loaded: 0, aborted: false });
    stats.loading.first = 0;
    const stop = new AbortController();
    this.#stop = stop;
    const { maxTimeToFirstByteMs, maxLoadTimeMs } = job.config.loadPolicy;
    const first = maxTimeToFirstByteMs && Number.isFinite(maxTimeToFirstByteMs) ? maxTimeToFirstByteMs : maxLoadTimeMs;
    this.#limit(first);
    this.#read(job, stop.signal).then(
      (data) => this.#stop === stop && this.#done(job, data),
      (error: unknown) => this.#stop === stop && this.#failed(job, error),
    );
  }

  /** What hls.js is given in the end: nothing, if it took the chunks. */
  async #read({ context, config, callbacks }: Job, signal: AbortSignal): Promise<ArrayBuffer> {
    const { stats } = this;
    const headers: Record<string, string> & { range?: string } = { ...context.headers };
    if (context.rangeEnd) headers.range = `bytes=${context.rangeStart ?? 0}-${context.rangeEnd - 1}`;
    const began = performance.now();
    const { response, length } = await answer(this.#torrent, context.url, { headers, signal });
    this.#response = response;
    stats.total = length;
    // The head is made on the page. Whoever takes the first piece's arrival for the first byte, as hls.js does when it
    // measures the network, leaves the time of that piece out, which may be all there is.
    stats.loading.first = performance.now();
    const chunks: Uint8Array<ArrayBuffer>[] = [];
    const least = config.highWaterMark;
    const take =
      callbacks.onProgress && least !== undefined && Number.isFinite(least) && context.responseType === "arraybuffer"
        ? callbacks.onProgress
        : null;
    let held = 0;
    const give = () => {
      if (held > 0) take?.(stats, context, joined(chunks.splice(0)), response);
      held = 0;
    };
    for await (const chunk of chunksIn(response)) {
      if (signal.aborted) break;
      if (stats.loaded === 0) this.#limit(config.loadPolicy.maxLoadTimeMs - (performance.now() - began));
      stats.loaded += chunk.length;
      chunks.push(chunk);
      held += chunk.length;
      if (take && held >= (least ?? 0)) give();
    }
    if (take) give();
    return joined(chunks);
  }

  #done({ context, callbacks }: Job, bytes: ArrayBuffer): void {
    const { stats } = this;
    clearTimeout(this.#timer);
    const response = this.#response;
    const data = context.responseType === "arraybuffer" ? bytes : new TextDecoder().decode(bytes);
    let answered: string | ArrayBuffer | object = data;
    try {
      if (context.responseType === "json") answered = JSON.parse(String(data));
    } catch {
      // It is what its publisher wrote: asking again brings the same.
      this.#failed(this.#job, new Unanswered(422, `${context.url} is no JSON`));
      return;
    }
    stats.loading.end = Math.max(performance.now(), stats.loading.first);
    stats.total = stats.loaded;
    const took = stats.loading.end - stats.loading.start;
    if (took > 0) stats.bwEstimate = (stats.loaded * 8000) / took;
    // Who did not take the chunks gets all of it as one.
    if (stats.loaded > 0 && bytes.byteLength === stats.loaded) callbacks.onProgress?.(stats, context, data, response);
    callbacks.onSuccess({ url: context.url, data: answered, code: response?.status ?? 200 }, stats, context, response);
  }

  #failed(job: Job | null, error: unknown): void {
    clearTimeout(this.#timer);
    if (!job) return;
    const text = error instanceof Error ? error.message : String(error);
    // A read that broke off is what a web server calls an error of its own: hls.js tries such a one again.
    const code = error instanceof Unanswered ? error.status : 500;
    if (this.#again(job, job.config.loadPolicy.errorRetry, code)) return;
    this.#stop = null;
    job.callbacks.onError({ code, text }, job.context, this.#response, this.stats);
  }

  #late(): void {
    const job = this.#job;
    if (!job || this.#again(job, job.config.loadPolicy.timeoutRetry, null)) return;
    this.#halt();
    job.callbacks.onTimeout(this.stats, job.context, this.#response);
  }

  /** Tries again after a while, if the policy allows it; `code` is null after a limit of time. */
  #again(job: Job, policy: Retry, code: number | null): boolean {
    if (!policy) return false;
    const { stats } = this;
    const isLate = code === null;
    const helps = isLate || code >= 500;
    const wanted = stats.retry < policy.maxNumRetry && helps;
    const response = isLate ? undefined : { url: job.context.url, code };
    if (!(policy.shouldRetry?.(policy, stats.retry, isLate, response, wanted) ?? wanted)) return false;
    const delay = policy.retryDelayMs * (policy.backoff === "linear" ? 1 : 2 ** stats.retry);
    stats.retry++;
    this.#halt();
    this.#timer = setTimeout(() => this.#try(job), Math.min(delay, policy.maxRetryDelayMs));
    return true;
  }

  /** Ends what is under way: it is neither fetched nor paid any further. */
  #halt(): void {
    clearTimeout(this.#timer);
    const stop = this.#stop;
    this.#stop = null;
    if (!stop || this.stats.loading.end) return;
    this.stats.aborted = true;
    stop.abort();
  }

  /** In so many milliseconds it is late. */
  #limit(ms: number): void {
    clearTimeout(this.#timer);
    if (Number.isFinite(ms)) this.#timer = setTimeout(() => this.#late(), ms);
  }
}
