import assert from "node:assert/strict";
import test from "node:test";
import { linkTarget, parsed, parts, pictured, shortened } from "../../service/ui/static/log/ansi.js";
import { fixedColour, PLAIN, styled, BOLD, UNDERLINE, DOUBLE } from "../../service/ui/static/log/sgr.js";

const text = (line, style) => parsed(line, style).pieces.map((piece) => piece.text).join("");

test("colours become styles, and go on behind the line", () => {
  const { pieces, style } = parsed("a\x1b[1;31mb\x1b[0mc\x1b[38;5;200md");
  assert.deepEqual(pieces.map(({ text, style }) => [text, style.fg, style.flags]), [
    ["a", null, 0], ["b", 1, BOLD], ["c", null, 0], ["d", 200, 0],
  ]);
  assert.equal(style.fg, 200);
  assert.equal(parsed("x", style).pieces[0].style.fg, 200);
});

test("each way to say a colour is understood", () => {
  for (const [parameters, name, value] of [
    ["91", "fg", 9], ["107", "bg", 15], ["38;2;1;2;300", "fg", "#0102ff"], ["48:2::1:2:3", "bg", "#010203"],
    ["48:2:1:2:3", "bg", "#010203"], ["58;5;7", "underline", 7], ["38:5:9", "fg", 9], ["31;39", "fg", null],
    ["38", "fg", null], ["38;7;1", "fg", null],
  ]) assert.equal(styled(PLAIN, parameters)[name], value, parameters);
  assert.equal(styled(PLAIN, "4:3").flags, UNDERLINE);
  assert.equal(styled(PLAIN, "4;21").flags, UNDERLINE | DOUBLE);
  assert.equal(styled(styled(PLAIN, "4;21;1"), "24").flags, BOLD);
  assert.equal(styled(styled(PLAIN, "31;1"), ""), PLAIN);
  assert.equal(fixedColour(16), "#000000");
  assert.equal(fixedColour(231), "#ffffff");
  assert.equal(fixedColour(232), "#080808");
  assert.equal(fixedColour(196), "#ff0000");
  assert.equal(fixedColour(15), null);
});

test("other sequences show nothing", () => {
  assert.equal(text("a\x1b]0;title\x07b\x1b[2Jc\x1b(Bd\x1bPx\x1b\\e\x1b[?25lf\x1b=g"), "abcdefg");
  assert.equal(text("cut\x1b[3"), "cut");
  assert.equal(text("cut\x1b"), "cut");
});

test("what was overwritten is gone, what was left is there", () => {
  assert.equal(text("10%\r50%\r100%"), "100%");
  assert.equal(text("long line\rshort"), "shortline");
  assert.equal(text("long line\r\x1b[Kshort"), "short");
  assert.equal(text("long\x1b[2K\rx"), "x   ");
  assert.equal(text("end\r"), "end");
  assert.equal(text("a\r\r"), "a");
  const { pieces } = parsed("\x1b[31mred\x1b[0m\rg");
  assert.deepEqual(pieces.map(({ text, style }) => [text, style.fg]), [["g", null], ["ed", 1]]);
});

test("only links of the web lead somewhere", () => {
  const { pieces } = parsed("\x1b]8;;https://example.org/x\x1b\\there\x1b]8;;\x07 here");
  assert.deepEqual(pieces.map(({ text, link }) => [text, link]), [["there", "https://example.org/x"], [" here", null]]);
  for (const bad of ["javascript:alert(1)", "data:text/html,x", "file:///etc/passwd", "//x", "https://", "http://u:p@x/", ""]) {
    assert.equal(linkTarget(`8;;${bad}`), null, bad);
  }
});

test("hidden characters are pictured, and nothing else is", () => {
  assert.deepEqual(parts("a\0b\u202ec\td"), [
    { text: "a", hidden: false }, { text: "\0", hidden: true }, { text: "b", hidden: false },
    { text: "\u202e", hidden: true }, { text: "c\td", hidden: false },
  ]);
  assert.equal(pictured("\0"), "\u2400");
  assert.equal(pictured("\x7f"), "\u2421");
  assert.equal(pictured("\u202e"), "U+202E");
  assert.deepEqual(parts(""), []);
});

test("a long row shows its beginning", () => {
  const { pieces } = parsed(`\x1b[31m${"x".repeat(3000)}\x1b[0m${"y".repeat(3000)}`);
  const short = shortened(pieces, 4096);
  assert.equal(short.left, 6000 - 4096);
  assert.equal(short.pieces.map((piece) => piece.text.length).join(), "3000,1096");
  assert.equal(shortened(pieces, 6000).left, 0);
});
