// From the fields of the form to a job, and back.

import assert from "node:assert/strict";
import test from "node:test";

import { emptyCommand, emptyFields, fieldsOf, jobOf, pairs, patchOf, seconds, size } from "../../service/ui/static/submit/spec.js";

test("one line is a job", () => {
  const fields = { ...emptyFields(), commands: [{ ...emptyCommand(), line: "true" }] };
  assert.deepEqual(jobOf(fields), { Commands: [{ Kind: "bash", CommandLine: "true" }] });
  assert.deepEqual(jobOf({ ...fields, input: "tty" }).TTY, {});
  assert.deepEqual(jobOf({ ...fields, memory: "1G", cpus: "0.5" }).Limits, { CPUs: 0.5, Memory: 2 ** 30 });
});

test("an empty line is left to the service to refuse", () => {
  assert.deepEqual(jobOf(emptyFields()), { Commands: [{ Kind: "bash", CommandLine: "" }] });
});

test("a container has what its fields say", () => {
  const docker = { ...emptyCommand(), kind: "docker", image: "debian", pull: "always", environment: "A=1\nB=x=y" };
  assert.deepEqual(jobOf({ ...emptyFields(), commands: [docker] }).Commands, [
    { Kind: "docker", Image: "debian", Pull: "always", Environment: { A: "1", B: "x=y" } },
  ]);
});

test("a command on a cluster has what its fields say, and what no field says stays", () => {
  const slurm = { ...emptyCommand(), kind: "slurm", line: "./train", partition: "gpu", time: "2h", processors: "4", memory: "8G", gpus: "a100:1" };
  const asked = { Partition: "gpu", Time: 7200, CPUs: 4, Memory: 2 ** 33, GPUs: "a100:1" };
  assert.deepEqual(jobOf({ ...emptyFields(), commands: [slurm] }).Commands, [{ Kind: "slurm", CommandLine: "./train", Slurm: asked }]);
  const shown = {
    Kind: "slurm", CommandLine: "./train", WorkingDir: "/w", Environment: [], State: "exited", SlurmJobID: "5", Nodes: "n1", Queued: null,
    Slurm: { ...asked, QOS: "high", Account: null, Nodes: null, Options: [] },
  };
  const fields = fieldsOf({ ...view, WorkingDir: "/w", Limits: {}, Commands: [shown] });
  assert.deepEqual(jobOf(fields).Commands, [{ Kind: "slurm", CommandLine: "./train", Slurm: { ...asked, QOS: "high" } }]);
  assert.throws(() => jobOf({ ...emptyFields(), commands: [{ ...slurm, time: "soon" }] }), { pointer: "/Commands/0/Slurm/Time" });
});

test("durations, sizes and pairs are read, or refused at their field", () => {
  assert.deepEqual(["", "90", "1.5s", "10m", "2h", "1d"].map((t) => seconds(t, "/T")), [undefined, 90, 1.5, 600, 7200, 86400]);
  assert.deepEqual(["", "5", "1k", "512M", "2 GiB"].map((t) => size(t, "/S")), [undefined, 5, 1024, 2 ** 29, 2 ** 31]);
  for (const [read, text] of [[seconds, "soon"], [seconds, "-1"], [size, "big"], [pairs, "x"], [pairs, "=x"]]) {
    assert.throws(() => read(text, "/At"), { pointer: "/At" });
  }
});

const view = {
  ID: "1", Name: "n", Labels: { a: "1" }, Environment: ["SECRET"], WorkingDir: "/jobs/1/work", Timeout: 100, IdleTimeout: null,
  QueueTimeout: null, Priority: 0, Stdin: false, TTY: null, Limits: { Memory: null, CPUs: null },
  Commands: [
    { Kind: "bash", CommandLine: "true", WorkingDir: "/jobs/1/work/sub", Environment: [], Network: null, Stderr: "stdout",
      ContinueOnFailure: false, State: "exited", ExitCode: 0, Signal: null, Error: null },
  ],
};

test("a rerun without changes is an empty patch", () => {
  assert.deepEqual(patchOf(jobOf(fieldsOf(view)), jobOf(fieldsOf(view))), {});
});

test("a rerun says what changed, and keeps what has no field", () => {
  const fields = fieldsOf(view);
  const changed = { ...fields, labels: "b=2", timeout: "", environment: "MORE=1" };
  assert.deepEqual(patchOf(jobOf(fields), jobOf(changed)), { Labels: { a: null, b: "2" }, Timeout: null, Environment: { MORE: "1" } });
  const line = { ...fields, commands: [{ ...fields.commands[0], line: "false" }] };
  assert.deepEqual(patchOf(jobOf(fields), jobOf(line)), {
    Commands: [{ Kind: "bash", CommandLine: "false", WorkingDir: "sub", Stderr: "stdout" }],
  });
});
