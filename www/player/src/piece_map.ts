/**
 * Two pictures of what is here: a bar along the running time, and one cell per piece.
 *
 * Drawing costs what changed, not what is there: a bitfield of 10,000 pieces is compared byte by byte and only new cells are
 * painted. Colours come from the style sheet, so that both follow dark and light.
 */

/** How long a cell shows that its piece has just arrived, in milliseconds. */
const FRESH_MS = 1200;
const LARGEST_CELL = 14;
const SMALLEST_CELL = 3;
/** The map grows no higher than this many CSS pixels. */
const TALLEST = 168;

/** What is drawn. `have` is a BEP 3 bitfield: the first piece is the highest bit. */
export interface Pieces {
  have: Uint8Array;
  count: number;
  /** Playhead and end of each buffered range, as shares of the file from 0 to 1. */
  playhead: number | null;
  /** First and last piece of the file that plays. */
  from: number;
  to: number;
}

/** Is piece `at` in this bitfield? */
export function holds(have: Uint8Array, at: number): boolean {
  return (((have[at >> 3] ?? 0) >> (7 - (at & 7))) & 1) === 1;
}

/** Cell and columns for so many pieces in so many pixels of width. */
export function layout(count: number, width: number): { cell: number; columns: number; rows: number } {
  for (let cell = LARGEST_CELL; cell > SMALLEST_CELL; cell -= 1) {
    const columns = Math.max(1, Math.floor(width / cell));
    const rows = Math.ceil(count / columns);
    if (rows * cell <= TALLEST) return { cell, columns, rows };
  }
  const columns = Math.max(1, Math.floor(width / SMALLEST_CELL));
  return { cell: SMALLEST_CELL, columns, rows: Math.ceil(count / columns) };
}

/** Draws into the two canvases. */
export class PieceMap {
  readonly #bar: HTMLCanvasElement;
  readonly #map: HTMLCanvasElement;
  #drawn: Uint8Array | null = null;
  #last: Pieces | null = null;
  #fresh = new Map<number, number>();
  #scheduled = false;
  #head = -1;
  #unwatch: () => void;

  constructor(bar: HTMLCanvasElement, map: HTMLCanvasElement) {
    this.#bar = bar;
    this.#map = map;
    const redraw = (): void => {
      this.#drawn = null;
      this.#schedule();
    };
    const sizes = new ResizeObserver(redraw);
    sizes.observe(map.parentElement ?? map);
    const scheme = matchMedia("(prefers-color-scheme: dark)");
    scheme.addEventListener("change", redraw);
    this.#unwatch = () => {
      sizes.disconnect();
      scheme.removeEventListener("change", redraw);
    };
  }

  /** Shows this from the next frame on. */
  update(pieces: Pieces): void {
    const before = this.#last;
    if (!before || before.count !== pieces.count) {
      this.#drawn = null;
      this.#fresh.clear();
    } else {
      const now = performance.now();
      eachNew(before.have, pieces.have, pieces.count, (at) => this.#fresh.set(at, now + FRESH_MS));
    }
    this.#last = pieces;
    this.#schedule();
  }

  /** Lets go of the page. */
  close(): void {
    this.#unwatch();
    this.#last = null;
  }

  #schedule(): void {
    if (this.#scheduled) return;
    this.#scheduled = true;
    requestAnimationFrame(() => {
      this.#scheduled = false;
      this.#draw();
    });
  }

  #draw(): void {
    const pieces = this.#last;
    if (!pieces || pieces.count === 0) return;
    const width = this.#map.clientWidth;
    if (width === 0) return;
    const style = getComputedStyle(this.#map);
    const colour = (name: string): string => style.getPropertyValue(name).trim();
    const colours = { have: colour("--accent"), fresh: colour("--fresh"), missing: colour("--missing"), head: colour("--ink") };
    this.#drawMap(pieces, width, colours);
    this.#drawBar(pieces, width, colours);
    if (this.#fresh.size > 0) setTimeout(() => this.#schedule(), FRESH_MS / 4);
  }

  #drawMap(pieces: Pieces, width: number, colours: Record<"have" | "fresh" | "missing" | "head", string>): void {
    const { cell, columns, rows } = layout(pieces.count, width);
    const scale = devicePixelRatio;
    const context = this.#map.getContext("2d");
    if (!context) return;
    let all = this.#drawn === null;
    const size = { width: Math.round(width * scale), height: Math.round(rows * cell * scale) };
    if (this.#map.width !== size.width || this.#map.height !== size.height) {
      Object.assign(this.#map, size);
      this.#map.style.height = `${rows * cell}px`;
      all = true;
    }
    context.setTransform(scale, 0, 0, scale, 0, 0);
    const gap = cell > 5 ? 2 : 1;
    const paint = (at: number, fill: string): void => {
      context.fillStyle = fill;
      context.fillRect((at % columns) * cell, Math.floor(at / columns) * cell, cell - gap, cell - gap);
    };
    if (all) {
      context.clearRect(0, 0, width, rows * cell);
      for (let at = 0; at < pieces.count; at += 1) paint(at, holds(pieces.have, at) ? colours.have : colours.missing);
    } else if (this.#drawn) {
      eachNew(this.#drawn, pieces.have, pieces.count, (at) => paint(at, colours.have));
      if (this.#head >= 0) paint(this.#head, holds(pieces.have, this.#head) ? colours.have : colours.missing);
    }
    this.#drawn = pieces.have.slice();
    const now = performance.now();
    for (const [at, until] of this.#fresh) {
      paint(at, now < until ? colours.fresh : colours.have);
      if (now >= until) this.#fresh.delete(at);
    }
    this.#head = -1;
    if (pieces.playhead !== null) {
      this.#head = Math.min(pieces.to, pieces.from + Math.floor(pieces.playhead * (pieces.to - pieces.from + 1)));
      paint(this.#head, colours.head);
    }
  }

  #drawBar(pieces: Pieces, width: number, colours: Record<"have" | "missing" | "head", string>): void {
    const scale = devicePixelRatio;
    const height = this.#bar.clientHeight;
    const size = { width: Math.round(width * scale), height: Math.round(height * scale) };
    if (this.#bar.width !== size.width || this.#bar.height !== size.height) Object.assign(this.#bar, size);
    const context = this.#bar.getContext("2d");
    if (!context) return;
    context.fillStyle = colours.missing;
    context.fillRect(0, 0, size.width, size.height);
    context.fillStyle = colours.have;
    const span = pieces.to - pieces.from + 1;
    for (let x = 0; x < size.width; x += 1) {
      // A pixel is filled only when every piece under it is here.
      const first = pieces.from + Math.floor((x / size.width) * span);
      const last = Math.max(first, pieces.from + Math.ceil(((x + 1) / size.width) * span) - 1);
      let full = true;
      for (let at = first; at <= last && full; at += 1) full = holds(pieces.have, at);
      if (full) context.fillRect(x, 0, 1, size.height);
    }
    if (pieces.playhead !== null) {
      context.fillStyle = colours.head;
      const mark = Math.max(2, Math.round(3 * scale));
      context.fillRect(Math.min(size.width - mark, Math.round(pieces.playhead * size.width)), 0, mark, size.height);
    }
  }
}

function eachNew(before: Uint8Array, now: Uint8Array, count: number, then: (at: number) => void): void {
  for (let byte = 0; byte < now.length; byte += 1) {
    const added = (now[byte] ?? 0) & ~(before[byte] ?? 0);
    if (added === 0) continue;
    for (let bit = 0; bit < 8; bit += 1) {
      const at = byte * 8 + bit;
      if (at < count && (added >> (7 - bit)) & 1) then(at);
    }
  }
}
