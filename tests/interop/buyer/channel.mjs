// Data channels to seeders. Node has no WebRTC, so the channels are those of an empty page in Chromium; all that is said on them is made here.
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { browser, open, site } from "../../browser/harness.mjs";
import { answerTo } from "./tracker.mjs";

const pages = join(dirname(fileURLToPath(import.meta.url)), "../pages");
const text = JSON.stringify;

/** Makes channels. */
export class Channels {
  #page;
  #said = new Map();
  #next = 1;

  /** Starts the browser. */
  static async start() {
    const channels = new Channels();
    const { context } = await browser();
    await context.exposeFunction("channelSays", (name, base64) => {
      const { read, closed } = channels.#said.get(name) ?? {};
      if (base64 === null) closed?.();
      else read?.(Buffer.from(base64, "base64"));
    });
    channels.#page = await open(context, `${await site({ pages, policy: null })}/channel.html`);
    return channels;
  }

  /** A channel to some peer of a torrent; `read` gets the bytes, `closed` is told when the other side ended it. */
  async connect({ tracker, infoHash, peerId, read, closed }) {
    const name = `channel-${this.#next++}`;
    const sdp = await this.#page.run(`offer(${text(name)})`);
    const answer = await answerTo({ tracker, infoHash, peerId, sdp });
    this.#said.set(name, { read, closed });
    await this.#page.run(`answer(${text(name)}, ${text(answer)})`);
    return {
      send: (bytes) => void this.#page.run(`say(${text(name)}, ${text(bytes.toString("base64"))})`).catch(closed),
      close: () => {
        this.#said.delete(name);
        return this.#page.run(`hangUp(${text(name)})`);
      },
    };
  }
}
