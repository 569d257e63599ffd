// Finding in the viewer: the field, the marks on the track and at the rows, and the row where one is.

import { Finder } from "./finder.js";

const REST_MS = 300;

/** `search` and `size` are those of a Finder; `from()` the offset behind which one looks,
 * `reveal(offset)` shows a hit, `onFound` marks rows. `toolbar` and `track` come later, by `attach`. */
export function makeFinding({ search, size, from, reveal, onFound, signal }) {
  const finder = new Finder(search, size);
  let found = new Set();
  let covered = null; // the rows whose hits are all in `found`
  let timer = null;
  let toolbar;
  let track;

  function show() {
    if (signal.aborted) return;
    found = new Set(finder.known.map((hit) => hit.offset));
    covered = null;
    toolbar.showFound(finder);
    track.setMarks(finder.known.map((hit) => ({ offset: hit.offset, isCurrent: hit === finder.current })));
    if (finder.current) reveal(finder.current.offset);
    onFound();
  }

  /** Asks for the hits among the rows from `begin` to `end`, where not all are known. */
  async function cover(begin, end) {
    const { pattern } = finder;
    if (signal.aborted || !pattern || finder.isBusy || finder.error) return;
    try {
      const offsets = await finder.within(begin, end, signal);
      if (finder.pattern !== pattern) return;
      covered = { begin, end };
      offsets.forEach((offset) => found.add(offset));
      onFound();
    } catch {
      // They stay without marks.
    }
  }

  return {
    attach: (parts) => ({ toolbar, track } = parts),
    marks: () => ({ found, current: finder.current?.offset }),
    async find(pattern) {
      toolbar.setFind(pattern);
      const finding = finder.find(pattern, from());
      toolbar.showFound(finder);
      if (await finding) show();
    },
    async step(by) {
      if (!finder.hits.length) return;
      const stepping = finder.step(by);
      toolbar.showFound(finder);
      await stepping;
      show();
    },
    /** The rows from `begin` to `end` are at hand, of a log that has grown to them perhaps. */
    rows(begin, end) {
      clearTimeout(timer);
      if (!finder.pattern || end <= begin || finder.knowsUpTo(end) || (covered && covered.begin <= begin && end <= covered.end)) return;
      timer = setTimeout(cover, REST_MS, begin, end);
    },
    /** The same again, where other rows are shown now. */
    again() {
      if (finder.pattern) this.find(finder.pattern);
    },
    clear() {
      clearTimeout(timer);
      finder.clear();
    },
  };
}
