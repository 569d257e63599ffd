// Permanent links into a log: `#o=OFFSET`, `#L10`, `#L10-L20`. Pure.

/** `{at}`, `{from, to}`, or null for anything else. */
export function place(hash) {
  const offset = /^#o=(\d{1,15})$/.exec(hash);
  if (offset) return { at: Number(offset[1]) };
  const lines = /^#L(\d{1,15})(?:-L?(\d{1,15}))?$/.exec(hash);
  if (!lines || Number(lines[1]) < 1) return null;
  const [from, to] = [Number(lines[1]), Number(lines[2] ?? lines[1])];
  return { from: Math.min(from, to) || 1, to: Math.max(from, to) };
}

export const toOffset = (offset) => `#o=${offset}`;

export function toLines(from, to = from) {
  const [first, last] = [Math.min(from, to), Math.max(from, to)];
  return first === last ? `#L${first}` : `#L${first}-L${last}`;
}
