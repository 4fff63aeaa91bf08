/** What the extension keeps besides the engine's own records: a few named values in one database of its origin. */

const DATABASE = "piecework-extension";
const VALUES = "values";

function settled<T>(request: IDBRequest<T>): Promise<T> {
  return new Promise((resolve, reject) => {
    request.onsuccess = () => resolve(request.result);
    request.onerror = () => reject(request.error);
  });
}

async function database(): Promise<IDBDatabase> {
  const opening = indexedDB.open(DATABASE, 1);
  opening.onupgradeneeded = () => opening.result.createObjectStore(VALUES);
  return settled(opening);
}

let opened: Promise<IDBDatabase> | null = null;

/** The value; undefined: none was kept. */
export async function kept<T>(name: string): Promise<T | undefined> {
  opened ??= database();
  return settled((await opened).transaction(VALUES).objectStore(VALUES).get(name) as IDBRequest<T | undefined>);
}

/** Keeps it, past a loss of power. */
export function keep(name: string, value: unknown): Promise<void> {
  return keepAll({ [name]: value });
}

/** Keeps all of them or none, past a loss of power. */
export async function keepAll(values: Record<string, unknown>): Promise<void> {
  opened ??= database();
  const transaction = (await opened).transaction(VALUES, "readwrite", { durability: "strict" });
  const store = transaction.objectStore(VALUES);
  const done = new Promise<void>((resolve, reject) => {
    transaction.oncomplete = () => resolve();
    transaction.onabort = () => reject(transaction.error);
  });
  for (const [name, value] of Object.entries(values)) store.put(value, name);
  await done;
}
