/** What needs the browser's own windows and buttons: the host of Chromium has to ask the background for it. */

import { api } from "./browser.ts";
import type { Ensure, ToShell } from "./words.ts";

const COLOUR = "#0c7a6b";

/** Does it here. */
function here(message: Exclude<ToShell, Ensure>): void {
  const button = api.action ?? api.browserAction;
  switch (message.t) {
    case "badge":
      void button?.setBadgeText({ text: message.text });
      void button?.setBadgeBackgroundColor({ color: COLOUR });
      void button?.setTitle({ title: message.title });
      break;
    case "ask": {
      const url = `${api.runtime.getURL("ask.html")}?site=${encodeURIComponent(message.site)}`;
      void api.windows.create({ url, type: "popup", width: 480, height: 640 });
      break;
    }
    case "open":
      void api.tabs.create({ url: api.runtime.getURL(message.page) });
      break;
  }
}

/** Whether this script may use the browser's windows. */
export const isShell = "windows" in api;

/** Does it here, or has it done. */
export function shell(message: Exclude<ToShell, Ensure>): void {
  if (isShell) here(message);
  else void api.runtime.sendMessage(message).catch(() => undefined);
}
