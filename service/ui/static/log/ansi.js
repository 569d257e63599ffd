// A line of output as pieces that are shown: colours, links, what was overwritten. Pure: text in,
// values out. Nothing of it is ever markup.

import { PLAIN, styled } from "./sgr.js";

/** What can't be seen, or turns the direction of what follows. */
const HIDDEN = /[\u0000-\u0008\u000a-\u001f\u007f-\u009f\u00ad\u061c\u180e\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb]/g;

// CSI; OSC, DCS and the other strings with their ends; what the end of the line cuts; other sequences.
const SEQUENCE =
  /\x1b\[([0-?]*)([ -/]*)([@-~])|\x1b([\]PX^_])([^\x07\x1b]*)(?:\x07|\x1b\\)|\x1b\[[0-?]*[ -/]*$|\x1b[\]PX^_][^\x07\x1b]*$|\x1b[ -/]*[0-~]|\x1b$/g;

/** The address that an OSC 8 link leads to, if it is one of the web. */
export function linkTarget(text) {
  const found = /^8;[^;]*;(https?:\/\/.+)$/is.exec(text);
  if (!found || found[1].length > 2083) return null;
  try {
    const address = new URL(found[1]);
    return address.username || address.password ? null : address.href;
  } catch {
    return null;
  }
}

/** How a hidden character is shown. */
export function pictured(character) {
  const code = character.codePointAt(0);
  if (code < 0x20) return String.fromCharCode(0x2400 + code);
  if (code === 0x7f) return "\u2421";
  return `U+${code.toString(16).toUpperCase().padStart(4, "0")}`;
}

/** The pieces of a line, `{text, style, link}`, and the style behind it. Text that was overwritten by
 * `\r` isn't among them. */
export function parsed(line, style = PLAIN) {
  const tokens = [];
  let now = style;
  let link = null;
  let place = 0;
  const add = (text) => text && tokens.push({ text, style: now, link });
  SEQUENCE.lastIndex = 0;
  for (const found of line.matchAll(SEQUENCE)) {
    add(line.slice(place, found.index));
    place = found.index + found[0].length;
    if (found[3] === "m" && !found[2]) now = styled(now, found[1]);
    else if (found[3] === "K") tokens.push({ erase: Number(found[1] || 0), style: now });
    else if (found[4] === "]" && found[5].startsWith("8;")) link = linkTarget(found[5]);
    else if (found[0] === "\x1bc") now = PLAIN;
  }
  add(line.slice(place));
  const body = line.endsWith("\r") ? withoutLastReturn(tokens) : tokens;
  const returns = body.some((token) => token.text?.includes("\r"));
  return { pieces: returns ? overwritten(body) : body.filter((token) => token.text), style: now };
}

function withoutLastReturn(tokens) {
  const last = tokens.findLastIndex((token) => token.text);
  if (last < 0) return tokens;
  const text = tokens[last].text.replace(/\r+$/, "");
  return tokens.with(last, { ...tokens[last], text });
}

/** What a terminal shows of text with `\r`. */
function overwritten(tokens) {
  const cells = [];
  let at = 0;
  for (const token of tokens) {
    if (token.erase !== undefined) {
      if (token.erase === 0) cells.length = Math.min(cells.length, at);
      else for (let n = 0; n < (token.erase === 1 ? Math.min(at + 1, cells.length) : cells.length); n += 1) cells[n] = null;
      continue;
    }
    for (const character of token.text) {
      if (character === "\r") at = 0;
      else {
        while (cells.length < at) cells.push(null);
        cells[at] = { character, token };
        at += 1;
      }
    }
  }
  const pieces = [];
  const blank = { style: PLAIN, link: null };
  for (const cell of cells) {
    const { style, link } = cell?.token ?? blank;
    const last = pieces.at(-1);
    const text = cell?.character ?? " ";
    if (last && last.style === style && last.link === link) last.text += text;
    else pieces.push({ text, style, link });
  }
  return pieces;
}

/** The pieces up to so many characters, and how many are left out. */
export function shortened(pieces, most) {
  const kept = [];
  let room = most;
  let left = 0;
  for (const piece of pieces) {
    if (room <= 0) left += piece.text.length;
    else if (piece.text.length <= room) kept.push(piece);
    else {
      kept.push({ ...piece, text: piece.text.slice(0, room) });
      left += piece.text.length - room;
    }
    room -= piece.text.length;
  }
  return { pieces: kept, left };
}

/** Text in parts that are seen as they are, and hidden characters: `{text, hidden}`. */
export function parts(text) {
  const found = [];
  let place = 0;
  for (const match of text.matchAll(HIDDEN)) {
    if (match.index > place) found.push({ text: text.slice(place, match.index), hidden: false });
    found.push({ text: match[0], hidden: true });
    place = match.index + match[0].length;
  }
  if (place < text.length) found.push({ text: text.slice(place), hidden: false });
  return found;
}
