// Whether a job waits for input: no change tells of it, so it is asked for while somebody looks.

import { askWhileSeen } from "../asking.js";
import { useEffect, useState } from "../vendor/htm-preact.js";

const EACH_MS = 3000;

/** Whether the job waits now; null: it has no input, or nobody knows. */
export function useWaiting(api, view) {
  const [waits, setWaits] = useState(view.WaitingForInput);
  const canWait = view.State === "running" && Boolean(view.Stdin || view.TTY);
  useEffect(() => {
    if (!canWait) return undefined;
    return askWhileSeen(EACH_MS, () => api.job(view.ID), (now) => setWaits(now.WaitingForInput));
  }, [view.ID, canWait]);
  return canWait ? waits : null;
}
