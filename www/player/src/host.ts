/** What the views ask of the page around them, and the parts of a title's view of that view. They know neither in whole. */

import type { Config } from "./config.ts";
import type { Engine, Title } from "./engine.ts";
import type { ClientLook, Look } from "./model.ts";

/** The names of the page's views. */
export type ViewName = "start" | "open" | "title" | "money";

/** The page, to a view; each takes the part of it that it needs. */
export interface Host {
  readonly config: Config;
  /** Without the package's own object, and without what it tells the page. */
  readonly engine: Omit<Engine, "client" | "onNotice">;
  /** The view that is shown. */
  readonly view: ViewName;
  /** The last look at the engine. */
  readonly look: ClientLook | null;
  /** Goes to a place in this page. */
  go(hash: string): void;
  /** Says what is wrong, at the top of every view, until it is dismissed. */
  problem(title: string, text: string, action?: { label: string; run: () => void }): void;
  /** Takes the banner away. */
  clearProblem(): void;
  /** Looks at the engine, and brings the view up to date. */
  lookNow(): Promise<void>;
}

/** What the view of a title is doing: `document.body.dataset.phase`. */
export type TitlePhase = "opening" | "metadata" | "offer" | "paying" | "watching" | "gone";

/** The view of a title, to its parts. */
export interface TitleHost {
  /** The title that is shown. */
  readonly current: Title | null;
  /** The last look at it. */
  readonly look: Look | null;
  phase: TitlePhase;
  /** Begins to watch a file of this title. */
  play(file: number): Promise<void>;
}
