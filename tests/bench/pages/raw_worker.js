// One end of the bare channel. The sender keeps as much in the channel's buffer as the product does
// (crate/src/peer/sending.rs): 200 ms of the rate at which it drains, between 64 KiB and 1 MiB. It goes on at half of
// that.
const [MIN_TARGET, START_TARGET, MAX_TARGET] = [64 * 1024, 256 * 1024, 1024 * 1024];
let role;

self.onmessage = async ({ data }) => {
  if (!data.channel) {
    role = data;
    return;
  }
  const { channel } = data;
  channel.binaryType = "arraybuffer";
  if (role.send) send(channel, role.send);
  else receive(channel, role.receive);
};

function send(channel, bytes) {
  const message = crypto.getRandomValues(new Uint8Array(bytes));
  let target = START_TARGET;
  let [sent, began] = [0, 0];
  const fill = () => {
    const now = performance.now();
    if (now - began > 500) {
      const drained = sent - channel.bufferedAmount;
      if (began > 0) target = Math.min(MAX_TARGET, Math.max(MIN_TARGET, (drained / (now - began)) * 200));
      channel.bufferedAmountLowThreshold = target / 2;
      [sent, began] = [channel.bufferedAmount, now];
    }
    while (channel.readyState === "open" && channel.bufferedAmount < target) {
      channel.send(message);
      sent += bytes;
    }
  };
  channel.onbufferedamountlow = fill;
  channel.onopen = fill;
  if (channel.readyState === "open") fill();
}

async function receive(channel, span) {
  const early = [];
  channel.onmessage = (event) => early.push(event.data.byteLength);
  const { Meter } = await import("/meter.js");
  const meter = new Meter(span);
  channel.onmessage = (event) => meter.add(event.data.byteLength);
  for (const bytes of early) meter.add(bytes);
  await meter.warm;
  self.postMessage("warm");
  self.postMessage(await meter.full);
}
