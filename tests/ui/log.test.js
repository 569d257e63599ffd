import assert from "node:assert/strict";
import test from "node:test";
import { Finder, firstBehind, ignoresCase, search, stepped } from "../../service/ui/static/log/find.js";
import { place, toLines, toOffset } from "../../service/ui/static/log/links.js";
import { news, whereabouts } from "../../service/ui/static/log/status.js";

test("links lead to what they were made of", () => {
  assert.deepEqual(place(toOffset(123)), { at: 123 });
  assert.deepEqual(place(toLines(10)), { from: 10, to: 10 });
  assert.deepEqual(place(toLines(20, 10)), { from: 10, to: 20 });
  assert.deepEqual(place("#L10-20"), { from: 10, to: 20 });
  for (const other of ["", "#", "#files", "#o=", "#o=-1", "#L0", "#L", "#L1-", "#o=1x", `#L${"9".repeat(20)}`]) {
    assert.equal(place(other), null, other);
  }
});

test("steps go around the ends", () => {
  assert.equal(stepped(0, 1, 3), 1);
  assert.equal(stepped(2, 1, 3), 0);
  assert.equal(stepped(0, -1, 3), 2);
  assert.equal(stepped(-1, 1, 0), -1);
  assert.equal(firstBehind([{ offset: 1 }, { offset: 5 }], 2), 1);
  assert.equal(firstBehind([{ offset: 1 }], 2), 0);
  assert.ok(ignoresCase("error"));
  assert.ok(!ignoresCase("Error"));
});

/** An API whose answer is these records, in pieces of seven bytes. */
function answering(records) {
  const bytes = new TextEncoder().encode(records.map((each) => `${JSON.stringify(each)}\n`).join(""));
  const body = new ReadableStream({
    start(controller) {
      for (let n = 0; n < bytes.length; n += 7) controller.enqueue(bytes.slice(n, n + 7));
      controller.close();
    },
  });
  return { send: async (method, path, options) => ({ body, asked: [method, path, options] }) };
}

test("what the service found is taken from its records", async () => {
  const line = (Offset, Stream = "stdout") => ({ Type: "line", Line: Offset, Offset, Stream, Text: "\u20ac" });
  const all = [line(1), line(2, "stderr"), { Type: "heartbeat" }, line(3), { Type: "matches", Count: 3 }, { Type: "end" }];
  assert.deepEqual(await search(answering(all), "x", "p"), {
    hits: [1, 2, 3].map((offset) => ({ offset, line: offset })), count: 3, isAll: true,
  });
  const some = await search(answering(all), "x", "p", { stream: "stdout" });
  assert.deepEqual(some.hits.map((hit) => hit.offset), [1, 3]);
});

test("a search goes to the first hit behind a place, and on", async () => {
  const hits = [10, 20, 30].map((offset) => ({ offset }));
  const asked = [];
  const finder = new Finder(async (pattern, { offset }) => {
    asked.push(offset);
    return { hits: offset ? [{ offset: 40 }] : hits, count: 4, isAll: false };
  });
  await finder.find("x", 15);
  assert.deepEqual([finder.current.offset, finder.count], [20, 4]);
  await finder.step(1);
  await finder.step(1);
  assert.equal(finder.current.offset, 40);
  await finder.step(1);
  assert.equal(finder.current.offset, 10);
  await finder.step(-1);
  assert.equal(finder.current.offset, 40);
  assert.deepEqual(asked, [0, 31]);
  await finder.find("", 0);
  assert.equal(finder.current, null);
});

test("an error of a search is told, and a later search ends an earlier one", async () => {
  const failing = new Finder(async () => { throw new Error("missing )"); });
  await failing.find("(", 0);
  assert.deepEqual([failing.error, failing.hits.length], ["missing )", 0]);
  let release;
  const finder = new Finder((pattern, { signal }) => new Promise((resolve, reject) => {
    signal.addEventListener("abort", () => reject(new Error("aborted")));
    release = () => resolve({ hits: [{ offset: 1 }], count: 1, isAll: true });
  }));
  const first = finder.find("a", 0);
  const second = finder.find("ab", 0);
  release();
  assert.deepEqual([await first, await second, finder.error, finder.count], [false, true, null, 1]);
});

test("what came is told in lines, or in bytes until lines are known", () => {
  assert.equal(news({ left: null, size: 5, total: 1 }), "");
  assert.equal(news({ left: { size: 5, total: 1 }, size: 5, total: 1 }), "");
  assert.equal(news({ left: { size: 5, total: 1 }, size: 9, total: 2 }), "1 new line");
  assert.equal(news({ left: { size: 5, total: 1 }, size: 9, total: 1205 }), "1\u202f204 new lines");
  assert.equal(news({ left: { size: 0, total: null }, size: 2_000_000, total: 7 }), "2.0 MB more");
  const state = { following: true, finished: false, line: 1043, offset: 9, total: 1043, size: 99 };
  assert.equal(whereabouts(state), "following · line 1\u202f043 of 1\u202f043");
  assert.equal(whereabouts({ ...state, line: null, following: false }), "paused · byte 9 of 99");
  assert.equal(whereabouts({ ...state, size: 0 }), "no output yet");
});
