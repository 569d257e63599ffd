"""Connects to the supervisor of a state directory, and starts one if there is none.

Any service process may start one, several at the same moment. One candidate is spawned at a time;
it exits if another supervisor serves already, so only one stays. A candidate that isn't ready
within its timeout is killed by the process that spawned it, or by the next one that waits.
"""

from __future__ import annotations

import asyncio
import os
import resource
import select
import signal
import subprocess
import sys
import sysconfig
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

from service.host.locks import lock_within, name_in, named_in, open_lock, try_lock
from service.host.utf8_mode import OPTIONS as UTF8
from service.link.from_supervisor import Notification, SupervisorHello
from service.link.incumbent import SILENT_S, is_served
from service.link.session import ConnectionLost, OtherProtocol, SupervisorSession
from service.paths import StateDir

# Seconds for a supervisor to start, including the reaping of orphans, or the end of a silent one.
_START_S: Final = SILENT_S + 30.0
# The soft limit on descriptors that commands get: the one that this process was started with.
# Workers raise their own later, and the supervisor would inherit that.
_SOFT_LIMIT: Final = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
# Seconds for a killed candidate to exit, and for the process that it was forked from: neither waits
# for anything but a processor.
_ENDED_S: Final = 60.0
# Seconds that a supervisor may stay silent when the service ends.
_LAST_WORD_S: Final = 2.0
# Seconds that `reach` takes, as a rule: a silent one is killed, and the next one reaps orphans.
REACH_S: Final = _LAST_WORD_S + 5.0
# Attempts: a supervisor may exit just as it is connected to, but hardly this often in a row.
_ATTEMPTS: Final = 5


class SupervisorFailed(Exception):
    """No supervisor could be reached or started; the message says where to look."""


async def connect_or_start(
    state_dir: Path,
    *,
    cgroup: str,
    on_messages: Callable[[list[Notification]], None],
    on_lost: Callable[[SupervisorSession], None],
) -> tuple[SupervisorSession, SupervisorHello]:
    """Connect to the supervisor of `state_dir`, after starting one if there is none.

    Raises: SupervisorFailed.
    """
    try:
        directory = os.open(state_dir, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError as exc:
        raise SupervisorFailed(f"{state_dir} can't be opened: {exc}") from exc
    try:
        for _ in range(_ATTEMPTS):
            try:
                return await SupervisorSession.open(directory, on_messages, on_lost)
            except (OSError, ConnectionLost):
                await asyncio.to_thread(start, state_dir, cgroup=cgroup)
            except OtherProtocol as exc:
                raise SupervisorFailed(str(exc)) from exc
    finally:
        os.close(directory)
    raise SupervisorFailed(f"the supervisor of {state_dir} ended {_ATTEMPTS} times in a row")


def start(state_dir: Path, *, cgroup: str, silent_s: float = SILENT_S) -> None:
    """Start a supervisor and wait until it, or another one, serves. Blocks. A running supervisor
    that stays silent for `silent_s` after it was signalled is killed.

    Raises: SupervisorFailed.
    """
    Starting(state_dir, cgroup=cgroup, silent_s=silent_s).wait()


def reach(state_dir: Path, *, cgroup: str) -> None:
    """Make sure that a supervisor responds, for the last request of a service that stops. One that
    lost its socket, or is stopped, is signalled; one that stays silent, or is dead, is replaced, so
    that no process of its jobs is left. Blocks.

    Raises: SupervisorFailed.
    """
    try:
        directory = os.open(state_dir, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError as exc:
        raise SupervisorFailed(f"{state_dir} can't be opened: {exc}") from exc
    try:
        if not is_served(directory, _LAST_WORD_S):
            end_candidate(state_dir)  # a worker's, which waits longer for the silent one
            start(state_dir, cgroup=cgroup, silent_s=_LAST_WORD_S)
    finally:
        os.close(directory)


class Starting:
    """A supervisor that is starting: spawned at once, unless another candidate holds the lock.
    `wait` may be called once; without it the supervisor goes on by itself.
    """

    def __init__(self, state_dir: Path, *, cgroup: str, silent_s: float = SILENT_S) -> None:
        """Raises: SupervisorFailed."""
        self._state_dir = state_dir
        self._options = ["--cgroup", cgroup, "--silent-s", str(silent_s)]
        self._ends = time.monotonic() + _START_S
        self._candidate: _Candidate | None = None
        with _translated():
            self._lock = open_lock(StateDir(state_dir).start_lock)
            if try_lock(self._lock):
                self._spawn()

    def wait(self) -> None:
        """Wait until it, or another one, serves. Blocks. Raises: SupervisorFailed."""
        with _translated():
            if self._candidate is None:
                self._wait_for_lock()
                self._spawn()
            assert self._candidate is not None  # noqa: S101 - for mypy; spawned just now
            if not self._candidate.wait(self._ends - time.monotonic()):
                log = StateDir(self._state_dir).supervisor_log
                raise SupervisorFailed(f"the supervisor did not start; {log} says why")

    def _wait_for_lock(self) -> None:
        """Others may start candidates, one after the other: each gets the whole time."""
        start_lock = StateDir(self._state_dir).start_lock
        candidate = named_in(start_lock)
        while not lock_within(self._lock, _START_S):
            before, candidate = candidate, named_in(start_lock)
            if candidate == before:
                # The process that spawned it is gone, or would have killed it by now.
                end_candidate(self._state_dir)
                # One that has no name yet may be another one than before.
                if not lock_within(self._lock, _START_S if candidate is None else _ENDED_S):
                    os.close(self._lock)
                    raise SupervisorFailed("another process holds the start lock")
                break
        self._ends = time.monotonic() + _START_S

    def _spawn(self) -> None:
        """Spawn it, and pass the lock on to it."""
        try:
            name_in(self._lock, "")  # the candidate writes its own pid
            self._candidate = _Candidate(self._state_dir, self._options, self._lock)
        finally:
            os.close(self._lock)


class _Candidate:
    """A process that becomes the supervisor, or exits if another one serves."""

    def __init__(self, state_dir: Path, options: list[str], lock: int) -> None:
        """Raises: OSError."""
        self._state_dir = state_dir
        self._ours, theirs = os.pipe2(os.O_CLOEXEC)
        arguments = [str(state_dir), *options, "--ready-fd", str(theirs)]
        arguments += ["--soft-limit", str(_SOFT_LIMIT), "--start-lock", str(lock)]
        try:
            self._process = subprocess.Popen(
                [sys.executable, *UTF8, "-P", "-m", "service.supervisor", *arguments],
                cwd="/",
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                pass_fds=(theirs, lock),
                env=_environment(),
            )
        except BaseException:
            os.close(self._ours)
            raise
        finally:
            os.close(theirs)

    def wait(self, seconds: float) -> bool:
        """Whether it, or another one, serves. A candidate that isn't ready in time is killed."""
        try:
            # The pipe first: waiting for a process with a timeout polls, and the spawned process
            # forks and exits before its child is ready.
            poller = select.poll()
            poller.register(self._ours, select.POLLIN)
            in_time = bool(poller.poll(max(0.0, seconds) * 1000))
            is_ready = in_time and os.read(self._ours, 1) == b"1"
            if not in_time:
                end_candidate(self._state_dir)
            self._process.wait(_ENDED_S)
        finally:
            os.close(self._ours)
        return is_ready


def end_candidate(state_dir: Path) -> None:
    """Kill the candidate that holds the start lock. It doesn't serve yet."""
    pid = named_in(StateDir(state_dir).start_lock)
    if pid is not None:
        with suppress(OSError):
            descriptor = os.pidfd_open(pid)
            try:
                signal.pidfd_send_signal(descriptor, signal.SIGKILL)
            finally:
                os.close(descriptor)


@contextmanager
def _translated() -> Iterator[None]:
    try:
        yield
    except (OSError, subprocess.TimeoutExpired) as exc:
        raise SupervisorFailed(f"the supervisor could not be started: {exc}") from exc


def _environment() -> dict[str, str] | None:
    """None (this process's own), unless this package isn't installed: then PYTHONPATH tells the
    supervisor, which starts in `/`, where it is.
    """
    root = Path(__file__).resolve().parents[2]
    if root in {Path(p).resolve() for p in sysconfig.get_paths().values()}:
        return None
    environment = dict(os.environ)  # noqa: TID251 - passed on as it is, nothing is read from it
    others = environment.get("PYTHONPATH", "")
    environment["PYTHONPATH"] = f"{root}{os.pathsep}{others}" if others else str(root)
    return environment
