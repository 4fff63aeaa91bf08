// One Chromium window with one page, as the play-through drives it: a person's steps there, and the page's state. It
// has the same methods as `firefox_tab.mjs`.
import { browserPath, launch } from "./chromium.mjs";

const STEP_MS = 60_000;

/** A page in a Chromium of its own. */
export class ChromiumTab {
  /** URLs asked for. */
  requests = [];
  /** Errors in the console, and uncaught ones. */
  problems = [];
  /** Chromium reports nothing when a page does not read an answer of the service worker to its end. */
  calledOff = 0;
  #launched;
  #page;

  constructor(launched, page) {
    this.#launched = launched;
    this.#page = page;
    page.setDefaultTimeout(STEP_MS);
    // The events of the context: workers' requests are among them.
    launched.context.on("request", (request) => this.requests.push(request.url()));
    page.on("pageerror", (error) => this.problems.push(`uncaught: ${error.message}`));
    page.on("console", (message) => {
      if (message.type() === "error") this.problems.push(message.text());
    });
  }

  /** Starts a Chromium, this one or the system's. */
  static async start({ chromium } = {}) {
    const launched = await launch(await browserPath(chromium));
    return new ChromiumTab(launched, launched.context.pages()[0] ?? (await launched.context.newPage()));
  }

  get browser() {
    return `Chromium ${this.#launched.context.browser()?.version() ?? ""}`.trim();
  }

  /** Playwright's page, for what Firefox's tab does not do. */
  get page() {
    return this.#page;
  }

  async open(url) {
    await this.#page.goto(url);
  }

  /** Calls a function in the page. Answers its result, or that of its promise. */
  evaluate(body, argument) {
    return this.#page.evaluate(body, argument);
  }

  /** Waits until a function in the page answers something true. */
  async until(body, argument, options = {}) {
    await this.#page.waitForFunction(body, argument, options);
  }

  /** Clicks the element, the `nth` that the selector finds, once it can be clicked. */
  async click(selector, nth = 0) {
    await this.#page.locator(selector).nth(nth).click();
  }

  /** Empties a field and types into it. */
  async fill(selector, text) {
    await this.#page.fill(selector, text);
  }

  async press(selector, key) {
    await this.#page.press(selector, key);
  }

  text(selector) {
    return this.#page.textContent(selector);
  }

  async screenshot(path, { fullPage = false } = {}) {
    await this.#page.screenshot({ path, fullPage });
  }

  /** Ends the browser. */
  async close() {
    await this.#launched.close();
  }
}
