// Finding in the viewer: the field, the marks on the track, and the row where one is.

import { Finder } from "./find.js";

/** `search` is that of a Finder; `from()` the offset behind which one looks, `reveal(offset)` shows a
 * hit, `onFound` marks rows. `toolbar` and `track` come later, by `attach`. */
export function makeFinding({ search, from, reveal, onFound, signal }) {
  const finder = new Finder(search);
  let found = new Set();
  let toolbar;
  let track;

  function show() {
    if (signal.aborted) return;
    found = finder.offsets;
    toolbar.showFound(finder);
    track.setMarks(finder.hits.map((hit) => ({ offset: hit.offset, isCurrent: hit === finder.current })));
    if (finder.current) reveal(finder.current.offset);
    onFound();
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
      await finder.step(by);
      show();
    },
    /** The same again, where other rows are shown now. */
    again() {
      if (finder.pattern) this.find(finder.pattern);
    },
    clear: () => finder.clear(),
  };
}
