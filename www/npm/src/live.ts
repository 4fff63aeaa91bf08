/** The part of a torrent's state that follows its pieces. */
interface Pieces {
  readonly have: Uint8Array;
  readonly length: number;
  readonly pieceLength: number;
  readonly pieceCount: number;
  readonly verified: number;
  readonly selectedLength: number;
  readonly selectedVerified: number;
}

/** A state that is older is asked for anew when somebody looks at it. */
const FRESH_MS = 250;

/**
 * What properties show that cannot wait: the engine's last answer. The engine is asked again when somebody looks, and
 * not otherwise.
 */
export class Fresh<State> {
  readonly #ask: () => Promise<State | null>;
  #askedAt = -Infinity;
  /** As it was known last, without a question; null before the first answer. */
  last: State | null = null;

  constructor(ask: () => Promise<State | null>) {
    this.#ask = ask;
  }

  /** The same. A newer answer is asked for if this one is old. */
  get now(): State | null {
    if (performance.now() - this.#askedAt > FRESH_MS) void this.look().catch(() => undefined);
    return this.last;
  }

  /** Asks now. */
  async look(): Promise<State | null> {
    this.#askedAt = performance.now();
    const answer = (await this.#ask()) ?? null;
    if (answer) this.last = answer;
    return answer;
  }
}

/** A torrent's state: the engine's last answer, and the pieces that came since. */
export class Live<State extends Pieces> extends Fresh<State> {
  /** Gives what nobody changes later. */
  override async look(): Promise<State | null> {
    const answer = await super.look();
    if (answer) this.last = { ...answer, have: answer.have.slice() };
    return answer;
  }

  /** A piece was verified; `isSelected`: of a file that is fetched. */
  piece(piece: number, isSelected: boolean): void {
    const last = this.last;
    if (!last || piece >= last.pieceCount || holds(last, piece)) return;
    const bytes = Math.min(last.pieceLength, last.length - piece * last.pieceLength);
    last.have[piece >> 3] = (last.have[piece >> 3] ?? 0) | (0x80 >> (piece & 7));
    this.last = {
      ...last,
      verified: last.verified + bytes,
      selectedVerified: last.selectedVerified + (isSelected ? bytes : 0),
    };
  }

  /** Everything that is selected is here. */
  done(): void {
    if (this.last) this.last = { ...this.last, selectedVerified: this.last.selectedLength };
  }
}

/** Whether a piece is verified. */
export function holds({ have }: Pick<Pieces, "have">, piece: number): boolean {
  return ((have[piece >> 3] ?? 0) & (0x80 >> (piece & 7))) !== 0;
}
