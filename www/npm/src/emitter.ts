/** Typed events. A listener that throws does not keep the others from hearing. */
export class Emitter<Events extends object> {
  /** Each listener, and whether it hears one event alone. */
  readonly #listeners = new Map<keyof Events, Map<(event: never) => void, boolean>>();

  /** Listens, until the returned function is called, {@link off}, or the signal aborts. */
  on<Name extends keyof Events>(
    name: Name,
    listener: (event: Events[Name]) => void,
    options: { signal?: AbortSignal } = {},
  ): () => void {
    return this.#add(name, listener, false, options.signal);
  }

  /** Listens to the next event of this name alone. */
  once<Name extends keyof Events>(
    name: Name,
    listener: (event: Events[Name]) => void,
    options: { signal?: AbortSignal } = {},
  ): () => void {
    return this.#add(name, listener, true, options.signal);
  }

  /** Listens no more. */
  off<Name extends keyof Events>(name: Name, listener: (event: Events[Name]) => void): void {
    this.#listeners.get(name)?.delete(listener);
  }

  #add<Name extends keyof Events>(
    name: Name,
    listener: (event: Events[Name]) => void,
    once: boolean,
    signal: AbortSignal | undefined,
  ): () => void {
    const off = () => this.off(name, listener);
    if (signal?.aborted) return off;
    const all = this.#listeners.get(name) ?? new Map<(event: never) => void, boolean>();
    this.#listeners.set(name, all);
    all.set(listener, once);
    signal?.addEventListener("abort", off, { once: true });
    this.listened(name);
    return off;
  }

  /** @internal Somebody listens to it from now on. */
  listened(_name: keyof Events): void {}

  /** @internal Whether anybody listens to one of these. */
  hears(...names: (keyof Events)[]): boolean {
    return names.some((name) => (this.#listeners.get(name)?.size ?? 0) > 0);
  }

  /** @internal */
  emit<Name extends keyof Events>(name: Name, event: Events[Name]): void {
    const all = this.#listeners.get(name);
    for (const [listener, once] of [...(all ?? [])]) {
      if (once) all?.delete(listener);
      try {
        (listener as (event: Events[Name]) => void)(event);
      } catch (error) {
        reportError(error);
      }
    }
  }
}
