/**
 * Two pictures of the pieces that are here: a bar along the running time, and one cell per piece (or per few, where
 * they would not fit).
 *
 * The cost of drawing follows the changes: a bitfield of 10,000 pieces is compared byte by byte, and only cells that
 * differ are painted. The colours are the legend's own, so that both follow the style sheet, dark or light.
 */

/** How long a cell shows that its piece has just arrived, in milliseconds. */
const FRESH_MS = 1200;
const LARGEST_CELL = 14;
const SMALLEST_CELL = 3;
/** A cell that stands for several pieces. */
const SHARED_CELL = 4;
/** The map grows no higher than this many CSS pixels. */
const TALLEST = 168;

/** The data of the two pictures. `have` is a BEP 3 bitfield: the first piece is the highest bit. */
export interface Pieces {
  have: Uint8Array;
  count: number;
  /** Playhead as a share of the file, from 0 to 1. */
  playhead: number | null;
  /** First and last piece of the file that plays. */
  from: number;
  to: number;
}

/** How the map is laid out; a cell stands for `each` pieces. */
export interface Layout {
  cell: number;
  columns: number;
  rows: number;
  each: number;
}

type Colours = Record<"have" | "fresh" | "missing" | "head", string>;

/** Is piece `at` in this bitfield? */
export function holds(have: Uint8Array, at: number): boolean {
  return (((have[at >> 3] ?? 0) >> (7 - (at & 7))) & 1) === 1;
}

/** Cells for so many pieces in so many pixels of width. */
export function layout(count: number, width: number): Layout {
  for (let cell = LARGEST_CELL; cell >= SMALLEST_CELL; cell -= 1) {
    const columns = Math.max(1, Math.floor(width / cell));
    const rows = Math.ceil(count / columns);
    if (rows * cell <= TALLEST) return { cell, columns, rows, each: 1 };
  }
  const cell = SHARED_CELL;
  const columns = Math.max(1, Math.floor(width / cell));
  const each = Math.ceil(count / (columns * Math.floor(TALLEST / cell)));
  return { cell, columns, rows: Math.ceil(Math.ceil(count / each) / columns), each };
}

/** Draws into the two canvases. */
export class PieceMap {
  readonly #bar: HTMLCanvasElement;
  readonly #map: HTMLCanvasElement;
  readonly #legend: HTMLElement;
  #last: Pieces | null = null;
  /** The data that the canvases show; `null`: everything is to be painted anew. */
  #drawn: { have: Uint8Array; head: number; barHead: number } | null = null;
  #colours: Colours | null = null;
  #fresh = new Map<number, number>();
  #frame = 0;
  #timer: ReturnType<typeof setTimeout> | undefined;
  #unwatch: () => void;

  /** `legend` holds an element of the class `k-have`, `k-new`, `k-missing` and `k-head` each. */
  constructor(bar: HTMLCanvasElement, map: HTMLCanvasElement, legend: HTMLElement) {
    this.#bar = bar;
    this.#map = map;
    this.#legend = legend;
    const redraw = (): void => {
      this.#drawn = null;
      this.#colours = null;
      this.#schedule();
    };
    const sizes = new ResizeObserver(redraw);
    sizes.observe(map.parentElement ?? map);
    const scheme = matchMedia("(prefers-color-scheme: dark)");
    scheme.addEventListener("change", redraw);
    const theme = new MutationObserver(redraw);
    theme.observe(document.documentElement, { attributes: true, attributeFilter: ["data-theme"] });
    this.#unwatch = () => {
      sizes.disconnect();
      theme.disconnect();
      scheme.removeEventListener("change", redraw);
    };
  }

  /** How many pieces one cell stands for, as last laid out. */
  get each(): number {
    return this.#last ? layout(this.#last.count, this.#map.clientWidth).each : 1;
  }

  /** Shows this from the next frame on. */
  update(pieces: Pieces): void {
    const before = this.#last;
    if (!before || before.count !== pieces.count || before.from !== pieces.from || before.to !== pieces.to) {
      this.#drawn = null;
      this.#fresh.clear();
    } else {
      const until = performance.now() + FRESH_MS;
      eachChange(before.have, pieces.have, pieces.count, (at, here) => {
        if (here) this.#fresh.set(at, until);
        else this.#fresh.delete(at);
      });
    }
    this.#last = pieces;
    this.#schedule();
  }

  /** Lets go of the page. */
  close(): void {
    this.#unwatch();
    cancelAnimationFrame(this.#frame);
    clearTimeout(this.#timer);
    this.#last = null;
  }

  #schedule(): void {
    if (this.#frame !== 0) return;
    this.#frame = requestAnimationFrame(() => {
      this.#frame = 0;
      this.#draw();
    });
  }

  #draw(): void {
    const pieces = this.#last;
    const width = this.#map.clientWidth;
    if (!pieces || pieces.count === 0 || width === 0) return;
    this.#colours ??= this.#readColours();
    const colours = this.#colours;
    const all = this.#drawn === null;
    const changed = this.#drawMap(pieces, width, colours, all);
    this.#drawBar(pieces, width, colours, all || changed);
    // One timer alone: those of earlier draws would add up while pieces keep coming.
    clearTimeout(this.#timer);
    if (this.#fresh.size > 0) this.#timer = setTimeout(() => this.#schedule(), FRESH_MS / 4);
  }

  #readColours(): Colours {
    const of = (name: string): string => {
      const key = this.#legend.querySelector(`.${name}`);
      return key ? getComputedStyle(key, "::before").backgroundColor : "";
    };
    return { have: of("k-have"), fresh: of("k-new"), missing: of("k-missing"), head: of("k-head") };
  }

  /** True if pieces came or went since the last time. */
  #drawMap(pieces: Pieces, width: number, colours: Colours, all: boolean): boolean {
    const { cell, columns, rows, each } = layout(pieces.count, width);
    const context = this.#map.getContext("2d");
    if (!context) return false;
    const scale = devicePixelRatio;
    if (all && fit(this.#map, width * scale, rows * cell * scale)) this.#map.style.height = `${rows * cell}px`;
    context.setTransform(scale, 0, 0, scale, 0, 0);
    const gap = cell > 5 ? 2 : 1;
    const now = performance.now();
    const square = (at: number, fill: string): void => {
      context.fillStyle = fill;
      context.fillRect((at % columns) * cell, Math.floor(at / columns) * cell, cell - gap, cell - gap);
    };
    const head =
      pieces.playhead === null
        ? -1
        : Math.min(pieces.to, pieces.from + Math.floor(pieces.playhead * (pieces.to - pieces.from + 1)));
    const headCell = head < 0 ? -1 : Math.floor(head / each);
    const paint = (at: number): void => {
      let here = 0;
      let fresh = false;
      const end = Math.min(pieces.count, (at + 1) * each);
      for (let piece = at * each; piece < end; piece += 1) {
        if (holds(pieces.have, piece)) here += 1;
        if ((this.#fresh.get(piece) ?? 0) > now) fresh = true;
      }
      const full = here === end - at * each;
      square(at, at === headCell ? colours.head : fresh ? colours.fresh : full ? colours.have : colours.missing);
      if (here > 0 && !full && !fresh && at !== headCell) {
        context.globalAlpha = here / (end - at * each);
        square(at, colours.have);
        context.globalAlpha = 1;
      }
    };
    const drawn = this.#drawn;
    const dirty = new Set<number>();
    let changed = false;
    if (all || !drawn) {
      context.clearRect(0, 0, width, rows * cell);
      for (let at = 0; at * each < pieces.count; at += 1) paint(at);
    } else {
      eachChange(drawn.have, pieces.have, pieces.count, (at) => {
        changed = true;
        dirty.add(Math.floor(at / each));
      });
      if (drawn.head !== headCell) dirty.add(drawn.head).add(headCell);
    }
    for (const [at, until] of this.#fresh) {
      if (until > now) continue;
      this.#fresh.delete(at);
      dirty.add(Math.floor(at / each));
    }
    dirty.delete(-1);
    for (const at of dirty) paint(at);
    this.#drawn = {
      have: changed || !drawn ? pieces.have.slice() : drawn.have,
      head: headCell,
      barHead: drawn?.barHead ?? -1,
    };
    return changed;
  }

  #drawBar(pieces: Pieces, width: number, colours: Colours, changed: boolean): void {
    const context = this.#bar.getContext("2d");
    const drawn = this.#drawn;
    if (!context || !drawn) return;
    const scale = devicePixelRatio;
    const mark = Math.max(2, Math.round(3 * scale));
    const columns = Math.round(width * scale);
    const head = pieces.playhead === null ? -1 : Math.min(columns - mark, Math.round(pieces.playhead * columns));
    if (!changed && head === drawn.barHead) return;
    drawn.barHead = head;
    const height = Math.round(this.#bar.clientHeight * scale);
    fit(this.#bar, columns, height);
    context.fillStyle = colours.missing;
    context.fillRect(0, 0, columns, height);
    context.fillStyle = colours.have;
    const span = pieces.to - pieces.from + 1;
    // Neighbours that are here are filled as one.
    let begin = -1;
    for (let x = 0; x <= columns; x += 1) {
      // A pixel is filled only when every piece under it is here.
      const first = pieces.from + Math.floor((x / columns) * span);
      const last = Math.max(first, pieces.from + Math.ceil(((x + 1) / columns) * span) - 1);
      let full = x < columns;
      for (let at = first; at <= last && full; at += 1) full = holds(pieces.have, at);
      if (full && begin < 0) begin = x;
      if (!full && begin >= 0) {
        context.fillRect(begin, 0, x - begin, height);
        begin = -1;
      }
    }
    if (head >= 0) {
      context.fillStyle = colours.head;
      context.fillRect(head, 0, mark, height);
    }
  }
}

/** Gives a canvas so many device pixels; true if it had others. */
function fit(canvas: HTMLCanvasElement, width: number, height: number): boolean {
  const [w, h] = [Math.round(width), Math.round(height)];
  if (canvas.width === w && canvas.height === h) return false;
  Object.assign(canvas, { width: w, height: h });
  return true;
}

function eachChange(
  before: Uint8Array,
  now: Uint8Array,
  count: number,
  then: (at: number, here: boolean) => void,
): void {
  for (let byte = 0; byte < now.length; byte += 1) {
    const changed = (now[byte] ?? 0) ^ (before[byte] ?? 0);
    if (changed === 0) continue;
    for (let bit = 0; bit < 8; bit += 1) {
      const at = byte * 8 + bit;
      if (at < count && (changed >> (7 - bit)) & 1) then(at, holds(now, at));
    }
  }
}
