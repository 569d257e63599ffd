// What is marked at a row: that a link leads to it, that it was found, that bytes are missing there.

/** Whether a link leads to a row: to `chosen` lines `{from, to}`, or to the byte `target`. */
export function isMeant(row, { chosen, target }) {
  if (chosen) return row.line !== null && row.line >= chosen.from && row.line <= chosen.to;
  return target !== null && row.offset <= target && target < row.end;
}

/** Marks the element of a row. `found` is the set of the offsets of all hits, `current` one of them. */
export function mark(element, { chosen, target, found, current, gap }) {
  const { row } = element;
  element.classList.toggle("log-chosen", isMeant(row, { chosen, target }));
  element.classList.toggle("log-hit", found.has(row.offset));
  element.classList.toggle("log-current", current === row.offset);
  if (gap && row.offset === gap[1]) element.dataset.gap = `${gap[1] - gap[0]} bytes were dropped here`;
}
