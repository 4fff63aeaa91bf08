/**
 * Chromium's background: a service worker, which the browser ends after half a minute. The host is a document of its
 * own, because only a document has peer connections; this script starts it, and starts it again if it is gone.
 */

import { api } from "./browser.ts";
import { isShell, shell } from "./shell.ts";
import type { Ensure, ToShell } from "./words.ts";

/** How often it looks whether the host is there, with no page open that would need it. */
const LOOK_MINUTES = 1;
const HOST = "host.html";

let starting: Promise<void> | null = null;

/** The host runs, or is started. */
function ensure(): Promise<void> {
  starting ??= start().finally(() => (starting = null));
  return starting;
}

async function start(): Promise<void> {
  if ((await api.runtime.getContexts({ contextTypes: ["OFFSCREEN_DOCUMENT"] })).length > 0) return;
  await api.offscreen?.createDocument({
    url: HOST,
    reasons: ["WEB_RTC"],
    justification: "Peer connections that fetch and share titles, also with no tab open.",
  });
}

api.runtime.onMessage.addListener((message, sender, answer) => {
  if (sender.id !== api.runtime.id || typeof message !== "object" || message === null) return undefined;
  const said = message as ToShell | { to: "host" };
  if (said.to !== "shell") return undefined;
  if (said.t === "ensure") {
    ensure().then(
      () => answer(true),
      () => answer(false),
    );
    return true;
  }
  // A content script speaks for a page: it may start the host, and no more.
  if (isShell && sender.url?.startsWith(api.runtime.getURL(""))) shell(said as Exclude<ToShell, Ensure>);
  return undefined;
});

api.runtime.onStartup.addListener(() => void ensure());
api.runtime.onInstalled.addListener(({ reason }) => {
  void ensure();
  if (reason === "install") shell({ to: "shell", t: "open", page: "welcome.html" });
});
void api.alarms?.create("look", { periodInMinutes: LOOK_MINUTES });
api.alarms?.onAlarm.addListener(() => void ensure());
