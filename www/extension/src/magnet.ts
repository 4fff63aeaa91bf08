/**
 * Where Chromium brings the magnet links that the extension opens. It alone can be opened by pages, so that they open
 * no other page of the extension; the library shows the link, and its user adds it.
 */

import { byId, setText } from "../../player/src/dom.ts";

const link = new URLSearchParams(location.search).get("link") ?? "";
if (/^magnet:/i.test(link)) location.replace(`library.html?add=${encodeURIComponent(link)}`);
else setText(byId("failed"), "This is no magnet link.");
