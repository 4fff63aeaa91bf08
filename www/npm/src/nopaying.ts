/** What stands in `piecework/free` in the place of `paying.ts`: payments that no client has. */

import { PieceworkError } from "./errors.js";

/** Whether the engine beside this module can pay. */
export const PAYS = false;

const FREE = "This is `piecework/free`, which neither pays nor is paid: import `piecework` instead.";

/** The wallets of this page: it has no use for one. */
export function wallets(): Promise<never> {
  return Promise.reject(new PieceworkError(FREE));
}

/** Nor has an engine outside of it. */
export const askWallet = wallets;

/** The payments of a client, which refuse to be. */
export class Paying {
  /** @throws PieceworkError always. */
  constructor() {
    throw new PieceworkError(FREE);
  }
}
