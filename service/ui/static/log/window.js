// Which lines of a log are at hand, where they lie in it, and which to ask for next. Pure.

/** Rows at hand at most; some screens of them lie on either side of what is seen. */
export const MOST_ROWS = 600;
export const PAGE_ROWS = 150;
/** So many on each side of a place that somebody goes to: enough to see, with the margin. */
export const PLACE_ROWS = 100;
/** So many rows before the end of what is at hand, more are asked for. */
export const MARGIN_ROWS = 60;

const DECODER = new TextDecoder();

function textOf(line) {
  if (line.Text !== undefined) return line.Text;
  return DECODER.decode(Uint8Array.from(atob(line.Data ?? ""), (each) => each.charCodeAt(0)));
}

/** The lines of an answer as rows. */
export function rowsOf(answer) {
  return answer.Lines.map((line) => ({
    offset: line.Offset,
    end: line.End,
    line: line.Line,
    time: line.Time,
    stream: line.Stream,
    command: line.Command,
    text: textOf(line),
    partial: line.Partial === true,
  }));
}

/** What is known of the log as a whole. */
export const logOf = (answer) => ({
  size: answer.Size,
  total: answer.Indexed >= answer.Size ? answer.Total : null,
  gap: answer.Gap,
  finished: answer.Finished,
});

export const EMPTY = Object.freeze({ rows: [], begin: 0, end: 0 });

export const fresh = (answer) => ({ rows: rowsOf(answer), begin: answer.Begin, end: answer.End });

/** What to ask for behind the rows: a line without an end is asked for again. */
export function nextPlace(window) {
  const last = window.rows.at(-1);
  return last?.partial && last.end === window.end ? last.offset : window.end;
}

/** The window with the rows of an answer behind its own; null when something lies between. `added`
 * are rows that are new, `replaced` is 1 if the last row is told anew, `dropped` are gone above. */
export function appended(window, answer, most = MOST_ROWS) {
  if (answer.Begin > window.end) return null;
  const place = nextPlace(window);
  const added = rowsOf(answer).filter((row) => row.offset >= place);
  const replaced = added.length && added[0].offset < window.end ? 1 : 0;
  const kept = replaced ? window.rows.slice(0, -1) : window.rows;
  const rows = [...kept, ...added];
  const dropped = Math.max(0, rows.length - most);
  const begin = dropped ? rows[dropped].offset : window.begin;
  return { window: { rows: rows.slice(dropped), begin, end: Math.max(window.end, answer.End) }, added, replaced, dropped };
}

/** The same in front of its own; `dropped` are gone below. */
export function prepended(window, answer, most = MOST_ROWS) {
  const added = rowsOf(answer).filter((row) => row.offset < window.begin);
  const rows = [...added, ...window.rows];
  const dropped = Math.max(0, rows.length - most);
  const end = dropped ? rows[most].offset : window.end;
  return { window: { rows: rows.slice(0, most), begin: Math.min(window.begin, answer.Begin), end }, added, dropped };
}

/** What to ask for, when the rows from `first` to `last` are seen; null: enough is there. */
export function nextRequest(window, log, first, last) {
  const below = window.rows.length - 1 - last;
  if (below < MARGIN_ROWS && window.end < log.size) {
    return { where: "below", at: nextPlace(window), before: 0, after: PAGE_ROWS };
  }
  if (first < MARGIN_ROWS && window.begin > 0) {
    return { where: "above", at: window.begin - 1, before: PAGE_ROWS, after: 0 };
  }
  return null;
}

/** Where the thumb of the track is, in pixels; it stands for the bytes that are seen. */
export function thumb(begin, end, size, height, least = 24) {
  if (!size) return { top: 0, height };
  const length = Math.min(height, Math.max(least, ((end - begin) / size) * height));
  const room = height - length;
  const hidden = size - (end - begin);
  return { top: hidden > 0 ? Math.min(room, (begin / hidden) * room) : 0, height: length };
}

/** The byte that a place on the track stands for. */
export function offsetAt(y, height, size) {
  if (!(height > 0)) return 0;
  return Math.min(Math.max(0, size - 1), Math.max(0, Math.floor((y / height) * size)));
}

/** Requests of which at most `most` are under way: the oldest is aborted for another one. */
export class Slots {
  #most;
  #running = [];

  constructor(most = 2) {
    this.#most = most;
  }

  get count() {
    return this.#running.length;
  }

  /** What `ask(signal)` comes to; null when it was aborted for a later one. */
  async run(ask) {
    const controller = new AbortController();
    this.#running.push(controller);
    while (this.#running.length > this.#most) this.#running.shift().abort();
    try {
      const answer = await ask(controller.signal);
      return controller.signal.aborted ? null : answer;
    } catch (error) {
      if (controller.signal.aborted) return null;
      throw error;
    } finally {
      this.#running = this.#running.filter((each) => each !== controller);
    }
  }

  abort() {
    for (const each of this.#running.splice(0)) each.abort();
  }
}
