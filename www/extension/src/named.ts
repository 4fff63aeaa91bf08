/** The signaling servers that a page's magnet link or .torrent file names. Others a peer of a browser cannot use. */

const [INTEGER, LIST, DICTIONARY, END, COLON, ZERO, NINE] = [..."ilde:09"].map((letter) => letter.charCodeAt(0));
/** Digits of a string's length. */
const LONGEST_NUMBER = 10;
/** The engine takes no longer address. */
const LONGEST_ADDRESS = 2_048;

/** Reads bencoding (BEP 3) from its beginning on, and throws where it is none. */
class Reader {
  #at = 0;
  readonly #bytes: Uint8Array;

  constructor(bytes: Uint8Array) {
    this.#bytes = bytes;
  }

  /** Whether this letter comes next, which is read then. */
  takes(letter: number | undefined): boolean {
    if (this.#bytes[this.#at] !== letter) return false;
    this.#at++;
    return true;
  }

  get isText(): boolean {
    const next = this.#bytes[this.#at] ?? 0;
    return next >= (ZERO ?? 0) && next <= (NINE ?? 0);
  }

  text(): string {
    return new TextDecoder("latin1").decode(this.#string());
  }

  /** Reads past a value of any kind. */
  skip(): void {
    let depth = 0;
    do {
      if (this.takes(LIST) || this.takes(DICTIONARY)) depth++;
      else if (depth > 0 && this.takes(END)) depth--;
      else if (this.takes(INTEGER)) this.#until(END);
      else this.#string();
    } while (depth > 0);
  }

  #string(): Uint8Array {
    const from = this.#at;
    this.#until(COLON);
    const length = Number(new TextDecoder("latin1").decode(this.#bytes.subarray(from, this.#at - 1)) || NaN);
    const start = this.#at;
    if (!Number.isSafeInteger(length) || length < 0 || length > this.#bytes.length - start)
      throw new Error("it is not bencoded");
    this.#at += length;
    return this.#bytes.subarray(start, this.#at);
  }

  #until(letter: number | undefined): void {
    const end = this.#bytes.subarray(this.#at, this.#at + 2 * LONGEST_NUMBER + 1).indexOf(letter ?? 0);
    if (end < 0) throw new Error("it is not bencoded");
    this.#at += end + 1;
  }
}

/** What a .torrent file names as trackers (BEP 3, BEP 12). Throws where it is none. */
function inTorrent(torrent: Uint8Array): string[] {
  const reader = new Reader(torrent);
  const found: string[] = [];
  /** A text, or the texts of a list, whose other values are skipped; lists in it, so many levels deep, too. */
  const take = (levels: number): void => {
    if (reader.isText) found.push(reader.text());
    else if (levels > 0 && reader.takes(LIST)) while (!reader.takes(END)) take(levels - 1);
    else reader.skip();
  };
  if (!reader.takes(DICTIONARY)) throw new Error("it is not bencoded");
  while (!reader.takes(END)) {
    const key = reader.text();
    if (key === "announce") take(0);
    else if (key === "announce-list") take(2);
    else reader.skip();
  }
  return found;
}

/**
 * What a magnet link's parameters say, as bytes. The engine reads links of many writers: here everything counts that it
 * could take for an address.
 */
function inMagnet(magnet: string): string[] {
  const byte = (_: string, hex: string) => String.fromCharCode(Number.parseInt(hex, 16));
  return magnet.split("&").map((parameter) => parameter.replace(/%([0-9a-f]{2})/gi, byte));
}

/** Each once. Throws where a .torrent file is none. */
export function trackersNamed({ magnet, torrent }: Record<string, unknown>, given: readonly string[]): string[] {
  const link = typeof magnet === "string" ? inMagnet(magnet) : [];
  const file = torrent instanceof Uint8Array ? inTorrent(torrent) : [];
  // One text may have several of them.
  const texts = [...given, ...link, ...file].flatMap((text) => text.split(/(?=wss?:)/i));
  return [...new Set(texts.map((text) => text.trim()).filter(isAddress))];
}

function isAddress(text: string): boolean {
  return /^wss?:/i.test(text) && text.length <= LONGEST_ADDRESS;
}
