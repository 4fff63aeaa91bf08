/** Decimal text ("1.5") to base units of a token with this many decimals; refuses what it cannot hold exactly. */
export function parseAmount(text: string | number | bigint, decimals: number): bigint {
  const match = /^(\d+)(?:\.(\d+))?$/.exec(String(text).trim());
  const fraction = match?.[2] ?? "";
  if (!match || fraction.replace(/0+$/, "").length > decimals) {
    throw new RangeError(`"${text}" is not an amount with at most ${decimals} decimals`);
  }
  return BigInt(match[1] + fraction.slice(0, decimals).padEnd(decimals, "0"));
}

/** Base units to decimal text without trailing zeros. */
export function formatAmount(units: bigint, decimals: number): string {
  const digits = units.toString().padStart(decimals + 1, "0");
  const whole = digits.slice(0, digits.length - decimals);
  const fraction = digits.slice(digits.length - decimals).replace(/0+$/, "");
  return fraction ? `${whole}.${fraction}` : whole;
}

const FINE = 24n;
const BLOCK = 16_384n;
const GB = 1_000_000_000n;

/** Token base units per 10^9 bytes to fine units (2^-24 base units) per block of 16 KiB, rounded up. */
export function finePerBlock(unitsPerGB: bigint): bigint {
  return ((unitsPerGB << FINE) * BLOCK + GB - 1n) / GB;
}

/** Fine units per block to token base units per 10^9 bytes, rounded down. */
export function unitsPerGB(finePerBlockPrice: bigint): bigint {
  return (finePerBlockPrice * GB) / (BLOCK << FINE);
}

/** Fine units to whole base units, rounded down. */
export function floorFine(fine: bigint): bigint {
  return fine >> FINE;
}

/** Fine units to whole base units, rounded up. */
export function ceilFine(fine: bigint): bigint {
  return (fine + (1n << FINE) - 1n) >> FINE;
}
