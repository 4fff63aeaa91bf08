/** Keccak-256, for the checksum of addresses (EIP-55). Of one block only: a page hashes nothing longer. */

/** Bytes of a block; the padding takes at least one of them. */
const RATE = 136;
const LANE = (1n << 64n) - 1n;

/** The hash as 64 hexadecimal digits, of at most 135 bytes of ASCII. */
export function keccak256(ascii: string): string {
  if (ascii.length >= RATE) throw new RangeError("longer than one block");
  const block = new DataView(new ArrayBuffer(RATE));
  for (let i = 0; i < ascii.length; i++) block.setUint8(i, ascii.charCodeAt(i));
  block.setUint8(ascii.length, 1);
  block.setUint8(RATE - 1, block.getUint8(RATE - 1) ^ 0x80);
  const state = new State(Array.from({ length: RATE / 8 }, (_, i) => block.getBigUint64(i * 8, true)));
  state.permute();
  const hash = new DataView(new ArrayBuffer(32));
  for (let i = 0; i < 4; i++) hash.setBigUint64(i * 8, state.lane(i), true);
  return Array.from(new Uint8Array(hash.buffer), (byte) => byte.toString(16).padStart(2, "0")).join("");
}

/** Lane (x, y) has the index x + 5 * y. */
class State {
  #lanes: bigint[];

  constructor(lanes: bigint[]) {
    this.#lanes = lanes;
  }

  lane(index: number): bigint {
    return this.#lanes[index] ?? 0n;
  }

  /** FIPS 202, "Keccak-p[b, nr]", with 24 rounds of theta, rho, pi, chi and iota. */
  permute(): void {
    const { rounds, rotations, places } = TABLES;
    for (const constant of rounds) {
      const column = (x: number) => [0, 5, 10, 15, 20].reduce((sum, row) => sum ^ this.lane((x % 5) + row), 0n);
      const mixed = [0, 1, 2, 3, 4].map((x) => column(x + 4) ^ rotated(column(x + 1), 1));
      const moved: bigint[] = [];
      for (let i = 0; i < 25; i++) {
        const lane = this.lane(i) ^ (mixed[i % 5] ?? 0n);
        moved[places[i] ?? 0] = rotated(lane, rotations[i] ?? 0);
      }
      const at = (row: number, x: number) => moved[row + (x % 5)] ?? 0n;
      this.#lanes = moved.map((lane, i) => {
        const [row, x] = [i - (i % 5), i % 5];
        return lane ^ (~at(row, x + 1) & LANE & at(row, x + 2));
      });
      this.#lanes[0] = this.lane(0) ^ constant;
    }
  }
}

/** The constant of each round, and of each lane its rotation and its next place. */
const TABLES = tables();

function tables() {
  const rounds: bigint[] = [];
  for (let register = 1, round = 0; round < 24; round++) {
    let constant = 0n;
    for (let bit = 0; bit < 7; bit++) {
      if (register & 1) constant |= 1n << BigInt((1 << bit) - 1);
      register = (register << 1) ^ (register & 0x80 ? 0x171 : 0);
    }
    rounds.push(constant);
  }
  const [rotations, places] = [[0], [0]];
  for (let x = 1, y = 0, t = 0; t < 24; t++) {
    rotations[x + 5 * y] = (((t + 1) * (t + 2)) / 2) % 64;
    places[x + 5 * y] = y + 5 * ((2 * x + 3 * y) % 5);
    [x, y] = [y, (2 * x + 3 * y) % 5];
  }
  return { rounds, rotations, places };
}

function rotated(lane: bigint, by: number): bigint {
  return ((lane << BigInt(by)) | (lane >> BigInt(64 - by))) & LANE;
}
