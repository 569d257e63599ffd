// Keys of the log, for the whole document: those that somebody types into a field are theirs.

const TYPED = "input, textarea, select, [contenteditable], dialog, .xterm, .job-terminal";

/** `on` has a function for each of `find`, `next`, `previous`, `top`, `end`, `follow`. */
export function listenForKeys(root, on) {
  const actions = { "/": on.find, n: on.next, N: on.previous, g: on.top, G: on.end, f: on.follow };
  const onKey = (event) => {
    if (event.defaultPrevented || event.ctrlKey || event.metaKey || event.altKey) return;
    if (!root.isConnected || root.closest("[hidden]") || event.target.closest?.(TYPED)) return;
    const isInside = root.contains(event.target);
    const action = actions[event.key] ?? (isInside && { Home: on.top, End: on.end }[event.key]);
    if (!action) return;
    event.preventDefault();
    action();
  };
  document.addEventListener("keydown", onKey);
  return () => document.removeEventListener("keydown", onKey);
}
