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
from service.link.from_supervisor import SignalRefusal, UsageNow
from service.link.job_events import Finished
from service.link.start import Start
from service.supervisor.job import effects as fx
from service.supervisor.job.ending import KillRequest
from service.supervisor.job.escalation import ORPHAN_GRACE_S, SHUTDOWN
from service.supervisor.job.input import Reply, Taken
from service.supervisor.job.log import JOB_DESCRIPTORS, JobLog
from service.supervisor.job.machine import JobMachine
from service.supervisor.job.phases import Phase
from service.supervisor.job.processes import JobProcesses
from service.supervisor.job.runtime import Runtime
from service.supervisor.job.signalling import why_not
from service.supervisor.job.spawning import command_of, why_not_started
from service.supervisor.job.stdin import Stdin
from service.supervisor.job.stopwatch import Stopwatch
from service.supervisor.job.timers import Timers
from service.supervisor.process.marks import marked
from service.supervisor.process.refusal import Refused
from service.supervisor.process.tree import Choice


class Job:
    """A live job. When `machine.phase` is FINISHED nothing is left of it but its record."""

    __slots__ = (
        "_is_kill_reported",
        "_is_log_unclosed",
        "_request",
        "_runtime",
        "_signalled",
        "grace_s",
        "id",
        "log",
        "machine",
        "processes",
        "stdin",
        "stopwatch",
        "timers",
    )

    def __init__(self, job_id: str, runtime: Runtime, machine: JobMachine | None = None) -> None:
        """`machine`: that of a job which goes on; None: it begins."""
        self.id = job_id
        self.machine = machine if machine is not None else JobMachine()
        self._runtime = runtime
        self.log = JobLog(runtime, job_id, on_ended=self._stream_ended, on_failed=self._log_failed)
        self.timers = Timers(runtime.loop, self._timer_fired, runtime.reap)
        self._request: Start | None = None  # while its command is being started
        self.grace_s = ORPHAN_GRACE_S
        self.processes = JobProcesses(self, runtime)
        self.stdin = Stdin(runtime.loop)
        self.stopwatch = Stopwatch()
        self._is_log_unclosed = False
        self._is_kill_reported = self.is_being_killed
        self._signalled = 0  # processes that got the last signal that was no kill

    @property
    def is_finished(self) -> bool:
        return self.machine.phase is Phase.FINISHED

    @property
    def descriptors_to_come(self) -> int:
        """How many more it takes once it runs and has output."""
        return JOB_DESCRIPTORS if self.machine.dispatched < 0 else self.log.descriptors_to_come

    @property
    def is_being_killed(self) -> bool:
        return self.machine.kill is not None

    def let_go(self) -> None:
        """It stays pending, and this process has no more to do with it."""
        self.timers.clear()

    def wait_for_slot(self, *, queue_s: float, grace_s: float) -> None:
        """Have the job killed when it is still pending after `queue_s`."""
        self._apply(self.machine.wait_for_slot(queue_s, grace_s))

    def start(self, request: Start) -> None:
        """Start a command, as the message `start` says; a repeat changes nothing."""
        self._request = marked(request, self._runtime.mark)
        self.grace_s = float(request["grace_s"])
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
        if foreground and not (group := self.stdin.terminal.foreground):
            return "no_foreground"
        self._apply(self.machine.request_signal(number, group))
        return self._signalled

    def write_input(self, data: bytes, offset: int | None, reply: Reply, *, end: bool) -> None:
        """See `JobInput.write`."""
        if self.stdin.input is not None:
            self.stdin.input.write(data, offset, reply, end=end)
        else:
            reply(Taken(0, "no_input" if self.machine.dispatched >= 0 else "pending"))

    def shut_down(self, grace_s: float) -> None:
        """Kill because the service stops; the job's own grace holds when it is shorter."""
        grace_s = min(grace_s, self.grace_s)
        self.kill(signal=signal.SIGTERM, grace_s=grace_s, reason=SHUTDOWN, at=time.time_ns())

    def give_up(self) -> None:
        """Kill because nobody can record what it does."""
        self.kill(signal=signal.SIGKILL, grace_s=0, reason="lost", at=time.time_ns())

    def reaped(self, pid: int, status: int, used: resource.struct_rusage) -> None:
        """A process that this job started was reaped. `status`: an exit code, or minus a signal."""
        processes = self.processes
        if (ok := processes.hooks.cleanup_ended(pid, status)) is not None:
            self._apply(self.machine.cleaned_up(ok=ok))
            return
        if processes.hooks.signaller_ended(pid):
            return
        processes.reaped(pid, used)
        at, oom_killed = time.time_ns(), processes.limits.ran_out_of_memory()
        if (found := processes.hooks.probe_ended(pid, status)) is not None:
            self._apply(self.machine.probed(*found, at, oom_killed=oom_killed))
        else:
            processes.hooks.remove_script(self._runtime.state_dir)
            self._apply(self.machine.wait_status(status, at, oom_killed=oom_killed))

    def measure(self) -> Generator[None, None, UsageNow | None]:
        """See `JobProcesses.measure`."""
        return self.processes.measure()

    def waits_for_input(self) -> bool | None:
        """Whether a process waits for its input now; None: nobody can tell."""
        command = self.machine.command
        is_elsewhere = command.passes_on or self.processes.hooks.has_signaller(command.number)
        if self.stdin.input is None or is_elsewhere:
            return None  # whose input it is, is out of sight
        return self.stdin.waits(self.processes.pids())

    def make_log(self) -> None:
        """A reader wants the log, though no byte may have come. Raises: OSError."""
        self.log.make()

    def check_tree(self) -> None:
        """A process has died: see whether any of the tree is alive."""
        choice, now = self._choice, self._runtime.loop.time()
        is_alive = self.processes.is_alive(choice)
        if is_alive and self.machine.has_ended_by_itself:
            self.processes.note_left(choice)
        keeps = choice is not None
        self._apply(self.machine.tree_checked(is_alive=is_alive, now=now, keeps=keeps))

    @property
    def _choice(self) -> Choice | None:
        """Which of its processes end with the job; None: all."""
        return self.processes.left.choice(is_killed=self.is_being_killed)

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
            case fx.SignalTree():
                self.processes.kill(effect.signal, self._choice)
            case fx.SendSignal():
                self._signalled = self.processes.send(effect)
            case fx.CheckTree():
                self.check_tree()
            case fx.Arm():
                self.timers.arm(effect.timer, effect.seconds)
            case fx.Disarm():
                self.timers.disarm(effect.timer)
            case fx.Drain():
                self.log.drain()
            case fx.CloseLog():
                self._is_log_unclosed = not self.log.close(complete=effect.complete)
            case _:
                self._run_hook(effect)

    def _run_hook(self, effect: fx.Effect) -> None:
        match effect:
            case fx.RunProbe():
                self._run_probe(effect)
            case fx.CleanUp():
                self._clean_up(effect)
            case fx.AbandonCleanUp():
                self.processes.abandon_cleanup()

    def _spawn(self) -> list[fx.Effect]:
        request = self._request
        assert request is not None  # noqa: S101 - only `start` makes the machine ask for it
        self.processes.starting(request)
        try:
            spawned = self.processes.spawn(request, self.log, self.stdin, self.stopwatch)
        except Exception as exc:  # noqa: BLE001 - whatever it is: the job would wait for ever
            return self.machine.refused(why_not_started(self.id, exc), time.time_ns())
        return self.machine.spawned(
            streams=spawned.streams,
            timeout_s=request["timeout_s"],
            grace_s=request["grace_s"],
            at=time.time_ns(),
            idle_s=request["idle_timeout_s"],
        )

    def _run_probe(self, effect: fx.RunProbe) -> None:
        try:
            spawned = self.processes.run_probe(effect, self.log)
        except Refused:
            self._apply(self.machine.probed(effect.status, {}, time.time_ns()))
        else:
            self._apply(self.machine.probe_spawned(spawned.streams))

    def _clean_up(self, effect: fx.CleanUp) -> None:
        try:
            self.processes.run_cleanup(effect)
        except Refused as exc:
            log_event("cleanup_refused", level="error", job=self.id, why=str(exc))
            self._apply(self.machine.cleaned_up(ok=False))

    def _timer_fired(self, timer: fx.Timer) -> None:
        now = self._runtime.loop.time()
        effects = self.machine.timer_fired(
            timer,
            at=time.time_ns(),
            now=now,
            stalled=self.log.is_stalled,
            quiet_s=now - self.log.quiet_since,
        )
        self._apply(effects)

    def _stream_ended(self, _stream: int, command: int) -> None:
        self._apply(self.machine.stream_ended(command, time.time_ns()))

    def _log_failed(self, error: OSError) -> None:
        log_event("output_failed", level="error", job=self.id, error=str(error))
        sentence = f"The output can't be written: {os.strerror(error.errno or 0)}."
        now = self._runtime.loop.time()
        self._apply(self.machine.log_failed(sentence, time.time_ns(), now))

    def _finish(self, effect: fx.Finish) -> None:
        processes = self.processes
        receipt, usage = self.machine.receipt(0), None
        if (tree := processes.tree) is not None:
            receipt = self.machine.receipt(tree.found, is_unsure=tree.is_unsure)
            usage = processes.usage.report(tree.cpu_s(), processes.limits.peak_bytes())
        kept = processes.let_go(self._choice)
        self.timers.clear()
        processes.hooks.close()
        taken = self.stdin.close()
        self._runtime.tree_checks.discard(self)
        event: Finished = {
            "name": "finished",
            "outcome": effect.outcome,
            "at": time.time_ns(),
            "end_offset": self.log.end,
            "output_complete": effect.output_complete and not self._is_log_unclosed,
            "kill": receipt,
            "usage": usage,
        }
        if processes.left.ended:
            event["left"] = processes.left.ended
        if kept:
            event["kept"] = kept
        if (lasted_s := self.stopwatch.since_start()) is not None:
            event["lasted_s"] = lasted_s
        if taken is not None:
            event["input_offset"] = taken
        self._runtime.emit(self, event)
