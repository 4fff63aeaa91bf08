/**
 * A wallet that is in a page of a site, for the extension's own pages, which have none (EIP-1193). The extension
 * composes what is signed, the page's wallet shows it, and the chain is read by the extension's own node.
 */

import type { Eip1193Provider } from "piecework";
import { ask } from "./ours.ts";
import { WALLET_METHODS } from "./words.ts";

/** What the node is asked; nothing else has to leave. */
const READS =
  /^eth_(?:call|getTransactionReceipt|getTransactionByHash|getTransactionCount|getLogs|blockNumber|getBlockByNumber|gasPrice|getCode)$/;

/** The wallet in a page of this site. */
export function walletIn(origin: string, rpcUrl: string): Eip1193Provider {
  return {
    request({ method, params }) {
      if (WALLET_METHODS.includes(method)) return ask({ to: "host", t: "wallet", origin, method, params });
      if (READS.test(method)) return read(rpcUrl, method, params);
      return Promise.reject(Object.assign(new Error(`${method} is not supported`), { code: 4200 }));
    },
  };
}

async function read(rpcUrl: string, method: string, params: unknown): Promise<unknown> {
  const response = await fetch(rpcUrl, {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify({ jsonrpc: "2.0", id: 1, method, params: params ?? [] }),
  });
  const { result, error } = (await response.json()) as { result?: unknown; error?: { code: number; message: string } };
  if (error) throw Object.assign(new Error(error.message), { code: error.code });
  return result;
}
