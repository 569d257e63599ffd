"""Worker processes that end or hang are replaced, and none outlives the main process.

Sanic notices that a worker crashed and leaves it at that; with the last one dead the port still
accepts, and requests hang. While workers start, its main process heeds neither crash nor signal.
"""

from __future__ import annotations

import ctypes
import multiprocessing
import os
import signal
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from multiprocessing import util
from multiprocessing.connection import Client, wait
from multiprocessing.managers import dispatch  # type: ignore[attr-defined]  # as its own proxies do
from typing import Any, Final

import structlog
from sanic.worker.constants import ProcessState

from service.host.heartbeats import SILENT_S, Heartbeats
from service.web.bounded_stop import BoundedStop

# Seconds between two starts of the same worker, so that one that can't start is no busy loop.
_PAUSE_S: Final = 1.0
# Seconds between two looks whether Sanic's main thread has started a worker, at the beginning and
# for a replacement: it looks ten times a second itself, and there is nothing to wait on.
_LOOK_S: Final = 0.05
# Seconds between two looks whether workers live.
_JUDGE_S: Final = 2.0
_PR_SET_PDEATHSIG: Final = 1  # Source: prctl(2)
_STOPPING: Final = (signal.SIGINT, signal.SIGTERM)

_log = structlog.get_logger("jobrunner.watchdog")


def watch(
    manager: Any,
    confirm: Callable[[], None],
    beats: Heartbeats,
    stop_in_time: BoundedStop,
    *,
    judges: bool,
) -> None:
    """Watch the workers of `manager`, Sanic's WorkerManager, which hasn't started them yet. If it
    `judges`, a silent one is killed.

    `confirm` is called when they were started, and may wait for what starts beside them. What it
    raises ends the main process, and the workers before.

    SIGINT and SIGTERM are kept until all of them serve. One that is told to stop while it starts
    may miss it or die of it, and Sanic's main process would wait for its word for ever.
    """
    kept: list[int] = []
    wait_for_ack, poll_monitor = manager.wait_for_ack, manager._poll_monitor  # noqa: SLF001 - Sanic has no public name for it

    def poll() -> Any:
        beats.beat_main()
        return poll_monitor()

    def is_over() -> bool:
        beats.beat_main()
        states = [s for s in manager.worker_state.values() if s.get("server")]
        # One that died is replaced as at any other time; Ctrl-C reaches the workers as well.
        any_died = not all(process.is_alive() for process in manager.transient_processes)
        return any_died or all(state.get("serving") for state in states)

    def wait_and_watch() -> None:
        try:
            confirm()
        except BaseException:
            _end_at_once(manager)
            raise
        wait_for_ack()
        for number in _STOPPING:
            signal.signal(number, stop)
        stop_in_time.start()
        if kept:
            stop_in_time.begin()
            manager.shutdown_signal(kept[0], None)
        else:
            Watchdog(manager, beats if judges else None, stop_in_time, _signals()).start()

    def stop(number: int, frame: object) -> None:
        stop_in_time.begin()
        if manager._shutting_down:  # noqa: SLF001 - Sanic has no public name for it
            manager.shutdown_signal(number, frame)  # the second one: it kills
            return
        # Sanic's own handler asks its state process over a connection that the interrupted code may
        # be in the middle of using: each then reads the other's answer, and the main process ends
        # with status 1. Its loop does the same as soon as it reads this.
        manager._shutting_down = True  # noqa: SLF001 - from now on no worker is replaced
        manager.monitor_publisher.send("__TERMINATE__")

    for number in _STOPPING:
        signal.signal(number, lambda number, _: kept.append(number))
    manager.wait_for_ack = wait_and_watch
    manager._poll_monitor = poll  # noqa: SLF001 - Sanic has no public name for it
    manager._all_workers_ack = is_over  # noqa: SLF001 - Sanic has no public name for it


def _signals() -> int:
    """A descriptor that has the numbers of signals that came, also while the main thread hangs and
    runs no handler.
    """
    ours, theirs = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
    signal.set_wakeup_fd(theirs, warn_on_full_buffer=False)
    return ours


def _end_at_once(manager: Any) -> None:
    """Kill every process that `manager` has just started. A worker that serves already has stored
    what it has answered.
    """
    for process in manager.processes:
        process._current_process.kill()  # noqa: SLF001 - Sanic has no public name for it
        process._current_process.join()  # noqa: SLF001 - as above
        # Else Sanic waits ten seconds for it to say so by itself.
        process.set_state(ProcessState.TERMINATED, force=True)


class Watchdog(threading.Thread):
    """Runs in the main process, once the workers were started."""

    def __init__(
        self, manager: Any, beats: Heartbeats | None, stop_in_time: BoundedStop, signals: int
    ) -> None:
        """`manager` is Sanic's WorkerManager. `beats` None: nobody is killed for being silent.
        `signals` has the numbers of those that came.
        """
        super().__init__(name="watchdog", daemon=True)
        self._manager = manager
        self._beats = beats
        self._stop_in_time = stop_in_time
        self._signals = signals
        self._looked_at = 0.0
        self._awake_since = float("inf")
        self._restarted: dict[str, float] = {}

    def run(self) -> None:
        """Replace each worker that ends or hangs, as long as the main process lives."""
        asked: set[int] = set()  # pids whose replacement was asked for
        while not self._manager._shutting_down:  # noqa: SLF001 - Sanic has no public name for it
            try:
                self._watch(asked)
            except Exception:  # noqa: BLE001 - without it no worker would be replaced any more
                _log.exception("watchdog_failed")
                threading.Event().wait(_PAUSE_S)

    def _watch(self, asked: set[int]) -> None:
        while not self._manager._shutting_down:  # noqa: SLF001 - Sanic has no public name for it
            # A worker's process object changes when Sanic replaces it, for a reload or for us.
            live: dict[Any, tuple[Any, Any]] = {
                p.sentinel: (w, p)
                for w, p in self._processes()
                if p.pid is not None and p.pid not in asked
            }
            under_way = len(live) < len(self._processes())
            timeout_s = _LOOK_S if under_way else _JUDGE_S
            for sentinel in wait([*live, self._signals], timeout=timeout_s):
                if sentinel == self._signals:
                    self._signalled()
                    continue
                worker, process = live[sentinel]
                process.join()
                asked.add(process.pid)
                if (worker, process) in self._processes():
                    self._replace(worker, process.exitcode)

            self._end_silent()

    def _signalled(self) -> None:
        if set(os.read(self._signals, 256)) & set(_STOPPING):
            self._stop_in_time.begin()

    def _end_silent(self) -> None:
        """Kill workers whose loop doesn't turn; they are replaced like any that ends."""
        now = time.monotonic()
        if now - self._looked_at > 2 * _JUDGE_S:
            # This process, or the whole machine, stood still: everybody gets a new chance.
            self._awake_since = now
        self._looked_at = now
        if self._beats is None or now - self._awake_since < SILENT_S:
            return
        for worker, process in self._processes():
            silent_s = self._beats.worker_silent_s(worker.name, process.pid or 0)
            if silent_s > SILENT_S and process.is_alive():
                _log.error("worker_silent", worker=worker.name, silent_s=round(silent_s))
                process.kill()

    def _replace(self, worker: Any, status: int | None) -> None:
        if self._manager._shutting_down:  # noqa: SLF001 - as above
            return
        since = time.monotonic() - self._restarted.get(worker.name, 0.0)
        if since < _PAUSE_S:
            threading.Event().wait(_PAUSE_S - since)
        self._restarted[worker.name] = time.monotonic()
        _log.error("worker_ended", worker=worker.name, status=status)
        self._manager.monitor_publisher.send(f"{worker.name}:")

    def _processes(self) -> list[tuple[Any, Any]]:
        """Each worker with its process of this moment."""
        workers = [w for w in self._manager.transient_processes if "Server" in w.name]
        return [(w, w._current_process) for w in workers]  # noqa: SLF001 - Sanic has no public name for it


def end_with_main_process(multiplexer: Any) -> None:
    """Have this worker stop when the main process dies, however that dies: an orphan would keep the
    port, and nobody would replace it. `multiplexer`: Sanic's, through which workers reach the
    process that keeps their states; it is told to end too, by who is left.
    """
    parent = multiprocessing.parent_process()
    if parent is None:
        return
    address = multiplexer._state._state._token.address  # noqa: SLF001 - nothing public tells it
    # Run at the very end of this process, when nothing asks for the states any more.
    util.Finalize(None, _end_states, (parent.pid, address), exitpriority=0)
    libc = ctypes.CDLL(None, use_errno=True)
    libc.prctl(_PR_SET_PDEATHSIG, signal.SIGTERM, 0, 0, 0)
    if os.getppid() != parent.pid:
        os.kill(os.getpid(), signal.SIGTERM)  # it died before the line above


def _end_states(main: int | None, address: str) -> None:
    """End the process of the workers' states, unless the main process lives, and will do it."""
    if os.getppid() == main:
        return
    key = multiprocessing.current_process().authkey
    with suppress(OSError, EOFError), Client(address, authkey=key) as connection:
        dispatch(connection, None, "shutdown")  # gone: another worker was faster
