// What the tests of interrupted paid downloads agree on with the product: sizes, and what an interruption may cost.

export const MIB = 1 << 20;
export const BLOCK = 16_384;
/** As `Scene.title` cuts them. */
export const PIECE = 65_536;
/**
 * What had arrived and was on no record, and what was asked for, together: nothing else comes again (README.md, "What is not done").
 * It is 1 MiB and what comes in 0.4 s at the present rate, and never more than `storage::MOST_AT_RISK`. A seeder with a cap begins with
 * a burst of one second's bytes. So at a cap of 3 MB/s 4.5 MB may come in the first half second, over which a rate is measured at
 * the least: 9 MB/s, at which 1 MiB and 0.4 s are 4.6 MB. The least of both is this.
 */
export const AT_RISK = 4 * MIB;
/**
 * Links at most that are on their way when an engine ends: where one is the last of its range, the seller never sees it. They are
 * those of one piece: its blocks are paid by one PAY when it is verified, and the next piece takes 7 ms even at 9 MB/s, in which a
 * PAY arrives on one machine.
 */
export const LOST_LINKS = PIECE / BLOCK;

/** Blocks of a title that its seller forgives at a new attach: its first credit, and a 32nd of what was paid. */
export const forgiven = (length) => 16 + Math.ceil(length / BLOCK / 32);
