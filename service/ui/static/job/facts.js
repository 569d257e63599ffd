// What became of a job, in words. Pure.

import { count } from "../words.js";

/** Seconds that a job took, or takes so far; null: it hasn't begun. */
export function secondsOfJob(view, now) {
  if (view.Duration !== null && view.Duration !== undefined) return view.Duration;
  if (!view.StartedAt || view.State !== "running") return null;
  return Math.max(0, (now - Date.parse(view.StartedAt)) / 1000);
}

/** The receipt of a kill as a sentence; "" without one. */
export function receipt(kill) {
  if (!kill) return "";
  const sent = kill.Signals.length ? kill.Signals.join(", ") : kill.Signal;
  const found = kill.Found === 1 ? "1 process" : `${count(kill.Found ?? 0)} processes`;
  const how = kill.Escalated ? "; KILL was needed" : "";
  const gone = kill.VerifiedGone === null || kill.VerifiedGone === undefined ? "" :
    kill.VerifiedGone ? ", all seen gone" : ", some weren’t seen gone";
  return `${sent} to ${found}${how}${gone}`;
}
