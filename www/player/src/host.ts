/**
 * The part of the page that the views use, and the part of a title's view that its own parts use. They know neither in
 * whole.
 */

import type { Config } from "./config.ts";
import type { Engine, Title } from "./engine.ts";
import type { ClientLook, Look } from "./model.ts";

/** The names of the page's views. */
export type ViewName = "start" | "open" | "title" | "money";

/** The page as its views know it; each view takes the part that it needs. */
export interface Host {
  readonly config: Config;
  /** The engine without the package's own object, and without its messages to the page. */
  readonly engine: Omit<Engine, "client" | "onNotice">;
  /** The view that is shown. */
  readonly view: ViewName;
  /** The last look at the engine. */
  readonly look: ClientLook | null;
  /** Goes to a place in this page. */
  go(hash: string): void;
  /** Shows an error at the top of every view, until it is dismissed. */
  problem(title: string, text: string, action?: { label: string; run: () => void }): void;
  /** Takes the banner away. */
  clearProblem(): void;
  /** Looks at the engine, and brings the view up to date. */
  lookNow(): Promise<void>;
}

/** The state of a title's view: `document.body.dataset.phase`. */
export type TitlePhase = "opening" | "metadata" | "offer" | "paying" | "watching" | "gone";

/** The view of a title, as its parts know it. */
export interface TitleHost {
  /** The title that is shown. */
  readonly current: Title | null;
  /** The last look at it. */
  readonly look: Look | null;
  phase: TitlePhase;
  /** Begins to watch a file of this title. */
  play(file: number): Promise<void>;
}
