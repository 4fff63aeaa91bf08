// One Firefox window with one page, as the tests drive it: a person's steps there, and the page's state. It has the
// same methods as `chromium_tab.mjs`.
import { writeFile } from "node:fs/promises";
import { By, Key } from "selenium-webdriver";
import getBrowsingContext from "selenium-webdriver/bidi/browsingContext.js";
import { Firefox } from "./firefox.mjs";

/** Selenium's names of the keys that write nothing. */
const KEYS = { Enter: Key.ENTER, Escape: Key.ESCAPE, Tab: Key.TAB, Backspace: Key.BACK_SPACE };
const STEP_MS = 60_000;
/** The pause between two looks at a condition. */
const LOOK_MS = 50;

/**
 * Firefox's message, at the level of an error, for an answer of a service worker that its reader called off while it
 * came. A player that seeks does this with its open request. (For an answer that breaks off by itself Firefox has the
 * same message.)
 */
const CALLED_OFF =
  /^Failed to load ‘.*’\. A ServiceWorker intercepted the request and encountered an unexpected error\.$/;

/** A page in a Firefox of its own. */
export class FirefoxTab {
  /** URLs asked for, by the page and its workers. */
  requests = [];
  /** Errors in the console of the page and its workers: uncaught ones and violations of the policy too. */
  problems = [];
  /** The number of answers of the service worker that the page did not read to their end, as Firefox reported them. */
  calledOff = 0;
  #firefox;
  #tab;

  constructor(firefox, tab) {
    this.#firefox = firefox;
    this.#tab = tab;
  }

  /** Starts a Firefox and takes its window. `paths` and `options` are those of `Firefox.start`. */
  static async start(paths, options) {
    const firefox = await Firefox.start(paths, options);
    const tab = new FirefoxTab(firefox, await firefox.tab());
    await firefox.on({
      "network.beforeRequestSent": ({ request }) => tab.requests.push(request.url),
      "log.entryAdded": ({ level, text, stackTrace }) => {
        if (level !== "error") return;
        if (CALLED_OFF.test(text)) return void tab.calledOff++;
        const at = stackTrace?.callFrames[0];
        tab.problems.push(at ? `${text} (${at.url}:${at.lineNumber + 1})` : text);
      },
    });
    await tab.#do(async (driver) => {
      const context = await getBrowsingContext(driver, { browsingContextId: tab.#tab });
      await context.setViewport(1280, 900);
    });
    return tab;
  }

  get browser() {
    return `Firefox ${this.#firefox.version}`;
  }

  async open(url) {
    await this.#do((driver) => driver.get(url));
  }

  /** Another tab of the same browser, on top. */
  async another() {
    return new FirefoxTab(this.#firefox, await this.#firefox.newTab());
  }

  /** Installs an extension, given as its package's path; it stays over restarts. */
  install(path) {
    return this.#do((driver) => driver.installAddon(path, false));
  }

  /** The address of an installed extension's own pages. */
  rootOf(id) {
    const policy = `WebExtensionPolicy.getByID(${JSON.stringify(id)})`;
    return this.#firefox.inBrowser(this.#tab, `return "moz-extension://" + ${policy}.mozExtensionHostname + "/"`);
  }

  /** Loads the page anew past cache and service worker, as Ctrl+Shift+R does. */
  hardReload() {
    return this.#firefox.inBrowser(
      this.#tab,
      `return new Promise((resolve) => {
        const { STATE_STOP, STATE_IS_WINDOW } = Ci.nsIWebProgressListener;
        const listener = {
          onStateChange(browser, progress, request, flags) {
            if (!progress.isTopLevel || !(flags & STATE_STOP) || !(flags & STATE_IS_WINDOW)) return;
            gBrowser.removeTabsProgressListener(listener);
            resolve();
          },
        };
        gBrowser.addTabsProgressListener(listener);
        const { LOAD_FLAGS_BYPASS_CACHE, LOAD_FLAGS_BYPASS_PROXY } = Ci.nsIWebNavigation;
        gBrowser.reloadWithFlags(LOAD_FLAGS_BYPASS_CACHE | LOAD_FLAGS_BYPASS_PROXY);
      })`,
    );
  }

  /**
   * Calls a function in the page. Answers its result, or that of its promise. The function sees the page's globals. It
   * keeps things for later on `window`, because `globalThis` is this call's own.
   */
  evaluate(body, argument) {
    return this.#call(String(body), argument);
  }

  /** Waits until a function in the page answers something true. */
  async until(body, argument, { timeout = STEP_MS, polling = LOOK_MS } = {}) {
    const loop = `async ({ argument, timeout, polling }) => {
      const look = ${body};
      const end = performance.now() + timeout;
      for (;;) {
        if (await look(argument)) return true;
        if (performance.now() > end) return false;
        await new Promise((resolve) => setTimeout(resolve, polling));
      }
    }`;
    if (!(await this.#call(loop, { argument, timeout, polling })))
      throw new Error(`not so within ${timeout / 1000} s: ${body}`);
  }

  /** Clicks the element, the `nth` that the selector finds, once it can be clicked. */
  async click(selector, nth = 0) {
    await this.#with(selector, (element) => element.click(), nth);
  }

  /** Empties a field and types into it. */
  async fill(selector, text) {
    await this.click(selector);
    await this.#do((driver) => {
      const keys = driver.actions().keyDown(Key.CONTROL).sendKeys("a").keyUp(Key.CONTROL);
      return keys.sendKeys(Key.BACK_SPACE, text).perform();
    });
  }

  async press(selector, key) {
    await this.#with(selector, (element) => element.sendKeys(KEYS[key] ?? key));
  }

  async text(selector) {
    return this.evaluate((found) => document.querySelector(found).textContent, selector);
  }

  async screenshot(path, { fullPage = false } = {}) {
    const data = await this.#do((driver) => (fullPage ? driver.takeFullPageScreenshot() : driver.takeScreenshot()));
    await writeFile(path, Buffer.from(data, "base64"));
  }

  /** Closes this tab alone. */
  async leave() {
    await this.#do((driver) => driver.close());
  }

  /** Ends the browser. */
  async close() {
    await this.#firefox.close();
  }

  /** Kills the browser, as a power cut would. */
  async kill() {
    await this.#firefox.kill();
  }

  #do(work) {
    return this.#firefox.inTab(this.#tab, work);
  }

  /** Selenium's own answers are JSON, which has no bigint. */
  async #call(body, argument) {
    const script = `const given = arguments;
      const told = (_, value) => (typeof value === "bigint" ? { bigint: String(value) } : value);
      return (async () => JSON.stringify({ value: await (${body})(...given) }, told))();`;
    const given = argument === undefined ? [] : [argument];
    const answer = await this.#do((driver) => driver.executeScript(script, ...given));
    return JSON.parse(answer, (_, value) => (typeof value?.bigint === "string" ? BigInt(value.bigint) : value)).value;
  }

  /** Does this with an element once it is shown and enabled. */
  async #with(selector, work, nth = 0) {
    await this.until(
      ({ selector, nth }) => {
        const element = document.querySelectorAll(selector)[nth];
        return element?.checkVisibility({ visibilityProperty: true }) && !element.disabled;
      },
      { selector, nth },
    );
    await this.#do(async (driver) => work((await driver.findElements(By.css(selector)))[nth]));
  }
}
