/** The first page: what the extension does, before it does anything. */

import { byId, reason, setText, show } from "../../player/src/dom.ts";
import { bytes, rate } from "../../player/src/format.ts";
import { api } from "./browser.ts";
import { ask, state } from "./ours.ts";

async function draw(): Promise<void> {
  const { settings } = await state();
  setText(byId("storage"), settings.storageLimit === null ? "what the browser gives" : bytes(settings.storageLimit));
  setText(byId("upload"), settings.uploadLimit === null ? "as fast as it goes" : rate(settings.uploadLimit));
  show(byId("start"), !settings.started);
  setText(
    byId("state"),
    settings.started ? "It runs. Its button in the toolbar says when it uploads, and pauses it." : "",
  );
}

byId("start").addEventListener("click", () => {
  ask({ to: "host", t: "settings", settings: { started: true } })
    .then(draw)
    .catch((error) => setText(byId("state"), reason(error)));
});
byId("options").addEventListener("click", () => void api.runtime.openOptionsPage());
draw().catch((error) => setText(byId("state"), reason(error)));
