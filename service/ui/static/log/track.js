// The track beside the rows: its height stands for the bytes of the whole log.

import { offsetAt, thumb } from "./window.js";

/** `onSeek(offset, {final})` is called while the thumb is dragged, when the call before has come to its
 * end, and once when it is let go. */
export function makeTrack(onSeek) {
  const element = document.createElement("div");
  element.className = "log-track";
  element.setAttribute("aria-hidden", "true"); // keys do the same
  const marks = document.createElement("div");
  marks.className = "log-marks";
  const handle = document.createElement("div");
  handle.className = "log-thumb";
  element.append(marks, handle);

  let size = 0;
  let marked = [];
  let drag = null;

  let isSeeking = false;
  let next = null;

  const height = () => element.clientHeight;
  async function ask(offset, final) {
    next = null;
    if (isSeeking && !final) {
      next = offset;
      return;
    }
    isSeeking = true;
    await onSeek(offset, { final });
    isSeeking = false;
    if (next !== null) ask(next, false);
  }
  const seek = (event, final) => {
    const box = element.getBoundingClientRect();
    const room = Math.max(1, box.height - handle.offsetHeight);
    const y = event.clientY - box.top - drag.grip;
    move(Math.min(room, Math.max(0, y)));
    ask(offsetAt(Math.min(room, Math.max(0, y)), room, size), final);
  };
  const move = (top) => {
    handle.style.transform = `translateY(${top}px)`;
  };

  element.addEventListener("pointerdown", (event) => {
    if (event.button !== 0 || !size) return;
    event.preventDefault();
    const box = handle.getBoundingClientRect();
    const isOn = event.clientY >= box.top && event.clientY <= box.bottom;
    drag = { grip: isOn ? event.clientY - box.top : box.height / 2 };
    element.setPointerCapture(event.pointerId);
    element.classList.add("dragged");
    seek(event, false);
  });
  element.addEventListener("pointermove", (event) => drag && seek(event, false));
  const end = (event) => {
    if (!drag) return;
    seek(event, true);
    drag = null;
    element.classList.remove("dragged");
  };
  element.addEventListener("pointerup", end);
  element.addEventListener("pointercancel", () => {
    drag = null;
    element.classList.remove("dragged");
  });

  function mark() {
    marks.replaceChildren();
    const seen = new Set();
    for (const { offset, isCurrent } of marked) {
      const y = Math.round((offset / Math.max(1, size)) * (height() - 2));
      if (seen.has(y) && !isCurrent) continue;
      seen.add(y);
      const each = document.createElement("i");
      if (isCurrent) each.className = "current";
      each.style.top = `${y}px`;
      marks.append(each);
    }
  }

  return {
    element,
    /** The bytes that are seen, of a log with `total` ones. */
    show(begin, stop, total) {
      const grown = total !== size;
      size = total;
      const found = thumb(begin, stop, total, height());
      handle.style.height = `${found.height}px`;
      handle.hidden = !total || found.height >= height();
      if (!drag) move(found.top);
      if (grown && marked.length) mark();
    },
    /** Marks of what was found: `[{offset, isCurrent}]`. */
    setMarks(found) {
      marked = found;
      mark();
    },
  };
}
