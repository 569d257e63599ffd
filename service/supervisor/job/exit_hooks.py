"""What follows the process of a command, for Kinds whose work isn't all done by our children.

The verdict is a program that finds out how the command really ended. It is part of the command: a
process of the job's tree, on pipes into the job's output. It begins with all signals blocked. It
gets the wait status of the command's process as its last argument, and writes what it found into
its standard input, which is an empty file in memory: one JSON object, with any of `status` (an exit
code, or minus a signal), `error` (a sentence: there is no status), `complete` (false: bytes of
output may be missing) and `oom_killed`.

A clean-up is no part of the job's tree, since it runs while that is being killed. There are two:
`tidy` is for a command that ended in the ordinary way, and may be quick; `cleanup` does its work
whatever the state of things. Exit status 0 means that nothing is left.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from typing import Any, Final

from service.host.event_log import log_event
from service.link.to_supervisor import Start
from service.supervisor.process.marks import MARKS
from service.supervisor.process.spawn import Descriptors, Refused, Spawned, spawn
from service.supervisor.process.tree import Tree

# Bytes of a report: a sentence and some numbers.
_MAX_REPORT_BYTES: Final = 64 << 10


@dataclass(slots=True)
class Plan:
    """What was planned for one command, kept until it is cleaned up."""

    verdict: list[str]
    tidy: list[str]
    cleanup: list[str]
    environment: dict[str, str]

    @classmethod
    def from_state(cls, state: dict[str, Any]) -> Plan:
        """As another release has written it down, which may say more."""
        return cls(**{name: state[name] for name in cls.__slots__})


@contextmanager
def _held_back() -> Iterator[None]:
    """What is spawned meanwhile begins with signals blocked: one that comes before the program can
    take it waits, instead of ending it. The program unblocks them.
    """
    before = signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def memory_file(content: bytes = b"") -> int:
    """A file in memory, to be read from its beginning. Raises: OSError."""
    descriptor = os.memfd_create("jobrunner", os.MFD_CLOEXEC)
    with open(descriptor, "wb", closefd=False) as file:
        file.write(content)
    os.lseek(descriptor, 0, os.SEEK_SET)
    return descriptor


class Aftermath:
    """The verdict and the clean-up of one job: at most one of each runs."""

    __slots__ = ("_cleaner", "_job_id", "_plans", "_report", "_status", "_verdict")

    def __init__(self, job_id: str) -> None:
        self._job_id = job_id
        self._plans: dict[int, Plan] = {}
        self._verdict = 0  # its pid
        self._report = -1  # what it writes into
        self._status = 0  # of the process that it is about
        self._cleaner = 0  # its pid

    def planned(self, request: Start) -> None:
        """The command of this message was spawned."""
        if request.get("status_probe") or request.get("force_cleanup"):
            self._plans[request["command"]] = Plan(
                verdict=list(request.get("status_probe", ())),
                tidy=list(request.get("cleanup", ())),
                cleanup=list(request.get("force_cleanup", ())),
                # Never the command's own, in which a job's variables may be.
                environment=dict(request.get("hook_env", {})),
            )

    def judge(self, number: int, status: int, tree: Tree, descriptors: Descriptors) -> Spawned:
        """Start the verdict of a command; its pipes and pid are the caller's. Raises: Refused."""
        plan = self._plans[number]
        try:
            report = memory_file()
        except OSError as exc:
            raise Refused(os.strerror(exc.errno or 0)) from exc
        try:
            with _held_back():
                spawned = spawn(
                    [*plan.verdict, str(status)],
                    plan.environment,
                    "/",
                    descriptors=descriptors,
                    inside=tree.spawning(),
                    stdin=report,
                )
        except Refused:
            os.close(report)
            raise
        self._report, self._verdict, self._status = report, spawned.pid, status
        return spawned

    def verdict_of(self, pid: int, status: int) -> tuple[int, dict[str, Any]] | None:
        """When the verdict was reaped: the status that counts, and the report. None if `pid` is
        another process.
        """
        if not pid or pid != self._verdict:
            return None
        content = os.pread(self._report, _MAX_REPORT_BYTES, 0)
        os.close(self._report)
        self._verdict, self._report = 0, -1
        try:
            report = json.loads(content)
        except ValueError:
            report = None
        if not isinstance(report, dict):
            log_event("no_verdict", job=self._job_id, status=status)
            # A verdict that was killed is the command that was killed.
            return status if status < 0 else self._status, {}
        said = report.get("status")
        return said if isinstance(said, int) else self._status, report

    def clean(self, number: int, *, thorough: bool, descriptors: Descriptors) -> int:
        """Start the clean-up after a command; its pid, which the caller reaps. Raises: Refused."""
        plan = self._plans[number]
        argv = plan.cleanup if thorough or not plan.tidy else plan.tidy
        # Without the job's marker: it is no process of the job.
        environment = {k: v for k, v in plan.environment.items() if k not in MARKS}
        try:
            with descriptors:
                child = subprocess.Popen(
                    argv,
                    stdin=descriptors.null,
                    stdout=subprocess.DEVNULL,
                    cwd="/",
                    env=environment,
                    start_new_session=True,
                )
        except (OSError, ValueError) as exc:
            raise Refused(str(exc)) from exc
        child.returncode = 0  # the reaper waits for every child
        self._cleaner = child.pid
        return child.pid

    def has_cleaned(self, pid: int, status: int) -> bool | None:
        """When the clean-up was reaped: whether it worked. None if `pid` is another process."""
        if not pid or pid != self._cleaner:
            return None
        self._cleaner = 0
        if status:
            log_event("cleanup_failed", job=self._job_id, status=status)
        return status == 0

    def abandon(self) -> int:
        """End the clean-up that runs, and know nothing of it any more: its pid, 0 if none runs."""
        pid, self._cleaner = self._cleaner, 0
        if pid:
            # Not reaped, so the number is still its own.
            os.kill(pid, signal.SIGKILL)
            log_event("cleanup_abandoned", job=self._job_id)
        return pid

    def close(self) -> None:
        """The job is over."""
        self._plans.clear()
        if self._report >= 0:  # a verdict that is stuck in the kernel
            os.close(self._report)
            self._verdict, self._report = 0, -1

    def state(self) -> dict[str, Any]:
        """All of it as JSON has it, for a successor in this process, which inherits `report`."""
        return {
            "plans": [[number, asdict(plan)] for number, plan in self._plans.items()],
            "verdict": self._verdict,
            "report": self._report,
            "status": self._status,
            "cleaner": self._cleaner,
        }

    def restore(self, state: dict[str, Any]) -> None:
        self._plans = {number: Plan.from_state(plan) for number, plan in state["plans"]}
        self._verdict, self._report = state["verdict"], state["report"]
        self._status, self._cleaner = state["status"], state["cleaner"]
        if self._report >= 0:
            os.set_inheritable(self._report, False)  # noqa: FBT003 - os takes it by position only
