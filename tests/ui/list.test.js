// The list without a browser: which jobs, in which order, which rows.

import assert from "node:assert/strict";
import test from "node:test";

import {
  FILTERS, Jobs, containsText, matches, parametersOf, parsedSearch, rowWindow, searchOf, selectionOf,
} from "../../service/ui/static/list/model.js";

const job = (id, more = {}) => ({
  ID: id, Name: null, Labels: {}, State: "exited", ExitCode: 0, Error: null, Signal: null, Reason: null,
  CreatedAt: `2026-01-01T00:00:0${id}.000000Z`, Commands: [{ CommandLine: `echo ${id}` }], ...more,
});

test("what the address says is what is asked for, and the other way round", () => {
  for (const search of ["", "?state=running", "?state=exited&exit=nonzero", "?state=exited&exit=0&name=a*&label=x%3D1&label=y%3D2", "?state=all&since=2h"]) {
    const selection = selectionOf(search);
    assert.deepEqual(selectionOf(searchOf(selection)), selection);
  }
  assert.equal(searchOf(selectionOf("?state=all")), "");
  assert.deepEqual(parametersOf(selectionOf("?state=killed")), { state: "killed", name: null, label: [] });
});

test("a selection that no filter has goes along as it is", () => {
  const selection = selectionOf("?state=pending,running&reason=timeout");
  assert.equal(parametersOf(selection).state, "pending,running");
  assert.equal(parametersOf(selection).reason, "timeout");
});

test("each job belongs to one filter besides all", () => {
  const views = [
    job(1), job(2, { ExitCode: 3 }), job(3, { Error: "no such shell", ExitCode: null }), job(4, { Signal: "SIGKILL", ExitCode: null }),
    job(5, { State: "running", ExitCode: null }), job(6, { State: "pending", ExitCode: null }), job(7, { State: "killed", Reason: "timeout" }),
  ];
  const found = views.map((view) => FILTERS.filter((f) => matches(view, { filter: f.name, name: null, labels: [] })).map((f) => f.name));
  assert.deepEqual(found.map(([, own]) => own), ["exited", "failed", "failed", "failed", "running", "pending", "killed"]);
  assert.ok(found.every((names) => names.length === 2));
});

test("names and labels select as the service does", () => {
  const view = job(1, { Name: "nightly-2", Labels: { team: "db", url: "a=b" } });
  const all = { filter: "all", name: null, labels: [] };
  assert.ok(matches(view, { ...all, name: "nightly*" }));
  assert.ok(!matches(view, { ...all, name: "nightly" }));
  assert.ok(matches(view, { ...all, labels: ["team=db", "url=a=b"] }));
  assert.ok(!matches(view, { ...all, labels: ["team=web"] }));
  assert.ok(!matches(view, { ...all, labels: ["constructor=x"] }));
});

test("what is typed is labels and text", () => {
  assert.deepEqual(parsedSearch(" make team=db dist "), { labels: ["team=db"], text: "make dist" });
  assert.deepEqual(parsedSearch("a==b =x"), { labels: [], text: "a==b =x" });
  assert.ok(containsText(job(1, { Name: "Nightly" }), "NIGHT echo"));
  assert.ok(!containsText(job(1), "echo 2"));
});

test("jobs come newest first, by pages and by changes, each once", () => {
  const jobs = new Jobs();
  jobs.addPage({ Jobs: [job(5), job(4)], Next: "x" });
  jobs.change(job(7), true);
  jobs.change(job(4, { ExitCode: 1 }), true);
  jobs.change(job(1), true); // older than what was loaded: it comes with its page
  assert.deepEqual(jobs.order, [7, 5, 4]);
  assert.equal(jobs.byId.get(4).ExitCode, 1);
  jobs.addPage({ Jobs: [job(4), job(3), job(1)] });
  assert.deepEqual(jobs.order, [7, 5, 4, 3, 1]);
  assert.equal(jobs.byId.get(4).ExitCode, 1);
  jobs.change({ ID: 5, Cleaned: true }, false);
  jobs.change(job(7), false);
  jobs.change(job(0), true); // all is loaded: it is the oldest
  assert.deepEqual(jobs.order, [4, 3, 1, 0]);
  assert.deepEqual(jobs.found("echo 3").map((view) => view.ID), [3]);
});

test("the window has what is seen and some rows on both sides", () => {
  assert.deepEqual(rowWindow({ scrollTop: 0, viewport: 100, rowHeight: 50, total: 1000, margin: 2 }), { first: 0, last: 4 });
  assert.deepEqual(rowWindow({ scrollTop: 5025, viewport: 100, rowHeight: 50, total: 1000, margin: 2 }), { first: 98, last: 105 });
  assert.deepEqual(rowWindow({ scrollTop: 1e9, viewport: 100, rowHeight: 50, total: 10 }), { first: 10, last: 10 });
  assert.deepEqual(rowWindow({ scrollTop: 0, viewport: 100, rowHeight: 50, total: 0 }), { first: 0, last: 0 });
});

test("running jobs take a newer size, and nothing else of what was asked for", () => {
  const jobs = new Jobs();
  const sized = (id, State, Bytes) => job(id, { State, Output: { Bytes } });
  jobs.addPage({ Jobs: [sized(3, "running", 10), sized(2, "exited", 10)] });
  assert.ok(jobs.hasRunning());
  assert.ok(jobs.setSizes([sized(3, "exited", 20), sized(2, "exited", 30), sized(9, "running", 1)]));
  assert.deepEqual([jobs.byId.get(3).Output.Bytes, jobs.byId.get(3).State, jobs.byId.get(2).Output.Bytes], [20, "running", 10]);
  assert.ok(!jobs.setSizes([sized(3, "running", 15)]));
  assert.equal(jobs.byId.get(3).Output.Bytes, 20);
});
