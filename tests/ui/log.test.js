import assert from "node:assert/strict";
import test from "node:test";
import { ignoresCase, search } from "../../service/ui/static/log/find.js";
import { Finder, firstBehind, hitsBefore } from "../../service/ui/static/log/finder.js";
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

test("a hit is looked for behind a place, and capitals mean capitals", () => {
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

/** A log with hits at these offsets, which tells so many of them at a time. */
function holding(offsets, told) {
  const asked = [];
  const search = async (pattern, { offset = 0, limit = Infinity, most = told }) => {
    asked.push([offset, limit]);
    const found = offsets.filter((each) => each >= offset && each < offset + limit);
    // In the middle of a line its rest matches as well.
    if (offset && offsets.includes(offset - 1)) found.unshift(offset);
    return { hits: found.slice(0, most).map((each) => ({ offset: each })), count: found.length, isAll: found.length <= most };
  };
  return { finder: new Finder(search, () => 2_000_000), asked, search: (options) => search("x", options) };
}

const where = (finder) => `${finder.current.offset}: ${finder.ordinal} of ${finder.count}`;

test("a search goes to the first hit behind a place, and on around the end", async () => {
  const { finder } = holding([10, 20, 30, 40], 10);
  await finder.find("x", 15);
  const seen = [where(finder)];
  for (const by of [1, 1, 1, -1, -1]) {
    await finder.step(by);
    seen.push(where(finder));
  }
  assert.deepEqual(seen, ["20: 2 of 4", "30: 3 of 4", "40: 4 of 4", "10: 1 of 4", "40: 4 of 4", "30: 3 of 4"]);
  await finder.find("x", 50);
  assert.equal(where(finder), "10: 1 of 4");
  await finder.find("", 0);
  assert.equal(finder.current, null);
});

test("of more hits than are told each has its number, forwards and backwards", async () => {
  const offsets = Array.from({ length: 40 }, (_, n) => 1000 + n * n * 1000);
  for (const by of [1, -1]) {
    const { finder } = holding(offsets, 3);
    await finder.find("x", 900_000);
    assert.equal(where(finder), `${offsets[30]}: 31 of 40`);
    for (let n = 1; n <= 90; n++) {
      await finder.step(by);
      const at = (((30 + by * n) % 40) + 40) % 40;
      assert.equal(where(finder), `${offsets[at]}: ${at + 1} of 40`);
    }
  }
});

test("the hits before a place are found where they are few, and where they are many", async () => {
  const crowd = Array.from({ length: 500 }, (_, n) => 1_000_000 + n);
  for (const offsets of [crowd, [5, ...crowd], [5], []]) {
    const { search } = holding(offsets, 100);
    const { hits, begin } = await hitsBefore(search, 1_900_000);
    const found = hits.map((hit) => hit.offset);
    assert.deepEqual(found, offsets.slice(offsets.length - found.length));
    assert.ok(found.length || !offsets.length);
    assert.equal(begin, found[0] ?? 0);
  }
});

test("a search that never tells all hits is asked for a bounded number of times", async () => {
  let asked = 0;
  const search = async () => {
    asked += 1;
    return { hits: [], count: 0, isAll: false };
  };
  assert.deepEqual(await hitsBefore(search, 1_900_000), { hits: [], begin: 1_899_999 });
  assert.ok(asked < 30);
});

test("an error of a search is told, and a later search ends an earlier one", async () => {
  const failing = new Finder(async () => { throw new Error("missing )"); }, () => 9);
  await failing.find("(", 0);
  assert.deepEqual([failing.error, failing.hits.length], ["missing )", 0]);
  let release;
  const nothing = { hits: [], count: 0, isAll: true };
  const finder = new Finder((pattern, { limit, signal }) => new Promise((resolve, reject) => {
    if (limit === 0) return resolve(nothing);
    signal.addEventListener("abort", () => reject(new Error("aborted")));
    release = () => resolve({ hits: [{ offset: 1 }], count: 1, isAll: true });
  }), () => 9);
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
