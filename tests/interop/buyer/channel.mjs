// Data channels to seeders. Node has no WebRTC, so the channels are those of an empty page in Chromium; this program
// makes all messages on them.
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { browser, open, site } from "../../browser/support/harness.mjs";
import { answerTo } from "./tracker.mjs";

const pages = join(dirname(fileURLToPath(import.meta.url)), "../pages");
const text = JSON.stringify;

/** Makes channels. */
export class Channels {
  #page;
  /** By channel: the listener to its messages, which gets null at its end. */
  #hearers = new Map();
  #next = 1;

  /** Starts the browser. */
  static async start() {
    const channels = new Channels();
    const { context } = await browser();
    await context.exposeFunction("channelSays", (name, base64) =>
      channels.#hearers.get(name)?.(base64 && Buffer.from(base64, "base64")),
    );
    channels.#page = await open(context, `${await site({ pages, policy: null })}/channel.html`);
    return channels;
  }

  /** A channel to some peer of a torrent. Messages wait until somebody listens. */
  async connect({ tracker, infoHash, peerId }) {
    const name = `channel-${this.#next++}`;
    const early = [];
    this.#hearers.set(name, (bytes) => early.push(bytes));
    const sdp = await this.#page.run(`offer(${text(name)})`);
    const answer = await answerTo({ tracker, infoHash, peerId, sdp });
    await this.#page.run(`answer(${text(name)}, ${text(answer)})`);
    const hear = (bytes) => this.#hearers.get(name)?.(bytes);
    return {
      /** `read` gets the bytes; `closed` is called when the other side ended the channel. */
      listen: (read, closed) => {
        this.#hearers.set(name, (bytes) => (bytes === null ? closed() : read(bytes)));
        early.forEach(hear);
      },
      send: (bytes) =>
        void this.#page.run(`say(${text(name)}, ${text(bytes.toString("base64"))})`).catch(() => hear(null)),
      close: () => {
        this.#hearers.delete(name);
        return this.#page.run(`hangUp(${text(name)})`);
      },
    };
  }
}
