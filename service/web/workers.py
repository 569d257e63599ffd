"""Sanic's worker processes, as the main process sees them.

Sanic's `WorkerManager` spawns them, waits until they serve, and turns a loop ten times a second.
Every private name of it that the service relies on stands in this module.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any, Final

import structlog
from sanic.exceptions import ServerKilled
from sanic.worker.constants import ProcessState

# Seconds for workers to abort their streams and hand their jobs over. They take four at most.
END_S: Final = 10.0

# Seconds for all workers of a start to serve; then Sanic ends it. Its own thirty are too few on a
# machine that boots, or is busy. One that fails is told of at once.
START_S: Final = 120.0

_log = structlog.get_logger("jobrunner.watchdog")


class Workers:
    """One in the main process, made before the workers are spawned."""

    def __init__(
        self,
        manager: Any,
        *,
        on_turn: Callable[[], None],
        on_spawned: Callable[[], None],
        on_serving: Callable[[], None],
    ) -> None:
        """`manager` is Sanic's. `on_turn` is called at each turn of its loop; `on_spawned` once,
        when the workers are spawned: it may block, and if it raises, they are killed and the main
        process exits; `on_serving` once, when all of them serve.
        """
        self._manager = manager
        self._on_turn = on_turn
        run, wait_for_ack = manager.run, manager.wait_for_ack
        poll_monitor = manager._poll_monitor

        def run_logged() -> None:
            try:
                run()
            except (ServerKilled, SystemExit):
                raise
            except BaseException:  # noqa: BLE001 - whatever it is, this process ends by it
                _log.exception("main_failed")
                raise SystemExit(1) from None

        def wait() -> None:
            try:
                on_spawned()
            except BaseException:
                self._kill_spawned()
                raise
            wait_for_ack()
            on_serving()

        def poll() -> Any:
            on_turn()
            try:
                return poll_monitor()
            except OSError as exc:  # no process could be spawned: the watchdog asks for it again
                _log.error("worker_not_spawned", error=str(exc))
                return None

        manager.THRESHOLD = int(START_S * 10)  # turns of its loop, ten in a second
        manager.run = run_logged
        manager.wait_for_ack = wait
        manager._poll_monitor = poll
        manager._all_workers_ack = self._all_serve

    @property
    def are_stopping(self) -> bool:
        """Sanic replaces no worker any more."""
        is_stopping: bool = self._manager._shutting_down
        return is_stopping

    def servers(self) -> list[tuple[Any, Any]]:
        """Each worker that serves requests, with its `multiprocessing.Process` of this moment: that
        changes when Sanic replaces the worker.
        """
        workers = [w for w in self._manager.transient_processes if "Server" in w.name]
        return [(w, w._current_process) for w in workers]

    def replace(self, worker: Any) -> None:
        """Ask Sanic's loop to spawn this worker anew. From any thread."""
        self._manager.monitor_publisher.send(f"{worker.name}:")

    def stop(self) -> None:
        """Have Sanic's loop tell all workers to stop. Also from a signal handler.

        Sanic's own handler would end them from within the code that it interrupts.
        """
        self._manager._shutting_down = True  # from now on no worker is replaced
        self._manager.monitor_publisher.send("__TERMINATE__")

    def kill(self, signal_number: int) -> None:
        """Kill those that were told to stop and haven't, as Sanic does on a second signal."""
        self._manager.shutdown_signal(signal_number, None)

    def end_left(self) -> None:
        """Have those that still live hand over and end, after a failure of Sanic's loop. Blocks,
        for `END_S` seconds at most; then they are killed.
        """
        self._manager._shutting_down = True
        left = [process for process in self._manager.processes if process.is_alive()]
        for process in left:
            process._current_process.terminate()
        deadline = time.monotonic() + END_S
        for process in left:
            process._current_process.join(max(0.0, deadline - time.monotonic()))
        self.kill_stuck()
        for process in left:
            process._current_process.join()
            process.set_state(ProcessState.TERMINATED, force=True)  # else Sanic waits for it

    def kill_stuck(self) -> None:
        """Kill those that still live. From any thread."""
        for process in list(self._manager.processes):
            if process.is_alive():
                _log.error("worker_not_stopped", worker=process.name)
                process._current_process.kill()

    def _kill_spawned(self) -> None:
        """A worker that serves already has stored every job that it has accepted."""
        for process in self._manager.processes:
            process._current_process.kill()
            process._current_process.join()
            # Without this Sanic waits ten seconds for the process to publish it itself.
            process.set_state(ProcessState.TERMINATED, force=True)

    def _all_serve(self) -> bool:
        self._on_turn()
        states = [s for s in self._manager.worker_state.values() if s.get("server")]
        # One that died is replaced as at any other time; Ctrl-C reaches the workers as well.
        any_died = not all(process.is_alive() for process in self._manager.transient_processes)
        return any_died or all(state.get("serving") for state in states)
