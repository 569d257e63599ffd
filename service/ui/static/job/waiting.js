// Whether a job waits for input: no change tells of it, so it is asked for while somebody looks.

import { useEffect, useState } from "../vendor/htm-preact.js";

const EACH_MS = 3000;

/** Whether the job waits now; null: it has no input, or nobody knows. */
export function useWaiting(api, view) {
  const [waits, setWaits] = useState(view.WaitingForInput);
  const canWait = view.State === "running" && Boolean(view.Stdin || view.TTY);
  useEffect(() => {
    if (!canWait) return undefined;
    let timer = null;
    let isOver = false;
    async function ask() {
      if (!document.hidden) {
        const now = await api.job(view.ID).catch(() => null);
        if (isOver) return;
        if (now) setWaits(now.WaitingForInput);
      }
      timer = setTimeout(ask, EACH_MS);
    }
    ask();
    return () => {
      isOver = true;
      clearTimeout(timer);
    };
  }, [view.ID, canWait]);
  return canWait ? waits : null;
}
