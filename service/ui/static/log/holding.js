// The rows at hand: asked for around a place, continued at both ends, numbered and styled. What is
// answered about another place than the last one that was asked for is left.

import { parsed } from "./ansi.js";
import { makeNumbering } from "./numbering.js";
import { number, restyle } from "./rows.js";
import { appended, EMPTY, fresh, logOf, nextRequest, PLACE_ROWS, prepended, Slots } from "./window.js";

const styleOf = (sequence) => parsed(sequence ?? "").style;

/** `ask(parameters, signal)` answers lines; `pane` shows them. `onTaken` is called when other rows are
 * at hand, before they are looked at, `onSettled` after each change, `onNumbers` when rows got their numbers. */
export function makeHolding({ ask, pane, signal, onTaken, onSettled, onNumbers, onError }) {
  const slots = new Slots(2);
  let held = EMPTY;
  let log = { size: 0, total: null, gap: null, finished: false };
  let generation = 0;
  let isExtending = false;

  const numberRows = makeNumbering({
    ask, rowsNow: () => held.rows, onError, signal,
    onNumbers(answer, rows) {
      log = logOf(answer);
      if (held.rows[0] === rows[0] && answer.Sgr) {
        restyle(held.rows, styleOf(answer.Sgr));
        const at = pane.viewport.scrollTop;
        pane.replace(held.rows);
        pane.viewport.scrollTop = at;
      }
      for (const element of pane.elements()) number(element, element.row);
      onNumbers();
    },
  });

  /** Replaces what is at hand by what an answer has; `reveal(rows)` then says where to look. */
  function take(answer, reveal) {
    log = logOf(answer);
    onTaken();
    held = fresh(answer);
    restyle(held.rows, styleOf(answer.Sgr));
    pane.replace(held.rows);
    reveal(held.rows);
    onSettled();
    if (answer.Sgr === null || held.rows.some((row) => row.line === null)) numberRows();
  }

  function apply(change, answer, put) {
    log = logOf(answer);
    // The style stands before the answer's first row, which may be one that is at hand already.
    const known = answer.Lines.findIndex((line) => line.Offset === change.added[0]?.offset);
    const rows = known > 0 ? [...held.rows.filter((row) => row.offset >= answer.Begin && row.offset < change.added[0].offset), ...change.added] : change.added;
    restyle(rows, styleOf(answer.Sgr));
    held = change.window;
    put(change.added, change);
    if (answer.Sgr === null || change.added.some((row) => row.line === null)) numberRows();
  }

  return {
    get rows() {
      return held.rows;
    },
    get begin() {
      return held.begin;
    },
    get end() {
      return held.end;
    },
    /** What is known of the log as a whole. */
    get log() {
      return log;
    },
    /** The number of the last place that was asked for. */
    get generation() {
      return generation;
    },
    /** Takes what an answer without rows tells of the log. */
    told(answer) {
      log = logOf(answer);
    },
    /** Asks for rows and takes them. False: there are none, or an error; undefined: another place was
     * asked for meanwhile. */
    async show(given, reveal) {
      generation += 1;
      const mine = generation;
      try {
        const answer = await slots.run((aborted) => ask({ before: PLACE_ROWS, after: PLACE_ROWS, ...given }, aborted));
        if (!answer || mine !== generation || signal.aborted) return undefined;
        log = logOf(answer);
        if (answer.Size && !answer.Lines.length && given.from) return false;
        take(answer, reveal);
        return true;
      } catch (error) {
        if (signal.aborted || mine !== generation) return undefined;
        onError(error);
        return false;
      }
    },
    /** Asks for more where what is seen, the rows from `first` to `last`, comes near to an end. The
     * rows `below` are left to who follows them. */
    async extend(first, last, { below }) {
      const wanted = nextRequest(held, log, first, last);
      if (!wanted || isExtending || (wanted.where === "below" && !below)) return;
      const { where, ...given } = wanted;
      const mine = generation;
      isExtending = true;
      let isDone = false;
      try {
        const answer = await slots.run((aborted) => ask(given, aborted));
        if (!answer || mine !== generation || signal.aborted) return;
        const change = where === "below" ? appended(held, answer) : prepended(held, answer);
        isDone = Boolean(change) && (change.window.begin !== held.begin || change.window.end !== held.end);
        if (change) apply(change, answer, where === "below" ? pane.append : pane.prepend);
      } catch (error) {
        if (!signal.aborted) onError(error);
      } finally {
        isExtending = false;
      }
      if (isDone) onSettled();
    },
    /** Takes the rows at the end of the log, behind those at hand where they touch them. */
    takeLast(answer) {
      const change = held.rows.length ? appended(held, answer) : null;
      if (change) apply(change, answer, pane.append);
      else take(answer, () => {});
    },
    abort: () => slots.abort(),
  };
}
