/**
 * Which of the origin's engines a page belongs to. The first vault that a page of the origin pays by has the plain
 * names, together with all pages that do not pay. Each further vault has a store of its own, and so an engine with its
 * own lock, database, files and keys (docs/decisions/056-an-engine-for-each-vault.md).
 */

import type { EnginePayment } from "./protocol.js";

/** A store's name; null: the first one. */
export type Store = string | null;

/** As the engine names them (`crate/src/web/records.rs`, `keys.rs`). */
const DATABASE = "piecework";
const KEYS = "keys";
const SESSION = "session ";
/** The lock that a client holds as long as it lives, with its store and an id of 36 characters. */
const PAGE = /^piecework-page-(?:(.+)-)?[0-9a-f-]{36}$/;
/**
 * Where the number of an engine's last start is kept. It may be cleared; then it does not show a restored profile.
 */
const GENERATION = "piecework generation";

/** A name of one store's things. */
export function named(name: string, store: Store): string {
  return store === null ? name : `${name}-${store}`;
}

/** The lock that says that a client of a store lives. */
export function aliveName(store: Store): string {
  return `${named("piecework-page", store)}-${crypto.randomUUID()}`;
}

/** The store of a client, from the lock that says that it lives. */
export function storeIn(alive: string | undefined): Store {
  return PAGE.exec(alive ?? "")?.[1] ?? null;
}

/**
 * The store of a vault: the first one if it has been in use for this vault, or for none and the vault has no store of
 * its own. Another engine may begin there as long as the caller does not hold its lock.
 */
export async function storeOf({ chainId, vault }: Pick<EnginePayment, "chainId" | "vault">): Promise<Store> {
  const account = `${chainId} ${vault.toLowerCase()}`;
  const own = account.replace(" ", "-");
  const vaults = await vaultsIn(null);
  if (vaults.includes(account)) return null;
  return vaults.length > 0 || (await vaultsIn(own)).length > 0 ? own : null;
}

/** The chains and vaults of which a store has a session key. */
async function vaultsIn(store: Store): Promise<string[]> {
  // What the database does not tell, the engine finds out when it opens it.
  return sessionsIn(named(DATABASE, store)).catch(() => []);
}

async function sessionsIn(name: string): Promise<string[]> {
  const opening = indexedDB.open(name);
  // No visit has made it: neither does this look.
  opening.onupgradeneeded = () => opening.transaction?.abort();
  const database = await settled(opening);
  try {
    if (!database.objectStoreNames.contains(KEYS)) return [];
    const store = database.transaction(KEYS).objectStore(KEYS);
    const names = await settled(store.getAllKeys(IDBKeyRange.bound(SESSION, `${SESSION}\uffff`)));
    return names.map((name) => String(name).slice(SESSION.length));
  } finally {
    database.close();
  }
}

function settled<T>(request: IDBRequest<T>): Promise<T> {
  return new Promise((resolve, reject) => {
    request.onsuccess = () => resolve(request.result);
    request.onerror = () => reject(request.error);
  });
}

/** The number of a store's last engine, for the next one. */
export function lastGeneration(store: Store): { generation?: number } {
  try {
    const generation = Number(localStorage.getItem(named(GENERATION, store)));
    return Number.isSafeInteger(generation) && generation > 0 ? { generation } : {};
  } catch {
    return {}; // the page may store nothing
  }
}

/** Keeps it, apart from the engine's own records. */
export function keepGeneration(store: Store, generation: number): void {
  try {
    localStorage.setItem(named(GENERATION, store), String(generation));
  } catch {
    // The page may store nothing.
  }
}
