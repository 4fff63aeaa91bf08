/**
 * The chart of a title's redemptions: a bar for each day or month, the creators' part at its foot. It is one picture
 * with a text; the table beside it has the numbers.
 */

import { units, type Token } from "./format.ts";
import type { Span, Spans } from "./title_sums.ts";

const SVG = "http://www.w3.org/2000/svg";
/** In the picture's own units; it takes the width that there is. */
const [WIDTH, HEIGHT] = [720, 280];
const [LEFT, RIGHT, TOP, BOTTOM] = [8, 8, 36, 40];
/** A bar is no wider, and no thinner. */
const [WIDEST, THINNEST] = [64, 3];
/** Parts into which the height is divided, to place bars by integers. */
const PARTS = 10_000n;

function draw(tag: string, attributes: Record<string, string | number>, ...inside: (Node | string)[]): SVGElement {
  const element = document.createElementNS(SVG, tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, String(value));
  element.append(...inside);
  return element;
}

/** The picture. `what` says in words what it shows. */
export function chart({ spans, length, unit }: Spans, token: Token, what: string): SVGElement {
  const largest = spans.reduce((most, { gross }) => (gross > most ? gross : most), 1n);
  const [width, height] = [WIDTH - LEFT - RIGHT, HEIGHT - TOP - BOTTOM];
  const step = width / length;
  const bar = Math.max(THINNEST, Math.min(WIDEST, step * 0.7));
  const high = (amount: bigint) => (Number((amount * PARTS) / largest) / Number(PARTS)) * height;
  const middleOf = ({ at }: Span) => LEFT + (at + 0.5) * step;
  const foot = HEIGHT - BOTTOM;
  const lines = [1, 0.5].map((part) =>
    draw("line", { class: "grid", x1: LEFT, x2: WIDTH - RIGHT, y1: foot - part * height, y2: foot - part * height }),
  );
  const bars = spans.map((span) => {
    const [all, creators] = [high(span.gross), high(span.cut)];
    const place = { x: middleOf(span) - bar / 2, width: bar };
    const words = `${span.date}: ${units(span.gross, token)}, of which the creator got ${units(span.cut, token)}`;
    return draw(
      "g",
      {},
      draw("title", {}, words),
      draw("rect", { class: "sellers", ...place, y: foot - all, height: all - creators }),
      draw("rect", { class: "creators", ...place, y: foot - creators, height: creators }),
    );
  });
  const picture = draw(
    "svg",
    { viewBox: `0 0 ${WIDTH} ${HEIGHT}`, role: "img", "aria-label": what, class: "chart" },
    ...lines,
    ...bars,
    draw("line", { class: "foot", x1: LEFT, x2: WIDTH - RIGHT, y1: foot, y2: foot }),
    draw("text", { x: LEFT, y: TOP - 8 }, `${units(largest, token)} in a ${unit}`),
    ...dates(spans, middleOf),
  );
  return picture;
}

/** The first date and the last, where both have room. */
function dates(spans: Span[], middleOf: (span: Span) => number): SVGElement[] {
  const [first, last] = [spans[0], spans.at(-1)];
  if (!first || !last) return [];
  const y = HEIGHT - 8;
  // A date that would leave the picture stands at its edge.
  const dated = (span: Span) => {
    const x = middleOf(span);
    const anchor = x < 60 ? "start" : x > WIDTH - 60 ? "end" : "middle";
    const at = anchor === "start" ? LEFT : anchor === "end" ? WIDTH - RIGHT : x;
    return draw("text", { x: at, y, "text-anchor": anchor }, span.date);
  };
  return middleOf(last) - middleOf(first) < 140 ? [dated(first)] : [dated(first), dated(last)];
}
