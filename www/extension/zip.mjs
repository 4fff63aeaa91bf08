// A folder as a zip file (PKWARE's APPNOTE, sections 4.3.7, 4.3.12 and 4.3.16): the same bytes for the same files.
import { readdir, readFile } from "node:fs/promises";
import { join } from "node:path";
import { crc32, deflateRawSync } from "node:zlib";

/** The first day that the format knows: 1 January 1980. */
const DAY = 0x21;
const VERSION = 20;
const DEFLATED = 8;

/** The files of a folder without folders in it. */
export async function zip(folder) {
  const parts = [];
  const list = [];
  let at = 0;
  for (const file of (await readdir(folder)).sort()) {
    const bytes = await readFile(join(folder, file));
    const packed = deflateRawSync(bytes, { level: 9 });
    const name = Buffer.from(file);
    const about = numbers([2, VERSION], [2, 0], [2, DEFLATED], [2, 0], [2, DAY], [4, crc32(bytes)], [4, packed.length]);
    const sizes = numbers([4, bytes.length], [2, name.length], [2, 0]);
    parts.push(numbers([4, 0x04034b50]), about, sizes, name, packed);
    const entry = numbers([2, 0], [2, 0], [2, 0], [4, 0], [4, at]);
    list.push(numbers([4, 0x02014b50], [2, VERSION]), about, sizes, entry, name);
    at += 4 + about.length + sizes.length + name.length + packed.length;
  }
  const entries = Buffer.concat(list);
  const count = list.length / 5;
  const end = numbers([4, 0x06054b50], [2, 0], [2, 0], [2, count], [2, count], [4, entries.length], [4, at], [2, 0]);
  return Buffer.concat([...parts, entries, end]);
}

/** Numbers of so many bytes each, the lowest byte first. */
function numbers(...given) {
  return Buffer.concat(
    given.map(([length, value]) => {
      const bytes = Buffer.alloc(length);
      bytes.writeUIntLE(value, 0, length);
      return bytes;
    }),
  );
}
