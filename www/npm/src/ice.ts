/**
 * STUN and TURN servers: those that are asked if a page names none, and the form of an attribute that names some.
 */

/**
 * Public STUN servers of two operators. They see a visitor's address and the time, and nothing of what it watches. The
 * native peer has the same list, in `crate/src/native/ice_server.rs`.
 */
export const DEFAULT_STUN = ["stun:stun.l.google.com:19302", "stun:stun.cloudflare.com:3478"];

/** The default of {@link ClientOptions.iceServers}. */
export function defaultIceServers(): RTCIceServer[] {
  return [{ urls: [...DEFAULT_STUN] }];
}

/**
 * Servers as an attribute or a command line names them, with blanks between: `stun:HOST[:PORT]`,
 * `turn:USER:PASSWORD@HOST[:PORT][?transport=udp|tcp]`, `turns:...`. User and password may be percent-encoded; the user
 * may hold colons, and a colon or an `@` in the password is written `%3A` or `%40`. Nothing, or the word `none`: no
 * server at all.
 *
 * @throws TypeError naming the server that was not understood, without its password.
 */
export function parseIceServers(text: string): RTCIceServer[] {
  const words = text.split(/\s+/).filter((word) => word !== "");
  return words.length === 1 && words[0] === "none" ? [] : words.map(parseIceServer);
}

function parseIceServer(word: string): RTCIceServer {
  const at = word.lastIndexOf("@");
  const place = word.slice(at + 1);
  const scheme = word.slice(0, word.indexOf(":"));
  const refuse = () =>
    new TypeError(
      `"${place}" is not an ICE server: write stun:HOST[:PORT] or turn:USER:PASSWORD@HOST[:PORT][?transport=udp|tcp]`,
    );
  const isTurn = scheme === "turn" || scheme === "turns";
  if (!isTurn && scheme !== "stun" && scheme !== "stuns") throw refuse();
  if (isTurn !== at >= 0) throw refuse();
  const host = isTurn ? place : word.slice(scheme.length + 1);
  if (!/^(\[[0-9a-f:.]+\]|[^\s:/?#@[\]]+)(:\d{1,5})?(\?transport=(udp|tcp))?$/i.test(host)) throw refuse();
  const urls = [`${scheme}:${host}`];
  if (!isTurn) return { urls };
  // Time-limited names have a colon.
  const login = word.slice(scheme.length + 1, at);
  const colon = login.lastIndexOf(":");
  if (colon < 1) throw refuse();
  return { urls, username: decoded(login.slice(0, colon)), credential: decoded(login.slice(colon + 1)) };
}

/** A percent sign that begins no encoded text stands for itself. */
function decoded(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}

/** Whether any of these servers has an address that begins so. */
export function asks(servers: RTCIceServer[], scheme: "stun" | "turn"): boolean {
  return servers.flatMap((server) => server.urls).some((url) => url.startsWith(scheme));
}

/** Those of these servers that this browser takes: one that it does not know would stop every connection. */
export function usable(servers: RTCIceServer[]): RTCIceServer[] {
  return servers.filter((server) => {
    try {
      new RTCPeerConnection({ iceServers: [server] }).close();
      return true;
    } catch {
      return false;
    }
  });
}
