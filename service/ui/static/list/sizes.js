// How much running jobs have written: no change tells of it, so it is asked for while somebody looks.

import { useEffect } from "../vendor/htm-preact.js";

const EACH_MS = 5000;
// Jobs of which it is asked at most: as many as are seen, and some.
const MOST = 100;

/** Keeps the sizes in `jobs.current`, as `Jobs` has them; `drawn` is called when there are others. */
export function useSizes(api, jobs, drawn) {
  useEffect(() => {
    let timer = null;
    let isOver = false;
    async function ask() {
      if (!document.hidden && jobs.current.hasRunning()) {
        const page = await api.get("/", { state: "running", view: "full", order: "newest", limit: MOST }).catch(() => null);
        if (isOver) return;
        if (page && jobs.current.setSizes(page.Jobs)) drawn();
      }
      timer = setTimeout(ask, EACH_MS);
    }
    timer = setTimeout(ask, EACH_MS);
    return () => {
      isOver = true;
      clearTimeout(timer);
    };
  }, []);
}
