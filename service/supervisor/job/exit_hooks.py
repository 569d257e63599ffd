"""What runs after the process of a command, for Kinds whose work isn't all done by our children.

The status probe is a program that finds out how the command really ended. It is part of the
command: a process of the job's tree, with pipes into the job's output. It starts with all signals
blocked. Its last argument is the wait status of the command's process, and it writes its report
into its standard input, which is an empty file in memory: one JSON object, with any of `status` (an
exit code, or minus a signal), `error` (a sentence; without `status` there is none), `complete`
(false: output may be missing), `oom_killed`, `gone` (true: no cleanup is needed) and `facts` (what
the command's view tells besides).

A cleanup is not part of the job's tree, since it runs while that is being killed. `cleanup` is for
a command that ended in the ordinary way, and may be quick; `force_cleanup` works whatever state the
command is in. Exit status 0 means that nothing is left.

A signaller sends what runs a signal, where the command's own process would die of it, or pass none
on: that one gets KILL alone. Its last arguments are `kill` or `signal`, and the signal's number. It
isn't part of the tree either, and nobody waits for it: the end of the command tells.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
from dataclasses import dataclass, field
from typing import Any, Final

from service.files.job import job_files
from service.host.event_log import log_event
from service.link.start import Start
from service.supervisor.job.effects import CleanUp, RunProbe
from service.supervisor.job.script import remove_script
from service.supervisor.process.brand import OF_NO_JOB, branded
from service.supervisor.process.marks import MARKS
from service.supervisor.process.refusal import Refused
from service.supervisor.process.spawn import Descriptors, Spawned, spawn
from service.supervisor.process.tree import Tree

# Bytes of a report: a sentence and some numbers.
_MAX_REPORT_BYTES: Final = 64 << 10


@dataclass(slots=True, kw_only=True)
class Hooks:
    """The programs of one command, as argument lists, and their environment."""

    status_probe: list[str] = field(default_factory=list)
    cleanup: list[str] = field(default_factory=list)
    force_cleanup: list[str] = field(default_factory=list)
    signaller: list[str] = field(default_factory=list)
    environment: dict[str, str] = field(default_factory=dict)


def memory_file(content: bytes = b"") -> int:
    """A file in memory, to be read from its beginning. Raises: OSError."""
    descriptor = os.memfd_create("jobrunner", os.MFD_CLOEXEC)
    with open(descriptor, "wb", closefd=False) as file:
        file.write(content)
    os.lseek(descriptor, 0, os.SEEK_SET)
    return descriptor


@dataclass(slots=True)
class ExitHooks:
    """The status probe and the cleanup of one job, of which at most one runs, and its signallers.

    `hooks`: command → its hooks. `report`: the descriptor that the probe writes into; -1: none.
    `status`: the wait status that it was given. `script`: the command whose script is in a file;
    -1: none. `signallers` are pids.
    """

    job_id: str
    hooks: dict[int, Hooks] = field(default_factory=dict)
    probe_pid: int = 0
    report: int = -1
    status: int = 0
    cleanup_pid: int = 0
    script: int = -1
    signallers: set[int] = field(default_factory=set)

    def add(self, request: Start) -> None:
        """The command of this message `start` was spawned."""
        if request.get("script"):
            self.script = request["command"]
        if any(request.get(key) for key in ("status_probe", "force_cleanup", "signaller")):
            self.hooks[request["command"]] = Hooks(
                status_probe=list(request.get("status_probe", ())),
                cleanup=list(request.get("cleanup", ())),
                force_cleanup=list(request.get("force_cleanup", ())),
                signaller=list(request.get("signaller", ())),
                # Never the command's own, in which a job's variables may be.
                environment=dict(request.get("hook_env", {})),
            )

    def remove_script(self, state_dir: str) -> None:
        """The command has ended: its script isn't needed any more."""
        if self.script >= 0:
            remove_script(job_files(state_dir, self.job_id).script(self.script))
            self.script = -1

    def run_probe(self, probe: RunProbe, tree: Tree, descriptors: Descriptors) -> Spawned:
        """Start the status probe of a command. The caller owns its pipes and reaps it.

        Raises: Refused.
        """
        hooks = self.hooks[probe.number]
        try:
            report = memory_file()
        except OSError as exc:
            raise Refused(os.strerror(exc.errno or 0)) from exc
        try:
            spawned = spawn(
                [*hooks.status_probe, str(probe.status)],
                hooks.environment,
                "/",
                descriptors=descriptors,
                placement=tree.spawning(),
                stdin=report,
                # One that comes before it has a handler waits, instead of killing it. The program
                # unblocks them.
                blocked=signal.valid_signals(),
            )
        except Refused:
            os.close(report)
            raise
        self.report, self.probe_pid, self.status = report, spawned.pid, probe.status
        if probe.signal:
            os.kill(spawned.pid, probe.signal)  # not reaped, so the number is its own
        return spawned

    def probe_ended(self, pid: int, status: int) -> tuple[int, dict[str, Any]] | None:
        """When the status probe was reaped: the status that counts, and the report. None if `pid`
        is another process.
        """
        if not pid or pid != self.probe_pid:
            return None
        content = os.pread(self.report, _MAX_REPORT_BYTES, 0)
        os.close(self.report)
        self.probe_pid, self.report = 0, -1
        try:
            report = json.loads(content)
        except ValueError:
            report = None
        if not isinstance(report, dict):
            log_event("exit_status_unknown", job=self.job_id, status=status)
            # A probe that was killed is the command that was killed.
            return status if status < 0 else self.status, {}
        reported = report.get("status")
        return reported if isinstance(reported, int) else self.status, report

    def run_cleanup(self, cleanup: CleanUp, descriptors: Descriptors) -> int:
        """Start the cleanup of a command; its pid, which the caller reaps. Raises: Refused."""
        hooks = self.hooks[cleanup.number]
        argv = hooks.force_cleanup if cleanup.force or not hooks.cleanup else hooks.cleanup
        self.cleanup_pid = _run(argv, hooks.environment, descriptors)
        return self.cleanup_pid

    def has_signaller(self, command: int) -> bool:
        """Whether signals reach this command by a program, now: not its status probe."""
        return not self.probe_pid and command in self.hooks and bool(self.hooks[command].signaller)

    def run_signaller(
        self, command: int, number: int, descriptors: Descriptors, *, is_kill: bool
    ) -> int:
        """Start the signaller of a command; its pid, which the caller reaps. Raises: Refused."""
        hooks = self.hooks[command]
        argv = [*hooks.signaller, "kill" if is_kill else "signal", str(number)]
        pid = _run(argv, hooks.environment, descriptors)
        self.signallers.add(pid)
        return pid

    def signaller_ended(self, pid: int) -> bool:
        """Whether a process that was reaped is a signaller."""
        if pid not in self.signallers:
            return False
        self.signallers.discard(pid)
        return True

    def cleanup_ended(self, pid: int, status: int) -> bool | None:
        """When the cleanup was reaped: whether it succeeded. None if `pid` is another process."""
        if not pid or pid != self.cleanup_pid:
            return None
        self.cleanup_pid = 0
        if status:
            log_event("cleanup_failed", level="error", job=self.job_id, status=status)
        return status == 0

    def abandon_cleanup(self) -> int:
        """Kill the cleanup that runs, and forget it; returns its pid, 0 if none runs."""
        pid, self.cleanup_pid = self.cleanup_pid, 0
        if pid:
            # Not reaped, so the number is still its own.
            os.kill(pid, signal.SIGKILL)
            log_event("cleanup_abandoned", job=self.job_id)
        return pid

    def close(self) -> None:
        """The job is over."""
        self.hooks.clear()
        if self.report >= 0:  # the probe is stuck in the kernel
            os.close(self.report)
            self.probe_pid, self.report = 0, -1


def _run(argv: list[str], environment: dict[str, str], descriptors: Descriptors) -> int:
    """Start a program that is no process of the job: without its marker. Raises: Refused."""
    try:
        with descriptors, branded(OF_NO_JOB):
            child = subprocess.Popen(
                argv,
                stdin=descriptors.null,
                stdout=subprocess.DEVNULL,
                cwd="/",
                env={k: v for k, v in environment.items() if k not in MARKS},
                start_new_session=True,
            )
    except (OSError, ValueError) as exc:
        raise Refused(str(exc)) from exc
    child.returncode = 0  # the reaper waits for every child
    return child.pid
