"""Worker processes that end are replaced, and none outlives the main process.

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

# Seconds between two starts of the same worker, so that one that can't start is no busy loop.
_PAUSE_S: Final = 1.0
# Seconds between two looks whether Sanic's main thread has started a worker, at the beginning and
# for a replacement: it looks ten times a second itself, and there is nothing to wait on.
_LOOK_S: Final = 0.05
_PR_SET_PDEATHSIG: Final = 1  # Source: prctl(2)
_STOPPING: Final = (signal.SIGINT, signal.SIGTERM)

_log = structlog.get_logger("jobrunner.watchdog")


def watch(manager: Any, confirm: Callable[[], None]) -> None:
    """Watch the workers of `manager`, Sanic's WorkerManager, which hasn't started them yet.

    `confirm` is called when they were started, and may wait for what starts beside them. What it
    raises ends the main process, and the workers before.

    SIGINT and SIGTERM are kept until all of them serve. One that is told to stop while it starts
    may miss it or die of it, and Sanic's main process would wait for its word for ever.
    """
    kept: list[int] = []
    wait_for_ack = manager.wait_for_ack

    def is_over() -> bool:
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
        if kept:
            manager.shutdown_signal(kept[0], None)
        else:
            Watchdog(manager).start()

    def stop(number: int, frame: object) -> None:
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
    manager._all_workers_ack = is_over  # noqa: SLF001 - Sanic has no public name for it


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

    def __init__(self, manager: Any) -> None:
        """`manager` is Sanic's WorkerManager."""
        super().__init__(name="watchdog", daemon=True)
        self._manager = manager
        self._restarted: dict[str, float] = {}

    def run(self) -> None:
        """Replace each worker that ends, as long as the main process lives."""
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
            for sentinel in wait(list(live), timeout=_LOOK_S if under_way else None):
                worker, process = live[sentinel]
                process.join()
                asked.add(process.pid)
                if (worker, process) in self._processes():
                    self._replace(worker, process.exitcode)

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
