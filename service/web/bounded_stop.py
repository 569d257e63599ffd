"""The stop of the service takes a bounded time, whatever hangs.

Sanic's main process waits for its workers without a bound: one that is stopped (SIGSTOP) or blocked
would keep it for ever. A thread counts from the first signal on, and kills what is left at each
deadline. The exit status is 1 if jobs may still run.
"""

from __future__ import annotations

import multiprocessing
import os
import sys
import threading
from collections.abc import Callable
from typing import Final

import structlog

from service.web.workers import END_S, Workers

# Seconds for the workers to start, if the stop is requested before all of them serve.
_START_S: Final = 30.0
# Seconds for the main process to see that its workers are gone; it looks ten times a second.
_MAIN_S: Final = 5.0
# Seconds beyond its own bound until ending the jobs counts as hung.
_SPARE_S: Final = 5.0
# Seconds for Sanic's own cleanup, which waits ten for workers to publish that they ended.
_CLEANUP_S: Final = 15.0
_FAILED: Final = 1

_log = structlog.get_logger("jobrunner.watchdog")


class BoundedStop(threading.Thread):
    """Counts from `begin` on, which may be called often, from any thread and any signal handler."""

    def __init__(
        self, workers: Workers, end_jobs: Callable[[], bool], jobs_s: float, *, drains: bool
    ) -> None:
        """`end_jobs` ends the jobs as the settings say, within `jobs_s` seconds; False if any may
        still run. One that `drains` counts from `waits_no_more` on, once all workers serve.
        """
        super().__init__(name="bounded-stop", daemon=True)
        self._workers = workers
        self._end_jobs = end_jobs
        self._jobs_s = jobs_s
        self._begun = threading.Event()
        self._serving = threading.Event()
        self._drained = threading.Event()
        if not drains:
            self._drained.set()
        self._workers_gone = threading.Event()
        self._jobs_ended = threading.Event()
        self.status = 0

    def begin(self) -> None:
        self._begun.set()

    def waits_no_more(self) -> None:
        """The workers are told to stop: no job runs any more, or nobody waits for those that do."""
        self._drained.set()

    def all_serve(self) -> None:
        """The workers have started, so they can be told to stop."""
        self._serving.set()

    def workers_gone(self) -> None:
        """The main process has seen that all workers are gone, and ends the jobs now."""
        self._workers_gone.set()

    def jobs_ended(self, *, ok: bool) -> None:
        """The main process has ended the jobs, or given up."""
        self.status = 0 if ok else _FAILED
        self._jobs_ended.set()

    def run(self) -> None:
        self._begun.wait()
        if self._serving.wait(_START_S):
            self._drained.wait()
        if not self._workers_gone.wait(END_S):
            self._workers.kill_stuck()
            if not self._workers_gone.wait(_MAIN_S):
                self._replace_main()
        if not self._jobs_ended.wait(self._jobs_s + _SPARE_S):
            self._exit("ending the jobs took too long; some may still run")
        threading.Event().wait(_CLEANUP_S)
        self._exit("Sanic's cleanup hung")

    def _replace_main(self) -> None:
        """The main thread hangs: do here what it would do."""
        _log.error("main_hangs")
        self.jobs_ended(ok=self._end_jobs())
        self._exit("the main process hung")

    def _exit(self, why: str) -> None:
        print(f"jobrunner: {why}; killed what was left.", file=sys.stderr, flush=True)  # noqa: T201 - this process is about to exit
        for process in multiprocessing.active_children():
            process.kill()
        os._exit(self.status if self._jobs_ended.is_set() else _FAILED)
