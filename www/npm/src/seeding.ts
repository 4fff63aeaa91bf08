/** Making a torrent of files: a module that a page loads when it first seeds some. */
import { bytesOf, isIterable, kindOf, type Refusal } from "./kinds.js";
import { spooled } from "./spooling.js";

/** One file of a torrent to be made. */
export interface FileEntry {
  blob: Blob;
  /** Below the torrent's name. */
  path: string[];
}

const SEEDS =
  "seed takes a File, a Blob, an ArrayBuffer, a Uint8Array or a ReadableStream, or several of them in a list";

/** What the options of {@link Client.seed} say of the torrent. */
interface ToMake {
  name?: string;
  pieceLength?: number;
  private?: boolean;
  comment?: string;
  createdBy?: string;
  created?: Date;
  signal?: AbortSignal | null;
}

/** What the engine is asked to make a torrent of. */
export async function seedRequest(
  source: unknown,
  { name, pieceLength, private: isPrivate, comment, createdBy, created, signal }: ToMake,
  { trackers, webSeeds }: { trackers: string[]; webSeeds: string[] },
  refuse: Refusal,
): Promise<object> {
  const given = filesIn(source, refuse);
  const isStreamed = given.some((file) => file instanceof ReadableStream);
  const made = fileEntries(isStreamed ? await spooled(given, { signal, refuse }) : given, refuse);
  if (pieceLength !== undefined && !(Number.isInteger(pieceLength) && pieceLength > 0))
    throw refuse("pieceLength must be a whole number of bytes, 1 or more");
  return {
    name: name ?? made.name ?? "files",
    isFolder: made.isFolder,
    files: made.files,
    trackers,
    webSeeds,
    pieceLength,
    private: isPrivate ?? false,
    comment,
    createdBy,
    created: created && Math.floor(created.getTime() / 1000),
  };
}

/** Reads files to be seeded; throws a sentence that lists the accepted sources. */
export function fileEntries(
  source: unknown,
  refuse: Refusal,
): { files: FileEntry[]; name: string | null; isFolder: boolean } {
  const list = filesIn(source, refuse);
  const read = list.map((one, index) => {
    const blob = blobOf(one);
    if (!blob) throw refuse(`${SEEDS}; ${one === source ? "this" : "in it"} is ${kindOf(one)}`);
    const path = pathOf(one);
    return { blob, path: path.length > 0 ? path : [`file ${index + 1}`], isNamed: path.length > 0 };
  });
  const first = read[0];
  if (!first) throw refuse("there are no files to seed");
  const folder = first.path[0];
  const inFolder = read.every(({ path }) => path.length > 1 && path[0] === folder);
  const isFolder = read.length > 1 || first.path.length > 1;
  const files = read.map(({ blob, path }) => ({ blob, path: inFolder ? path.slice(1) : path }));
  return { files, name: (isFolder ? inFolder : first.isNamed) ? (folder ?? null) : null, isFolder };
}

/** The files of a source, one by one. */
function filesIn(source: unknown, refuse: Refusal): unknown[] {
  if (blobOf(source) || source instanceof ReadableStream) return [source];
  if (isIterable(source)) return [...source];
  throw refuse(`${SEEDS}; this is ${kindOf(source)}`);
}

function blobOf(source: unknown): Blob | null {
  if (source instanceof Blob) return source;
  const bytes = bytesOf(source);
  return bytes ? new Blob([bytes as Uint8Array<ArrayBuffer>]) : null;
}

/** With the folder that was chosen, or that the name has; empty without a name. */
function pathOf(file: unknown): string[] {
  const { webkitRelativePath, name } = file as { webkitRelativePath?: unknown; name?: unknown };
  const path = [webkitRelativePath, name].find((text) => typeof text === "string" && text !== "") as string | undefined;
  return path?.split("/").filter((part) => part !== "") ?? [];
}
