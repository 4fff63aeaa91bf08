/** What the extension's own pages share: how they reach the host, its engine, and the DOM. */

import { Client, type Torrent } from "piecework";
import { api } from "./browser.ts";
import { relay } from "./relay.ts";
import type { Payment } from "./settings.ts";
import type { State, ToHost } from "./words.ts";

type Answer = { v: unknown } | { error: string; code?: unknown } | undefined;

/** Asks the host. */
export async function ask<T>(message: ToHost): Promise<T> {
  await api.runtime.sendMessage({ to: "shell", t: "ensure" });
  const answer = (await api.runtime.sendMessage(message)) as Answer;
  if (!answer) throw new Error("The extension\u2019s peer did not answer: close this page and open it again.");
  if ("error" in answer) throw Object.assign(new Error(answer.error), { code: answer.code });
  return answer.v as T;
}

/** How the extension stands. */
export function state(): Promise<State> {
  return ask<State>({ to: "host", t: "state" });
}

/** A client of the host's engine, for which every title is its own. */
export function client(payment: Payment | null): Client {
  const { port1, port2 } = new MessageChannel();
  relay(port1);
  return new Client({ engine: port2, ...(payment ? { payments: payment } : {}) });
}

/** Every title of the library, as a client has it. */
export async function library(from: Client): Promise<Torrent[]> {
  const known = new Set(from.torrents.map(({ infoHash }) => infoHash));
  for (const hash of await from.stored())
    if (!known.has(hash)) await from.add(hash, { onDemand: true }).catch(() => null);
  return from.torrents;
}
