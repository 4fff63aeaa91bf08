// Who acts in the lab: the servers on the public network, native peers at home, and a page at home.
import { createHash, createHmac, randomBytes } from "node:crypto";
import { chmodSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { CSP, browser, open, ours } from "../browser/support/harness.mjs";
import { PUBLIC } from "./lab.mjs";

const here = dirname(fileURLToPath(import.meta.url));
const STUN_PORT = 3478;
export const STUN = `stun:${PUBLIC}:${STUN_PORT}`;
export const TURN = `turn:${PUBLIC}:${STUN_PORT}`;

/** coturn, for STUN and for TURN with credentials that end (`use-auth-secret`). Answers its secret and its log. */
export async function coturn(lab) {
  const secret = randomBytes(16).toString("hex");
  const server = lab.start("pub", process.env.PIECEWORK_TURNSERVER ?? "turnserver", [
    "-n",
    `--listening-ip=${PUBLIC}`,
    `--relay-ip=${PUBLIC}`,
    `--listening-port=${STUN_PORT}`,
    "--no-tls",
    "--no-dtls",
    "--no-cli",
    "--use-auth-secret",
    `--static-auth-secret=${secret}`,
    "--realm=piecework.test",
    `--userdb=${join(lab.folder, "users")}`,
    `--pidfile=${join(lab.folder, "pid")}`,
    "--log-file=stdout",
    "--verbose",
  ]);
  await server.match(/UDP listener opened on/);
  const secretFile = join(lab.folder, "secret");
  writeFileSync(secretFile, `${secret}\n`, { mode: 0o600 });
  return {
    secretFile,
    /** The login that a server with this secret hands out, which ends at this time. */
    login(expiry) {
      const username = `${expiry}:test`;
      return { username, password: createHmac("sha1", secret).update(username).digest("base64") };
    },
    /** The users that were given a relay, in the order in which they got it, with the end of their time. */
    users: () =>
      server.lines
        .map((line) => /: new, realm=<[^>]*>, username=<((\d+):(\w+))>/.exec(line))
        .filter(Boolean)
        .map(([, user, expiry, name]) => ({ user, expiry: Number(expiry), name })),
    /** Resolves when a session ended that sent 300 kB or more to a peer. */
    relayed: () => server.match(/peer usage: .*\bsb=([3-9]\d{5}|\d{7,})\b/),
  };
}

/** Our signaling server. Answers its URL and its log. */
export async function signaling(lab, ...options) {
  const server = lab.start("pub", ours("piecework-signaling"), ["--listen", `${PUBLIC}:8000`, ...options]);
  await server.match(/listening on/);
  return { url: `ws://${PUBLIC}:8000`, lines: server.lines };
}

/** A native peer at `h1` that seeds a file of so many random bytes. */
export async function seeder(lab, tracker, length, ...options) {
  const data = join(lab.folder, "seeder");
  mkdirSync(data);
  const bytes = randomBytes(length);
  writeFileSync(join(data, "film.bin"), bytes);
  const torrent = join(lab.folder, "film.torrent");
  const made = await lab.run("h1", ours("piecework"), [
    "create",
    join(data, "film.bin"),
    "--tracker",
    tracker,
    "-o",
    torrent,
  ]);
  if (made.code !== 0) throw new Error(made.output);
  const peer = lab.start("h1", ours("piecework"), ["seed", torrent, "--data", data, "--tracker", tracker, ...options]);
  await peer.match(/^seeding /);
  const torrentFile = readFileSync(torrent);
  return { torrent, torrentFile, bytes, digest: createHash("sha256").update(bytes).digest("hex"), stop: peer.stop };
}

/** A native peer at `h2` that fetches the file. `file` is what it has when it has ended. */
export function getter(lab, tracker, torrent, ...options) {
  const data = join(lab.folder, "getter");
  const peer = lab.start("h2", ours("piecework"), ["get", torrent, "-o", data, "--tracker", tracker, ...options]);
  return { ...peer, file: () => readFileSync(join(data, "film.bin")) };
}

/** A page at `h2` in Chromium, which runs there with the site that it comes from. */
export async function page(lab) {
  const site = lab.start("h2", process.execPath, [join(here, "site.mjs"), CSP.replace("ws:", `ws://${PUBLIC}:* ws:`)]);
  const [url] = await site.match(/^http:\S+/);
  const program = join(lab.folder, "chromium");
  const real = process.env.PIECEWORK_CHROMIUM ?? "/usr/bin/chromium";
  writeFileSync(program, `#!/bin/sh\nexec ${lab.at("h2").join(" ")} "${real}" "$@"\n`);
  chmodSync(program, 0o755);
  // Chromium hides host addresses here, as it does for visitors.
  const { context } = await browser(join(lab.folder, "profile"), { hidesAddresses: true, program });
  lab.ending(() => context.close().catch(() => undefined));
  return { context, opened: () => open(context, url) };
}
