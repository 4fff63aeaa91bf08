// A data channel for a program that has no WebRTC of its own: bytes go in and out as base64, and this page knows
// nothing of their meaning.
import { fromBase64, toBase64 } from "./files.js";

const channels = new Map();

const gathered = (connection) =>
  new Promise((resolve) => {
    const look = () => connection.iceGatheringState === "complete" && resolve();
    connection.addEventListener("icegatheringstatechange", look);
    look();
  });

/**
 * Offers a channel of this name, with all its candidates; answers with the description. `window.channelSays` gets the
 * messages on it.
 */
window.offer = async (name) => {
  const connection = new RTCPeerConnection();
  const channel = connection.createDataChannel(crypto.randomUUID(), { ordered: true });
  channel.binaryType = "arraybuffer";
  const opened = new Promise((resolve, reject) => {
    channel.onopen = () => resolve(true);
    channel.onclose = () => {
      reject(new Error("the channel did not open"));
      window.channelSays(name, null);
    };
  });
  opened.catch(() => undefined);
  channel.onmessage = ({ data }) => window.channelSays(name, toBase64(new Uint8Array(data)));
  channels.set(name, { connection, channel, opened });
  await connection.setLocalDescription();
  await gathered(connection);
  return connection.localDescription.sdp;
};

/** Takes the answer to the offer; resolves when the channel is open. */
window.answer = async (name, sdp) => {
  const { connection, opened } = channels.get(name);
  await connection.setRemoteDescription({ type: "answer", sdp });
  return opened;
};

/** Sends one message. */
window.say = (name, base64) => channels.get(name).channel.send(fromBase64(base64));

/** Closes the channel at once. */
window.hangUp = (name) => {
  channels.get(name).connection.close();
  channels.delete(name);
};

window.loaded = true;
