// A TURN server for the tests: coturn, on this machine alone.
import { createSocket } from "node:dgram";
import { join } from "node:path";
import { ending, folder, freezable } from "./harness.mjs";

/** Starts one. Answers its names for a page and for the native peer, and calls that freeze it. */
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
  const page = (port) => ({
    iceServers: [{ urls: `turn:127.0.0.1:${port}?transport=udp`, username: user, credential: password }],
    relayOnly: true,
  });
  return {
    page: page(port),
    /**
     * For a page, by a path of its own that can be cut. Datagrams on a cut path are lost, as where a network is gone.
     */
    async behindCut() {
      const path = await cuttable(port);
      return { page: page(path.port), cut: path.cut, mend: path.mend };
    },
    native: ["--ice-server", `turn:${user}:${password}@${place}`, "--relay-only"],
    freeze,
    thaw,
  };
}

/** A port before another one: datagrams pass in both directions, or are lost. */
async function cuttable(behind) {
  let open = true;
  const outer = await bound();
  /** By the sender's port: the socket through which its datagrams go on. */
  const inner = new Map();
  outer.on("message", async (bytes, { port }) => {
    if (!inner.has(port))
      inner.set(
        port,
        bound().then((socket) => socket.on("message", (answer) => open && outer.send(answer, port, "127.0.0.1"))),
      );
    const socket = await inner.get(port);
    if (open) socket.send(bytes, behind, "127.0.0.1");
  });
  ending(async () => {
    outer.close();
    for (const socket of inner.values()) (await socket).close();
  });
  const lets = (through) => () => {
    open = through;
  };
  return { port: outer.address().port, cut: lets(false), mend: lets(true) };
}

async function bound() {
  const socket = createSocket("udp4");
  await new Promise((resolve, reject) => {
    socket.once("error", reject);
    socket.bind(0, "127.0.0.1", resolve);
  });
  return socket;
}

/** coturn takes no port 0. */
async function freePort() {
  const socket = await bound();
  const { port } = socket.address();
  await new Promise((resolve) => socket.close(resolve));
  return port;
}
