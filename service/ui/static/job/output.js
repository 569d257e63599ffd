// The Output tab: the log viewer, or the last of the output where that can't be loaded.

import { html, useEffect, useLayoutEffect, useRef } from "../vendor/htm-preact.js";

const LAST_BYTES = 65_536;
// Begun at once, while the job's view is still on its way; without it there is a plain text.
const viewer = import("../log/viewer.js");
viewer.catch(() => {});

/** `log.current` gets what the viewer can do; `stamp` changes with each change of the job. */
export function Output({ api, id, log, stamp }) {
  const host = useRef(null);

  // In the layout's turn: an effect would wait for the first frame without the log.
  useLayoutEffect(() => {
    let isGone = false;
    mounted(host.current, { api, id }).then((viewer) => {
      if (isGone) viewer.destroy();
      else log.current = viewer;
    });
    return () => {
      isGone = true;
      if (log.current) log.current.destroy();
      log.current = null;
    };
  }, [id]);

  useEffect(() => {
    if (log.current && log.current.refresh) log.current.refresh();
  }, [stamp]);

  return html`<div class="log-host" ref=${host}></div>`;
}

async function mounted(host, { api, id }) {
  try {
    const { mountLog } = await viewer;
    return await mountLog(host, { id, api });
  } catch {
    host.replaceChildren();
    return plain(host, { api, id });
  }
}

/** The last 64 KiB, or as many from an offset on. */
function plain(host, { api, id }) {
  const pre = document.createElement("pre");
  pre.className = "output";
  pre.tabIndex = 0;
  pre.setAttribute("aria-label", "Output");
  host.append(pre);
  let offset = -LAST_BYTES;

  async function load() {
    try {
      const answer = await api.send("GET", `/${id}/output`, {
        parameters: { offset, limit: LAST_BYTES, format: "text", ansi: "strip", cr: "collapse" },
        headers: { Accept: "text/plain" },
      });
      pre.textContent = (await answer.text()) || "There is no output.";
    } catch (problem) {
      pre.textContent = problem.message;
    }
  }

  load();
  return {
    refresh: load,
    destroy: () => pre.remove(),
    scrollToOffset: async (at) => {
      offset = at;
      await load();
      pre.scrollTop = 0;
    },
  };
}

/** Where the output of a command begins; null: it wrote nothing. */
export async function offsetOfCommand(api, id, command) {
  const answer = await api.send("GET", `/${id}/output`, {
    parameters: { command, limit: 1, format: "ndjson" },
    headers: { Accept: "application/x-ndjson" },
  });
  const records = (await answer.text()).split("\n").filter(Boolean).map((line) => JSON.parse(line));
  const first = records.find((record) => record.Type === "output");
  return first ? first.Offset : null;
}
