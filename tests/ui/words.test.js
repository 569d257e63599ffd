// Words for numbers, times and states.

import assert from "node:assert/strict";
import test from "node:test";

import { stateWord, why } from "../../service/ui/static/states.js";
import { ago, bytes, count, duration, visible } from "../../service/ui/static/words.js";

test("bytes have three digits at most", () => {
  const told = { 0: "0 B", 999: "999 B", 1000: "1.0 kB", 9949: "9.9 kB", 9950: "9.9 kB", 12_345: "12 kB", 999_999: "1.0 MB", 5e9: "5.0 GB" };
  for (const [given, text] of Object.entries(told)) assert.equal(bytes(Number(given)), text, given);
});

test("durations have two units at most", () => {
  const told = { 0: "0.0s", 0.0002: "1 ms", 0.042: "42 ms", 0.1: "0.1s", 9.94: "9.9s", 12: "12s", 59.4: "59s", 251: "4m 11s", 3599.6: "1h 00m", 7380: "2h 03m", 273600: "3d 04h" };
  for (const [given, text] of Object.entries(told)) assert.equal(duration(Number(given)), text, given);
  assert.equal(duration(null), "");
});

test("times are told as a person would", () => {
  const now = new Date(2026, 0, 10, 12, 0, 0).getTime();
  const at = (...parts) => new Date(...parts).toISOString();
  assert.equal(ago(at(2026, 0, 10, 11, 59, 30), now), "now");
  assert.equal(ago(at(2026, 0, 10, 11, 55), now), "5 min ago");
  assert.equal(ago(at(2026, 0, 10, 2, 5), now), "today 02:05");
  assert.equal(ago(at(2026, 0, 9, 2, 0), now), "yesterday 02:00");
  assert.equal(ago(at(2025, 10, 2, 14, 5), now), "2025-11-02 14:05");
  assert.equal(ago(null, now), "");
});

test("large numbers have gaps", () => {
  assert.equal(count(1234567), "1\u202f234\u202f567");
  assert.equal(count(999), "999");
});

test("what can't be seen is made visible", () => {
  assert.equal(visible("a\u001b[1m\u0000\u202eb\u200b\u007f\n"), "a␛[1m␀[U+202E]b[U+200B]␡␊");
  assert.equal(visible("<b>ä😀"), "<b>ä😀");
});

test("a state says why", () => {
  const command = { CommandLine: "make", State: "exited", ExitCode: 0, Error: null, Signal: null };
  const job = { State: "exited", ExitCode: 0, Error: null, Signal: null, Commands: [command] };
  assert.deepEqual([stateWord(job), why(job)], ["Exit 0", ""]);
  const oom = { ...job, ExitCode: null, Signal: "SIGKILL", Commands: [{ ...command, Signal: "SIGKILL", OOMKilled: true }] };
  assert.deepEqual([stateWord(oom), why(oom)], ["SIGKILL", "out of memory"]);
  const held = { ...job, State: "pending", Hold: true };
  assert.deepEqual([stateWord(held), why(held)], ["Held", "waits to be released"]);
  const killed = { ...job, State: "killed", Reason: "idle-timeout" };
  assert.equal(why(killed), "it was silent longer than its idle timeout");
});
