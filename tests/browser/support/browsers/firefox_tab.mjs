// One Firefox window with one page, as the tests drive it: what a person does there, and what the page knows. The same words as
// `chromium_tab.mjs`.
import { writeFile } from "node:fs/promises";
import { Session, firefoxPath, toLocal } from "./webdriver.mjs";

/** What WebDriver calls the keys that write nothing. */
const KEYS = { Enter: "\uE007", Escape: "\uE00C", Tab: "\uE004", Backspace: "\uE003" };
const STEP_MS = 60_000;
/** How often a condition is looked at. */
const LOOK_MS = 50;

/**
 * Firefox's words, at the level of an error, for an answer of a service worker that whoever asked called off while it came: what a
 * player does with its open request when it seeks. (Of an answer that breaks off by itself it says the same.)
 */
const CALLED_OFF =
  /^Failed to load ‘.*’\. A ServiceWorker intercepted the request and encountered an unexpected error\.$/;

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

  /** Starts a Firefox, the one of this path if there is one, and takes its window. */
  static async start({ firefox } = {}, options = {}) {
    const session = await Session.start(await firefoxPath(firefox), options);
    try {
      const [context] = await session.contexts();
      return await FirefoxTab.#take(session, context);
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
    if (!(await this.#call(loop, [argument, timeout, polling])))
      throw new Error(`not so within ${timeout / 1000} s: ${body}`);
  }

  /** Clicks the element, the `nth` that the selector finds, once it can be clicked. */
  async click(selector, nth = 0) {
    const origin = { type: "element", element: await this.#element(selector, nth) };
    const actions = [
      { type: "pointerMove", x: 0, y: 0, origin },
      { type: "pointerDown", button: 0 },
      { type: "pointerUp", button: 0 },
    ];
    await this.#act({ type: "pointer", id: "mouse", actions });
  }

  /** Empties a field and types into it. */
  async fill(selector, text) {
    await this.#element(selector);
    await this.evaluate((found) => document.querySelector(found).select(), selector);
    await this.#type([KEYS.Backspace, ...text]);
  }

  async press(selector, key) {
    await this.#element(selector);
    await this.evaluate((found) => document.querySelector(found).focus(), selector);
    await this.#type([KEYS[key] ?? key]);
  }

  async text(selector) {
    return this.evaluate((found) => document.querySelector(found).textContent, selector);
  }

  async screenshot(path, { fullPage = false } = {}) {
    const { data } = await this.#session.send("browsingContext.captureScreenshot", {
      context: this.#context,
      origin: fullPage ? "document" : "viewport",
    });
    await writeFile(path, Buffer.from(data, "base64"));
  }

  /** Ends the browser. */
  async close() {
    await this.#session.close();
  }

  #type(keys) {
    const actions = keys.flatMap((value) => [
      { type: "keyDown", value },
      { type: "keyUp", value },
    ]);
    return this.#act({ type: "key", id: "keyboard", actions });
  }

  #act(source) {
    return this.#session.send("input.performActions", { context: this.#context, actions: [source] });
  }

  async #call(functionDeclaration, values) {
    const answer = await this.#session.send("script.callFunction", {
      functionDeclaration,
      awaitPromise: true,
      target: { context: this.#context },
      arguments: values.map(toLocal),
    });
    return this.#session.evaluated(answer);
  }

  /** What WebDriver calls an element that is shown, enabled and in the window. */
  async #element(selector, nth = 0) {
    await this.until(
      ({ selector, nth }) => {
        const element = document.querySelectorAll(selector)[nth];
        if (!element?.checkVisibility({ visibilityProperty: true }) || element.disabled) return false;
        element.scrollIntoView({ block: "nearest", behavior: "instant" });
        return true;
      },
      { selector, nth },
    );
    const { nodes } = await this.#session.send("browsingContext.locateNodes", {
      context: this.#context,
      locator: { type: "css", value: selector },
    });
    return { sharedId: nodes[nth].sharedId };
  }
}
