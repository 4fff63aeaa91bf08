// One Firefox window with one page, as the tests drive it: what a person does there, and what the page knows. The same words as
// `demo/chromium_tab.mjs`.
import { writeFile } from "node:fs/promises";
import { Session, firefoxPaths, fromRemote, toLocal } from "./webdriver.mjs";

const ELEMENT = "element-6066-11e4-a52e-4f735466cecf";
const KEYS = { Enter: "\uE007", Escape: "\uE00C", Tab: "\uE004", " ": " " };
const STEP_MS = 60_000;
/** How often a condition is looked at. */
const LOOK_MS = 50;

/**
 * Firefox's words, at the level of an error, for an answer of a service worker that whoever asked called off while it came: what a
 * player does with its open request when it seeks. (Of an answer that breaks off by itself it says the same.)
 */
const CALLED_OFF = /^Failed to load ‘.*’\. A ServiceWorker intercepted the request and encountered an unexpected error\.$/;

/** A page in a Firefox of its own. */
export class FirefoxTab {
  /** URLs asked for, by the page and its workers. */
  requests = [];
  /** Errors in the console of the page and its workers: uncaught ones and violations of the policy too. */
  problems = [];
  /** How often it said that an answer of the service worker was not read to its end. */
  calledOff = 0;
  #session;
  #context;

  constructor(session, context) {
    this.#session = session;
    this.#context = context;
  }

  /** Starts a Firefox and takes its window. `paths` as `firefoxPaths` gives them. */
  static async start(paths = {}, options = {}) {
    const session = await Session.start(await firefoxPaths(paths), options);
    try {
      return await FirefoxTab.#take(session, await session.command("GET", "/window"));
    } catch (error) {
      await session.close();
      throw error;
    }
  }

  static async #take(session, context) {
    const tab = new FirefoxTab(session, context);
    await session.on("network.beforeRequestSent", ({ request }) => tab.requests.push(request.url));
    await session.on("log.entryAdded", ({ level, text, stackTrace }) => {
      if (level !== "error") return;
      if (CALLED_OFF.test(text)) return void tab.calledOff++;
      const at = stackTrace?.callFrames[0];
      tab.problems.push(at ? `${text} (${at.url}:${at.lineNumber + 1})` : text);
    });
    await session.send("browsingContext.setViewport", { context, viewport: { width: 1280, height: 900 } });
    return tab;
  }

  get browser() {
    return `Firefox ${this.#session.version}`;
  }

  get session() {
    return this.#session;
  }

  get context() {
    return this.#context;
  }

  async open(url) {
    await this.#session.send("browsingContext.navigate", { context: this.#context, url, wait: "complete" });
  }

  /** Another tab of the same browser, on top. */
  async another() {
    const { context } = await this.#session.send("browsingContext.create", { type: "tab" });
    return new FirefoxTab(this.#session, context);
  }

  /** Calls a function in the page and answers with what it, or its promise, gives. */
  evaluate(body, argument) {
    return this.#call(String(body), [argument]);
  }

  /** Waits until a function in the page says something true. */
  async until(body, argument, { timeout = STEP_MS, polling = LOOK_MS } = {}) {
    const loop = `async (argument, limit, interval) => {
      const look = ${body};
      const end = performance.now() + limit;
      for (;;) {
        if (await look(argument)) return true;
        if (performance.now() > end) return false;
        await new Promise((resolve) => setTimeout(resolve, interval));
      }
    }`;
    if (!(await this.#call(loop, [argument, timeout, polling]))) throw new Error(`not so within ${timeout / 1000} s: ${body}`);
  }

  /** Clicks the element, the `nth` that the selector finds, once it can be clicked. */
  async click(selector, nth = 0) {
    const element = await this.#element(selector, nth);
    await this.#session.command("POST", `/element/${element}/click`);
  }

  /** Empties a field and types into it. */
  async fill(selector, text) {
    const element = await this.#element(selector);
    await this.#session.command("POST", `/element/${element}/clear`);
    if (text) await this.#session.command("POST", `/element/${element}/value`, { text });
  }

  async press(selector, key) {
    const element = await this.#element(selector);
    await this.#session.command("POST", `/element/${element}/value`, { text: KEYS[key] ?? key });
  }

  async text(selector) {
    return this.evaluate((found) => document.querySelector(found).textContent, selector);
  }

  async screenshot(path, { fullPage = false } = {}) {
    const { data } = await this.#session.send("browsingContext.captureScreenshot", { context: this.#context, origin: fullPage ? "document" : "viewport" });
    await writeFile(path, Buffer.from(data, "base64"));
  }

  /** Ends the browser. */
  async close() {
    await this.#session.close();
  }

  async #call(functionDeclaration, values) {
    const answer = await this.#session.send("script.callFunction", {
      functionDeclaration,
      awaitPromise: true,
      target: { context: this.#context },
      arguments: values.map(toLocal),
    });
    if (answer.type === "exception") throw new Error(answer.exceptionDetails.text);
    return fromRemote(answer.result);
  }

  /** The WebDriver name of an element that is shown and enabled. */
  async #element(selector, nth = 0) {
    await this.until(
      ({ selector, nth }) => {
        const element = document.querySelectorAll(selector)[nth];
        return element?.checkVisibility({ visibilityProperty: true }) && !element.disabled;
      },
      { selector, nth },
    );
    const elements = await this.#session.command("POST", "/elements", { using: "css selector", value: selector });
    return elements[nth][ELEMENT];
  }
}
