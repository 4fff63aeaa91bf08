// Chromium for the tests: its path, the flags that two peers on one machine need, and a profile for each viewer.
import { rmSync } from "node:fs";
import { access, mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { chromium } from "playwright-core";

/** The names of Debian's chromium and of other systems' ones. */
const PLACES = [
  "/usr/bin/chromium",
  "/usr/bin/chromium-browser",
  "/usr/bin/google-chrome",
  "/usr/bin/google-chrome-stable",
];

/** The flags that two peers on loopback need. The rest keeps the browser from talking to the world. */
const FLAGS = [
  "--no-sandbox",
  "--disable-gpu",
  "--disable-quic",
  "--no-first-run",
  "--disable-background-networking",
  "--disable-component-update",
  "--disable-sync",
  "--disable-features=WebRtcHideLocalIpsWithMdns",
  "--allow-loopback-in-peer-connection",
];

/** The browser's path: the one that was given, or else one where systems put it. */
export async function browserPath(told = process.env.PIECEWORK_CHROMIUM) {
  for (const path of told ? [told] : PLACES) {
    if (
      await access(path).then(
        () => true,
        () => false,
      )
    )
      return path;
  }
  throw new Error(`no Chromium found at ${told ?? PLACES.join(", ")}: install one, or name it in PIECEWORK_CHROMIUM`);
}

/** A browser with an empty profile of its own. `close()` also removes the profile. */
export async function launch(executablePath, options = {}) {
  const profile = await mkdtemp(join(tmpdir(), "piecework-viewer-"));
  process.on("exit", () => rmSync(profile, { recursive: true, force: true, maxRetries: 5 }));
  const context = await chromium.launchPersistentContext(profile, {
    executablePath,
    headless: true,
    args: FLAGS,
    viewport: { width: 1280, height: 900 },
    locale: "en-GB",
    ...options,
  });
  return {
    context,
    async close() {
      await context.close();
      await rm(profile, { recursive: true, force: true, maxRetries: 5 });
    },
  };
}
