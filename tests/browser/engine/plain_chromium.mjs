// A Chromium as people start it, but for its window. It has none of the switches with which automation keeps hidden
// tabs awake. The tests drive it by the DevTools protocol alone, because Playwright makes every page believe that a
// person looks at it.
import { spawn } from "node:child_process";
import { createInterface } from "node:readline";
import WebSocket from "ws";
import { ending, folder } from "../support/harness.mjs";

const FLAGS = [
  "--headless=new",
  "--no-sandbox",
  "--disable-gpu",
  "--no-first-run",
  "--allow-loopback-in-peer-connection",
  "--remote-debugging-port=0",
];

/** Starts such a browser. Its tabs are those that `tab` opens. */
export async function chromium() {
  const program = process.env.PIECEWORK_CHROMIUM ?? "/usr/bin/chromium";
  const flags = [...FLAGS, "--disable-features=WebRtcHideLocalIpsWithMdns", `--user-data-dir=${folder("profile")}`];
  const child = spawn(program, [...flags, "about:blank"], { stdio: ["ignore", "ignore", "pipe"] });
  const gone = new Promise((resolve) => child.once("exit", resolve));
  let close = () => child.kill("SIGKILL");
  ending(() => {
    close();
    return gone;
  });
  const lines = createInterface({ input: child.stderr });
  const url = await new Promise((resolve, reject) => {
    child.once("error", reject);
    child.once("exit", (code) => reject(new Error(`${program} ended with ${code}`)));
    lines.on("line", (line) => /^DevTools listening on (\S+)/.test(line) && resolve(line.split(" ").at(-1)));
  });
  const socket = new WebSocket(url);
  await new Promise((resolve, reject) => socket.once("open", resolve).once("error", reject));
  const answers = new Map();
  const loaded = new Set();
  let seen = () => {};
  socket.on("message", (data) => {
    const { id, result, error, method, params } = JSON.parse(data);
    if (method === "Page.lifecycleEvent" && params.name === "load") {
      loaded.add(params.loaderId);
      seen();
    }
    const answer = answers.get(id);
    answers.delete(id);
    if (error) answer?.reject(new Error(error.message));
    else answer?.resolve(result);
  });
  let next = 1;
  const send = (method, params = {}, sessionId) =>
    new Promise((resolve, reject) => {
      answers.set(next, { resolve, reject });
      socket.send(JSON.stringify({ id: next++, method, params, sessionId }));
    });
  // A browser that is asked to close ends after all its processes. Killed processes would still write into the profile
  // that is to be removed.
  close = () => void send("Browser.close");
  return {
    /** Opens a tab in front of the others, with a page whose load event has fired. */
    async tab(address) {
      const { targetId } = await send("Target.createTarget", { url: "about:blank" });
      const { sessionId } = await send("Target.attachToTarget", { targetId, flatten: true });
      await send("Page.enable", {}, sessionId);
      await send("Page.setLifecycleEventsEnabled", { enabled: true }, sessionId);
      const { loaderId, errorText } = await send("Page.navigate", { url: address }, sessionId);
      if (errorText) throw new Error(`${address}: ${errorText}`);
      // The loader's id tells the pages apart, because the empty page has a load event of its own.
      while (!loaded.has(loaderId)) await new Promise((resolve) => (seen = resolve));
      return {
        /** Brings the tab to the front. */
        activate: () => send("Target.activateTarget", { targetId }),
        /** Runs an expression in the page. */
        async run(expression) {
          const asked = { expression: `(async () => (${expression}))()`, awaitPromise: true, returnByValue: true };
          const { result, exceptionDetails } = await send("Runtime.evaluate", asked, sessionId);
          if (exceptionDetails) throw new Error(exceptionDetails.exception?.description ?? exceptionDetails.text);
          return result.value;
        },
      };
    },
  };
}
