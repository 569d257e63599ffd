"""The processes of one job: its commands, status probes and cleanups, and what they start.

They are spawned, signalled, measured and let go of here; the state machine says when.
"""

from __future__ import annotations

import os
import resource
import signal
from collections.abc import Generator
from typing import TYPE_CHECKING

from service.host.event_log import log_event
from service.host.procfs import Process
from service.link.from_supervisor import UsageNow
from service.link.job_events import LeftProcess
from service.link.start import Start
from service.supervisor.job import effects as fx
from service.supervisor.job.exit_hooks import ExitHooks
from service.supervisor.job.left import Leftovers
from service.supervisor.job.limits import LimitEnforcer
from service.supervisor.job.log import JobLog
from service.supervisor.job.phases import Phase
from service.supervisor.job.runtime import Runtime
from service.supervisor.job.spawning import prepare, spawn_command
from service.supervisor.job.stdin import Stdin
from service.supervisor.job.stopwatch import Stopwatch
from service.supervisor.job.usage import Usage
from service.supervisor.process.attribution import now as ticks_now
from service.supervisor.process.refusal import Refused
from service.supervisor.process.spawn import Spawned
from service.supervisor.process.tree import Choice, Tree
from service.supervisor.snapshot import JobSnapshot

if TYPE_CHECKING:
    from service.supervisor.job.runner import Job


class JobProcesses:
    """Those of `job`. `tree`: None before the first command. `left`: what goes on when the job has
    ended by itself.
    """

    __slots__ = ("_job", "_runtime", "hooks", "left", "limits", "tree", "usage")

    def __init__(self, job: Job, runtime: Runtime) -> None:
        self._job = job
        self._runtime = runtime
        self.tree: Tree | None = None
        self.usage = Usage()
        self.hooks = ExitHooks(job.id)
        self.left = Leftovers(job.id)
        self.limits = LimitEnforcer()

    @property
    def to_reap(self) -> list[int]:
        """Its commands, status probe and cleanup that aren't reaped."""
        return [pid for pid, job in self._runtime.commands.items() if job is self._job]

    def resume(self, snapshot: JobSnapshot) -> None:
        """Go on with what an earlier image of this process had."""
        self.hooks, self.usage = snapshot.hooks, snapshot.usage
        self.left.resume(snapshot.background, snapshot.left)
        self.limits.resume(self._job.id, snapshot.limits, self._runtime.controllers)
        if snapshot.tree is not None:
            self.tree = self._runtime.make_tree(self._job.id)
            self.tree.resume(snapshot.tree)
        self._runtime.commands.update(dict.fromkeys(snapshot.pids, self._job))

    def starting(self, request: Start) -> None:
        """A command is about to be spawned: what it keeps is told from what there is by now."""
        self.left.background.starting(
            self._job.id,
            request["command"],
            ticks_now(),
            is_kept=request.get("keep", False),
            members=self._members,
        )

    def spawn(self, request: Start, log: JobLog, stdin: Stdin, stopwatch: Stopwatch) -> Spawned:
        """Spawn the command, with all that it gets. Raises: Refused, OSError; then it is killed, if
        it came so far.
        """
        spawned = None
        try:
            stdin.make_pipe(request)
            self.tree = tree = prepare(request, self._runtime, log, self.tree)
            stopwatch.begin()
            if request.get("terminal") is not None:
                log.end_terminal()
            terminal = stdin.terminal_of(request)
            spawned = spawn_command(
                request, self._runtime, tree, self.limits, stdin.input, terminal
            )
            self._take_in(request, spawned, tree, log)
            stdin.spawned(request)
        except Exception:
            if spawned is not None:
                self._disown(spawned.pid)
            raise
        return spawned

    def run_probe(self, probe: fx.RunProbe, log: JobLog) -> Spawned:
        """Run the status probe of a command. Raises: Refused."""
        tree = self.tree
        assert tree is not None  # noqa: S101 - a command was spawned
        spawned = self.hooks.run_probe(probe, tree, self._runtime.descriptors)
        self._runtime.commands[spawned.pid] = self._job
        tree.spawned(spawned.pid)
        log.add(spawned, probe.number)
        return spawned

    def run_cleanup(self, cleanup: fx.CleanUp) -> None:
        """Run the cleanup of a command. Raises: Refused."""
        pid = self.hooks.run_cleanup(cleanup, self._runtime.descriptors)
        self._runtime.commands[pid] = self._job

    def abandon_cleanup(self) -> None:
        """Kill the cleanup that runs."""
        self._runtime.commands.pop(self.hooks.abandon_cleanup(), None)

    def reaped(self, pid: int, used: resource.struct_rusage) -> None:
        """A command or its status probe was reaped."""
        assert self.tree is not None  # noqa: S101 - a command was spawned
        self.tree.reaped(pid)
        self.usage.add(used)

    def is_alive(self, choice: Choice | None) -> bool:
        """Whether any is alive of those that end with the job."""
        return self.tree is not None and self.tree.is_alive(choice)

    def note_left(self, choice: Choice | None) -> None:
        """Those are about to be ended with the job."""
        if self.tree is not None:
            self.left.note(self.tree, choice)

    def kill(self, number: int, choice: Choice | None) -> None:
        """Send those that end with the job a signal."""
        if self.tree is not None:
            by_program = number != signal.SIGKILL and self._signal_by_program(number, is_kill=True)
            self.tree.signal(number, choice, but_wrappers=by_program)

    def send(self, effect: fx.SendSignal) -> int:
        """Send a signal that is no kill; how many got it."""
        if self.tree is None:
            return 0
        by_program = self._signal_by_program(effect.signal, is_kill=False)
        but_wrappers = effect.but_wrappers or by_program
        sent = self.tree.send(effect.signal, but_wrappers=but_wrappers, group=effect.group)
        return sent + by_program

    def _signal_by_program(self, number: int, *, is_kill: bool) -> bool:
        """Whether what the command runs has a program that sends it signals, which is started."""
        command = self._job.machine.dispatched
        if self._job.machine.phase is not Phase.RUNNING or not self.hooks.has_signaller(command):
            return False
        try:
            descriptors = self._runtime.descriptors
            pid = self.hooks.run_signaller(command, number, descriptors, is_kill=is_kill)
        except Refused as exc:
            log_event("signaller_refused", level="error", job=self._job.id, why=str(exc))
        else:
            self._runtime.commands[pid] = self._job
        return True

    def pids(self) -> list[int]:
        """Those that live now."""
        return [] if self.tree is None or self._job.is_finished else self.tree.pids()

    def measure(self) -> Generator[None, None, UsageNow | None]:
        """What they use now; None while there is none. It yields after each process."""
        if self.tree is None or self._job.is_finished:
            return None
        return (yield from self.usage.measure(self.tree, self.limits))

    def let_go(self, choice: Choice | None) -> list[LeftProcess]:
        """Signal nothing any more; what goes on, with the job's cgroup and limits."""
        tree = self.tree
        if tree is not None:
            keep = self._runtime.kept.add
            if choice is not None and (kept := self.left.let_go(tree, keep)):
                return kept
            tree.close()
        self.limits.close()
        return []

    def _members(self) -> list[Process]:
        return self.tree.members() if self.tree is not None else []

    def _take_in(self, request: Start, spawned: Spawned, tree: Tree, log: JobLog) -> None:
        self._runtime.on_spawned(spawned.pid)
        self.hooks.add(request)
        self._runtime.commands[spawned.pid] = self._job
        tree.spawned(spawned.pid)
        log.add(spawned, request["command"])

    def _disown(self, pid: int) -> None:
        os.kill(pid, signal.SIGKILL)  # not reaped, so the number is its own
        self._runtime.commands.pop(pid, None)
        if self.tree is not None:
            self.tree.reaped(pid)
