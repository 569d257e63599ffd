// Choosing lines by their numbers: a click makes a link to one, with shift to all from the one before.

import { toLines, toOffset } from "./links.js";

/** `chosen()` are the lines that are chosen now; `onChoose({chosen, target})` hears of others, `say`
 * what became of the link. */
export function choosing(list, { chosen, onChoose, say }) {
  list.addEventListener("click", (event) => {
    const row = event.target.closest(".log-number")?.parentElement.row;
    if (!row) return;
    const from = (event.shiftKey && chosen()?.from) || row.line;
    const lines = row.line === null ? null : { from: Math.min(from, row.line), to: Math.max(from, row.line) };
    const hash = lines ? toLines(lines.from, lines.to) : toOffset(row.offset);
    history.replaceState(history.state, "", hash);
    if (event.shiftKey) document.getSelection()?.removeAllRanges();
    navigator.clipboard?.writeText(location.href).then(() => say(`${hash} copied`), () => say(hash));
    onChoose({ chosen: lines, target: lines ? null : row.offset });
  });
}
