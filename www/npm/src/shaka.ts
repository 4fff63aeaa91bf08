/**
 * DASH and HLS out of a torrent, played by Shaka Player. A script of its own: a page that plays none does not load it.
 *
 * ```js
 * import shaka from "shaka-player";
 * import { piecework, settings, urlOf } from "piecework/shaka";
 *
 * const torrent = await client.add(magnet, { onDemand: true });
 * const player = new shaka.Player();
 * await player.attach(video);
 * player.configure(settings());
 * piecework(shaka, player, torrent);
 * await player.load(urlOf(torrent, "manifest.mpd"));
 * ```
 */
import { answer, chunksIn, hashIn, joined, SCHEME, type Streamed, Unanswered } from "./streams.js";

export { type Streamed, urlOf } from "./streams.js";

/** A request of Shaka's, as far as it is answered here. */
export interface ShakaRequest {
  readonly uris: readonly string[];
  readonly method: string;
  readonly headers: Record<string, string>;
  readonly retryParameters: { readonly timeout: number };
  readonly streamDataCallback: ((data: BufferSource) => Promise<unknown>) | null;
}

/** What Shaka calls a request filter. */
export type ShakaFilter = (type: number, request: ShakaRequest) => void;

/** `shaka.Player`, as far as it is used here. */
export interface ShakaPlayer {
  getNetworkingEngine(): {
    registerRequestFilter(filter: ShakaFilter): void;
    unregisterRequestFilter(filter: ShakaFilter): void;
  } | null;
}

/** The namespace `shaka`, as far as it is used here: the module's default export, of any of its builds. */
export interface Shaka {
  readonly net: {
    readonly NetworkingEngine: {
      registerScheme(scheme: string, plugin: unknown, priority?: number, progressSupport?: boolean): void;
    };
  };
  readonly util: {
    readonly AbortableOperation: new (promise: Promise<never>, onAbort: () => Promise<never>) => object;
    readonly Error: (new (
      severity: number,
      category: number,
      code: number,
      ...data: never[]
    ) => object) & {
      readonly Severity: { readonly RECOVERABLE: number; readonly CRITICAL: number };
      readonly Category: { readonly NETWORK: number };
      readonly Code: {
        readonly BAD_HTTP_STATUS: number;
        readonly HTTP_ERROR: number;
        readonly TIMEOUT: number;
        readonly OPERATION_ABORTED: number;
      };
    };
  };
}

/** What {@link piecework} may be told. */
export interface ShakaOptions {
  /**
   * Whether the player may ask this address, which lies in no torrent: a licence server of the site's own, say.
   * Default: none but `data:`.
   */
  allow?: (url: string) => boolean;
}

/** What {@link settings} sets of Shaka's configuration. */
export interface ShakaSettings {
  readonly streaming: {
    readonly bufferingGoal: number;
    readonly segmentPrefetchLimit: number;
    readonly retryParameters: ShakaLimits;
  };
  readonly manifest: {
    readonly hls: { readonly disableClosedCaptionsDetection: boolean };
    readonly retryParameters: ShakaLimits;
  };
}

/** Milliseconds; 0 is no limit. */
export interface ShakaLimits {
  readonly timeout: number;
  readonly connectionTimeout: number;
  readonly stallTimeout: number;
}

/** For each info hash, the torrents that players have now: one for each player, the newest last. */
const torrents = new Map<string, Streamed[]>();
/** Milliseconds between two words about how far a request is. */
const PROGRESS_MS = 100;
/** As for a player of a file: `AHEAD_SECONDS` in crate/src/torrent/players.rs. */
const AHEAD_SECONDS = 30;

/**
 * What Shaka is told, by `player.configure`, so that a viewer pays for what is watched: `ahead` seconds of the stream
 * are fetched ahead of the picture (30 if not said), and no segment only to find captions in it. By itself Shaka loads
 * three segments of an HLS stream for that; captions that the playlist names are shown in any case. No load ends
 * because it takes long: Shaka would ask the same peers again, and give up after a while.
 */
export function settings({ ahead = AHEAD_SECONDS }: { ahead?: number } = {}): ShakaSettings {
  const retryParameters = { timeout: 0, connectionTimeout: 0, stallTimeout: 0 };
  return {
    streaming: { bufferingGoal: ahead, segmentPrefetchLimit: 0, retryParameters },
    manifest: { hls: { disableClosedCaptionsDetection: true }, retryParameters },
  };
}

/**
 * Lets this player load from the torrent, by addresses of {@link urlOf}, and from nowhere else: what a manifest out of
 * a torrent names is a stranger's word. The answer undoes it.
 *
 * Shaka decides what is fetched, and so what is bought: the segments that it loads, and of the torrent's pieces all
 * that these lie in. See {@link settings}.
 */
export function piecework(
  shaka: Shaka,
  player: ShakaPlayer,
  torrent: Streamed,
  { allow = () => false }: ShakaOptions = {},
): () => void {
  const own = torrent.infoHash.toLowerCase();
  torrents.set(own, [...(torrents.get(own) ?? []), torrent]);
  // Priority 2 is Shaka's word for a scheme's own plugin. Registered again it is the same one.
  shaka.net.NetworkingEngine.registerScheme(SCHEME, pluginOf(shaka), 2, true);
  const filter: ShakaFilter = (_, { uris }) => {
    const foreign = uris.find((uri) => hashIn(uri) !== own && !/^data:/i.test(uri) && !allow(uri));
    if (foreign !== undefined)
      throw new Error(`${foreign.slice(0, 200)} is no address in this torrent: see the option allow of piecework()`);
  };
  player.getNetworkingEngine()?.registerRequestFilter(filter);
  let over = false;
  return () => {
    if (over) return;
    over = true;
    player.getNetworkingEngine()?.unregisterRequestFilter(filter);
    // Another client's torrent of this hash stays: it may read where this one does no more.
    const left = torrents.get(own) ?? [];
    left.splice(left.indexOf(torrent), 1);
    if (left.length === 0) torrents.delete(own);
  };
}

/** Answers requests as Shaka's own plugin for `https:` does. */
function pluginOf({ util }: Shaka) {
  const { RECOVERABLE, CRITICAL } = util.Error.Severity;
  const { BAD_HTTP_STATUS, HTTP_ERROR, TIMEOUT, OPERATION_ABORTED } = util.Error.Code;
  const failure = (severity: number, code: number, ...data: unknown[]) =>
    new util.Error(severity, util.Error.Category.NETWORK, code, ...(data as never[]));

  return (
    url: string,
    request: ShakaRequest,
    type: number,
    progress: (ms: number, bytes: number, left: number) => void,
    headersReceived: (headers: Record<string, string>) => void,
    config?: { readonly minBytesForProgressEvents?: number },
  ): object => {
    const stop = new AbortController();
    let why: number | null = null;
    const end = (code: number) => {
      why ??= code;
      stop.abort();
    };
    const load = async () => {
      const torrent = torrents.get(hashIn(url) ?? "")?.at(-1);
      if (!torrent) throw new Unanswered(404, `no player has the torrent of ${url} now`);
      const { method, headers, streamDataCallback } = request;
      let told = performance.now();
      const { response, length } = await answer(torrent, url, { method, headers, signal: stop.signal });
      const answered = Object.fromEntries(response.headers);
      headersReceived(answered);
      const chunks: Uint8Array<ArrayBuffer>[] = [];
      let [loaded, untold] = [0, 0];
      const tell = () => {
        const now = performance.now();
        progress(now - told, untold, Math.max(0, length - loaded));
        [told, untold] = [now, 0];
      };
      for await (const chunk of chunksIn(response)) {
        loaded += chunk.length;
        untold += chunk.length;
        chunks.push(chunk);
        await streamDataCallback?.(chunk);
        const isMuch = untold >= (config?.minBytesForProgressEvents ?? 0);
        if (isMuch && performance.now() - told >= PROGRESS_MS) tell();
      }
      if (method !== "HEAD") tell();
      const { status } = response;
      const data = joined(chunks);
      return {
        uri: url,
        originalUri: url,
        data,
        status,
        headers: answered,
        fromCache: false,
        originalRequest: request,
      };
    };
    const work = load().catch((error: unknown) => {
      if (why !== null) throw failure(RECOVERABLE, why, url, type);
      if (!(error instanceof Unanswered)) throw failure(RECOVERABLE, HTTP_ERROR, url, error, type);
      // A torrent's list of files stays as it is: asking again helps nobody.
      throw failure(CRITICAL, BAD_HTTP_STATUS, url, error.status, error.message, {}, type, url);
    });
    const { timeout } = request.retryParameters;
    const timer = timeout > 0 ? setTimeout(() => end(TIMEOUT), timeout) : undefined;
    const over = () => clearTimeout(timer);
    work.then(over, over);
    return new util.AbortableOperation(work as Promise<never>, async () => end(OPERATION_ABORTED) as never);
  };
}
