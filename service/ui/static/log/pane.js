// The rows that are at hand, in an element that scrolls by itself. What is added or goes above what
// is seen moves nothing that is seen.

import { elementOf } from "./rows.js";

/** `decorate(element)` is called with each row that comes. */
export function makePane(decorate) {
  const viewport = document.createElement("div");
  viewport.className = "log-viewport";
  viewport.tabIndex = 0;
  viewport.setAttribute("role", "region");
  viewport.setAttribute("aria-label", "Output");
  const list = document.createElement("ol");
  list.className = "log-rows";
  list.setAttribute("role", "list");
  viewport.append(list);

  const made = (rows) => {
    const found = document.createDocumentFragment();
    for (const row of rows) {
      const element = elementOf(row);
      decorate(element);
      found.append(element);
    }
    return found;
  };
  const remove = (count, which) => {
    for (let n = 0; n < count; n += 1) list[which]?.remove();
  };
  /** The index of the first row that ends below a place. */
  const indexAt = (y) => {
    const rows = list.children;
    let low = 0;
    let high = rows.length;
    while (low < high) {
      const middle = (low + high) >> 1;
      if (rows[middle].offsetTop + rows[middle].offsetHeight > y) high = middle;
      else low = middle + 1;
    }
    return Math.min(low, Math.max(0, rows.length - 1));
  };

  return {
    viewport,
    list,
    elements: () => [...list.children],
    element: (index) => list.children[index],
    replace(rows) {
      list.replaceChildren(made(rows));
    },
    append(rows, { replaced = 0, dropped = 0 }) {
      const top = viewport.scrollTop;
      remove(replaced, "lastElementChild");
      list.append(made(rows));
      const before = list.offsetHeight;
      remove(dropped, "firstElementChild");
      if (dropped) viewport.scrollTop = top - (before - list.offsetHeight);
    },
    prepend(rows, { dropped = 0 }) {
      const top = viewport.scrollTop;
      remove(dropped, "lastElementChild");
      const before = list.offsetHeight;
      list.prepend(made(rows));
      viewport.scrollTop = top + list.offsetHeight - before;
    },
    /** The indexes of the first and the last row that is seen. */
    seen() {
      const first = indexAt(viewport.scrollTop);
      return { first, last: Math.max(first, indexAt(viewport.scrollTop + viewport.clientHeight - 1)) };
    },
    /** Whether it has a place on the screen: a tab that isn't shown has none. */
    isShown: () => viewport.clientHeight > 0,
    isAtEnd: () => viewport.scrollTop + viewport.clientHeight >= viewport.scrollHeight - 3,
    toEnd() {
      viewport.scrollTop = viewport.scrollHeight;
    },
    toTop() {
      viewport.scrollTop = 0;
    },
    /** Brings a row to where it is seen, `share` of the height below the top. */
    reveal(index, share) {
      const element = list.children[index];
      if (element) viewport.scrollTop = element.offsetTop - share * (viewport.clientHeight - element.offsetHeight);
    },
  };
}
