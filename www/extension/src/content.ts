/**
 * In every page: answers a page that asks for an engine, and carries its messages. It reads nothing of the page and
 * changes nothing in it.
 */

import { PROVIDER_VERSION, REQUEST, type Announcement } from "../../npm/src/provider.ts";
import { relay } from "./relay.ts";

/** Clients of one page. */
const MAX_CLIENTS = 16;
let clients = 0;

addEventListener(REQUEST, (event) => {
  if (!event.cancelable || clients >= MAX_CLIENTS) return;
  clients++;
  event.preventDefault();
  const { port1, port2 } = new MessageChannel();
  let counts = true;
  relay(port1, () => {
    if (counts) clients--;
    counts = false;
  });
  const announcement: Announcement = { piecework: "provider", version: PROVIDER_VERSION };
  window.postMessage(announcement, location.origin, [port2]);
});
