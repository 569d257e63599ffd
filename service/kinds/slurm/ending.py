"""The status probe of a command on a cluster whose end isn't plain: a program that `control.sh`
executes.

    SACCT SRUN OPTION... STATUS SQUEUE USER NAME

It is run by its path, by a bare interpreter: so it imports nothing of ours, and little at all.

Rules
1. The controller's state is the command's, whatever srun said: that one says 0 for a step that
   handled Slurm's TERM, and 1 for most else.
2. A controller that doesn't answer is asked again for a minute: it may just be restarted. Then
   what srun said counts. A kill ends the wait.
3. A job that Slurm doesn't know any more is looked up in its accounting, where there is one. One
   that was never made is described once more to `srun --test-only`, which says what is wrong.
4. What still runs without its srun is reported as an error; the cleanup cancels it.
The report goes into the standard input, which is a file in memory.
"""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from dataclasses import dataclass, replace
from typing import Any, Final

# Seconds between two questions to a controller that doesn't answer, and for how long.
RETRY_S: Final = 1.0
RETRY_FOR_S: Final = 60.0
# Seconds between two looks at a job that is completing, and for how long: what it ends as shows
# afterwards, but for its exit code; an epilog may take minutes.
SETTLE_S: Final = 0.2
SETTLE_FOR_S: Final = 2.0
# Seconds that one program may take: a busy controller keeps its callers waiting.
_CALL_S: Final = 30.0
_SIGNALLED: Final = 128
# What Slurm has of a job's end, in words. Source: squeue(1), JOB STATE CODES.
_WHY: Final = {
    "BOOT_FAIL": "its node could not be booted",
    "CANCELLED": "it was cancelled by a user or an administrator of the cluster",
    "DEADLINE": "its deadline had passed",
    "NODE_FAIL": "a node that it ran on has failed",
    "OUT_OF_MEMORY": "it used more memory than it had asked for",
    "PREEMPTED": "a job of higher priority took its place",
    "REVOKED": "another cluster runs it",
    "TIMEOUT": "its time limit had passed",
}
# Why a job is over that still completes. Source: job_reason_string.
_REASONS: Final = {
    "TimeLimit": "TIMEOUT",
    "OutOfMemory": "OUT_OF_MEMORY",
    "NodeDown": "NODE_FAIL",
    "BootFail": "BOOT_FAIL",
    "DeadLine": "DEADLINE",
    "Preempted": "PREEMPTED",  # by us, as Slurm has no reason for it
}
# A time as Slurm prints one, in the form that `_call` asks for.
_TIME: Final = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}T")
_OVER: Final = frozenset({"COMPLETED", "FAILED", *_WHY})
# Signals of a kill that came, and are held: the supervisor blocks all.
_KILLING: Final = frozenset(
    signal.valid_signals() - {signal.SIGKILL, signal.SIGSTOP, signal.SIGCHLD}
)


class Unreachable(Exception):
    """The controller doesn't answer."""


@dataclass(frozen=True, slots=True)
class Found:
    """A job as Slurm tells of it; `code` is a wait status."""

    slurm_id: str
    state: str
    code: int
    nodes: str
    reason: str = ""

    @property
    def ended_as(self) -> str:
        """Its end; empty while that isn't known."""
        if self.state == "COMPLETING":
            return _REASONS.get(self.reason, "")
        return self.state if self.state in _OVER else ""

    @property
    def status(self) -> int:
        """An exit code, or minus a signal; Slurm has signal 125 for a lack of memory."""
        number = self.code & 0x7F
        return -number if number and number in signal.valid_signals() else self.code >> 8


@dataclass(frozen=True, slots=True)
class Question:
    """What is asked, of whom, and what srun said: `status`, an exit code or minus a signal."""

    sacct: str
    srun: str
    options: list[str]
    status: int
    squeue: str
    user: str
    name: str

    def ask(self) -> Found | None:
        """The job, the newest of its name; None: Slurm has none. Raises: Unreachable."""
        fields = "JobID:|,State:|,exit_code:|,NodeList:|,Reason:|"
        whose = ("-h", "-u", self.user, "-n", self.name, "-t", "all", "-O", fields)
        ended, told, _ = _call(self.squeue, *whose)
        if ended != 0:
            raise Unreachable
        rows = [line.split("|") for line in told.splitlines() if line.strip()]
        found = [
            Found(row[0].strip(), row[1].strip(), int(row[2]), row[3].strip(), row[4].strip())
            for row in rows
            if len(row) >= 5 and row[2].strip().isdigit()
        ]
        return max(found, key=lambda each: int(each.slurm_id), default=None)

    def was_preempted(self, slurm_id: str) -> bool:
        """Whether a job that completes lost its place to another; False: nobody can tell."""
        which = ("-h", "-j", slurm_id, "-t", "all", "-O", "PreemptTime:|")
        ended, told, _ = _call(self.squeue, *which)
        return ended == 0 and _TIME.match(told.strip()) is not None

    def look_up(self) -> Found | None:
        """The same in the accounting; None also where there is none."""
        fields = "--format=JobIDRaw,State,ExitCode,NodeList"
        of = ("-n", "-P", "-X", "-u", self.user, f"--name={self.name}", fields)
        ended, told, _ = _call(self.sacct, *of)
        lines = told.splitlines() if ended == 0 else []
        for row in (line.split("|") for line in reversed(lines)):
            if len(row) == 4 and (code := re.fullmatch("([0-9]+):([0-9]+)", row[2])):
                state = row[1].partition(" ")[0]  # "CANCELLED by 1000"
                status = int(code[1]) << 8 | int(code[2])
                return Found(row[0], state, status, row[3])
        return None

    def why_refused(self) -> str:
        """Why Slurm made no job of it: the last of what srun says to the same options."""
        program = "/bin/true"
        ended, _, told = _call(self.srun, "--test-only", *self.options, program)
        lines = [line.rpartition("error: ")[2] for line in told.splitlines() if line.strip()]
        if ended == 0 or not lines:
            return f"srun ended with {self.status}, and Slurm knows of no such job"
        return lines[-1].removeprefix("allocation failure: ")


def report(question: Question) -> dict[str, Any]:
    """The report on the command; see the module's rules."""
    killed_by = _held()
    try:
        found = _settled(question)
    except Unreachable:
        return _without_controller(question.status, killed_by or _held())
    if found is None:
        found = question.look_up()
    if found is None or (found.state == "FAILED" and not found.nodes):
        return _without_job(question, killed_by)  # or of no node's: refused when it had a number
    facts = {"SlurmJobID": found.slurm_id, "Nodes": found.nodes}
    return {**_of(found, question.status, killed_by), "facts": facts}


def _of(found: Found, said: int, killed_by: int) -> dict[str, Any]:
    ended_as = found.ended_as
    if found.state not in _OVER and found.state != "COMPLETING":
        why = f"srun ended ({_as_word(said)}) while the job was {found.state}; it is cancelled"
        return {"error": f"{why}.", "complete": False}
    report: dict[str, Any] = {"gone": found.state != "COMPLETING"}
    if said < 0:
        report["complete"] = False  # it may have had output that it hadn't written yet
        if not killed_by:
            # What outlives it tells the controller that all is well, and ends the step.
            why = f"srun ended ({_as_word(said)}), and the step with it."
            return {**report, "error": why, **({"status": found.status} if found.status else {})}
    if ended_as not in _WHY:
        return {**report, "status": found.status}
    if killed_by:
        # A kill of ours: what was waiting for a node has no status of its own.
        return {**report, "status": found.status if found.nodes else -killed_by}
    why = f"Slurm ended the job ({ended_as}): {_WHY[ended_as]}."
    if ended_as == "OUT_OF_MEMORY":
        report["oom_killed"] = True
        status = _as_signal(said)  # Slurm's own says no more than that memory ran out
    else:
        status = found.status
    # A command that handled the signal and ended with 0 hasn't succeeded.
    return {**report, "error": why, **({"status": status} if status else {})}


def _settled(question: Question) -> Found | None:
    """The job, once it has completed or that has taken long. Raises: Unreachable."""
    until = time.monotonic() + SETTLE_FOR_S
    while True:
        found = _reached(question)
        if found is None or found.state != "COMPLETING" or found.ended_as:
            return found
        if time.monotonic() > until:
            is_preempted = question.was_preempted(found.slurm_id)
            return replace(found, reason="Preempted") if is_preempted else found
        _pause(SETTLE_S)


def _reached(question: Question) -> Found | None:
    """Asked until there is an answer. Raises: Unreachable."""
    until = time.monotonic() + RETRY_FOR_S
    has_told = False
    while True:
        try:
            return question.ask()
        except Unreachable:
            if time.monotonic() > until or _held():
                raise
        if not has_told:
            print("jobrunner: waiting for Slurm's controller", file=sys.stderr, flush=True)  # noqa: T201 - into the job's output
            has_told = True
        _pause(RETRY_S)


def _without_controller(said: int, killed_by: int) -> dict[str, Any]:
    if killed_by:
        return {"status": _as_signal(said) or -killed_by}
    if said in (0, 1):  # 1 is what srun says for a failure of its own
        why = "Slurm's controller can't be reached; how the command ended isn't known."
        return {"error": why, "complete": said == 0}
    return {"status": _as_signal(said)}


def _without_job(question: Question, killed_by: int) -> dict[str, Any]:
    if killed_by:
        return {"status": -killed_by}  # before there was one
    if question.status == 0:
        return {"status": 0, "gone": True}
    if question.status < 0:
        return {"status": question.status}
    return {"error": f"Slurm refused the job: {question.why_refused()}.", "gone": True}


def _call(*argv: str) -> tuple[int, str, str]:
    try:
        ended = subprocess.run(
            argv,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            check=False,
            timeout=_CALL_S,
            env={**os.environ, "SLURM_TIME_FORMAT": "standard"},  # noqa: TID251 - what the supervisor gave
        )
    except (OSError, subprocess.TimeoutExpired):
        return -1, "", ""
    output, error = (text.decode(errors="replace") for text in (ended.stdout, ended.stderr))
    return ended.returncode, output, error


def _held() -> int:
    """The signal of a kill that is under way; 0: none."""
    return min(signal.sigpending() & _KILLING, default=0)


def _pause(seconds: float) -> None:
    # Signals stay held, so that they end no wait but the next question tells of them.
    signal.sigtimedwait({signal.SIGCHLD}, seconds)


def _as_signal(code: int) -> int:
    by_signal = code > _SIGNALLED and code - _SIGNALLED in signal.valid_signals()
    return _SIGNALLED - code if by_signal else code


def _as_word(status: int) -> str:
    return f"signal {-status}" if status < 0 else str(status)


def main(arguments: list[str]) -> None:
    """The program."""
    sacct, srun, *options, status, squeue, user, name = arguments
    question = Question(sacct, srun, options, int(status), squeue, user, name)
    os.pwrite(0, json.dumps(report(question)).encode(), 0)


if __name__ == "__main__":
    main(sys.argv[1:])
