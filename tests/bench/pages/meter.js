// Counts verified bytes between two of their arrivals: from the first one after the warm-up to the first one after
// which the window is full.

/** Rates of a transfer whose bytes arrive in lumps: both ends of the measured span are arrivals. */
export class Meter {
  #total = 0;
  #first = null;
  #start = null;
  #warmUp;
  #window;
  #begun = performance.now();

  constructor({ warmUpMs, windowBytes }) {
    this.#warmUp = warmUpMs;
    this.#window = windowBytes;
    this.warm = new Promise((resolve) => (this.resolveWarm = resolve));
    this.full = new Promise((resolve, reject) => Object.assign(this, { resolveFull: resolve, fail: reject }));
    this.full.catch(() => undefined); // a caller that waits for it gets the error
  }

  /** This many bytes were verified just now. */
  add(bytes) {
    const now = performance.now();
    this.#total += bytes;
    this.#first ??= now;
    if (!this.#start) {
      if (now - this.#first < this.#warmUp) return;
      this.#start = { at: now, total: this.#total };
      this.resolveWarm(true);
    } else if (this.#total - this.#start.total >= this.#window) {
      this.resolveFull({
        bytes: this.#total - this.#start.total,
        ms: now - this.#start.at,
        firstMs: this.#first - this.#begun,
      });
    }
  }

  /** Everything is there; a window that is not full by now never will be. */
  end() {
    this.fail(
      new Error(
        `the transfer was over after ${this.#total} bytes, before the measured window was full: make the ` +
          "content larger",
      ),
    );
  }
}
