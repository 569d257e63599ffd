import assert from "node:assert/strict";
import test from "node:test";
import {
  appended, EMPTY, fresh, logOf, nextPlace, nextRequest, offsetAt, prepended, rowsOf, Slots, thumb,
} from "../../service/ui/static/log/window.js";

/** A log whose lines have ten bytes each, the last one of them perhaps unfinished. */
const SIZE = 10_000;
function answer(first, last, { partial = false } = {}) {
  const Lines = [];
  for (let n = first; n < last; n += 1) {
    Lines.push({ Line: n + 1, Offset: n * 10, End: n * 10 + 10, Time: "", Stream: "stdout", Command: 0, Text: `line ${n}` });
  }
  if (partial) {
    Lines.at(-1).Partial = true;
    Lines.at(-1).End -= 5;
  }
  const End = Lines.length ? Lines.at(-1).End : last * 10;
  return { Lines, Begin: first * 10, End, Size: SIZE, Total: 1000, Indexed: SIZE, Sgr: "", Gap: null, Finished: true };
}

test("bytes that are no UTF-8 are shown with replacement characters", () => {
  const [row] = rowsOf({ Lines: [{ Line: 1, Offset: 0, End: 3, Data: btoa("a\xff") }] });
  assert.equal(row.text, "a\ufffd");
});

test("the total is known once all is numbered", () => {
  assert.equal(logOf({ ...answer(0, 1), Indexed: 5 }).total, null);
  assert.equal(logOf(answer(0, 1)).total, 1000);
});

test("rows are added behind, and dropped above", () => {
  const change = appended(fresh(answer(0, 100)), answer(100, 150), 120);
  assert.equal(change.added.length, 50);
  assert.equal(change.dropped, 30);
  assert.equal(change.window.rows.length, 120);
  assert.deepEqual([change.window.begin, change.window.end], [300, 1500]);
});

test("an answer that lies further on isn't added", () => {
  assert.equal(appended(fresh(answer(0, 100)), answer(101, 150)), null);
});

test("rows that are there already aren't added again", () => {
  const change = appended(fresh(answer(0, 100)), answer(50, 110));
  assert.deepEqual(change.added.map((row) => row.offset).slice(0, 1), [1000]);
  assert.equal(change.window.rows.length, 110);
});

test("a line without an end is told anew", () => {
  const window = fresh(answer(0, 100, { partial: true }));
  assert.equal(nextPlace(window), 990);
  const change = appended(window, answer(99, 101));
  assert.equal(change.replaced, 1);
  assert.equal(change.window.rows.length, 101);
  assert.equal(change.window.rows[99].partial, false);
});

test("rows are added in front, and dropped below", () => {
  const change = prepended(fresh(answer(100, 200)), answer(50, 101), 120);
  assert.equal(change.added.length, 50);
  assert.equal(change.dropped, 30);
  assert.deepEqual([change.window.begin, change.window.end], [500, 1700]);
});

test("a walk with drops meets each row once", () => {
  let window = fresh(answer(0, 150));
  const seen = window.rows.map((row) => row.offset);
  while (window.end < SIZE) {
    const at = nextPlace(window) / 10;
    const change = appended(window, answer(at, Math.min(1000, at + 151)), 300);
    seen.push(...change.added.map((row) => row.offset));
    window = change.window;
  }
  assert.deepEqual(seen, Array.from({ length: 1000 }, (_, n) => n * 10));
});

test("more is asked for before it is needed, below first", () => {
  const log = { size: SIZE };
  const window = fresh(answer(100, 400));
  assert.equal(nextRequest(window, log, 100, 140), null);
  assert.deepEqual(nextRequest(window, log, 250, 290), { where: "below", at: 4000, before: 0, after: 150 });
  assert.deepEqual(nextRequest(window, log, 10, 50), { where: "above", at: 999, before: 150, after: 0 });
  assert.equal(nextRequest(fresh(answer(0, 1000)), log, 0, 999), null);
  assert.equal(nextRequest(EMPTY, { size: 0 }, 0, 0), null);
});

test("the thumb stands for bytes, and never gets too small", () => {
  assert.deepEqual(thumb(0, 100, 100, 500), { top: 0, height: 500 });
  assert.deepEqual(thumb(0, 100, 1e9, 500), { top: 0, height: 24 });
  assert.equal(thumb(1e9 - 100, 1e9, 1e9, 500).top, 476);
  assert.ok(Math.abs(thumb(5e8, 5e8 + 100, 1e9, 500).top - 238) < 1);
  assert.deepEqual(thumb(0, 0, 0, 500), { top: 0, height: 500 });
  for (const y of [0, 100, 476]) {
    assert.ok(Math.abs(thumb(offsetAt(y, 476, 1e9), offsetAt(y, 476, 1e9) + 100, 1e9, 500).top - y) < 1);
  }
  assert.equal(offsetAt(600, 500, 1000), 999);
  assert.equal(offsetAt(-5, 500, 1000), 0);
});

test("at most two requests are under way: the oldest is aborted", async () => {
  const slots = new Slots(2);
  const release = [];
  const ask = (name) => (signal) =>
    new Promise((resolve, reject) => {
      signal.addEventListener("abort", () => reject(new Error("aborted")));
      release.push(() => resolve(name));
    });
  const [a, b, c] = ["a", "b", "c"].map((name) => slots.run(ask(name)));
  assert.equal(slots.count, 2);
  release.forEach((each) => each());
  assert.deepEqual(await Promise.all([a, b, c]), [null, "b", "c"]);
  assert.equal(slots.count, 0);
  await assert.rejects(slots.run(() => Promise.reject(new Error("refused"))), /refused/);
});
