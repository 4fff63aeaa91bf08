/** An error whose message is a full sentence and says what to do. */
export class PieceworkError extends Error {
  override name = "PieceworkError";
  /** The code that the wallet or the chain's node gave, if one did. `cause` has its whole answer. */
  readonly code: number | string | undefined;

  constructor(message?: string, options?: { cause?: unknown; code?: number | string | undefined }) {
    super(message, options);
    this.code = options?.code;
  }
}

/** The browser, or the way this page was opened, lacks something Piecework cannot do without. */
export class PieceworkUnsupportedError extends PieceworkError {
  override name = "PieceworkUnsupportedError";
  /** The missing features. */
  readonly missing: readonly MissingFeature[];

  constructor(missing: readonly MissingFeature[]) {
    super(missing.map((feature) => feature.text).join(" "));
    this.missing = missing;
  }
}

/** The user said no in the wallet. */
export class PieceworkRejectedError extends PieceworkError {
  override name = "PieceworkRejectedError";
}

/** A missing feature, and the way out. */
export interface MissingFeature {
  readonly feature: "secure-context" | "webrtc" | "opfs" | "web-locks" | "wasm";
  /** A full sentence: the missing feature and the way out. */
  readonly text: string;
}

/** Every feature that is missing here; empty if Piecework can run. Asks nobody and starts nothing. */
export function missing(): MissingFeature[] {
  const found: MissingFeature[] = [];
  const need = (there: boolean, feature: MissingFeature["feature"], text: string) => {
    if (!there) found.push({ feature, text });
  };
  if (!globalThis.isSecureContext) {
    // The others are hidden outside a secure context: naming them would mislead.
    need(false, "secure-context", "This page was not loaded securely: open it over https:// or from localhost.");
    return found;
  }
  need(
    typeof WebAssembly === "object",
    "wasm",
    "WebAssembly is switched off: allow it in the browser's settings, or use a current browser.",
  );
  need(
    typeof RTCPeerConnection === "function",
    "webrtc",
    "WebRTC is missing: switch it on in the browser's settings or in the extension that blocks it.",
  );
  need(
    typeof navigator.storage?.getDirectory === "function",
    "opfs",
    "The browser's private file storage (OPFS) is missing: update the browser, or leave private browsing.",
  );
  need(typeof navigator.locks?.request === "function", "web-locks", "Web Locks are missing: update the browser.");
  return found;
}
