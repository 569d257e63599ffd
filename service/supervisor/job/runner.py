"""One live job in the supervisor: carries out what its machine decides.

Everything happens in callbacks of one loop, so between two of them nothing about a job changes.
"""

from __future__ import annotations

import asyncio
import os
import resource
import time
from base64 import b64decode, b64encode
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import Any, Final, cast

from service.errors import NoHoles
from service.files.job import job_files
from service.host.event_log import log_event
from service.link.from_supervisor import EventBody, Finished, KillRequested
from service.link.to_supervisor import Start
from service.output.pump import Pump, StallTimer
from service.output.writer import LogWriter
from service.supervisor.job import effects as fx
from service.supervisor.job.command import Command
from service.supervisor.job.ending import KillRequest
from service.supervisor.job.escalation import ORPHAN_GRACE_S
from service.supervisor.job.exit_hooks import Aftermath
from service.supervisor.job.handed import handed
from service.supervisor.job.limits import Limiting
from service.supervisor.job.machine import JobMachine
from service.supervisor.job.phases import Phase
from service.supervisor.job.usage import Usage
from service.supervisor.job.workspace import (
    begin_in,
    job_user,
    make_directories,
    make_log_directory,
)
from service.supervisor.process.controllers import Controllers
from service.supervisor.process.marks import marked
from service.supervisor.process.spawn import Descriptors, Refused, spawn
from service.supervisor.process.tree import Tree
from service.supervisor.snapshot import from_json, to_json
from service.supervisor.unclosed import UnclosedLogs

STDOUT: Final = 1
STDERR: Final = 2
# Descriptors of a log: its output and its index.
LOG_DESCRIPTORS: Final = 2
# Descriptors that a job takes while it starts: two pipes of two ends, and its log.
JOB_DESCRIPTORS: Final = 4 + LOG_DESCRIPTORS


@dataclass(slots=True)
class Host:
    """What all jobs of one supervisor share."""

    loop: asyncio.AbstractEventLoop
    state_dir: str
    descriptors: Descriptors
    stalls: StallTimer
    unclosed: UnclosedLogs
    make_tree: Callable[[str], Tree]
    emit: Callable[[Job, EventBody], None]
    controllers: Controllers | None = None
    commands: dict[int, Job] = field(default_factory=dict)  # pid → whose command it is
    watching: set[Job] = field(default_factory=set)  # jobs to which each death in the tree matters
    mark: str = ""  # of the state directory, for the environment of each command
    settle: Callable[[int], None] = lambda _: None  # called with each command's pid


class Job:
    """A live job; `machine.phase` is FINISHED when nothing of it is left but its owner's record."""

    __slots__ = (
        "_aftermath",
        "_grace_s",
        "_host",
        "_is_log_unclosed",
        "_limiting",
        "_log",
        "_pump",
        "_quiet_from",
        "_request",
        "_timers",
        "_tree",
        "_usage",
        "id",
        "machine",
    )

    def __init__(self, job_id: str, host: Host) -> None:
        self.id = job_id
        self.machine = JobMachine()
        self._host = host
        self._tree: Tree | None = None
        self._log: LogWriter | None = None
        self._pump: Pump | None = None
        self._timers: dict[fx.Timer, asyncio.TimerHandle] = {}
        self._request: Start | None = None  # while its command is being started
        self._grace_s = ORPHAN_GRACE_S
        self._aftermath = Aftermath(job_id)
        self._limiting = Limiting()
        self._usage = Usage()
        self._is_log_unclosed = False
        self._quiet_from = 0.0  # its first command, or output that a predecessor has seen

    def state(self) -> dict[str, Any]:
        """All of it as JSON has it, for a successor in this process, which inherits its
        descriptors. Changes nothing.
        """
        log = self._log
        pids = [pid for pid, job in self._host.commands.items() if job is self]
        return {
            "id": self.id,
            "machine": to_json(self.machine),
            "grace_s": self._grace_s,
            "quiet_from": self._spoke_at(),
            "timers": {timer.value: handle.when() for timer, handle in self._timers.items()},
            "pids": pids,
            "tree": self._tree.state() if self._tree is not None else None,
            "pipes": self._pump.pipes if self._pump is not None else [],
            "has_log": log is not None,
            "log": None if log is None else log.descriptors,
            "held": "" if log is None else b64encode(log.held).decode(),
            "aftermath": self._aftermath.state(),
            "limiting": self._limiting.state(),
            "usage": self._usage.state(),
        }

    @classmethod
    def from_state(cls, state: dict[str, Any], host: Host) -> Job:
        """The job that `state` describes, going on."""
        job = cls(state["id"], host)
        job.machine = from_json(JobMachine, state["machine"])
        job._grace_s = state["grace_s"]
        job._quiet_from = state.get("quiet_from", host.loop.time())
        if job.is_finished:
            return job
        if state["has_log"]:
            job._take_log(state)
        if state["tree"] is not None:
            job._tree = host.make_tree(job.id)
            job._tree.restore(state["tree"])
        if "aftermath" in state:
            job._aftermath.restore(state["aftermath"])
        if "limiting" in state:
            job._limiting.restore(state["limiting"], host.controllers)
            job._usage = Usage(*state["usage"])
        for pid in state["pids"]:
            host.commands[pid] = job
        for name, when in state["timers"].items():
            timer = fx.Timer(name)
            job._timers[timer] = host.loop.call_at(when, job._passed, timer)
        if job.machine.needs_tree_checks:
            host.watching.add(job)
        return job

    def _take_log(self, state: dict[str, Any]) -> None:
        try:
            self._log = _inherited_log(state, job_files(self._host.state_dir, self.id).log)
        except OSError as exc:
            # A disk that fails: nothing that the job writes can be kept.
            log_event("log_not_inherited", job=self.id, error=str(exc))
            for descriptor, _, _ in state["pipes"]:
                os.close(descriptor)
            self._host.loop.call_soon(self._give_up)
            return
        self._pump = self._make_pump(self._log)
        for descriptor, stream, command in state["pipes"]:
            self._pump.add(descriptor, stream, command)

    def _give_up(self) -> None:
        self.kill(signal=9, grace_s=0, reason="lost", at=time.time_ns())

    @property
    def is_finished(self) -> bool:
        return self.machine.phase is Phase.FINISHED

    @property
    def end(self) -> int:
        """Bytes in the log."""
        return self._log.end if self._log is not None else 0

    def wait_for_slot(self, *, queue_s: float, grace_s: float) -> None:
        """Have the job killed when it is still pending after `queue_s`."""
        self._apply(self.machine.wait_for_slot(queue_s, grace_s))

    @property
    def is_being_killed(self) -> bool:
        return self.machine.kill is not None

    @property
    def has_begun(self) -> bool:
        """Whether a command was dispatched."""
        return self.machine.dispatched >= 0

    def start(self, request: Start) -> None:
        """Start a command, as the message `start` asks; a repeat changes nothing."""
        self._request = request = marked(request, self._host.mark)
        self._grace_s = float(request["grace_s"])
        self._apply(self.machine.start(_command(request)))
        self._request = None

    def kill(self, *, signal: int, grace_s: float, reason: str, at: int) -> None:
        request = KillRequest(signal, grace_s, reason, at)
        is_first = self.machine.kill is None
        effects = self.machine.request_kill(request, self._host.loop.time())
        if is_first and self.machine.kill is not None:
            self._tell_kill(self.machine.kill)
        self._apply(effects)

    def shut_down(self, grace_s: float) -> None:
        """Kill because the service stops; the job's own grace holds when it is shorter."""
        self.kill(
            signal=15, grace_s=min(grace_s, self._grace_s), reason="shutdown", at=time.time_ns()
        )

    def reaped(self, pid: int, status: int, used: resource.struct_rusage) -> None:
        """A process that this job started was reaped. `status`: an exit code, or minus a signal."""
        if (ok := self._aftermath.has_cleaned(pid, status)) is not None:
            self._apply(self.machine.cleaned_up(ok=ok))
            return
        assert self._tree is not None  # noqa: S101 - a command was spawned
        self._tree.reaped(pid)
        self._usage.add(used)
        at, oom_killed = time.time_ns(), self._limiting.ran_out_of_memory()
        if (found := self._aftermath.verdict_of(pid, status)) is not None:
            self._apply(self.machine.probed(*found, at, oom_killed=oom_killed))
        else:
            self._apply(self.machine.wait_status(status, at, oom_killed=oom_killed))

    @property
    def descriptors_to_come(self) -> int:
        """How many more it takes once it runs and has output."""
        if self.machine.dispatched < 0:
            return JOB_DESCRIPTORS
        return LOG_DESCRIPTORS if self._log is not None and not self._log.is_made else 0

    def make_log(self) -> None:
        """Somebody wants to read the output, of which no byte may have come. Raises: OSError."""
        if self._log is not None:
            self._log.make()

    def look(self) -> None:
        """Something died: see what is left of the tree."""
        self._apply(self._look())

    def _tell_kill(self, kill: KillRequest) -> None:
        event: KillRequested = {
            "name": "kill_requested",
            "signal": kill.signal,
            "grace_s": kill.grace_s,
            "reason": kill.reason,
            "requested_at": kill.requested_at,
        }
        self._host.emit(self, event)

    def _apply(self, effects: list[fx.Effect]) -> None:
        for effect in effects:
            self._carry_out(effect)
        if self.machine.needs_tree_checks:
            self._host.watching.add(self)
        else:
            self._host.watching.discard(self)

    def _carry_out(self, effect: fx.Effect) -> None:
        match effect:
            case fx.Emit("finished"):
                self._finish(effect.fields)
            case fx.Emit():
                self._host.emit(self, cast("EventBody", {"name": effect.name, **effect.fields}))
            case fx.Spawn():
                self._apply(self._spawn(effect.number))
            case fx.SignalTree():
                if self._tree is not None:
                    self._tree.signal(effect.signal)
            case fx.CheckTree():
                self._apply(self._look())
            case fx.Arm():
                self._arm(effect.timer, effect.seconds)
            case fx.Disarm():
                self._disarm(effect.timer)
            case fx.Drain():
                if self._pump is not None:
                    self._pump.drain_now()
            case fx.CloseLog():
                self._close_log(complete=effect.complete)
            case _:
                self._carry_out_aftermath(effect)

    def _carry_out_aftermath(self, effect: fx.Effect) -> None:
        match effect:
            case fx.RunProbe():
                self._judge(effect)
            case fx.CleanUp():
                self._clean_up(effect)
            case fx.AbandonCleanUp():
                self._host.commands.pop(self._aftermath.abandon(), None)

    def _judge(self, effect: fx.RunProbe) -> None:
        tree, pump = self._tree, self._pump
        assert tree is not None and pump is not None  # noqa: S101, PT018 - a command was spawned
        try:
            spawned = self._aftermath.judge(
                effect.number, effect.status, tree, self._host.descriptors
            )
        except Refused:
            self._apply(self.machine.probed(effect.status, {}, time.time_ns()))
            return
        if effect.signal:
            os.kill(spawned.pid, effect.signal)  # not reaped, so the number is its own
        self._host.commands[spawned.pid] = self
        tree.spawned(spawned.pid)
        pump.add(spawned.stdout, STDOUT, effect.number)
        pump.add(spawned.stderr, STDERR, effect.number)
        self._apply(self.machine.probe_spawned(streams=2))

    def _clean_up(self, effect: fx.CleanUp) -> None:
        try:
            pid = self._aftermath.clean(
                effect.number, thorough=effect.force, descriptors=self._host.descriptors
            )
        except Refused as exc:
            log_event("cleanup_refused", job=self.id, why=str(exc))
            self._apply(self.machine.cleaned_up(ok=False))
        else:
            self._host.commands[pid] = self

    def _finish(self, fields: dict[str, Any]) -> None:
        receipt = self.machine.receipt(self._tree.found if self._tree else 0)
        usage = None
        if self._tree is not None:
            usage = self._usage.told(self._tree.cpu_s(), self._limiting.peak_bytes())
        self._release()
        event: Finished = {
            "name": "finished",
            "outcome": fields["outcome"],
            "at": time.time_ns(),
            "end_offset": self.end,
            "output_complete": fields["output_complete"] and not self._is_log_unclosed,
            "kill": receipt,
            "usage": usage,
        }
        self._host.emit(self, event)

    def _look(self) -> list[fx.Effect]:
        is_alive = self._tree is not None and self._tree.is_alive()
        return self.machine.tree_checked(is_alive=is_alive, now=self._host.loop.time())

    def _arm(self, timer: fx.Timer, seconds: float) -> None:
        self._disarm(timer)
        self._timers[timer] = self._host.loop.call_later(seconds, self._passed, timer)

    def _disarm(self, timer: fx.Timer) -> None:
        if (armed := self._timers.pop(timer, None)) is not None:
            armed.cancel()

    def _passed(self, timer: fx.Timer) -> None:
        del self._timers[timer]
        stalled = self._pump is not None and self._pump.stalled
        was_killed = self.machine.kill is not None
        effects = self.machine.timer_fired(
            timer,
            at=time.time_ns(),
            now=self._host.loop.time(),
            stalled=stalled,
            quiet_s=self._host.loop.time() - self._spoke_at(),
        )
        if not was_killed and self.machine.kill is not None:
            self._tell_kill(self.machine.kill)
        self._apply(effects)

    def _spoke_at(self) -> float:
        """When the last byte of output came, or the first command, by the loop's clock."""
        return max(self._quiet_from, self._log.last_output_s if self._log is not None else 0.0)

    def _spawn(self, number: int) -> list[fx.Effect]:
        request, host = self._request, self._host
        assert request is not None  # noqa: S101 - only `start` makes the machine ask for it
        try:
            tree, pump = self._prepare(request)
            if why := request.get("refusal"):
                raise Refused(why)
            if request.get("status_probe"):  # its programs leave each other a file there
                make_log_directory(job_files(host.state_dir, self.id))
            self._limiting.prepare(self.id, request["limits"], host.controllers)
            with ExitStack() as held:
                given = handed(request, held)
                spawned = spawn(
                    given.argv,
                    request["env"],
                    begin_in(request, job_files(host.state_dir, self.id), held),
                    descriptors=host.descriptors,
                    inside=self._limiting.inside(tree),
                    stdin=given.stdin,
                    entering=self._limiting.entering(held),
                    identity=None if request.get("as_service_user") else job_user(request),
                    no_new_privs=request.get("no_new_privs", False),
                    passed=given.passed,
                )
        except (Refused, OSError) as exc:
            return self.machine.refused(str(exc), time.time_ns())
        host.settle(spawned.pid)
        self._aftermath.planned(request)
        host.commands[spawned.pid] = self
        tree.spawned(spawned.pid)
        pump.add(spawned.stdout, STDOUT, number)
        pump.add(spawned.stderr, STDERR, number)
        self._quiet_from = self._quiet_from or host.loop.time()
        return self.machine.spawned(
            streams=2,
            timeout_s=request["timeout_s"],
            grace_s=request["grace_s"],
            at=time.time_ns(),
            idle_s=request["idle_timeout_s"],
        )

    def _prepare(self, request: Start) -> tuple[Tree, Pump]:
        """The job's directory, log and tree, made with its first command. Raises: Refused."""
        host = self._host
        try:
            if self._log is None:
                files = job_files(host.state_dir, self.id)
                make_directories(files, request)
                if limit := request["output_limit_bytes"]:
                    self._log = LogWriter.create(files.log, limit=limit)
                else:
                    self._log = LogWriter.on_demand(files.log)
            if self._pump is None:
                self._pump = self._make_pump(self._log)
            if self._tree is None:
                self._tree = host.make_tree(self.id)
        except NoHoles as exc:
            raise Refused(f"The output can't be kept within its limit: {exc}.") from exc
        except OSError as exc:
            sentence = f"The job's directory could not be prepared: {os.strerror(exc.errno or 0)}."
            raise Refused(sentence) from exc
        return self._tree, self._pump

    def _make_pump(self, log: LogWriter) -> Pump:
        host = self._host
        return Pump(
            host.loop, log, self._stream_ended, on_failed=self._log_failed, stalls=host.stalls
        )

    def _log_failed(self, error: OSError) -> None:
        log_event("output_failed", job=self.id, error=str(error))
        was_killed = self.machine.kill is not None
        sentence = f"The output can't be written: {os.strerror(error.errno or 0)}."
        effects = self.machine.log_failed(sentence, time.time_ns(), self._host.loop.time())
        if not was_killed and self.machine.kill is not None:
            self._tell_kill(self.machine.kill)
        self._apply(effects)

    def _stream_ended(self, _stream: int, command: int) -> None:
        self._apply(self.machine.stream_ended(command, time.time_ns()))

    def _close_log(self, *, complete: bool) -> None:
        if self._pump is not None:
            self._pump.close()
        if self._log is None:
            return
        try:
            self._log.close(complete=complete)
        except OSError as exc:
            log_event("log_not_closed", job=self.id, error=str(exc))
            self._is_log_unclosed = True
            self._host.unclosed.add(self._log)

    def _release(self) -> None:
        for timer in self._timers.values():
            timer.cancel()
        self._timers.clear()
        if self._tree is not None:
            self._tree.close()
        self._aftermath.close()
        self._limiting.close()
        self._host.watching.discard(self)


def _command(request: Start) -> Command:
    """What the state machine is to know of the message `start`."""
    return Command(
        request["command"],
        end_if=request["end_if"],
        drain_s=request["drain_s"],
        probe_if=request.get("probe_if", ()) if request.get("status_probe") else (),
        needs_cleanup=bool(request.get("force_cleanup")),
    )


def _inherited_log(state: dict[str, Any], directory: str) -> LogWriter:
    """Raises: OSError."""
    if state.get("log") is not None:
        return LogWriter.adopt(*state["log"], held=b64decode(state["held"]))
    if "log" in state:
        return LogWriter.on_demand(directory)  # no byte had come, and nobody has asked
    try:  # an older release closed the files
        return LogWriter.reopen(directory)
    except FileNotFoundError:
        return LogWriter.on_demand(directory)
