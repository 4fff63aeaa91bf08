/** What the parts of the extension say to each other. A page's own messages are in `www/npm/src/provider.ts`. */

import type { Open } from "../../npm/src/provider.ts";
import type { Settings } from "./settings.ts";
import type { Site } from "./sites.ts";

/** A page's port: of a site, or of the extension itself. */
export const PAGE = "page";
/** The port of one reader of a file. */
export const READER = "reader";

/** A page's first message, with what the content script knows of it. */
export interface Opening extends Open {
  /** The user had just pressed something in the page. */
  gesture: boolean;
  /** Its host ended, and this is the next one. */
  again: boolean;
}

/** To whoever can start the host; answers whether it runs. */
export interface Ensure {
  to: "shell";
  t: "ensure";
}

/** The host's wishes that only an extension's background can fulfil. */
export type ToShell =
  | Ensure
  | { to: "shell"; t: "badge"; text: string; title: string }
  | { to: "shell"; t: "ask"; site: string }
  | { to: "shell"; t: "open"; page: string };

/** The extension's own pages to the host. */
export type ToHost = { to: "host" } & (
  | { t: "state" }
  | { t: "settings"; settings: Partial<Settings> }
  | { t: "decide"; origin: string; allowed: boolean; budget: bigint; ceiling: bigint }
  /** `withTitles`: those that only this site brought are removed, too. */
  | { t: "forget"; origin: string; withTitles: boolean }
  /** Of {@link WALLET_METHODS}, to the wallet in an open page of a site. */
  | { t: "wallet"; origin: string; method: string; params: unknown }
);

/**
 * What a wallet alone can do. The extension reads the chain by its own node, because a page may answer what it likes.
 * Calls that a wallet sends together (EIP-5792) are left out: their end is known from the wallet alone.
 */
export const WALLET_METHODS: readonly string[] = [
  "eth_accounts",
  "eth_requestAccounts",
  "eth_chainId",
  "eth_sendTransaction",
  "eth_signTypedData_v4",
  "wallet_switchEthereumChain",
  "wallet_addEthereumChain",
];

export interface State {
  settings: Settings;
  sites: Site[];
  /** Why nothing goes up now; empty if it may. */
  quiet: string;
  /** Why the engine does not run; empty if it does. */
  fault: string;
  /** Pages of sites that use the engine now. */
  pages: number;
  /** Sites with an open page that pays, and so may have a wallet. */
  withWallet: string[];
  /** By origin: titles of the library that this site brought. */
  brought: Record<string, number>;
}
