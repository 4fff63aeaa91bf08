// The terms that the tests of interrupted paid downloads share with the product: sizes, and the costs of an
// interruption.

export const MIB = 1 << 20;
export const BLOCK = 16_384;
/** As `Scene.title` cuts them. */
export const PIECE = 65_536;
/**
 * `storage::MOST_AT_RISK`: the bytes that had arrived and were on no record, and those that were asked for, together.
 * Nothing else comes again.
 */
export const AT_RISK = 4 * MIB;
/**
 * The most links that are on their way when an engine ends. The seller never sees such a link if it is the last of its
 * range.
 */
export const LOST_LINKS = 4;

/** The blocks of a title that its seller forgives at a new attach: its first credit, and a 32nd of the paid ones. */
export const forgiven = (length) => 16 + Math.ceil(length / BLOCK / 32);
