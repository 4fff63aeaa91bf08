// A Firefox without a window, driven by Selenium through geckodriver. It knows nothing of any page.
import { accessSync, mkdtempSync } from "node:fs";
import { delimiter, join } from "node:path";
import { fileURLToPath } from "node:url";
import { Builder } from "selenium-webdriver";
import { Options } from "selenium-webdriver/firefox.js";
import { folder, kill, program } from "../harness.mjs";

/** The names of Debian's firefox-esr and of other systems' Firefox. */
const FIREFOXES = ["/usr/bin/firefox-esr", "/usr/bin/firefox"];
/** An installed one, or the one that `cargo xtask setup` builds. */
const GECKODRIVERS = [
  ...process.env.PATH.split(delimiter).map((folder) => join(folder, "geckodriver")),
  fileURLToPath(new URL("../../../../target/tools/bin/geckodriver", import.meta.url)),
];

/** The preferences that two peers on one machine need. */
const LOOPBACK = {
  "media.peerconnection.ice.obfuscate_host_addresses": false,
  "media.peerconnection.ice.loopback": true,
};
/**
 * These keep the browser from talking to the world, and from asking. Firefox sets the rest itself when it is driven.
 */
const QUIET = {
  "app.normandy.enabled": false,
  "app.update.disabledForTesting": true,
  "browser.sessionstore.resume_from_crash": false,
  "browser.shell.checkDefaultBrowser": false,
  "browser.startup.page": 0,
  "datareporting.policy.dataSubmissionEnabled": false,
  "dom.max_script_run_time": 0,
  "media.gmp-manager.updateEnabled": false,
  "network.captive-portal-service.enabled": false,
  "network.connectivity-service.enabled": false,
  "services.settings.server": "data:,#remote-settings-dummy/v1",
  "toolkit.startup.max_resumed_crashes": -1,
};

/**
 * A script may wait for something in the page for as long as its caller wants. (Without this limit Firefox answers null
 * at once.)
 */
const SCRIPT_LIMIT_MS = 60 * 60_000;
/** The line that geckodriver prints when it is ready. */
const LISTENING = /Listening on (127\.0\.0\.1:\d+)/;

/** One browser, with its own profile or with the named one. */
export class Firefox {
  /** Selenium's driver for all tabs. It has one of them at a time, see `inTab`. */
  #driver;
  #home;
  #current;
  #last = Promise.resolve();

  constructor(driver, home, version) {
    this.#driver = driver;
    this.#home = home;
    this.version = version;
  }

  /**
   * `paths` are the programs, where they are not found by themselves. `profile` is a folder that outlives the browser;
   * without it the profile is new and is removed. With `wholeBrowser`, scripts may also run in the browser itself, see
   * `inBrowser`.
   */
  static async start(paths = {}, { profile = null, preferences = {}, wholeBrowser = false } = {}) {
    // Selenium must not look for a program: it would ask the network for one that it is not given.
    const firefox = found("Firefox", paths.firefox ?? process.env.PIECEWORK_FIREFOX, FIREFOXES);
    const geckodriver = found("geckodriver", paths.geckodriver ?? process.env.PIECEWORK_GECKODRIVER, GECKODRIVERS);
    // Firefox keeps its crash reports and caches under HOME, so this one leaves nothing behind. HOME also marks its
    // processes.
    const home = folder("firefox");
    const env = { HOME: home, MOZ_CRASHREPORTER_DISABLE: "1" };
    // Each takes a port that is free at that time. Selenium's own start of geckodriver picks the ports earlier, and
    // others may take them.
    const words = ["--port=0", "--websocket-port=0", ...(wholeBrowser ? ["--allow-system-access"] : [])];
    const [, address] = await program(geckodriver, words, LISTENING, env);
    const options = new Options()
      .setBinary(firefox)
      .addArguments("-headless", "-profile", profile ?? mkdtempSync(join(home, "profile-")))
      .enableBidi();
    for (const [name, value] of Object.entries({ ...QUIET, ...LOOPBACK, ...preferences }))
      options.setPreference(name, value);
    const driver = await new Builder()
      .disableEnvironmentOverrides()
      .forBrowser("firefox")
      .usingServer(`http://${address}`)
      .setFirefoxOptions(options)
      .build();
    await driver.manage().setTimeouts({ script: SCRIPT_LIMIT_MS });
    return new Firefox(driver, home, (await driver.getCapabilities()).getBrowserVersion());
  }

  /** Calls each listener with the WebDriver BiDi events of its name, from every page and worker. */
  async on(listeners) {
    const bidi = await this.#driver.getBidi();
    for (const [event, listener] of Object.entries(listeners)) bidi.on(event, listener);
    await bidi.subscribe(Object.keys(listeners));
  }

  /** The tab that is on top. */
  tab() {
    return this.#alone(() => this.#driver.getWindowHandle());
  }

  /** Opens a tab on top of the others. */
  newTab() {
    return this.#alone(async () => {
      await this.#driver.switchTo().newWindow("tab");
      this.#current = await this.#driver.getWindowHandle();
      return this.#current;
    });
  }

  /**
   * Gives the driver to `work`, with this tab chosen. Works run one after the other, because WebDriver has one chosen
   * tab.
   */
  inTab(tab, work) {
    return this.#alone(async () => {
      if (this.#current !== tab) await this.#driver.switchTo().window(tab);
      this.#current = tab;
      return work(this.#driver);
    });
  }

  /** Runs the body of a function in the browser around the tab, for things that only its menus and keys can do. */
  inBrowser(tab, body) {
    return this.inTab(tab, async (driver) => {
      await driver.setContext("chrome");
      try {
        return await driver.executeScript(body);
      } finally {
        await driver.setContext("content");
      }
    });
  }

  /** Ends the browser as a person does. */
  async close() {
    if (this.#driver) await this.#driver.quit();
    this.#driver = null;
  }

  /** Kills every process of the browser at once, as a power cut would. */
  async kill() {
    this.#driver = null;
    await kill(this.#home);
  }

  #alone(work) {
    const done = this.#last.then(work);
    this.#last = done.catch(() => undefined);
    return done;
  }
}

function found(name, told, places) {
  for (const path of told ? [told] : places) {
    try {
      accessSync(path);
      return path;
    } catch {
      // the next one, then
    }
  }
  const variable = `PIECEWORK_${name.toUpperCase()}`;
  throw new Error(`no ${name} found${told ? ` at ${told}` : ""}: run \`cargo xtask setup\`, or name it in ${variable}`);
}
