"""The end of the service within a bound, whatever hangs.

Sanic's main process waits for its workers, and for the process that keeps their states, without a
bound: one that is stopped (SIGSTOP) or blocked would keep it for ever. A thread counts from the
first signal on, and ends the hard way what is left then. The exit status is 1 if jobs may be left.
"""

from __future__ import annotations

import multiprocessing
import os
import sys
import threading
from collections.abc import Callable
from typing import Any, Final

import structlog

# Seconds for workers to cut their streams and hand their jobs over. They take four at most.
_WORKERS_S: Final = 10.0
# Seconds for the main process to see that its workers have ended; it looks ten times a second.
_MAIN_S: Final = 5.0
# Seconds beyond its own bound until ending the jobs counts as hung.
_SPARE_S: Final = 5.0
# Seconds for Sanic to clean up after itself; it waits ten for states that aren't told any more.
_CLEAN_UP_S: Final = 15.0
_FAILED: Final = 1

_log = structlog.get_logger("jobrunner.watchdog")


class BoundedStop(threading.Thread):
    """Begins with `begin`, which may be called often, from any thread and from a signal handler."""

    def __init__(self, manager: Any, end_jobs: Callable[[], bool], jobs_s: float) -> None:
        """`manager` is Sanic's WorkerManager. `end_jobs` ends the jobs as the settings say, within
        `jobs_s` seconds, and tells whether none is left that should be.
        """
        super().__init__(name="bounded-stop", daemon=True)
        self._manager = manager
        self._end_jobs = end_jobs
        self._jobs_s = jobs_s
        self._begun = threading.Event()
        self._workers_gone = threading.Event()
        self._jobs_gone = threading.Event()
        self.status = 0

    def begin(self) -> None:
        self._begun.set()

    def workers_gone(self) -> None:
        """The main process has seen that all workers have ended, and ends the jobs."""
        self._workers_gone.set()

    def jobs_gone(self, *, ok: bool) -> None:
        """The main process has ended the jobs, or given up."""
        self.status = 0 if ok else _FAILED
        self._jobs_gone.set()

    def run(self) -> None:
        self._begun.wait()
        if not self._workers_gone.wait(_WORKERS_S):
            for process in list(self._manager.processes):
                if process.is_alive():
                    _log.error("worker_not_stopped", worker=process.name)
                    process._current_process.kill()  # noqa: SLF001 - Sanic has no public name for it
            if not self._workers_gone.wait(_MAIN_S):
                self._instead_of_main()
        if not self._jobs_gone.wait(self._jobs_s + _SPARE_S):
            self._give_up("ending the jobs took too long; some may go on")
        threading.Event().wait(_CLEAN_UP_S)
        self._give_up("what Sanic left hung")

    def _instead_of_main(self) -> None:
        """The main thread hangs: what it would do is done here."""
        _log.error("main_hangs")
        self.jobs_gone(ok=self._end_jobs())
        self._give_up("the main process hung")

    def _give_up(self, why: str) -> None:
        print(f"jobrunner: {why}; ended the hard way.", file=sys.stderr, flush=True)  # noqa: T201 - the last word
        for process in multiprocessing.active_children():
            process.kill()
        os._exit(self.status if self._jobs_gone.is_set() else _FAILED)
