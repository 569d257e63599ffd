"""Carries a plan out: kills, stops, upgrades, restarts, fills and removes, on the real service."""

from __future__ import annotations

import itertools
import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Final

import httpx
from disk import Disk
from ledger import Fault, Ledger
from plan import Plan, Step
from running import RELOADABLE, Service
from watching import Watched, in_session

from service.files.job import job_files
from service.output.files import OUTPUT_NAME

WORKERS: Final = 2
# Seconds: what a start, a stop and an upgrade may take with everything else going on. Beyond it
# they are held to be broken.
_START_S: Final = 60.0
_STOP_S: Final = 30.0
_UPGRADE_S: Final = 20.0
_SETTINGS: Final = {
    "JOBRUNNER_MAX_RUNNING": "12",
    "JOBRUNNER_RATE_LIMIT": "0",
    "JOBRUNNER_RETAIN_BYTES": "0",  # a tenth of this disk is soon full
}


class NoService(Exception):
    """It doesn't start any more."""


class Faults:
    """The one thread that does harm, and undoes it."""

    def __init__(self, state_dir: Path, disk: Disk | None, ledger: Ledger) -> None:
        self.state_dir = state_dir
        self.lines: list[str] = []  # of services that are over
        self.counts: dict[str, int] = {}
        self._disk = disk
        self._ledger = ledger
        self._stopped: dict[int, list[int]] = {}  # step → processes that get CONT
        self._lasting: dict[int, Fault] = {}
        self._undoing: list[threading.Timer] = []
        self._on_shutdown = "kill"
        self.service = self._started()

    # The schedule

    def carry_out(self, plan: Plan, seconds: float) -> None:
        begun, clock = time.monotonic(), threading.Event()
        for number, step in enumerate(plan.steps):
            # The schedule's clock: when harm is done is what a plan says, not a wait for a fact.
            clock.wait(max(0.0, step.at_s - (time.monotonic() - begun)))
            if time.monotonic() - begun > seconds:
                return  # earlier steps took longer than planned
            self._do(number, step)
        clock.wait(max(0.0, seconds - (time.monotonic() - begun)))

    def _do(self, number: int, step: Step) -> None:
        self.counts[step.name] = self.counts.get(step.name, 0) + 1
        if step.lasts_s:
            self._lasting[number] = Fault(step.name, time.time())
            self._ledger.faults.append(self._lasting[number])
            if step.name == "fill_disk":
                self._fill_disk()
            else:
                self._stop_some(number, step)
            # Beside the schedule: what is undone may be what a later step waits for.
            self._undoing.append(threading.Timer(step.lasts_s, self._undo, (number, step)))
            self._undoing[-1].start()
            return
        with self._ledger.fault(step.name if not step.word else f"{step.name}_{self._on_shutdown}"):
            getattr(self, f"_{step.name}")(step)

    def _undo(self, number: int, step: Step) -> None:
        if step.name == "fill_disk" and self._disk is not None:
            self._disk.empty()
        for pid in self._stopped.pop(number, []):
            _signal(pid, signal.SIGCONT)
        if (fault := self._lasting.pop(number, None)) is not None:
            fault.ended_at = time.time()

    def heal(self) -> None:
        """Undo all that lasts, and have a service."""
        for timer in self._undoing:
            timer.cancel()
            timer.join()
        if self._disk is not None:
            self._disk.empty()
        for pid in itertools.chain(*self._stopped.values()):
            _signal(pid, signal.SIGCONT)
        self._stopped.clear()
        for fault in self._lasting.values():
            fault.ended_at = time.time()
        self._lasting.clear()
        if self.service.process.poll() is not None:
            self._after_main_died()

    @property
    def supervisor(self) -> int:
        """As its lock file says; 0 where it doesn't."""
        with suppress(OSError, ValueError, IndexError):
            return self.service.supervisor_pid()
        return 0

    @property
    def workers(self) -> list[int]:
        """Those that live."""
        return _alive(self.service.worker_pids())

    # Processes

    def _stop_some(self, number: int, step: Step) -> None:
        """Those that aren't stopped yet: each gets its CONT once."""
        already = set(itertools.chain(*self._stopped.values()))
        pids = [pid for pid in self._targets(step) if pid not in already]
        self._stopped[number] = pids
        for pid in pids:
            _signal(pid, signal.SIGSTOP)

    def _targets(self, step: Step) -> list[int]:
        match step.name.partition("_")[2]:
            case "worker":
                alive = self.workers
                return [alive[step.choice % len(alive)]] if alive else []
            case "supervisor":
                return [pid] if (pid := self.supervisor) else []
            case _:
                return [self.service.process.pid]

    def _kill_worker(self, step: Step) -> None:
        for pid in self._targets(step):
            _signal(pid, signal.SIGKILL)

    def _kill_supervisor(self, _step: Step) -> None:
        if pid := self.supervisor:
            _signal(pid, signal.SIGKILL)

    def _kill_main(self, _step: Step) -> None:
        self.service.process.kill()
        self._after_main_died()

    def _kill_everything(self, _step: Step) -> None:
        pid = self.supervisor
        for other in in_session(self.service.process.pid):
            _signal(other, signal.SIGKILL)
        if pid:
            _signal(pid, signal.SIGKILL)
        self._after_main_died()

    def _after_main_died(self) -> None:
        """Its workers hold the port until they have ended."""
        session = self.service.process.pid
        self.service.process.wait()
        left = in_session(session)
        if not _wait_for(lambda: not _alive(left), _STOP_S):
            names = ", ".join(f"{pid} {_command(pid)}" for pid in _alive(left))
            self._ledger.accuse(f"processes outlive their main process: {names}")
            for pid in _alive(left):
                _signal(pid, signal.SIGKILL)
        self.service = self._started()

    def _upgrade(self, step: Step) -> None:
        for _ in range(step.choice):
            try:
                done = subprocess.run(
                    [sys.executable, "-P", "-m", "service", "supervisor", "upgrade"],
                    env={
                        "JOBRUNNER_STATE_DIR": str(self.state_dir),
                        "PATH": "/usr/bin:/bin",
                        "PYTHONPATH": os.pathsep.join(_also_imported_from()),
                    },
                    cwd="/",
                    capture_output=True,
                    text=True,
                    timeout=_UPGRADE_S,
                    check=False,
                )
            except subprocess.TimeoutExpired:
                self._ledger.accuse(f"an upgrade took longer than {_UPGRADE_S:g} s")
                return
            self.counts["upgraded"] = self.counts.get("upgraded", 0) + (done.returncode == 0)

    def _reload(self, _step: Step) -> None:
        with suppress(httpx.TransportError):
            httpx.post(f"{self.service.url}/restart-all", timeout=2.0)

    def _restart(self, step: Step) -> None:
        _signal(self.service.process.pid, signal.SIGCONT)  # what is stopped hears no TERM
        self.end(may_hang=True)
        self._on_shutdown = step.word
        self.service = self._started()

    # Files

    def _fill_disk(self) -> None:
        if self._disk is not None:
            self._disk.fill()

    def _remove_socket(self, _step: Step) -> None:
        with suppress(FileNotFoundError):
            (self.state_dir / "supervisor.sock").unlink()

    def _remove_log(self, step: Step) -> None:
        found = [e for e in self._ledger.known() if e.final is not None]
        if found:
            entry = random.Random(step.choice).choice(found)
            entry.log_removed = True
            with suppress(FileNotFoundError):
                os.unlink(f"{job_files(self.state_dir, entry.id).log}/{OUTPUT_NAME}")

    # The service

    def _started(self) -> Service:
        """One that is ready. A start on a full disk may be refused, once."""
        for attempt in range(3):
            service = Service(
                self.state_dir,
                port=self.service.port if hasattr(self, "service") else None,
                workers=WORKERS,
                environment={
                    **_SETTINGS,
                    "JOBRUNNER_SHUTDOWN": self._on_shutdown,
                    "PYTHONPATH": os.pathsep.join(
                        [RELOADABLE["environment"]["PYTHONPATH"], *_also_imported_from()]
                    ),
                },
                command=RELOADABLE["command"],
            )
            try:
                service.wait_for_line("worker_ready", WORKERS, _START_S)
            except AssertionError:
                if attempt or self._disk is None:
                    self._ledger.accuse(f"no start: {service.lines[-5:]}")
            else:
                return service
            self.lines += service.lines
            for pid in in_session(service.process.pid):
                _signal(pid, signal.SIGKILL)
            service.process.wait()
            if self._disk is not None:
                self._disk.empty()
        raise NoService

    def end(self, *, may_hang: bool = False) -> int | None:
        """Stop it by TERM; its exit status, None when it had to be killed. `may_hang`: something of
        it may be stopped, and TERM takes longer for it, but ends all the same.
        """
        session = self.service.process.pid
        self.service.process.send_signal(signal.SIGTERM)
        status: int | None = None
        try:
            status = self.service.process.wait(_STOP_S)
        except subprocess.TimeoutExpired:
            self._ledger.accuse(f"TERM did not end the service within {_STOP_S:g} s")
        left = _alive(in_session(session))
        if left and not may_hang and not _wait_for(lambda: not _alive(left), 5.0):
            self._ledger.accuse(f"left by a stopped service: {[_command(p) for p in _alive(left)]}")
        for pid in _alive(left):
            _signal(pid, signal.SIGKILL)
        self.service.process.wait()
        self.lines += self.service.lines
        return status


def _also_imported_from() -> list[str]:
    """So that another release can be tried: PYTHONPATH, as whoever runs this has set it."""
    return [path for path in os.environ.get("PYTHONPATH", "").split(os.pathsep) if path]  # noqa: TID251 - what a person's shell would pass


def _signal(pid: int, number: int) -> None:
    with suppress(ProcessLookupError):
        os.kill(pid, number)


def _alive(pids: list[int]) -> list[int]:
    with Watched(pids, some_ended=True) as processes:
        return processes.alive()


def _command(pid: int) -> str:
    with suppress(OSError):
        return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode()
    return "?"


def _wait_for(is_so: Callable[[], bool], seconds: float) -> bool:
    """Whether it becomes so in time. What is waited for is the state of strangers' processes and of
    a service that may hang, which nothing tells.
    """
    deadline = time.monotonic() + seconds
    pause = threading.Event()
    while not is_so():
        if time.monotonic() > deadline:
            return False
        pause.wait(0.05)
    return True
