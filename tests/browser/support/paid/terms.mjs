// What the tests of interrupted paid downloads agree on with the product: sizes, and what an interruption may cost.

export const MIB = 1 << 20;
export const BLOCK = 16_384;
/** As `Scene.title` cuts them. */
export const PIECE = 65_536;
/** `storage::MOST_AT_RISK`: what had arrived and was on no record, and what was asked for, together. Nothing else comes again. */
export const AT_RISK = 4 * MIB;
/** Links at most that are on their way when an engine ends: where one is the last of its range, the seller never sees it. */
export const LOST_LINKS = 4;

/** Blocks of a title that its seller forgives at a new attach: its first credit, and a 32nd of what was paid. */
export const forgiven = (length) => 16 + Math.ceil(length / BLOCK / 32);
