// Rows in the document: text, never markup. Numbers and times are drawn by the style sheet, so that
// nobody selects or copies them.

import { parsed, parts, pictured, shortened } from "./ansi.js";
import { BLINK, BOLD, DOUBLE, FAINT, fixedColour, HIDDEN, INVERSE, ITALIC, OVERLINE, STRUCK, UNDERLINE } from "./sgr.js";

/** Characters of a row that are shown before somebody asks for more. */
export const MOST_COLUMNS = 4096;

const CLASSES = [
  [BOLD, "b"], [FAINT, "d"], [ITALIC, "i"], [UNDERLINE, "u"], [BLINK, "k"], [HIDDEN, "h"], [STRUCK, "s"], [DOUBLE, "uu"], [OVERLINE, "o"],
];

function dress(element, style) {
  const inverse = style.flags & INVERSE;
  for (const [bit, name] of CLASSES) if (style.flags & bit) element.classList.add(`a-${name}`);
  const colours = [
    ["color", "f", inverse ? style.bg : style.fg, inverse && style.bg === null],
    ["backgroundColor", "g", inverse ? style.fg : style.bg, inverse && style.fg === null],
  ];
  for (const [property, letter, colour, isSwapped] of colours) {
    const fixed = fixedColour(colour);
    if (fixed) element.style[property] = fixed;
    else if (colour !== null) element.classList.add(`a-${letter}${colour}`);
    else if (isSwapped) element.classList.add(`a-${letter}x`);
  }
  const underline = fixedColour(style.underline);
  if (underline) element.style.textDecorationColor = underline;
}

function fill(element, text) {
  for (const part of parts(text)) {
    if (!part.hidden) {
      element.append(part.text);
      continue;
    }
    const shown = document.createElement("span");
    shown.className = "log-hidden";
    shown.textContent = pictured(part.text);
    shown.title = `U+${part.text.codePointAt(0).toString(16).toUpperCase().padStart(4, "0")}`;
    element.append(shown);
  }
}

function piece({ text, style, link }) {
  const isPlain = !style.flags && style.fg === null && style.bg === null && !link;
  const element = document.createElement(link ? "a" : "span");
  if (!isPlain) dress(element, style);
  if (link) {
    element.href = link;
    element.target = "_blank";
    element.rel = "noopener noreferrer nofollow";
    element.title = link;
  }
  fill(element, text);
  return element;
}

function fillText(element, row) {
  const all = row.whole ? { pieces: row.pieces, left: 0 } : shortened(row.pieces, MOST_COLUMNS);
  element.replaceChildren(...all.pieces.map(piece));
  if (!all.left) return;
  const more = document.createElement("button");
  more.type = "button";
  more.className = "log-more";
  more.textContent = `… ${all.left} more characters`;
  more.addEventListener("click", () => {
    row.whole = true;
    fillText(element, row);
  });
  element.append(more);
}

/** Gives rows the styles in which they begin, from the one of the first. */
export function restyle(rows, style) {
  let now = style;
  for (const row of rows) {
    const found = parsed(row.text, now);
    row.pieces = found.pieces;
    row.plain = found.pieces.map((each) => each.text).join("");
    now = found.style;
  }
}

/** The number of a row, or its offset until that is known. */
export function number(element, row) {
  const shown = element.firstElementChild;
  shown.dataset.n = row.line ?? `+${row.offset}`;
  shown.classList.toggle("log-unnumbered", row.line === null);
  element.dataset.line = row.line ?? "";
}

/** A row as an element, which knows it as `.row`. */
export function elementOf(row) {
  const element = document.createElement("li");
  element.className = row.stream === "stderr" ? "log-row log-stderr" : "log-row";
  element.dataset.offset = row.offset;
  element.row = row;
  const line = document.createElement("span");
  line.className = "log-number";
  line.setAttribute("aria-hidden", "true");
  const time = document.createElement("span");
  time.className = "log-time";
  time.dataset.t = row.time.slice(11, 23);
  time.title = row.time;
  const text = document.createElement("bdi");
  text.className = "log-text";
  element.append(line, time, text);
  number(element, row);
  fillText(text, row);
  return element;
}
