// How much running jobs have written: no change tells of it, so it is asked for while somebody looks.

import { askWhileSeen } from "../asking.js";
import { useEffect } from "../vendor/htm-preact.js";

const EACH_MS = 5000;
// Jobs of which it is asked at most: as many as are seen, and some.
const MOST = 100;

/** Keeps the sizes in `jobs.current`, as `Jobs` has them; `drawn` is called when there are others. */
export function useSizes(api, jobs, drawn) {
  useEffect(() => {
    const wanted = { state: "running", view: "full", order: "newest", limit: MOST };
    const ask = async () => (jobs.current.hasRunning() ? api.get("/", wanted) : null);
    return askWhileSeen(EACH_MS, ask, (page) => {
      if (jobs.current.setSizes(page.Jobs)) drawn();
    });
  }, []);
}
