// Learning that a live log has grown, without downloading it: one request waits for a byte behind
// what is known, and what comes of it is looked at so and so often at most.

const WAIT_S = 50;
const RETRY_MS = 2000;

const pause = (ms, signal) =>
  new Promise((resolve) => {
    const timer = setTimeout(resolve, ms);
    signal.addEventListener("abort", () => {
      clearTimeout(timer);
      resolve();
    });
  });

/** Calls `look()`, which answers `{size, finished, restMs}`, whenever there is more than it told of;
 * until the job is finished or `signal` is aborted. `restMs`: how long to leave it alone then. */
export async function watchGrowth({ api, id, signal, look }) {
  let known = null;
  let isGrowing = false; // then there is nothing to wait for
  while (!signal.aborted) {
    try {
      if (known !== null && !isGrowing) {
        const parameters = { offset: known.size, limit: 1, wait: WAIT_S, gaps: "mark" };
        const answer = await api.send("GET", `/${id}/output`, { parameters, headers: { Accept: "text/plain" }, signal });
        await answer.arrayBuffer();
      }
      const now = await look();
      isGrowing = known !== null && now.size > known.size;
      known = now;
      if (known.finished) return;
      await pause(known.restMs, signal);
    } catch (error) {
      if (signal.aborted || error.status === 404) return;
      await pause(RETRY_MS, signal);
    }
  }
}
