// Colours and attributes as the escape sequences of a terminal set them. Pure: values in, values out.

export const PLAIN = Object.freeze({ flags: 0, fg: null, bg: null, underline: null });

export const BOLD = 1;
export const FAINT = 2;
export const ITALIC = 4;
export const UNDERLINE = 8;
export const BLINK = 16;
export const INVERSE = 32;
export const HIDDEN = 64;
export const STRUCK = 128;
export const DOUBLE = 256;
export const OVERLINE = 512;

const SETS = { 1: BOLD, 2: FAINT, 3: ITALIC, 4: UNDERLINE, 5: BLINK, 6: BLINK, 7: INVERSE, 8: HIDDEN, 9: STRUCK, 21: DOUBLE, 53: OVERLINE };
const CLEARS = {
  22: BOLD | FAINT, 23: ITALIC, 24: UNDERLINE | DOUBLE, 25: BLINK, 27: INVERSE, 28: HIDDEN, 29: STRUCK, 55: OVERLINE,
};
const TARGET = { 3: "fg", 4: "bg", 5: "underline" };

const byte = (text) => Math.min(Number(text) || 0, 255);
const rgb = (parts) => `#${parts.map((each) => byte(each).toString(16).padStart(2, "0")).join("")}`;

/** The style after `ESC [ parameters m`. A colour is null (the default), 0 to 255, or `#rrggbb`. */
export function styled(style, parameters) {
  let now = style;
  const given = parameters.split(";");
  for (let at = 0; at < given.length; at += 1) {
    const each = given[at];
    if (each.includes(":")) {
      now = withParts(now, each.split(":"));
      continue;
    }
    const code = Number(each || 0);
    if (code === 38 || code === 48 || code === 58) {
      const kind = Number(given[at + 1]);
      const name = TARGET[Math.floor(code / 10)];
      if (kind === 5) now = { ...now, [name]: byte(given[at + 2]) };
      if (kind === 2) now = { ...now, [name]: rgb([2, 3, 4].map((ahead) => given[at + ahead])) };
      at += kind === 5 ? 2 : kind === 2 ? 4 : 1;
    } else {
      now = simple(now, code);
    }
  }
  return now;
}

function simple(style, code) {
  if (code === 0) return PLAIN;
  if (SETS[code]) return { ...style, flags: style.flags | SETS[code] };
  if (CLEARS[code]) return { ...style, flags: style.flags & ~CLEARS[code] };
  const tens = Math.floor(code / 10);
  const ones = code % 10;
  if (tens === 3 && ones < 8) return { ...style, fg: ones };
  if (tens === 4 && ones < 8) return { ...style, bg: ones };
  if (tens === 9 && ones < 8) return { ...style, fg: ones + 8 };
  if (tens === 10 && ones < 8) return { ...style, bg: ones + 8 };
  if (code === 39) return { ...style, fg: null };
  if (code === 49) return { ...style, bg: null };
  if (code === 59) return { ...style, underline: null };
  return style;
}

function withParts(style, [first, ...rest]) {
  const code = Number(first);
  if (code === 4) {
    const kind = [0, UNDERLINE, DOUBLE, UNDERLINE, UNDERLINE, UNDERLINE][Math.min(Number(rest[0]) || 0, 5)];
    return { ...style, flags: (style.flags & ~(UNDERLINE | DOUBLE)) | kind };
  }
  const name = code === 38 || code === 48 || code === 58 ? TARGET[Math.floor(code / 10)] : null;
  if (name && rest[0] === "5" && rest.length > 1) return { ...style, [name]: byte(rest[1]) };
  if (name && rest[0] === "2" && rest.length > 3) return { ...style, [name]: rgb(rest.slice(-3)) };
  return style;
}

const CUBE = [0, 95, 135, 175, 215, 255];

/** What a colour from 16 to 255 is, or `#rrggbb` itself; null: one of the 16 of the theme. */
export function fixedColour(colour) {
  if (typeof colour === "string") return colour;
  if (colour === null || colour < 16) return null;
  if (colour > 231) return rgb(Array(3).fill(8 + 10 * (colour - 232)));
  const place = colour - 16;
  return rgb([CUBE[Math.floor(place / 36)], CUBE[Math.floor(place / 6) % 6], CUBE[place % 6]]);
}
