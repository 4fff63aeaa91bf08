/**
 * Carries a data channel's bytes over a MessagePort, for browsers whose channels cannot be transferred.
 * The port's other end is `Bridged` in `crate/src/web/data_channel.rs`.
 */
export function bridge(channel: RTCDataChannel): MessagePort {
  const { port1, port2 } = new MessageChannel();
  // Bytes taken from the port so far: the engine adds the bytes that are still on their way here.
  let taken = 0;
  const report = () => port1.postMessage({ taken, buffered: channel.bufferedAmount });
  const close = () => {
    channel.onmessage = channel.onopen = channel.onclose = channel.onbufferedamountlow = null;
    channel.close();
    port1.onmessage = null;
    port1.close();
  };
  channel.onopen = () => port1.postMessage("open");
  channel.onclose = () => {
    port1.postMessage("close");
    close();
  };
  channel.onmessage = ({ data }) => {
    if (data instanceof ArrayBuffer) port1.postMessage(data, [data]);
    else port1.postMessage("close");
  };
  channel.onbufferedamountlow = report;
  port1.onmessage = ({ data }: MessageEvent<ArrayBuffer | { lowWater: number } | "close">) => {
    if (data instanceof ArrayBuffer) {
      taken += data.byteLength;
      try {
        channel.send(data);
      } catch {
        port1.postMessage("close");
        return close();
      }
      // The event fires only when the mark is crossed.
      if (channel.bufferedAmount <= channel.bufferedAmountLowThreshold) report();
    } else if (data === "close") {
      close();
    } else {
      channel.bufferedAmountLowThreshold = data.lowWater;
      if (channel.bufferedAmount <= data.lowWater) report();
    }
  };
  if (channel.readyState === "open") port1.postMessage("open");
  return port2;
}
