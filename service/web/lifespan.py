"""The order in which a process of the service starts and stops, and who waits for whom.

STARTING → SERVING (→ DRAINING) → STOPPING. The main process and each of its workers has a
`Lifespan`; with `--single-process` one process has both halves.

1. The main process takes the state directory, then starts the supervisor and doesn't wait for it.
2. It spawns the workers. Each opens its parts in order; one that fails closes those before it.
3. It waits for the supervisor, then for every worker. If the supervisor fails, it kills the workers
   and exits with 2. Once all workers serve it is SERVING, and replaces those that crash.
4. SIGTERM before the workers are spawned ends it at once. A signal while they start is kept until
   they serve: a worker that is told to stop while it starts may miss it, or die of it.
   `BoundedStop` counts from the first signal on, so a start that hangs ends as well.
5. A signal while SERVING: STOPPING. From here on no worker is replaced. If the settings say `drain`
   it is DRAINING first: the workers serve, and take no job, until none runs, or a bound has passed,
   or there is a second signal.
6. Each worker closes its parts in reverse order, streams first, so that its connections can end.
7. The main process waits for all workers to be gone. Only then does it end the jobs, if the
   settings say so: a worker can't tell a reload from a stop, and hands its jobs over in both.
8. A signal while STOPPING kills the workers; 7 follows.
9. A stop without a signal, a failure of the main process, ends its workers and no job: the next
   service goes on with them. The exit status is 1. When the main process is killed, the workers
   stop by themselves (`parent_death`), and the jobs run on as well.
"""

from __future__ import annotations

import asyncio
import atexit
import multiprocessing
import os
import signal
import sys
import threading
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from enum import StrEnum
from typing import Any, Final

import structlog
from sanic import Sanic

from service.host.heartbeats import Heartbeats
from service.link.launch import Starting
from service.web.asyncio_compat import close_before_connections
from service.web.bounded_stop import BoundedStop
from service.web.fd_reserve import raise_limit
from service.web.jobs_at_stop import JobsAtStop
from service.web.parent_death import exit_with_main_process
from service.web.refusal import EXIT_ERROR, refusals
from service.web.watchdog import Watchdog
from service.web.workers import Workers

_STOPPING: Final = (signal.SIGINT, signal.SIGTERM)

_log = structlog.get_logger("jobrunner.app")


def is_main_process() -> bool:
    """False in a worker, and in each helper process of Sanic."""
    return multiprocessing.parent_process() is None


class Phase(StrEnum):
    """Of one process."""

    STARTING = "starting"
    SERVING = "serving"
    DRAINING = "draining"
    STOPPING = "stopping"


class Lifespan:
    """One in each process. Its methods are called by Sanic, in the order in which they stand."""

    def __init__(
        self,
        *,
        state_dir_lock: int | None,
        start_supervisor: Callable[[], Starting],
        open_parts: Callable[[AsyncExitStack, Heartbeats | None], Awaitable[None]],
        jobs: JobsAtStop,
        remove_shared: Callable[[], None],
        greet: Callable[[Any], None],
    ) -> None:
        """`state_dir_lock`: a descriptor that the main process keeps open until it exits.
        `start_supervisor` returns before that serves. `open_parts` opens a worker's parts.
        `remove_shared` removes the files that only workers need. `greet` says that the service
        serves.
        """
        self.phase = Phase.STARTING
        self.heartbeats: Heartbeats | None = None  # shared by the main process and its workers
        self._start_supervisor = start_supervisor
        self._open_parts = open_parts
        self._jobs = jobs
        self._remove_shared = remove_shared
        self._greet = greet
        self._state_dir_lock = state_dir_lock
        self._supervisor: Starting | None = None
        self._workers: Workers | None = None
        self._bounded_stop: BoundedStop | None = None
        self._kept_signal: int | None = None
        self._is_asked_to_stop = False
        self._is_urgent = False  # there was more than one signal
        self._signals = 0  # that the watchdog has seen
        self._draining: asyncio.Future[None] | None = None
        self._may_have_jobs = False  # of this service: a start that failed ends none of an earlier
        self._replaces_silent = True
        self._parts = AsyncExitStack()
        self._closing: asyncio.Future[None] | None = None

    def attach(self, app: Sanic[Any, Any]) -> None:
        """Have Sanic call it."""
        app.main_process_start(self.start_main)
        app.main_process_ready(self.watch_workers)
        app.before_server_start(self.open_worker)
        app.after_server_start(self.watch_single_process)
        app.before_server_stop(self.close_worker)
        app.after_server_stop(self.end_single_process)
        app.main_process_stop(self.stop_main)

    # The main process: start

    async def start_main(self, app: Any) -> None:
        signal.signal(signal.SIGTERM, self.on_signal)
        self.heartbeats = Heartbeats()
        app.shared_ctx.heartbeats = self.heartbeats.memory  # workers get it when they are spawned
        with refusals():
            self._supervisor = self._start_supervisor()

    async def watch_workers(self, app: Any) -> None:
        assert self.heartbeats is not None  # noqa: S101 - `start_main` came before
        # With --dev a worker may stand in a debugger: it isn't dead.
        self._replaces_silent = not app.debug
        self._workers = Workers(
            app.manager,
            on_turn=self.heartbeats.beat_main,
            on_spawned=self._wait_for_supervisor,
            on_serving=lambda: self._serve(app),
        )
        self._bounded_stop = BoundedStop(
            self._workers,
            lambda: asyncio.run(self._end_or_leave_jobs()),
            self._jobs.end_s,
            drains=self._jobs.drain is not None,
        )
        self._bounded_stop.start()
        for number in _STOPPING:
            signal.signal(number, self.on_signal)

    def _wait_for_supervisor(self) -> None:
        # Not before: the workers start beside it, take longer than it does, and need it last.
        assert self._supervisor is not None  # noqa: S101 - `start_main` came before
        with refusals():
            self._supervisor.wait()
        self._may_have_jobs = True
        self._jobs.began()

    def _serve(self, app: Any) -> None:
        assert self._workers is not None  # noqa: S101 - who calls this
        assert self._bounded_stop is not None  # noqa: S101 - made with them
        self._bounded_stop.all_serve()
        heartbeats = self.heartbeats if self._replaces_silent else None
        watchdog = Watchdog(self._workers, heartbeats, self._bound_stop)
        self.phase = Phase.SERVING  # a signal acts from here on
        if self._kept_signal is None:
            self._greet(app)
        else:
            self._stop_or_drain(self._workers, self._bounded_stop)
        watchdog.start()

    # A worker

    async def open_worker(self, app: Any) -> None:
        exit_with_main_process()
        raise_limit()
        close_before_connections()
        memory = getattr(app.shared_ctx, "heartbeats", None)  # none in a single process
        async with AsyncExitStack() as parts:
            await self._open_parts(parts, None if memory is None else Heartbeats(memory))
            if memory is None:  # it has the main process's part as well
                self._may_have_jobs = True
                await asyncio.to_thread(self._jobs.began)
            self._parts = parts.pop_all()
        self.phase = Phase.SERVING

    async def watch_single_process(self, app: Any) -> None:
        """Sanic has set its handlers of signals: they don't tell that there was a signal."""
        if not is_main_process():
            return

        def on_signal() -> None:
            self._is_asked_to_stop = True
            if self._jobs.drain is None or self.phase is not Phase.SERVING:
                app.stop(terminate=False)
                return
            self.phase = Phase.DRAINING
            draining = asyncio.ensure_future(self._jobs.drain())
            draining.add_done_callback(lambda _: app.stop(terminate=False))
            self._draining = draining

        for number in _STOPPING:
            asyncio.get_running_loop().add_signal_handler(number, on_signal)
        self._greet(app)

    async def close_worker(self, _app: Any) -> None:
        # Sanic calls this twice at once on Ctrl-C.
        self.phase = Phase.STOPPING
        if self._closing is None:
            self._closing = asyncio.ensure_future(self._parts.aclose())
        await asyncio.shield(self._closing)

    async def end_single_process(self, _app: Any) -> None:
        if not is_main_process():
            return
        self._remove_shared()
        if not await self._end_or_leave_jobs():
            # Sanic would log an exception that is raised here as one of its own.
            atexit.register(_exit_with_error)

    # The main process: stop

    def on_signal(self, number: int, _frame: object = None) -> None:
        """The handler of SIGINT and SIGTERM in the main process. Raises: SystemExit, before workers
        are spawned: Sanic's helper processes only end with a main process that exits in order.
        """
        self._is_asked_to_stop = True
        if self._workers is None or self._bounded_stop is None:
            raise SystemExit(0)
        match self.phase:
            case Phase.STARTING:
                self._is_urgent = self._kept_signal is not None
                self._kept_signal = number
                self._bounded_stop.begin()
            case Phase.SERVING:
                self._stop_or_drain(self._workers, self._bounded_stop)
            case Phase.DRAINING:
                self._stop(self._workers, self._bounded_stop)
            case Phase.STOPPING:
                self._bounded_stop.begin()
                self._workers.kill(number)

    def _bound_stop(self) -> None:
        """A signal came, though the main thread may hang."""
        assert self._bounded_stop is not None  # noqa: S101 - who calls this
        self._signals += 1
        _log.info("service_stopping", signals=self._signals)  # not from a handler of signals
        self._bounded_stop.begin()
        if self._signals > 1:
            self._bounded_stop.waits_no_more()

    def _stop_or_drain(self, workers: Workers, bounded_stop: BoundedStop) -> None:
        if self._jobs.drain is None or self._is_urgent:
            self._stop(workers, bounded_stop)
        else:
            self.phase = Phase.DRAINING
            threading.Thread(target=self._drain_and_stop, name="drain", daemon=True).start()

    def _drain_and_stop(self) -> None:
        assert self._jobs.drain is not None  # noqa: S101 - who calls this
        assert self._workers is not None  # noqa: S101 - it serves
        assert self._bounded_stop is not None  # noqa: S101 - made with them
        try:
            asyncio.run(self._jobs.drain())
        finally:
            if self.phase is Phase.DRAINING:
                self._stop(self._workers, self._bounded_stop)

    def _stop(self, workers: Workers, bounded_stop: BoundedStop) -> None:
        self.phase = Phase.STOPPING
        bounded_stop.begin()
        bounded_stop.waits_no_more()
        workers.stop()

    async def stop_main(self, _app: Any) -> None:
        """Called when no worker lives any more, or Sanic's loop has failed, or the start has."""
        are_left, self.phase = self.phase is not Phase.STOPPING, Phase.STOPPING
        if self._workers is None or self._bounded_stop is None or not self._may_have_jobs:
            self._remove_shared()
            return
        self._bounded_stop.begin()
        self._bounded_stop.waits_no_more()
        if are_left:
            self._workers.end_left()
        self._remove_shared()
        self._bounded_stop.workers_gone()
        ok = await self._end_or_leave_jobs()
        self._bounded_stop.jobs_ended(ok=ok)
        _log.info("service_stopped", ok=ok)
        if not ok:
            raise SystemExit(EXIT_ERROR)

    async def _end_or_leave_jobs(self) -> bool:
        """False when the exit status is to say that something went wrong."""
        if not self._may_have_jobs:
            return True
        if self._is_asked_to_stop:
            return await self._jobs.end()
        _log.error("stopped_by_failure", jobs="left for the next service")
        return False


def _exit_with_error() -> None:
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(EXIT_ERROR)
