// The terms that the tests of interrupted paid downloads share with the product: sizes, and the costs of an
// interruption.

export const MIB = 1 << 20;
export const BLOCK = 16_384;
/** As `Scene.title` cuts them. */
export const PIECE = 65_536;
/**
/**
 * The bytes that had arrived and were on no record, and those that were asked for, together. Nothing else comes again
 * (README.md, "What is not done"). It is 1 MiB and what comes in 0.4 s at the present rate, and never more than
 * `storage::MOST_AT_RISK`. A seeder with a cap begins with a burst of one second's bytes. So at a cap of 3 MB/s 4.5 MB
 * may come in the first half second, the shortest time over which a rate is measured. That is 9 MB/s, at which 1 MiB
 * and 0.4 s are 4.6 MB. The smaller of the two bounds is this.
 */
export const AT_RISK = 4 * MIB;
/**
 * The most links that are on their way when an engine ends. The seller never sees such a link if it is the last of its
 * range. They are the links of one piece: one PAY pays its blocks when it is verified, and the next piece takes 7 ms
 * even at 9 MB/s, in which a PAY arrives on one machine.
 */
export const LOST_LINKS = PIECE / BLOCK;

/** The blocks of a title that its seller forgives at a new attach: its first credit, and a 32nd of the paid ones. */
export const forgiven = (length) => 16 + Math.ceil(length / BLOCK / 32);
