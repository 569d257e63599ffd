"""One live job in the supervisor: carries out the effects that its state machine asks for.

Everything happens in callbacks of one loop, so between two of them nothing about a job changes.
"""

from __future__ import annotations

import os
import resource
import signal
import time
from collections.abc import Generator

from service.host.event_log import log_event
from service.host.procfs import Process
from service.link.from_supervisor import Finished, LeftProcess, SignalRefusal, UsageNow
from service.link.to_supervisor import Start
from service.supervisor.job import effects as fx
from service.supervisor.job.ending import KillRequest
from service.supervisor.job.escalation import ORPHAN_GRACE_S, SHUTDOWN
from service.supervisor.job.exit_hooks import ExitHooks
from service.supervisor.job.input import JobInput, Reply, Taken
from service.supervisor.job.left import Leftovers
from service.supervisor.job.limits import LimitEnforcer
from service.supervisor.job.log import JOB_DESCRIPTORS, JobLog
from service.supervisor.job.machine import JobMachine
from service.supervisor.job.phases import Phase
from service.supervisor.job.runtime import Runtime
from service.supervisor.job.signalling import why_not
from service.supervisor.job.spawning import (
    command_of,
    input_of,
    prepare,
    spawn_command,
    why_not_started,
)
from service.supervisor.job.stopwatch import Stopwatch
from service.supervisor.job.terminal import JobTerminal
from service.supervisor.job.timers import Timers
from service.supervisor.job.usage import Usage
from service.supervisor.job.waiting import waits_for_input
from service.supervisor.job.workspace import job_user
from service.supervisor.process.attribution import now as ticks_now
from service.supervisor.process.marks import marked
from service.supervisor.process.spawn import Refused, Spawned
from service.supervisor.process.terminal import Terminal
from service.supervisor.process.tree import Choice, Tree
from service.supervisor.snapshot import JobSnapshot


class Job:
    """A live job. When `machine.phase` is FINISHED nothing is left of it but its record."""

    __slots__ = (
        "_grace_s",
        "_hooks",
        "_input",
        "_is_kill_reported",
        "_is_log_unclosed",
        "_left",
        "_limits",
        "_log",
        "_request",
        "_runtime",
        "_signalled",
        "_terminal",
        "_timers",
        "_tree",
        "_usage",
        "id",
        "machine",
        "stopwatch",
    )

    def __init__(self, job_id: str, runtime: Runtime) -> None:
        self.id = job_id
        self.machine = JobMachine()
        self._runtime = runtime
        self._log = JobLog(runtime, job_id, on_ended=self._stream_ended, on_failed=self._log_failed)
        self._timers = Timers(runtime.loop, self._timer_fired)
        self._tree: Tree | None = None
        self._request: Start | None = None  # while its command is being started
        self._grace_s = ORPHAN_GRACE_S
        self._hooks = ExitHooks(job_id)
        self._input: JobInput | None = None
        self._limits = LimitEnforcer()
        self._usage = Usage()
        self._left = Leftovers(job_id)
        self.stopwatch = Stopwatch()
        self._is_log_unclosed = False
        self._is_kill_reported = False
        self._signalled = 0  # processes that got the last signal that was no kill
        self._terminal: JobTerminal | None = None

    def snapshot(self) -> JobSnapshot:
        """For the next image of this process. Changes nothing."""
        return JobSnapshot(
            id=self.id,
            machine=self.machine,
            grace_s=self._grace_s,
            timers=self._timers.snapshot(),
            pids=[pid for pid, job in self._runtime.commands.items() if job is self],
            tree=self._tree.snapshot() if self._tree is not None else None,
            log=self._log.snapshot(),
            input=self._input.snapshot() if self._input is not None else None,
            hooks=self._hooks,
            limits=self._limits.snapshot(),
            usage=self._usage,
            left=[dict(process) for process in self._left.ended],
            background=self._left.background,
            stopwatch=self.stopwatch,
            terminal=self._terminal,
        )

    @classmethod
    def resume(cls, snapshot: JobSnapshot, runtime: Runtime) -> Job:
        """The job of this snapshot, going on."""
        job = cls(snapshot.id, runtime)
        job.machine = snapshot.machine
        job._grace_s = snapshot.grace_s
        job._is_kill_reported = job.is_being_killed
        job._terminal = snapshot.terminal
        if snapshot.input is not None:
            terminal = job._terminal.terminal if job._terminal is not None else None
            at_end = terminal.end_of_input if terminal is not None else None
            job._input = JobInput.resume(runtime.loop, snapshot.input, at_end=at_end)
        if job.is_finished:
            if job._input is not None:
                job._input.close()
            return job
        job._hooks, job._usage = snapshot.hooks, snapshot.usage
        job._left.resume(snapshot.background, snapshot.left)
        job.stopwatch = snapshot.stopwatch
        job._limits.resume(job.id, snapshot.limits, runtime.controllers)
        if snapshot.tree is not None:
            job._tree = runtime.make_tree(job.id)
            job._tree.resume(snapshot.tree)
        if snapshot.log is not None:
            try:
                job._log.resume(snapshot.log)
            except OSError as exc:
                log_event("log_not_inherited", level="error", job=job.id, error=str(exc))
                runtime.loop.call_soon(job.give_up)
        runtime.commands.update(dict.fromkeys(snapshot.pids, job))
        job._timers.resume(snapshot.timers)
        if job.machine.needs_tree_checks:
            runtime.tree_checks.add(job)
        return job

    @property
    def is_finished(self) -> bool:
        return self.machine.phase is Phase.FINISHED

    @property
    def descriptors_to_come(self) -> int:
        """How many more it takes once it runs and has output."""
        return JOB_DESCRIPTORS if self.machine.dispatched < 0 else self._log.descriptors_to_come

    @property
    def is_being_killed(self) -> bool:
        return self.machine.kill is not None

    def let_go(self) -> None:
        """It stays pending, and this process has no more to do with it."""
        self._timers.clear()

    def wait_for_slot(self, *, queue_s: float, grace_s: float) -> None:
        """Have the job killed when it is still pending after `queue_s`."""
        self._apply(self.machine.wait_for_slot(queue_s, grace_s))

    def start(self, request: Start) -> None:
        """Start a command, as the message `start` says; a repeat changes nothing."""
        self._request = marked(request, self._runtime.mark)
        self._grace_s = float(request["grace_s"])
        self._apply(self.machine.start(command_of(request)))
        self._request = None

    def kill(self, *, signal: int, grace_s: float, reason: str, at: int) -> None:
        request = KillRequest(signal, grace_s, reason, at)
        self._apply(self.machine.request_kill(request, self._runtime.loop.time()))

    def signal(self, number: int, *, foreground: bool = False) -> int | SignalRefusal:
        """Send its processes a signal that is no kill, or those in the foreground of its terminal;
        how many got it, or why none can.
        """
        if (why := why_not(self.machine, number)) is not None:
            return why
        group = 0
        if foreground and not (group := self.terminal.foreground):
            return "no_foreground"
        self._apply(self.machine.request_signal(number, group))
        return self._signalled

    def write_input(self, data: bytes, offset: int | None, reply: Reply, *, end: bool) -> None:
        """See `JobInput.write`."""
        if self._input is not None:
            self._input.write(data, offset, reply, end=end)
        else:
            reply(Taken(0, "no_input" if self.machine.dispatched >= 0 else "pending"))

    @property
    def terminal(self) -> JobTerminal:
        """What there is of it; of a job that has none by now, none."""
        if self._terminal is None:
            self._terminal = JobTerminal()
        return self._terminal

    def shut_down(self, grace_s: float) -> None:
        """Kill because the service stops; the job's own grace holds when it is shorter."""
        grace_s = min(grace_s, self._grace_s)
        self.kill(signal=signal.SIGTERM, grace_s=grace_s, reason=SHUTDOWN, at=time.time_ns())

    def give_up(self) -> None:
        """Kill because nobody can record what it does."""
        self.kill(signal=signal.SIGKILL, grace_s=0, reason="lost", at=time.time_ns())

    def reaped(self, pid: int, status: int, used: resource.struct_rusage) -> None:
        """A process that this job started was reaped. `status`: an exit code, or minus a signal."""
        if (ok := self._hooks.cleanup_ended(pid, status)) is not None:
            self._apply(self.machine.cleaned_up(ok=ok))
            return
        assert self._tree is not None  # noqa: S101 - a command was spawned
        self._tree.reaped(pid)
        self._usage.add(used)
        at, oom_killed = time.time_ns(), self._limits.ran_out_of_memory()
        if (found := self._hooks.probe_ended(pid, status)) is not None:
            self._apply(self.machine.probed(*found, at, oom_killed=oom_killed))
        else:
            self._hooks.remove_script(self._runtime.state_dir)
            self._apply(self.machine.wait_status(status, at, oom_killed=oom_killed))

    def measure(self) -> Generator[None, None, UsageNow | None]:
        """What it uses now; None while it has no process. It yields after each process."""
        if self._tree is None or self.is_finished:
            return None
        return (yield from self._usage.measure(self._tree, self._limits))

    def pids(self) -> list[int]:
        """Its processes that live now."""
        return [] if self._tree is None or self.is_finished else self._tree.pids()

    @property
    def has_input(self) -> bool:
        """Whether it has one by now."""
        return self._input is not None

    def waits_for_input(self) -> bool | None:
        """Whether a process waits for it now; None: nobody can tell."""
        if self._input is None or self.machine.command.passes_on:  # whose it is, is out of sight
            return None
        terminal = self._terminal.terminal if self._terminal is not None else None
        return waits_for_input(self.pids(), terminal, self._input.pipe_id)

    def make_log(self) -> None:
        """A reader wants the log, though no byte may have come. Raises: OSError."""
        self._log.make()

    def check_tree(self) -> None:
        """A process has died: see whether any of the tree is alive."""
        choice, now = self._choice, self._runtime.loop.time()
        is_alive = self._tree is not None and self._tree.is_alive(choice)
        if is_alive and self._tree is not None and self.machine.has_ended_by_itself:
            self._left.note(self._tree, choice)
        keeps = choice is not None
        self._apply(self.machine.tree_checked(is_alive=is_alive, now=now, keeps=keeps))

    @property
    def _choice(self) -> Choice | None:
        """Which of its processes end with the job; None: all."""
        return self._left.choice(is_killed=self.is_being_killed)

    def _apply(self, effects: list[fx.Effect]) -> None:
        """Carry them out; the first kill is reported before its effects."""
        if not self._is_kill_reported and (kill := self.machine.kill) is not None:
            self._is_kill_reported = True
            self._runtime.emit(self, kill.event())
        for effect in effects:
            self._carry_out(effect)
        if self.machine.needs_tree_checks:
            self._runtime.tree_checks.add(self)
        else:
            self._runtime.tree_checks.discard(self)

    def _carry_out(self, effect: fx.Effect) -> None:
        match effect:
            case fx.Emit():
                self.stopwatch.add_to(effect.event)
                self._runtime.emit(self, effect.event)
            case fx.Finish():
                self._finish(effect)
            case fx.Spawn():
                self._apply(self._spawn())
            case fx.SignalTree() | fx.SendSignal():
                self._signal(effect)
            case fx.CheckTree():
                self.check_tree()
            case fx.Arm():
                self._timers.arm(effect.timer, effect.seconds)
            case fx.Disarm():
                self._timers.disarm(effect.timer)
            case fx.Drain():
                self._log.drain()
            case fx.CloseLog():
                self._is_log_unclosed = not self._log.close(complete=effect.complete)
            case _:
                self._run_hook(effect)

    def _signal(self, effect: fx.SignalTree | fx.SendSignal) -> None:
        if self._tree is None:
            return
        if isinstance(effect, fx.SignalTree):
            self._tree.signal(effect.signal, self._choice)
        else:
            self._signalled = self._tree.send(
                effect.signal, but_wrappers=effect.but_wrappers, group=effect.group
            )

    def _run_hook(self, effect: fx.Effect) -> None:
        match effect:
            case fx.RunProbe():
                self._run_probe(effect)
            case fx.CleanUp():
                self._clean_up(effect)
            case fx.AbandonCleanUp():
                self._runtime.commands.pop(self._hooks.abandon_cleanup(), None)

    def _spawn(self) -> list[fx.Effect]:
        request = self._request
        assert request is not None  # noqa: S101 - only `start` makes the machine ask for it
        self._left.background.starting(
            self.id,
            request["command"],
            ticks_now(),
            is_kept=request.get("keep", False),
            members=self._members,
        )
        spawned = None
        try:
            self._input = input_of(request, self._runtime, self._input)
            self._tree = tree = prepare(request, self._runtime, self._log, self._tree)
            self.stopwatch.begin()
            terminal = self._terminal_of(request)
            spawned = spawn_command(
                request, self._runtime, tree, self._limits, self._input, terminal
            )
            self._take_in(request, spawned, tree)
        except Exception as exc:  # noqa: BLE001 - whatever it is: the job would wait for ever
            if spawned is not None:
                self._disown(spawned.pid)
            return self.machine.refused(why_not_started(self.id, exc), time.time_ns())
        return self.machine.spawned(
            streams=spawned.streams,
            timeout_s=request["timeout_s"],
            grace_s=request["grace_s"],
            at=time.time_ns(),
            idle_s=request["idle_timeout_s"],
        )

    def _members(self) -> list[Process]:
        return self._tree.members() if self._tree is not None else []

    def _terminal_of(self, request: Start) -> Terminal | None:
        if (asked := request.get("terminal")) is None:
            return None
        self._log.end_terminal()
        made = self.terminal.of_command(asked, job_user(request))
        if self._input is None:
            self._input = self.terminal.make_input(self._runtime.loop)
        return made

    def _take_in(self, request: Start, spawned: Spawned, tree: Tree) -> None:
        self._runtime.on_spawned(spawned.pid)
        self._hooks.add(request)
        self._runtime.commands[spawned.pid] = self
        tree.spawned(spawned.pid)
        self._log.add(spawned, request["command"])
        if self._input is not None and request["end_if"] == "always":
            self._input.close_reader()

    def _disown(self, pid: int) -> None:
        os.kill(pid, signal.SIGKILL)  # not reaped, so the number is its own
        self._runtime.commands.pop(pid, None)
        if self._tree is not None:
            self._tree.reaped(pid)

    def _run_probe(self, effect: fx.RunProbe) -> None:
        tree = self._tree
        assert tree is not None  # noqa: S101 - a command was spawned
        try:
            spawned = self._hooks.run_probe(effect, tree, self._runtime.descriptors)
        except Refused:
            self._apply(self.machine.probed(effect.status, {}, time.time_ns()))
            return
        self._runtime.commands[spawned.pid] = self
        tree.spawned(spawned.pid)
        self._log.add(spawned, effect.number)
        self._apply(self.machine.probe_spawned(spawned.streams))

    def _clean_up(self, effect: fx.CleanUp) -> None:
        try:
            pid = self._hooks.run_cleanup(effect, self._runtime.descriptors)
        except Refused as exc:
            log_event("cleanup_refused", level="error", job=self.id, why=str(exc))
            self._apply(self.machine.cleaned_up(ok=False))
        else:
            self._runtime.commands[pid] = self

    def _timer_fired(self, timer: fx.Timer) -> None:
        now = self._runtime.loop.time()
        effects = self.machine.timer_fired(
            timer,
            at=time.time_ns(),
            now=now,
            stalled=self._log.is_stalled,
            quiet_s=now - self._log.quiet_since,
        )
        self._apply(effects)

    def _stream_ended(self, _stream: int, command: int) -> None:
        self._apply(self.machine.stream_ended(command, time.time_ns()))

    def _log_failed(self, error: OSError) -> None:
        log_event("output_failed", level="error", job=self.id, error=str(error))
        sentence = f"The output can't be written: {os.strerror(error.errno or 0)}."
        now = self._runtime.loop.time()
        self._apply(self.machine.log_failed(sentence, time.time_ns(), now))

    def _let_go(self) -> list[LeftProcess]:
        """Signal nothing any more; what goes on, with the job's cgroup and limits."""
        tree = self._tree
        if tree is not None:
            keep = self._runtime.kept.add
            if self._choice is not None and (kept := self._left.let_go(tree, keep)):
                return kept
            tree.close()
        self._limits.close()
        return []

    def _finish(self, effect: fx.Finish) -> None:
        receipt, usage = self.machine.receipt(0), None
        if self._tree is not None:
            receipt = self.machine.receipt(self._tree.found, is_unsure=self._tree.is_unsure)
            usage = self._usage.report(self._tree.cpu_s(), self._limits.peak_bytes())
        kept = self._let_go()
        self._timers.clear()
        self._hooks.close()
        taken = None
        if self._input is not None:
            taken = self._input.close()
        if self._terminal is not None:
            self._terminal.close()
        self._runtime.tree_checks.discard(self)
        event: Finished = {
            "name": "finished",
            "outcome": effect.outcome,
            "at": time.time_ns(),
            "end_offset": self._log.end,
            "output_complete": effect.output_complete and not self._is_log_unclosed,
            "kill": receipt,
            "usage": usage,
        }
        if self._left.ended:
            event["left"] = self._left.ended
        if kept:
            event["kept"] = kept
        if (lasted_s := self.stopwatch.since_start()) is not None:
            event["lasted_s"] = lasted_s
        if taken is not None:
            event["input_offset"] = taken
        self._runtime.emit(self, event)
