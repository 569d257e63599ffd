// The numbers of rows that were shown before the index of lines had come to them.

const WAIT_S = 30;

/** Returns what asks for the numbers of the rows that are at hand, again and again until all have
 * one. `rowsNow()` are those rows; `onNumbers(answer, rows)` is called when some were found. */
export function makeNumbering({ ask, rowsNow, onNumbers, onError, signal }) {
  let isBusy = false;
  return async () => {
    if (isBusy) return;
    isBusy = true;
    try {
      while (!signal.aborted && rowsNow().some((row) => row.line === null)) {
        const rows = rowsNow();
        const answer = await ask({ at: rows[0].offset, after: rows.length, wait: WAIT_S }, signal);
        const lines = new Map(answer.Lines.map((line) => [line.Offset, line.Line]));
        for (const row of rows) row.line ??= lines.get(row.offset) ?? null;
        onNumbers(answer, rows);
      }
    } catch (error) {
      if (!signal.aborted) onError(error);
    } finally {
      isBusy = false;
    }
  };
}
