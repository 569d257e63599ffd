// What is below the rows: whether they follow the end, which line is seen, how many came meanwhile.

const SAY_MS = 2000;
const SHOWN_MS = 4000;

const spaced = (value) => String(value).replace(/\B(?=(\d{3})+$)/g, "\u202f");

function sized(bytes) {
  const units = ["B", "kB", "MB", "GB", "TB"];
  let value = bytes;
  let unit = 0;
  while (value >= 1000 && unit < units.length - 1) {
    value /= 1000;
    unit += 1;
  }
  return `${unit && value < 10 ? value.toFixed(1) : Math.round(value)} ${units[unit]}`;
}

/** What came since one has left the end, in words; empty: nothing. */
export function news({ left, size, total }) {
  if (!left || size <= left.size) return "";
  if (total === null || left.total === null) return `${sized(size - left.size)} more`;
  const lines = total - left.total;
  return lines > 0 ? `${spaced(lines)} new line${lines === 1 ? "" : "s"}` : "";
}

/** Where one is, in words. */
export function whereabouts({ following, finished, line, offset, total, size }) {
  const at = line === null ? `byte ${spaced(offset)} of ${spaced(size)}` : `line ${spaced(line)} of ${total === null ? "…" : spaced(total)}`;
  if (!size) return finished ? "no output" : "no output yet";
  return following ? `following · ${at}` : finished ? `${at} · ${sized(size)}` : `paused · ${at}`;
}

/** `onFollow` is called when somebody wants to go on with the end. */
export function makeStatus({ onFollow, onStatus }) {
  const element = document.createElement("div");
  element.className = "log-status";
  const where = document.createElement("span");
  const said = document.createElement("span");
  said.className = "log-said";
  const polite = document.createElement("span");
  polite.className = "log-polite";
  polite.setAttribute("role", "status");
  element.append(where, said, polite);
  const button = document.createElement("button");
  button.type = "button";
  button.className = "log-new";
  button.hidden = true;
  button.addEventListener("click", onFollow);

  let timer = null;
  let clearing = null;
  let latest = "";
  let told = "";
  const speak = () => {
    timer = null;
    if (latest === polite.textContent) return;
    polite.textContent = latest;
    timer = setTimeout(speak, SAY_MS);
  };

  return {
    element,
    button,
    show(state) {
      const text = whereabouts(state);
      const more = state.following ? "" : news(state);
      if (where.textContent !== text) where.textContent = text;
      button.hidden = !more;
      if (more) button.textContent = `${more} ↓`;
      latest = [state.following ? "following" : state.finished ? "" : "paused", more].filter(Boolean).join(", ");
      timer ??= setTimeout(speak, SAY_MS);
      const status = { following: state.following, line: state.line, total: state.total, size: state.size, newLines: more, finished: state.finished, error: null };
      const now = JSON.stringify(status);
      if (now !== told) onStatus(status);
      told = now;
    },
    say(text) {
      said.textContent = text;
      said.classList.remove("log-wrong");
      clearTimeout(clearing);
      clearing = setTimeout(() => said.replaceChildren(), SHOWN_MS);
    },
    fail(text) {
      clearTimeout(clearing);
      said.textContent = text;
      said.classList.add("log-wrong");
      onStatus({ error: text });
    },
    destroy() {
      clearTimeout(timer);
      clearTimeout(clearing);
    },
  };
}
