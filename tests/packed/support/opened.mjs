// A page of a site, in either browser, that ends with its test.
import { ChromiumTab } from "../../browser/support/browsers/chromium_tab.mjs";
import { FirefoxTab } from "../../browser/support/browsers/firefox_tab.mjs";
import { ending } from "../../browser/support/harness.mjs";

/** The browsers, by name. */
export const BROWSERS = { Chromium: ChromiumTab, Firefox: FirefoxTab };

export async function opened(url, browser = "Chromium") {
  const page = await BROWSERS[browser].start();
  ending(() => page.close());
  await page.open(url);
  return page;
}
