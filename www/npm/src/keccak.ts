/** Keccak-256, for the checksum of addresses (EIP-55), and for ids and hashes of titles. */

/** Bytes of a block; the padding takes at least one of the last one. */
const RATE = 136;
const LANE = (1n << 64n) - 1n;

/** The hash as 64 hexadecimal digits, of bytes or of ASCII. */
export function keccak256(of: string | Uint8Array): string {
  const bytes = typeof of === "string" ? new TextEncoder().encode(of) : of;
  const padded = new Uint8Array((Math.floor(bytes.length / RATE) + 1) * RATE);
  padded.set(bytes);
  const blocks = new DataView(padded.buffer);
  blocks.setUint8(bytes.length, 1);
  blocks.setUint8(padded.length - 1, blocks.getUint8(padded.length - 1) ^ 0x80);
  const state = new State();
  for (let at = 0; at < padded.length; at += RATE) {
    state.absorb(Array.from({ length: RATE / 8 }, (_, lane) => blocks.getBigUint64(at + lane * 8, true)));
    state.permute();
  }
  const hash = new DataView(new ArrayBuffer(32));
  for (let i = 0; i < 4; i++) hash.setBigUint64(i * 8, state.lane(i), true);
  return Array.from(new Uint8Array(hash.buffer), (byte) => byte.toString(16).padStart(2, "0")).join("");
}

/** An address in capitals and small letters that show a wrong digit (EIP-55). */
export function checksummed(address: string): string {
  const digits = address.replace(/^0x/, "").toLowerCase();
  const hash = keccak256(digits);
  const letters = digits.replace(/[a-f]/g, (letter, at: number) =>
    (hash[at] ?? "") >= "8" ? letter.toUpperCase() : letter,
  );
  return `0x${letters}`;
}

/** Lane (x, y) has the index x + 5 * y. */
class State {
  #lanes: bigint[] = Array.from({ length: 25 }, () => 0n);

  absorb(block: bigint[]): void {
    this.#lanes = this.#lanes.map((lane, at) => lane ^ (block[at] ?? 0n));
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
