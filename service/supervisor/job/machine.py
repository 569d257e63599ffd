"""The state machine of one job in the supervisor, without I/O: inputs in, effects out.

A `JobMachine` is told what happened and returns what to do (`Effect`s, in order). It knows no
process, no descriptor and no clock; `runner.py` carries the effects out. The phases, the inputs and
the rules stand in `phases.py`. What is decided elsewhere: the deadlines (`deadlines.py`), the order
of signals (`escalation.py`) and of cleanups (`teardown.py`).
"""

from __future__ import annotations

import signal
from dataclasses import dataclass, field
from typing import Any, Final

from service.link.job_events import KillReceipt
from service.supervisor.job.command import REPORTED, Command
from service.supervisor.job.deadlines import Deadlines
from service.supervisor.job.effects import (
    Arm,
    CheckTree,
    CloseLog,
    Disarm,
    Drain,
    Effect,
    Emit,
    Finish,
    RunProbe,
    SendSignal,
    SignalTree,
    Spawn,
    Timer,
)
from service.supervisor.job.ending import Ending, KillRequest
from service.supervisor.job.escalation import Escalation
from service.supervisor.job.phases import Input, Phase, check_next, on, takes
from service.supervisor.job.streams import Streams
from service.supervisor.job.teardown import Teardown

_UP: Final = frozenset({Phase.RUNNING, Phase.PROBING, Phase.DRAINING})


@dataclass(slots=True)
class JobMachine:
    """Only its own methods change it; a snapshot has all of its fields."""

    phase: Phase = Phase.PENDING
    command: Command = field(default_factory=Command)
    escalation: Escalation = field(default_factory=Escalation)
    ending: Ending = field(default_factory=Ending)
    teardown: Teardown = field(default_factory=Teardown)
    streams: Streams = field(default_factory=Streams)
    deadlines: Deadlines = field(default_factory=Deadlines)

    @property
    def dispatched(self) -> int:
        """The number of the last command that was dispatched; -1: none."""
        return self.command.number

    @property
    def kill(self) -> KillRequest | None:
        """The kill that was requested first."""
        return self.escalation.kill

    @property
    def needs_tree_checks(self) -> bool:
        """True while each death in the tree may change something."""
        return self.phase is Phase.ENDING or (self.kill is not None and self.phase in _UP)

    @property
    def has_ended_by_itself(self) -> bool:
        """True until the first signal to what it left."""
        is_over = self.phase is Phase.ENDING and not self.ending.killed
        return is_over and not self.escalation.has_begun

    @on(Input.WAIT_FOR_SLOT)
    def wait_for_slot(self, queue_s: float, grace_s: float) -> list[Effect]:
        """The job may be pending for so long."""
        return self.deadlines.wait_for_slot(queue_s, grace_s)

    @on(Input.START)
    def start(self, command: Command) -> list[Effect]:
        """The worker dispatches a command. A repeat changes nothing."""
        if command.number <= self.dispatched:
            return []
        first = [Disarm(Timer.QUEUE)] if self.phase is Phase.PENDING else []
        self._enter(Phase.STARTING)
        self.command = command
        return [*first, Spawn(command.number)]

    @on(Input.SPAWNED)
    def spawned(
        self, *, streams: int, timeout_s: float, grace_s: float, at: int, idle_s: float = 0.0
    ) -> list[Effect]:
        """The command runs. `timeout_s` counts from the first command of the job, `idle_s` from its
        last byte of output; 0: none.
        """
        self._enter(Phase.RUNNING)
        effects: list[Effect] = [Emit(self.command.started(at))]
        if not self.streams.open:  # the first command
            effects += self.deadlines.begin(timeout_s=timeout_s, idle_s=idle_s, grace_s=grace_s)
        self.streams.add(self.dispatched, streams)
        return effects

    @on(Input.REFUSED)
    def refused(self, error: str, at: int) -> list[Effect]:
        """The command couldn't be started: an outcome, like an exit code other than 0."""
        event = self.command.refused(at, error)
        if not event["ends_job"]:
            self._enter(Phase.IDLE)
            return [Emit(event)]
        return [Emit(event), *self._end(killed=False)]

    @on(Input.WAIT_STATUS)
    def wait_status(self, status: int, at: int, *, oom_killed: bool = False) -> list[Effect]:
        """The command's process was reaped: 0–255 an exit code, below 0 a signal. `oom_killed`: the
        kernel has killed a process of the command because memory ran out.
        """
        if oom_killed:
            self.command.report["oom_killed"] = True
        if self.escalation.kill_sent or not self.command.needs_probe(status):
            return self._has_status(status, at)
        self._enter(Phase.PROBING)
        self.command.was_probed = True
        return [RunProbe(self.dispatched, status, self.escalation.last_signal)]

    @on(Input.PROBE_SPAWNED)
    def probe_spawned(self, streams: int) -> list[Effect]:
        """The status probe runs; it writes into the command's output."""
        self.streams.add(self.dispatched, streams)
        return []

    @on(Input.PROBED)
    def probed(
        self, status: int, report: dict[str, Any], at: int, *, oom_killed: bool = False
    ) -> list[Effect]:
        """The status probe has ended: `status` counts as the command's own, unless `report` has an
        `error`, which says why there is none, or beside a `status` of the report what is wrong.
        """
        if oom_killed:
            self.command.report["oom_killed"] = True
        self.command.report |= {key: report[key] for key in REPORTED if report.get(key)}
        self.streams.is_missing |= report.get("complete") is False
        is_known = "error" not in report or "status" in report
        return self._has_status(status if is_known else None, at)

    @on(Input.STREAM_ENDED)
    def stream_ended(self, number: int, at: int) -> list[Effect]:
        """A stream of output of this command, or of its status probe, has ended."""
        self.streams.ended(number)
        if self.phase is Phase.DRAINING and self.streams.has_ended(self.dispatched):
            return self._command_finished(at)
        return self._finish_if_over()

    @on(Input.LOG_FAILED)
    def log_failed(self, error: str, at: int, now: float) -> list[Effect]:
        """The log will take no bytes any more, and free space doesn't mend it."""
        self.ending.log_error = self.ending.log_error or error
        return self._kill(KillRequest(signal.SIGTERM, self.deadlines.grace_s, "output", at), now)

    @on(Input.CLEANED_UP)
    def cleaned_up(self, *, ok: bool) -> list[Effect]:
        """The cleanup that ran has ended, or couldn't be started."""
        return self.teardown.ended(ok=ok) + self._finish_if_over()

    @on(Input.KILL)
    def request_kill(self, request: KillRequest, now: float) -> list[Effect]:
        """Somebody wants the job ended. `now` is monotonic."""
        return self._kill(request, now)

    @on(Input.SIGNAL)
    def request_signal(self, number: int, group: int = 0) -> list[Effect]:
        """Somebody sends the processes a signal, which is no kill; `group`: those of this process
        group alone.
        """
        return [SendSignal(number, but_wrappers=self.command.is_wrapped, group=group)]

    @on(Input.TREE_CHECKED)
    def tree_checked(self, *, is_alive: bool, now: float, keeps: bool = False) -> list[Effect]:
        """After `CheckTree`, and after each batch of deaths while `needs_tree_checks`. `keeps`:
        processes may outlive the job, of which `is_alive` says nothing.
        """
        if self.phase is Phase.ENDING and not is_alive:
            return self._close(keeps=keeps)
        if self.escalation.kill_sent and is_alive:
            return [SignalTree(signal.SIGKILL)]
        if self.phase is Phase.ENDING and not self.escalation.has_begun:
            return self.escalation.begin_for_orphans(now)
        return []

    def timer_fired(
        self, timer: Timer, *, at: int, now: float, stalled: bool, quiet_s: float = 0.0
    ) -> list[Effect]:
        """`stalled`: the disk takes no bytes, and those that wait in the pipes aren't cut off.
        `quiet_s`: seconds since the last byte of output, or since the job's first command.
        """
        if not takes(self.phase, timer):
            return []
        match timer:
            case Timer.DRAIN:
                return self._drain_fired(at, stalled=stalled)
            case Timer.GRACE:
                return self.escalation.escalate() + self._force_cleanup()
            case Timer.STUCK:
                self.ending.is_gone = False
                return (self._give_up_command(at) if self.phase in _UP else []) + self._close()
            case Timer.CLOSING:
                return self._closing_fired(stalled=stalled)
            case Timer.TEARDOWN:
                return self.teardown.timer_fired() + self._finish_if_over()
            case Timer.IDLE:
                is_quiet = self.phase is not Phase.IDLE and not stalled
                if rest := self.deadlines.rest_of_silence(quiet_s if is_quiet else 0.0):
                    return rest
        return self._kill(self.deadlines.kill(timer, at), now)

    def receipt(self, found: int, *, is_unsure: bool = False) -> KillReceipt | None:
        """The kill as it went, for the record; None when the job wasn't killed. `is_unsure`: nobody
        can say whether a process is left.
        """
        if self.kill is None or not self.ending.killed:
            return None
        verified_gone = self.ending.is_gone and not self.teardown.failed and not is_unsure
        later = self.escalation.later
        return self.kill.receipt(later, found=found, verified_gone=verified_gone)

    def _enter(self, phase: Phase) -> None:
        check_next(self.phase, phase)
        self.phase = phase

    def _has_status(self, status: int | None, at: int) -> list[Effect]:
        self.command.status = status
        self.command.ended_after_kill = self.kill is not None
        if self.streams.has_ended(self.dispatched):
            return self._command_finished(at)
        self._enter(Phase.DRAINING)
        return [Arm(Timer.DRAIN, self.command.drain_s)]

    def _drain_fired(self, at: int, *, stalled: bool) -> list[Effect]:
        if stalled and not self.kill:
            return [Arm(Timer.DRAIN, self.command.drain_s)]
        # The same wait again would be longer than a kill may take.
        if stalled:
            self.streams.cut_off()
        return self._command_finished(at)

    def _command_finished(self, at: int) -> list[Effect]:
        ends = self.command.ends_job or self.kill is not None
        effects = self._report_end(at, ends=ends)
        if not ends:
            self._enter(Phase.IDLE)
            return effects
        return effects + self._end(killed=not self.command.ends_job)

    def _give_up_command(self, at: int) -> list[Effect]:
        """A process of the command that runs is stuck in the kernel; the job was killed."""
        self.ending.killed = not self.command.ends_job
        return self._report_end(at, ends=True)

    def _report_end(self, at: int, *, ends: bool) -> list[Effect]:
        command = self.command
        event = command.ended(at, ends=ends, log_error=self.ending.log_error)
        effects: list[Effect] = [Disarm(Timer.DRAIN), Emit(event)]
        if command.leaves_something:
            effects += self.teardown.request(command.number, force=command.needs_force)
        return effects

    def _kill(self, request: KillRequest, now: float) -> list[Effect]:
        if self.phase is Phase.CLOSING:
            self.ending.is_urgent = True
            return []
        if self.escalation.has_begun or self.phase is Phase.ENDING:
            return self.escalation.go_on(request, now) + self._force_cleanup()
        effects = self.deadlines.stop(is_pending=self.phase is Phase.PENDING)
        effects += self.escalation.begin(request, now) + self._force_cleanup()
        if self.phase not in _UP:
            self._enter(Phase.ENDING)
            self.ending.killed = True
            effects.append(CheckTree())
        return effects

    def _force_cleanup(self) -> list[Effect]:
        """KILL ends no work that is done by others than children of the supervisor."""
        if self.escalation.kill_sent and self.phase in _UP and self.command.needs_cleanup:
            return self.teardown.request(self.dispatched, force=True)
        return []

    def _end(self, *, killed: bool) -> list[Effect]:
        self._enter(Phase.ENDING)
        self.ending.killed = killed
        return [*self.deadlines.stop(), CheckTree()]

    def _close(self, *, keeps: bool = False) -> list[Effect]:
        effects = self.escalation.stop()
        if not self.streams.have_ended:
            self._enter(Phase.CLOSING)
            # What holds a pipe now goes on, so there is nothing to wait for.
            wait_s = 0.0 if keeps else self.command.drain_s
            return [*effects, Arm(Timer.CLOSING, wait_s), Drain()]
        if not self.teardown.is_over:
            self._enter(Phase.CLOSING)
            return effects
        return effects + self._finish()

    def _closing_fired(self, *, stalled: bool) -> list[Effect]:
        if stalled and not (self.kill or self.ending.is_urgent or self.ending.log_error):
            # Armed first: the last byte may come out now, and ends the job.
            return [Arm(Timer.CLOSING, self.command.drain_s), Drain()]
        self.streams.cut_off()
        return self._finish_if_over()

    def _finish_if_over(self) -> list[Effect]:
        has_ended = self.streams.have_ended and self.teardown.is_over
        return self._finish() if self.phase is Phase.CLOSING and has_ended else []

    def _finish(self) -> list[Effect]:
        self._enter(Phase.FINISHED)
        complete = not self.streams.is_missing
        finish = Finish("killed" if self.ending.killed else "exited", output_complete=complete)
        return [Disarm(Timer.CLOSING), CloseLog(complete=complete), finish]
