// Counts the traffic of the page's peer connections, without touching the code that uses them.
const connections = [];
const Original = window.RTCPeerConnection;
window.RTCPeerConnection = class extends Original {
  constructor(...given) {
    super(...given);
    connections.push(this);
  }
};

/** Sums over the connections that are open: messages of the channels, packets of the transports. */
window.traffic = async () => {
  const sums = {
    messagesSent: 0,
    messagesReceived: 0,
    packetsSent: 0,
    packetsReceived: 0,
    bytesSent: 0,
    bytesReceived: 0,
  };
  for (const connection of connections) {
    if (connection.connectionState !== "connected") continue;
    for (const report of (await connection.getStats()).values()) {
      if (report.type === "data-channel")
        for (const name of ["messagesSent", "messagesReceived"]) sums[name] += report[name] ?? 0;
      if (report.type === "transport")
        for (const name of ["packetsSent", "packetsReceived", "bytesSent", "bytesReceived"])
          sums[name] += report[name] ?? 0;
    }
  }
  return sums;
};
