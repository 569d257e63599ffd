// The job page's pure modules: lines for a shell, the timeline, the words, the place, the channels.

import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { test } from "node:test";
import { ExactInput } from "../../service/ui/static/job/terminal/exact_input.js";
import { Channels, offsetInReason, replayFrom } from "../../service/ui/static/job/terminal/channels.js";
import { receipt } from "../../service/ui/static/job/facts.js";
import { sections } from "../../service/ui/static/job/details/sections.js";
import { fileName, linesOf, quoted } from "../../service/ui/static/job/lines.js";
import { hashOf, placeOf } from "../../service/ui/static/job/place.js";
import { askedAbout, withTold } from "../../service/ui/static/job/elsewhere.js";
import { kindOfCommand, secondsOf, shares, wordOfCommand } from "../../service/ui/static/job/timeline_model.js";
import { cpusOf, taken } from "../../service/ui/static/job/details/usage_model.js";

test("a quoted word is one word of a shell, and itself", () => {
  for (const word of ["plain", "", "a b", "it's", "$(touch x)", "`id`", "a\nb", "http://host/x?a=b&c=d", "‮'\"\\"]) {
    const seen = execFileSync("bash", ["-c", `printf %s ${quoted(word)}`], { encoding: "utf8" });
    assert.equal(seen, word);
  }
});

test("lines name the service with its prefix, and take a token from the environment", () => {
  const [attach] = linesOf({ origin: "https://host/jobs", id: "abc", hasTokens: true });
  assert.equal(attach.curl, 'curl -sSN -H "Authorization: Bearer $JOBRUNNER_TOKEN" https://host/jobs/abc/attach');
  assert.equal(attach.jobrunner, "jobrunner attach --url https://host/jobs abc");
});

test("who may not run is shown no line that changes something", () => {
  const lines = linesOf({ origin: "http://host", id: "abc", mayRun: false, isLive: true });
  assert.deepEqual(lines.map((line) => line.title), ["Attach", "Wait", "Logs", "Inspect"]);
});

test("names of downloads lead nowhere", () => {
  assert.equal(fileName({ Name: "../../etc/passwd", ID: "1" }, "log"), "__.._etc_passwd.log");
  assert.equal(fileName({ Name: "<b>\u202e", ID: "1" }, "log"), "_b_.log");
  assert.equal(fileName({ Name: null, ID: "1-2" }, "log"), "1-2.log");
});

const command = (more) => ({ State: "exited", ExitCode: 0, Signal: null, Error: null, StartedAt: "2026-01-01T00:00:00Z", FinishedAt: null, Duration: 1, ...more });

test("shares are 100 in all, by time, and none vanishes", () => {
  const commands = [command({ Duration: 1 }), command({ Duration: 1000 }), command({ State: "skipped", StartedAt: null, Duration: null })];
  const got = shares(commands, 0);
  assert.ok(Math.abs(got.reduce((sum, one) => sum + one, 0) - 100) < 1e-9);
  assert.ok(got[1] > 80 && got[0] >= 4 && got[2] === 4);
  assert.deepEqual(shares([], 0), []);
  assert.equal(shares(Array.from({ length: 1000 }, () => command({})), 0).length, 1000);
});

test("a running command's time goes on", () => {
  const running = command({ State: "running", Duration: null });
  assert.equal(secondsOf(running, Date.parse("2026-01-01T00:01:00Z")), 60);
});

test("how a command ended, in words", () => {
  assert.equal(kindOfCommand(command({ ExitCode: 2 })), "failed");
  assert.equal(wordOfCommand(command({ ExitCode: 2 })), "exit 2");
  assert.equal(wordOfCommand(command({ ExitCode: null, Signal: "SIGSEGV" })), "SIGSEGV");
  assert.equal(wordOfCommand(command({ State: "skipped", ExitCode: null })), "skipped");
});

test("a receipt is a sentence", () => {
  const kill = { Signal: "SIGTERM", Signals: ["SIGTERM", "SIGKILL"], Found: 3, Escalated: true, VerifiedGone: true };
  assert.equal(receipt(kill), "SIGTERM, SIGKILL to 3 processes; KILL was needed, all seen gone");
  assert.equal(receipt(null), "");
});

test("facts leave away what says nothing", () => {
  const view = {
    ID: "1", Name: null, Labels: {}, State: "exited", Reason: null, ExitCode: 0, Signal: null, Error: null,
    CreatedAt: "2026-01-01T00:00:00Z", StartedAt: null, FinishedAt: null, Duration: 2, WorkingDir: "/w", Environment: [],
    Timeout: null, IdleTimeout: null, QueueTimeout: null, Priority: 0, Grace: 10, Commands: [command({})],
    Limits: { Memory: null, CPUs: null, PIDs: null, OpenFiles: null, FileSize: null }, Hold: false, Files: [],
    Usage: { CPUSeconds: 0.016, PeakMemory: null, Memory: null, Processes: null },
    Output: { Bytes: 0, Complete: true, Gaps: [[10, 30]], Exact: true }, Kill: null, Left: [], Stdin: false, TTY: null, WaitingForInput: null,
  };
  const found = Object.fromEntries(sections(view).map((section) => [section.title, Object.fromEntries(section.pairs)]));
  assert.deepEqual(Object.keys(found), ["Job", "Times", "Usage", "Limits"]);
  assert.equal(found.Usage["CPU time"], "16 ms");
  assert.equal(found.Usage.Dropped, "20 bytes at 10");
  assert.ok(!("Name" in found.Job));
});

test("CPUs are what was used between two looks", () => {
  let samples = [];
  for (const [at, CPUSeconds] of [[0, 0], [2, 1], [4, 5], [4, 6], [6, null]]) samples = taken(samples, { at, usage: { CPUSeconds, Memory: 10 } });
  assert.deepEqual(cpusOf(samples), [0.5, 2, null, null]);
  for (let at = 7; at < 4000; at += 1) samples = taken(samples, { at, usage: null });
  assert.equal(samples.length, 1800);
});

test("a place is what its hash says", () => {
  for (const place of [{ tab: "output", path: "" }, { tab: "files", path: "" }, { tab: "files", path: "a%3Db/c=d" }, { tab: "details", path: "" }]) {
    assert.deepEqual(placeOf(hashOf(place, "output"), "output"), place);
    assert.deepEqual(placeOf(hashOf(place, "terminal"), "terminal"), place);
  }
  assert.equal(placeOf("#L10-L20", "terminal").tab, "output");
  assert.equal(placeOf("#o=5", "terminal").tab, "output");
  assert.equal(placeOf("", "terminal").tab, "terminal");
});

test("a replay is bounded, and never begins inside of a gap", () => {
  assert.equal(replayFrom({ Bytes: 10, Gaps: [] }, 100), 0);
  assert.equal(replayFrom({ Bytes: 1000, Gaps: [] }, 100), 900);
  assert.equal(replayFrom({ Bytes: 1000, Gaps: [[800, 950]] }, 100), 950);
  assert.equal(offsetInReason("It goes on at offset 17."), 17);
  assert.equal(offsetInReason(""), null);
});

/** A connection whose other side is the test. */
class Wire {
  constructor(url) {
    this.url = url;
    this.readyState = 0;
    this.sent = [];
  }
  open() {
    this.readyState = 1;
    this.onopen();
  }
  send(message) {
    const at = message[0] === 0 ? 9 : 1;
    const offset = at === 9 ? [Number(new DataView(message.buffer).getBigUint64(1))] : [];
    this.sent.push([message[0], ...offset, new TextDecoder().decode(message.subarray(at))]);
  }
  answer(offset) {
    this.output(0, JSON.stringify({ Offset: offset, Refused: false }));
  }
  output(channel, text) {
    this.onmessage({ data: new Uint8Array([channel, ...new TextEncoder().encode(text)]).buffer });
  }
  end(code, reason = "") {
    this.readyState = 3;
    this.onclose({ code, reason });
  }
  close() {
    this.readyState = 2;
  }
}

const bytesOf = (text) => new TextEncoder().encode(text);

/** The offsets and bytes that were typed on a wire. */
const typedOn = (wire) => wire.sent.filter(([channel]) => channel === 0).map(([, offset, text]) => [offset, text]);

function channels({ mayType = true, look = async () => ({ Output: { Gaps: [] } }) } = {}) {
  const wires = [];
  const seen = { text: "", states: [], dropped: 0 };
  const made = new Channels({
    address: (parameters) => parameters,
    offset: 5,
    mayType,
    look,
    onOutput: (bytes) => (seen.text += new TextDecoder().decode(bytes)),
    onState: (state) => seen.states.push(state),
    onGap: (bytes) => (seen.dropped += bytes),
    make: (url) => {
      wires.push(new Wire(url));
      return wires.at(-1);
    },
  });
  return { made, wires, seen };
}

test("a connection that is lost goes on behind the last byte, and with what was typed meanwhile", (t) => {
  t.mock.timers.enable({ apis: ["setTimeout"] });
  const { made, wires, seen } = channels();
  made.resize(24, 80);
  made.connect();
  made.type(bytesOf("early"));
  wires[0].open();
  assert.deepEqual(wires[0].url, { offset: 5, stdin: true, rows: 24, cols: 80 });
  assert.deepEqual(typedOn(wires[0]), [[0, ""]]);
  wires[0].answer(3);
  assert.deepEqual(typedOn(wires[0]).at(-1), [3, "early"]);
  wires[0].answer(8);
  wires[0].output(1, "one ");
  wires[0].output(3, "not output");
  wires[0].end(1006);
  made.type(bytesOf("later"));
  assert.equal(made.untaken, 5);
  made.resize(30, 100);
  t.mock.timers.tick(250);
  assert.deepEqual(wires[1].url, { offset: 9, stdin: true, rows: 30, cols: 100 });
  wires[1].open();
  assert.deepEqual(typedOn(wires[1]), [[8, "later"]]);
  wires[1].output(2, "two");
  made.resize(31, 100);
  assert.deepEqual(wires[1].sent.at(-1), [4, '{"Width":100,"Height":31}']);
  wires[1].end(1000);
  assert.equal(seen.text, "one two");
  assert.deepEqual(seen.states, ["connecting", "open", "lost", "connecting", "open", "ended"]);
  t.mock.timers.tick(60_000);
  assert.equal(wires.length, 2);
});

/** An input into a job that has taken `taken`, whose messages come at its pipe unless told otherwise. */
function typing(taken = "") {
  const seen = { taken, sent: [], loses: () => false };
  const input = new ExactInput((message) => seen.sent.push(message));
  const deliver = () => {
    while (seen.sent.length) {
      const message = seen.sent.shift();
      const offset = Number(new DataView(message.buffer).getBigUint64(0));
      const bytes = new TextDecoder().decode(message.subarray(8));
      const is = seen.loses(bytes);
      if (is === "message") return input.lost();
      const isTaken = offset === seen.taken.length || !bytes;
      if (isTaken) seen.taken += bytes;
      if (is === "answer") return input.lost();
      input.answered({ Offset: seen.taken.length, Refused: !isTaken });
    }
  };
  return { input, seen, deliver };
}

test("what is typed while a piece is under way goes with the next one", () => {
  const { input, seen, deliver } = typing("before");
  input.opened();
  for (const key of "abc") input.type(bytesOf(key));
  assert.equal(seen.sent.length, 1); // the question
  deliver();
  assert.equal(seen.taken, "beforeabc");
  input.type(bytesOf("d"));
  for (const key of "efg") input.type(bytesOf(key));
  assert.equal(seen.sent.length, 1);
  assert.equal(input.waiting, 4);
  deliver();
  assert.equal(seen.taken, "beforeabcdefg");
  assert.equal(input.waiting, 0);
});

test("a byte comes once, whether its message or its answer is lost", () => {
  for (const loss of ["message", "answer"]) {
    const { input, seen, deliver } = typing("12");
    input.opened();
    for (const key of "abcdef") {
      input.type(bytesOf(key));
      let isFirst = true;
      seen.loses = () => isFirst && ((isFirst = false), loss);
      deliver();
      input.type(bytesOf(key.toUpperCase()));
      input.opened();
      deliver();
    }
    assert.equal(seen.taken, "12aAbBcCdDeEfF");
  }
});

test("where somebody else has typed the piece goes behind that", () => {
  const { input, seen, deliver } = typing();
  input.opened();
  input.type(bytesOf("a"));
  deliver();
  seen.taken += "X"; // as long as what comes
  input.type(bytesOf("b"));
  deliver();
  seen.taken += "YZ";
  input.type(bytesOf("cd"));
  deliver();
  assert.equal(seen.taken, "aXbYZcd");
});

test("a piece that comes to a closed input is sent no more, and is not counted as taken", () => {
  const { input, seen, deliver } = typing();
  input.opened();
  input.type(bytesOf("a"));
  deliver();
  input.type(bytesOf("bc"));
  seen.sent.length = 0;
  input.answered({ Offset: 1, Refused: true, Closed: true });
  assert.deepEqual([seen.sent.length, input.waiting], [0, 2]);
});

test("a piece whose answer was lost is taken, though the input was closed since", () => {
  const { input, seen } = typing();
  input.opened();
  input.type(bytesOf("bye"));
  input.answered({ Offset: 0, Refused: false });
  input.lost();
  input.opened();
  input.answered({ Offset: 3, Refused: true, Closed: true });
  assert.deepEqual([seen.sent.length, input.waiting], [3, 0]);
});

test("a long paste goes in pieces, and one that is too long is left out whole", () => {
  const { input, seen, deliver } = typing();
  const long = "0123456789".repeat(20_000);
  input.opened();
  assert.ok(input.type(bytesOf(long)));
  assert.ok(input.type(bytesOf("!")));
  assert.ok(!input.type(new Uint8Array(4 << 20)));
  deliver();
  assert.equal(seen.taken, `${long}!`);
});

test("a gap is told, and gone over", (t) => {
  t.mock.timers.enable({ apis: ["setTimeout"] });
  const { made, wires, seen } = channels();
  made.connect();
  wires[0].open();
  wires[0].end(1011, "Bytes were dropped. It goes on at offset 105.");
  t.mock.timers.tick(250);
  assert.equal(wires[1].url.offset, 105);
  assert.equal(seen.dropped, 100);
});

test("a connection that is refused is explained by the job", async (t) => {
  t.mock.timers.enable({ apis: ["setTimeout"] });
  const settled = () => new Promise(setImmediate);
  const gap = channels({ look: async () => ({ Output: { Gaps: [[0, 50]] } }) });
  gap.made.connect();
  gap.wires[0].end(1006);
  await settled();
  t.mock.timers.tick(250);
  assert.equal(gap.wires[1].url.offset, 50);
  assert.equal(gap.seen.dropped, 45);

  const gone = channels({ look: async () => Promise.reject(Object.assign(new Error("There is no such job."), { status: 404 })) });
  gone.made.connect();
  gone.wires[0].end(1006);
  await settled();
  assert.equal(gone.seen.states.at(-1), "refused");
  t.mock.timers.tick(60_000);
  assert.equal(gone.wires.length, 1);

  const away = channels({ look: async () => Promise.reject(Object.assign(new Error("No answer"), { status: 0 })) });
  away.made.connect();
  away.wires[0].end(1006);
  await settled();
  t.mock.timers.tick(250);
  assert.equal(away.wires.length, 2);
});

test("who watches sends nothing", () => {
  const { made, wires } = channels({ mayType: false });
  made.resize(24, 80);
  made.connect();
  wires[0].open();
  made.type(new TextEncoder().encode("x"));
  made.resize(25, 80);
  assert.deepEqual(wires[0].url, { offset: 5, stdin: false });
  assert.deepEqual(wires[0].sent, []);
});

test("what is refused isn't tried again", (t) => {
  t.mock.timers.enable({ apis: ["setTimeout"] });
  for (const code of [1008, 1002, 1009]) {
    const { made, wires, seen } = channels();
    made.connect();
    wires[0].open();
    wires[0].end(code, "no");
    t.mock.timers.tick(60_000);
    assert.equal(wires.length, 1);
    assert.equal(seen.states.at(-1), "refused");
  }
});

test("what a cluster tells is shown of the command that runs there, and of no other", () => {
  const of = (State) => ({ State, ExitCode: null, Signal: null, Error: null });
  const commands = [of("exited"), { ...of("running"), SlurmJobID: null, Nodes: null, Queued: null }, of("pending")];
  assert.equal(askedAbout(commands), 1);
  assert.equal(askedAbout([of("running")]), -1);
  const facts = { SlurmJobID: "7", Nodes: null, Queued: { Reason: "Resources" } };
  assert.deepEqual(withTold(commands, { number: 1, facts })[1], { ...commands[1], ...facts });
  assert.equal(wordOfCommand(withTold(commands, { number: 1, facts })[1]), "waits in Slurm: Resources");
  assert.equal(withTold(commands, { number: 0, facts }), commands);
  assert.equal(withTold(commands, null), commands);
});
