/** The little that the extension uses of the browsers' extension interface, in the form that both have. */

export interface Sender {
  id?: string;
  /** Of the page, or of the page around a content script. */
  url?: string;
  origin?: string;
}

export interface RuntimePort {
  readonly name: string;
  readonly sender?: Sender;
  postMessage(message: unknown): void;
  disconnect(): void;
  readonly onMessage: Listeners<(message: unknown) => void>;
  readonly onDisconnect: Listeners<() => void>;
}

interface Listeners<F> {
  addListener(listener: F): void;
}

type OnMessage = (message: unknown, sender: Sender, answer: (value: unknown) => void) => boolean | undefined;

interface Badge {
  setBadgeText(details: { text: string }): Promise<void> | void;
  setBadgeBackgroundColor(details: { color: string }): Promise<void> | void;
  setTitle(details: { title: string }): Promise<void> | void;
}

interface Api {
  runtime: {
    readonly id?: string;
    /** Why the last port ended or was not opened. */
    readonly lastError?: unknown;
    getURL(path: string): string;
    connect(info: { name: string }): RuntimePort;
    sendMessage(message: unknown): Promise<unknown>;
    onConnect: Listeners<(port: RuntimePort) => void>;
    onMessage: Listeners<OnMessage>;
    onInstalled: Listeners<(details: { reason: string }) => void>;
    onStartup: Listeners<() => void>;
    openOptionsPage(): Promise<void>;
    /** Chromium. */
    getContexts(filter: { contextTypes: string[] }): Promise<unknown[]>;
  };
  /** Chromium. */
  offscreen?: {
    createDocument(details: { url: string; reasons: string[]; justification: string }): Promise<void>;
  };
  /** Chromium. */
  alarms?: {
    create(name: string, info: { periodInMinutes: number }): Promise<void>;
    onAlarm: Listeners<() => void>;
  };
  action?: Badge;
  /** Firefox's name of it in a manifest of version 2. */
  browserAction?: Badge;
  windows: { create(details: { url: string; type: "popup"; width: number; height: number }): Promise<unknown> };
  tabs: { create(details: { url: string }): Promise<unknown> };
}

const { browser, chrome } = globalThis as { browser?: Api; chrome?: Api };
const found = browser ?? chrome;
if (!found) throw new Error("this script runs in a browser's extension alone");

/** The browser. */
export const api: Api = found;
