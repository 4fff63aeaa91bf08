/** What the user set, and what follows from it by the hour, on a battery, on a connection that is paid by volume. */

import type { Deployment } from "piecework/deployment";

/** Kept by the host. Rates are bytes per second, `null` is no cap. */
export interface Settings {
  /** The user read the first page and agreed: before, nothing runs. */
  started: boolean;
  paused: boolean;
  uploadLimit: number | null;
  downloadLimit: number | null;
  /** Bytes of all titles. */
  storageLimit: number | null;
  /** Uploads from this hour to before that one; `null`: at all hours. */
  hours: { from: number; to: number } | null;
  /** Uploads also on a connection that is paid by volume. */
  onMetered: boolean;
  /** Uploads also while the battery is in use. */
  onBattery: boolean;
  trackers: string[];
  iceServers: RTCIceServer[] | null;
  /** By what sites may be paid; `null`: nothing is bought or sold. */
  payment: Payment | null;
}

export interface Payment extends Omit<Deployment, "exitDelaySeconds"> {
  /** Decimal text, whole tokens per 10^9 bytes: the most that any site may pay. */
  maxPricePerGB: string;
}

export const DEFAULTS: Settings = {
  started: false,
  paused: false,
  uploadLimit: 2_500_000,
  downloadLimit: null,
  storageLimit: 20_000_000_000,
  hours: null,
  onMetered: false,
  onBattery: false,
  trackers: [],
  iceServers: null,
  payment: null,
};

/** What the browser says of the machine; `null`: it does not say. */
export interface Conditions {
  hour: number;
  metered: boolean | null;
  onBattery: boolean | null;
}

/** Why nothing goes up; empty if it may. */
export function quiet(settings: Settings, now: Conditions): string {
  if (settings.paused) return "You paused it.";
  if (settings.uploadLimit === 0) return "Uploading is switched off in the options.";
  if (settings.hours && !isWithin(now.hour, settings.hours))
    return `It uploads from ${settings.hours.from} to ${settings.hours.to} o\u2019clock.`;
  if (!settings.onMetered && now.metered) return "This connection is paid by volume.";
  if (!settings.onBattery && now.onBattery) return "The battery is in use.";
  return "";
}

/** Over midnight, too. */
function isWithin(hour: number, { from, to }: { from: number; to: number }): boolean {
  return from <= to ? hour >= from && hour < to : hour >= from || hour < to;
}
