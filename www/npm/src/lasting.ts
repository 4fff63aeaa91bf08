/**
 * Asks for storage that the browser does not clear by itself. Firefox asks the user, who may never answer, so nothing
 * waits for the answer.
 */
export function keepStorage(): void {
  navigator.storage.persist?.().catch(() => false);
}
