// A TURN server for the tests: coturn, on this machine alone.
import { createSocket } from "node:dgram";
import { join } from "node:path";
import { folder, freezable } from "../harness.mjs";

/** Starts one; says how a page and how the native peer name it, and freezes it. */
export async function turn() {
  const [user, password] = ["piecework", "relayed"];
  const port = await freePort();
  const state = folder("turn");
  const { freeze, thaw } = await freezable(
    process.env.PIECEWORK_TURNSERVER ?? "turnserver",
    [
      "-n",
      "--listening-ip=127.0.0.1",
      "--relay-ip=127.0.0.1",
      `--listening-port=${port}`,
      "--allow-loopback-peers",
      "--no-tls",
      "--no-dtls",
      "--no-cli",
      "--lt-cred-mech",
      "--realm=piecework.test",
      `--user=${user}:${password}`,
      `--userdb=${join(state, "users")}`,
      `--pidfile=${join(state, "pid")}`,
      "--log-file=stdout",
      "--verbose",
    ],
    new RegExp(`UDP listener opened on: 127\\.0\\.0\\.1:${port}`),
  );
  const place = `127.0.0.1:${port}?transport=udp`;
  return {
    page: { iceServers: [{ urls: `turn:${place}`, username: user, credential: password }], relayOnly: true },
    native: ["--ice-server", `turn:${user}:${password}@${place}`, "--relay-only"],
    freeze,
    thaw,
  };
}

/** coturn takes no port 0. */
async function freePort() {
  const socket = createSocket("udp4");
  await new Promise((resolve, reject) => {
    socket.once("error", reject);
    socket.bind(0, "127.0.0.1", resolve);
  });
  const { port } = socket.address();
  await new Promise((resolve) => socket.close(resolve));
  return port;
}
