"""Workers that crash or hang are replaced.

Sanic notices that a worker crashed and leaves it at that; with the last one dead the port still
accepts connections, and requests hang.
"""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable
from multiprocessing.connection import wait
from typing import Any, Final

import structlog

from service.host.heartbeats import SILENT_S, Heartbeats
from service.web.workers import Workers

# Seconds between two starts of the same worker: one that can't start must not spin.
_RESTART_S: Final = 1.0
# Seconds between two checks whether Sanic's loop has replaced a worker. That loop turns ten times a
# second, and nothing announces it.
_REPLACED_S: Final = 0.05
# Seconds after which a worker that was to be replaced and has no process counts as not spawned.
_SPAWN_S: Final = 5.0
# Seconds between two checks of the heartbeats.
_CHECK_S: Final = 2.0
_STOPPING: Final = (signal.SIGINT, signal.SIGTERM)

_log = structlog.get_logger("jobrunner.watchdog")


class Watchdog(threading.Thread):
    """Runs in the main process once all workers serve, until they are told to stop."""

    def __init__(
        self,
        workers: Workers,
        heartbeats: Heartbeats | None,
        on_stop_signal: Callable[[], None],
    ) -> None:
        """Without `heartbeats` no worker is killed for being silent. `on_stop_signal` is called for
        SIGINT and SIGTERM, also while the main thread hangs and runs no handler. From the main
        thread.
        """
        super().__init__(name="watchdog", daemon=True)
        self._workers = workers
        self._heartbeats = heartbeats
        self._on_stop_signal = on_stop_signal
        self._signals = _signal_numbers()
        self._checked_at = 0.0
        self._awake_since = float("inf")
        self._restarted: dict[str, float] = {}

    def run(self) -> None:
        replaced: set[int] = set()  # pids of processes whose replacement was requested
        while not self._workers.are_stopping:
            try:
                self._watch(replaced)
            except Exception:  # noqa: BLE001 - without this thread no worker would be replaced
                _log.exception("watchdog_failed")
                threading.Event().wait(_RESTART_S)

    def _watch(self, replaced: set[int]) -> None:
        while not self._workers.are_stopping:
            servers = self._workers.servers()
            live: dict[Any, tuple[Any, Any]] = {
                process.sentinel: (worker, process)
                for worker, process in servers
                if process.pid is not None and process.pid not in replaced
            }
            timeout_s = _REPLACED_S if len(live) < len(servers) else _CHECK_S
            for ready in wait([*live, self._signals], timeout=timeout_s):
                if ready == self._signals:
                    self._read_signals()
                    continue
                worker, process = live[ready]
                process.join()
                replaced.add(process.pid)
                if (worker, process) in self._workers.servers():
                    self._replace(worker, process.exitcode)

            self._spawn_missing(servers)
            self._kill_silent()

    def _read_signals(self) -> None:
        if set(os.read(self._signals, 256)) & set(_STOPPING):
            self._on_stop_signal()

    def _spawn_missing(self, servers: list[tuple[Any, Any]]) -> None:
        """Ask again for workers that Sanic's loop couldn't spawn: the host had no process left."""
        for worker, process in servers:
            since = time.monotonic() - self._restarted.get(worker.name, float("inf"))
            if process.pid is None and since > _SPAWN_S:
                self._restarted[worker.name] = time.monotonic()
                self._workers.replace(worker)

    def _kill_silent(self) -> None:
        """Kill workers whose loop doesn't turn; they are replaced like any that exits."""
        now = time.monotonic()
        if now - self._checked_at > 2 * _CHECK_S:
            # This process, or the whole machine, was stopped: every worker gets a new period.
            self._awake_since = now
        self._checked_at = now
        if self._heartbeats is None or now - self._awake_since < SILENT_S:
            return
        for worker, process in self._workers.servers():
            silent_s = self._heartbeats.worker_silent_s(worker.name, process.pid or 0)
            if silent_s > SILENT_S and process.is_alive():
                _log.error("worker_silent", worker=worker.name, silent_s=round(silent_s))
                process.kill()

    def _replace(self, worker: Any, status: int | None) -> None:
        if self._workers.are_stopping:
            return
        since = time.monotonic() - self._restarted.get(worker.name, 0.0)
        if since < _RESTART_S:
            threading.Event().wait(_RESTART_S - since)
        self._restarted[worker.name] = time.monotonic()
        _log.error("worker_ended", worker=worker.name, status=status)
        self._workers.replace(worker)


def _signal_numbers() -> int:
    """A descriptor that yields the number of each signal as one byte."""
    reader, writer = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
    signal.set_wakeup_fd(writer, warn_on_full_buffer=False)
    return reader
