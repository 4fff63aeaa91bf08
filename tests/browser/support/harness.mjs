// The base of the browser tests: a site under the strict headers, browsers with profiles of their own, a signaling
// server. cleanUp ends everything that starts here, or else it ends with this process.
import { execFile, spawn } from "node:child_process";
import {
  copyFileSync,
  createReadStream,
  existsSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
} from "node:fs";
import { createServer } from "node:http";
import { tmpdir } from "node:os";
import { dirname, extname, join, normalize, relative, sep } from "node:path";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { chromium } from "playwright-core";

const here = dirname(fileURLToPath(import.meta.url));
const root = join(here, "../../..");
const dist = join(root, "www/npm/dist");
const binaries = process.env.PIECEWORK_BINARIES ?? join(root, "target/debug");

/** The header that a site sends with its page, its worker and its service worker. */
export const CSP = [
  "default-src 'none'",
  "script-src 'self' 'wasm-unsafe-eval'",
  "worker-src 'self'",
  "connect-src 'self' ws://127.0.0.1:* http://127.0.0.1:*",
  "style-src 'self'",
  "img-src 'self' data:",
  "media-src 'self'",
  "base-uri 'none'",
  "form-action 'none'",
  "frame-ancestors 'none'",
  "require-trusted-types-for 'script'",
  "trusted-types piecework",
].join("; ");

const FLAGS = [
  "--disable-gpu",
  "--disable-quic",
  "--no-first-run",
  "--disable-background-networking",
  "--disable-component-update",
  "--disable-sync",
  "--allow-loopback-in-peer-connection",
  // Names of other machines are not looked up: tests talk to this one alone.
  "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1, EXCLUDE localhost, EXCLUDE 203.0.113.1",
];
/** Shows host addresses as they are; by default Chromium hides them behind mDNS names. */
const SHOW_ADDRESSES = "--disable-features=WebRtcHideLocalIpsWithMdns";

const endings = [];
/** Folders that are to be removed. */
const folders = new Set();
/** The questions to pages that are not answered. */
const unanswered = new Set();
/** The files of the package that visitors asked of a site, by its URL. */
const asked = new Map();

/** Prints the questions that a failed test was waiting for, if it ended in the middle of one. */
export function tellUnanswered() {
  for (const { page, expression } of unanswered) {
    console.log(`  still waiting, at ${page.url()}: ${expression}`);
    for (const text of page.errors) console.log(`  [page] ${text}`);
  }
}

/** The result of a promise, or a failure after a minute: no single step of a test takes longer. */
export async function withinAMinute(what, promise) {
  let timer;
  const late = new Promise((_, reject) => {
    timer = setTimeout(() => reject(new Error(`nothing within a minute: ${what}`)), 60_000);
  });
  return Promise.race([promise, late]).finally(() => clearTimeout(timer));
}

/** Ends everything that the last test started, the newest first. */
export async function cleanUp() {
  unanswered.clear();
  const errors = [];
  for (const end of endings.splice(0).reverse()) {
    try {
      await end();
    } catch (error) {
      errors.push(error);
    }
  }
  if (errors.length > 0) throw errors[0];
}

/** Ends the rest if cleanUp did not run. A process that exits does synchronous work only. */
process.on("exit", () => {
  for (const pid of descendants(process.pid)) killNow(pid);
  for (const path of folders) remove(path);
});

/**
 * Serves a folder of pages (default: ours), the package's dist/ and single files (`mounts`) on a free port. With
 * `bare`, the folder has all that the site serves, and nothing of the package is added.
 */
export async function site({ pages = join(here, "pages"), policy = CSP, mounts = {}, bare = false } = {}) {
  const types = {
    ".css": "text/css",
    ".html": "text/html",
    ".js": "text/javascript",
    ".json": "application/json",
    ".mjs": "text/javascript",
    ".svg": "image/svg+xml",
    ".wasm": "application/wasm",
  };
  const files = new Set();
  const server = createServer((request, response) => {
    const path = normalize(new URL(request.url, "http://x").pathname);
    const own =
      !bare && path === "/piecework-sw.js"
        ? join(dist, "sw.js")
        : !bare && path.startsWith("/dist/")
          ? join(dist, path.slice(6))
          : join(pages, path === "/" ? "index.html" : path);
    const file = mounts[path] ?? own;
    const found = statSync(file, { throwIfNoEntry: false });
    const headers = {
      ...(policy && { "Content-Security-Policy": policy }),
      "Cache-Control": "no-store",
      "X-Content-Type-Options": "nosniff",
    };
    if (!found?.isFile()) return response.writeHead(404, headers).end();
    if (file.startsWith(dist + sep)) files.add(relative(dist, file));
    response.writeHead(200, { ...headers, "Content-Type": types[extname(file)] ?? "application/octet-stream" });
    createReadStream(file).pipe(response);
  });
  await new Promise((resolve) => server.listen(0, "127.0.0.1", resolve));
  endings.push(
    () =>
      new Promise((resolve) => {
        server.close(resolve);
        server.closeAllConnections();
      }),
  );
  const url = `http://127.0.0.1:${server.address().port}`;
  asked.set(url, files);
  return url;
}

/** The files of the package's dist/ that this site's visitors loaded. */
export function served(url) {
  return [...asked.get(url)];
}

/**
 * Mounts that make a site's pages use `piecework/free` in place of the other edition, or beside it in the folder `at`:
 * its files have the names of the others, and what both load on demand is in the folder above.
 */
export function freeEdition(at = "") {
  const own = ["piecework.js", "worker.js", "piecework_bg.wasm", "piecework_rest.wasm"];
  const shared = ["blobs.js", "fetching.js", "loading.js", "remote.js", "seeding.js"];
  return Object.fromEntries([
    ...own.map((name) => [`${at}/dist/${name}`, distFile(`free/${name}`)]),
    ...shared.map((name) => [`${at}/${name}`, distFile(name)]),
  ]);
}

/** The path of a file of the package's dist/. */
export function distFile(name) {
  return join(dist, name);
}

/** A folder that cleanUp removes. */
export function folder(name) {
  const path = mkdtempSync(join(tmpdir(), `piecework-${name}-`));
  folders.add(path);
  endings.push(() => remove(path));
  return path;
}

function remove(path) {
  rmSync(path, { recursive: true, force: true, maxRetries: 10, retryDelay: 50 });
  folders.delete(path);
}

/**
 * A browser with this profile (default: a new one). It hides its addresses behind mDNS names if asked. `ignore` are
 * those of Playwright's own flags that it leaves out.
 */
export async function browser(
  profile = folder("profile"),
  {
    hidesAddresses = false,
    flags = [],
    ignore = [],
    program = process.env.PIECEWORK_CHROMIUM ?? "/usr/bin/chromium",
  } = {},
) {
  const context = await chromium.launchPersistentContext(profile, {
    executablePath: program,
    headless: true,
    chromiumSandbox: false,
    args: [...FLAGS, ...(hidesAddresses ? [] : [SHOW_ADDRESSES]), ...flags],
    ignoreDefaultArgs: ignore,
  });
  endings.push(() => context.close().catch(() => undefined));
  return { context, profile };
}

/** Kills every process of the browser with this folder at once, as a power cut would; resolves when all are gone. */
export async function kill(folder) {
  const named = (pid) => ["cmdline", "environ"].some((file) => about(pid, file).includes(folder));
  for (;;) {
    const ours = processes().filter(named);
    if (ours.length === 0) return;
    ours.forEach(killNow);
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
}

function processes() {
  if (!existsSync("/proc")) return [];
  return readdirSync("/proc")
    .filter((name) => /^\d+$/.test(name))
    .map(Number);
}

/** The system's entry on a process; none for one that ended meanwhile, or that another user owns. */
function about(pid, file) {
  try {
    return readFileSync(`/proc/${pid}/${file}`, "latin1");
  } catch {
    return "";
  }
}

/** The processes that this one started, and their children. */
function descendants(root) {
  // The program's name, in brackets, may hold anything; the parent is the second field after it.
  const parents = processes().map((pid) => [pid, Number(about(pid, "stat").split(") ").at(-1).split(" ")[1])]);
  const found = [root];
  for (const at of found) found.push(...parents.filter(([, parent]) => parent === at).map(([pid]) => pid));
  return found.slice(1);
}

function killNow(pid) {
  try {
    process.kill(pid, "SIGKILL");
  } catch {
    // its parent took it along
  }
}

/** Opens the test page. Errors in its console are printed and kept in `page.errors`. */
export async function open(context, url) {
  const page = await context.newPage();
  page.errors = [];
  const note = (text) => {
    page.errors.push(text);
    if (process.env.PIECEWORK_TEST_VERBOSE) console.log(`  [page] ${text}`);
  };
  page.on("console", (message) => {
    if (message.type() === "error" || message.type() === "warning") note(message.text());
  });
  page.on("pageerror", (error) => note(error.message));
  const session = await context.newCDPSession(page);
  /** Runs an expression in the page. (page.evaluate needs `eval`, which the page's policy forbids.) */
  page.run = async (expression) => {
    const asked = { page, expression };
    unanswered.add(asked);
    const evaluated = session.send("Runtime.evaluate", {
      expression: `(async () => (${expression}))()`,
      awaitPromise: true,
      returnByValue: true,
      userGesture: true,
    });
    const { result, exceptionDetails } = await evaluated.finally(() => unanswered.delete(asked));
    if (exceptionDetails) throw new Error(exceptionDetails.exception?.description ?? exceptionDetails.text);
    return result.value;
  };
  await page.goto(url);
  await page.run("window.loaded");
  return page;
}

/** The signaling server on a free port. Answers its URL. */
export async function signaling() {
  return (await signalingAt(0)).url;
}

/** The signaling server on this port, with these options; `killed` ends it at once and resolves when it is gone. */
export async function signalingAt(port, options = []) {
  const { child, match: line } = await started(
    ours("piecework-signaling"),
    ["--listen", `127.0.0.1:${port}`, ...options],
    /127\.0\.0\.1:(\d+)/,
  );
  const killed = () =>
    new Promise((resolve) => {
      child.once("exit", resolve);
      child.kill("SIGKILL");
    });
  return { url: `ws://127.0.0.1:${line[1]}/`, port: Number(line[1]), killed };
}

/** The native peer, with its output's first match of `until`. */
export function native(args, until, env) {
  return program(ours("piecework"), args, until, env);
}

/** Any program, with its output's first match of `until`. */
export async function program(command, args, until, env) {
  return (await started(command, args, until, env)).match;
}

/** Tests talk to this machine alone, so a peer of ours asks no STUN server unless the test names one. */
export function onLoopback(command, args) {
  const isPeer = command === ours("piecework") && ["seed", "get"].includes(args[0]);
  return isPeer && !args.includes("--ice-server") ? [...args, "--no-stun"] : args;
}

async function started(command, args, until, env = {}) {
  const child = spawn(command, onLoopback(command, args), {
    stdio: ["ignore", "pipe", "pipe"],
    env: { ...process.env, ...env },
  });
  end(child);
  return { child, match: await firstLine(child, until) };
}

/** The path of one of our programs. */
export function ours(name) {
  return join(binaries, name);
}

/**
 * A program that can be frozen. It then answers nothing, and takes in later the bytes that came meanwhile. `match` is
 * its output's first match of `until`.
 */
export async function freezable(command, args, until) {
  const { child, match } = await started(command, args, until);
  const thaw = () => void child.kill("SIGCONT");
  endings.push(thaw);
  return { match, freeze: () => void child.kill("SIGSTOP"), thaw };
}

/** Runs the native peer to its end. Answers its output. */
export async function run(args) {
  return (await promisify(execFile)(ours("piecework"), onLoopback(ours("piecework"), args))).stdout;
}

/** The line that a native peer prints when it has all of a title and offers it. */
const SEEDING = /^seeding /;

/**
 * The demo's film, or another video, as a torrent of 64 KiB pieces: its link and .torrent, and the way in which a
 * native peer seeds it at a rate.
 */
export async function videoTitle(tracker, video = process.env.PIECEWORK_VIDEO) {
  if (!video) throw new Error("PIECEWORK_VIDEO names no video");
  const data = folder("native");
  const file = join(data, "film.torrent");
  copyFileSync(video, join(data, "film.mp4"));
  const made = await run(["create", join(data, "film.mp4"), "--tracker", tracker, "-o", file, "--piece-length", "64K"]);
  const seeding = (limit) => ["seed", file, "--data", data, "--state", join(data, "state"), "--upload-limit", limit];
  return {
    torrent: readFileSync(file).toString("base64"),
    magnet: made.split(/\s/).find((word) => word.startsWith("magnet:")),
    bytes: readFileSync(video),
    seed: (limit) => native(seeding(limit), SEEDING),
    /** The same seeder, which can be stopped. */
    seedFreezably: (limit) => freezable(ours("piecework"), seeding(limit), SEEDING),
  };
}

/** Has cleanUp do this. */
export function ending(end) {
  endings.push(end);
}

function end(child) {
  endings.push(async () => {
    if (child.exitCode !== null || child.signalCode !== null) return;
    const gone = new Promise((resolve) => child.once("exit", resolve));
    child.kill("SIGTERM");
    await gone;
  });
}

function firstLine(child, pattern) {
  const line = new Promise((resolve, reject) => {
    const seen = [];
    const look = (line) => {
      seen.push(line);
      const match = pattern.exec(line);
      if (match) resolve(match);
    };
    createInterface({ input: child.stdout }).on("line", look);
    createInterface({ input: child.stderr }).on("line", look);
    child.once("error", reject);
    child.once("exit", (code) => reject(new Error(`${child.spawnfile} ended with ${code}: ${seen.join("\n")}`)));
  });
  return withinAMinute(`${child.spawnfile} says ${pattern}`, line);
}
