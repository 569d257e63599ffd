"""The composition root: settings → store, supervisor, engine → Sanic app.

`sanic service.app` finds `app` here, made when it is first asked for, so that importing the module
starts nothing; `--factory` with `service.app:create_app` works as well. What can fail for reasons
that a person mends is checked in `create_app` in the main process, where a failure gives exit
status 2 and a sentence.
"""

from __future__ import annotations

import asyncio
import atexit
import gc
import multiprocessing
import os
import signal
import sys
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final, NoReturn

# What is loaded stays: to look through it for garbage, again and again while it grows, takes a
# seventh of the time that loading it does.
if _is_collecting := gc.isenabled():
    gc.disable()

import structlog
from sanic import Sanic
from sanic.config import Config
from sanic.mixins import startup

from service import logs, state_dir
from service.access import tokens
from service.access.audit import AuditLog
from service.access.exposure import why_exposed
from service.api.attach import attach
from service.api.gate import Gate
from service.api.health import health
from service.api.jobs import jobs
from service.api.metrics import metrics
from service.api.openapi import openapi
from service.api.problems import ERROR_FORMAT, Problems
from service.api.public import public_routes
from service.engine.engine import Engine
from service.engine.kinds_health import KindsHealth
from service.engine.shutdown import end_all_jobs, jobs_bound_s
from service.errors import JobrunnerError, Unauthenticated
from service.host.heartbeats import Heartbeats
from service.link.launch import Starting, SupervisorFailed
from service.metrics import shared
from service.metrics.series import Metrics
from service.operations import confinement
from service.output.watcher import LogWatcher
from service.settings import OnShutdown, SettingError, Settings
from service.store import Reserve, Store, StoreError
from service.web.access_log import Observer
from service.web.asyncio_compat import close_before_connections, send_at_once
from service.web.bounded_stop import BoundedStop
from service.web.connection import Connection, connection_of
from service.web.fd_reserve import TooFewDescriptors, check_limit, keep_reserve, raise_limit
from service.web.parent import states_manager
from service.web.request import ForgivingRequest
from service.web.strangers import Strangers
from service.web.tls import Accepted, loader_for
from service.web.watchdog import end_with_main_process, watch

if _is_collecting:
    gc.enable()

_log = structlog.get_logger("jobrunner.app")

NAME: Final = "jobrunner"
# Exit status for what is wrong with the settings or the state directory. Source: sysexits(3) has
# 78; 2 is what shells and argparse use for wrong usage.
EXIT_USAGE: Final = 2
EXIT_ERROR: Final = 1
# The same when jobs may go on that should have been ended.
EXIT_UNFINISHED: Final = 1
# What a person mends; each has a sentence.
_REFUSALS: Final = (
    SettingError,
    state_dir.StateDirError,
    StoreError,
    TooFewDescriptors,
    confinement.Unconfined,
)
# Seconds for connections to end when a worker stops. Below the ten that Sanic's main process gives
# its workers, or `after_server_stop` never runs.
_GRACEFUL_S: Final = 3.0
# Connections that wait to be accepted: beyond it a client's next try comes after a second.
_BACKLOG: Final = 1024


class Jobrunner(Sanic[Config, Any]):
    """Sanic, listening where the settings say unless its own flags say otherwise."""

    def get_address(  # type: ignore[override]  # static in Sanic, and called on the instance
        self, host: str | None, port: int | None, *_: object, **__: object
    ) -> tuple[str, int]:
        settings: Settings = self.ctx.settings
        host = host or settings.hostname
        why = why_exposed(settings, self.config, listens_on=host)
        if why is not None and not tokens.enabled(settings.state_dir):
            _give_up(why)
        return host, settings.port if port is None else port

    def prepare(self, *args: Any, **options: Any) -> None:
        # Sanic's own log of requests, which it writes with --dev, has their query strings.
        has_tls = options.get("ssl") is not None
        ours = {"access_log": False, "protocol": Accepted if has_tls else Connection}
        settings: Settings = self.ctx.settings
        if settings.tls_client_ca is not None and not has_tls:
            _give_up(
                "JOBRUNNER_TLS_CLIENT_CA asks for client certificates, which come with TLS"
                " only: give --cert and --key too."
            )
        super().prepare(*args, **{"backlog": _BACKLOG, **options, **ours})

    async def handle_request(self, request: Any) -> None:
        """The gate comes first. A signal or a middleware of Sanic costs as much as a whole short
        request does, and comes too late for what has no route.
        """
        observer: Observer = self.ctx.observer
        gate: Gate = self.ctx.gate
        observer.begun(request)
        try:
            try:
                principal = request.ctx.principal = gate.admit(request)
            except JobrunnerError as exc:
                if exc.status == Unauthenticated.status or connection_of(request).is_stranger:
                    request.stream.keep_alive = False
                await self.handle_exception(request, exc, run_middleware=False)
                return
            if principal.scopes and (connection := connection_of(request)).is_stranger:
                connection.prove()
            try:
                await super().handle_request(request)
            finally:
                gate.leave(request)
        except asyncio.CancelledError:
            observer.cancelled(request)
            raise
        observer.ended(request)

    async def handle_exception(self, request: Any, *args: Any, **options: Any) -> None:
        try:
            await super().handle_exception(request, *args, **options)
        finally:
            self.ctx.observer.ended(request)


def _give_up(sentence: str) -> NoReturn:
    print(f"jobrunner: {sentence}", file=sys.stderr)  # noqa: T201 - before there is a log
    raise SystemExit(EXIT_USAGE)


# Sanic makes its process of the workers' states by this name, and would leave it behind.
startup.Manager = states_manager  # type: ignore[attr-defined]  # imported there by that name


def create_app(_arguments: object = None) -> Jobrunner:
    """The app. In the main process it also takes the state directory, and exits with status 2 when
    that or a setting is wrong, with 1 after any other error: Sanic would exit with 0 then.
    """
    try:
        return _create_app()
    except Exception:  # noqa: BLE001 - the outermost place, and all of it is shown
        traceback.print_exc()
        raise SystemExit(EXIT_ERROR) from None


def _create_app() -> Jobrunner:
    try:
        settings = Settings.from_environment()
        logs.configure(settings.log_format)
        lock = None
        if _is_main_process():
            check_limit()
            lock = _take_state_dir(settings)
            confinement.check(settings)
            if confinement.is_root(settings):
                _log.warning("jobs_run_as_root", mend="JOBRUNNER_RUN_AS")
            for variable in settings.unknown:
                print(f"jobrunner: {variable} is no setting, and is ignored.", file=sys.stderr)  # noqa: T201 - as below
    except _REFUSALS as exc:
        print(f"jobrunner: {exc}", file=sys.stderr)  # noqa: T201 - before there is a log
        raise SystemExit(EXIT_USAGE) from exc
    app = Jobrunner(
        NAME,
        error_handler=Problems(),
        request_class=ForgivingRequest,
        configure_logging=True,
        certloader_class=loader_for(settings.tls_client_ca),
        log_config=logs.of_libraries(settings.log_format),
    )
    app.config.REQUEST_MAX_SIZE = settings.max_body
    app.config.REQUEST_TIMEOUT = settings.request_timeout
    app.config.GRACEFUL_SHUTDOWN_TIMEOUT = _GRACEFUL_S
    app.config.FALLBACK_ERROR_FORMAT = ERROR_FORMAT
    app.ctx.settings = settings
    app.ctx.lock = lock
    app.ctx.has_manager = False
    app.ctx.has_served = False
    app.blueprint([jobs, attach, health, metrics, openapi])
    app.on_request(keep_reserve)
    app.on_request(send_at_once)
    app.main_process_start(_start_supervisor)
    app.main_process_ready(_watch_workers)
    app.main_process_stop(_end_jobs_of_workers)
    app.before_server_start(_open)
    app.before_server_stop(_close)
    app.after_server_stop(_end_jobs_of_single_process)
    return app


def _is_main_process() -> bool:
    return multiprocessing.parent_process() is None


def _take_state_dir(settings: Settings) -> int:
    state_dir.prepare(settings.state_dir)
    lock = state_dir.hold(settings.state_dir)
    records = settings.state_dir / "jobs.db"
    Reserve(records).prepare_start()
    Store(records).close()  # migrated here, before there are workers
    shared.prepare(settings.state_dir)
    return lock


async def _start_supervisor(app: Jobrunner) -> None:
    app.ctx.has_manager = True
    app.ctx.beats = Heartbeats()
    app.shared_ctx.beats = app.ctx.beats.memory  # workers are handed it as they start
    settings: Settings = app.ctx.settings
    signal.signal(signal.SIGTERM, _end_early)
    with _refusals():
        app.ctx.starting = Starting(settings.state_dir, cgroup=settings.cgroup)


@contextmanager
def _refusals() -> Iterator[None]:
    try:
        yield
    except SupervisorFailed as exc:
        print(f"jobrunner: {exc}", file=sys.stderr)  # noqa: T201
        raise SystemExit(EXIT_USAGE) from exc


def _end_early(_number: int, _frame: object) -> None:
    """Told to end before there are workers: Sanic's helper processes end with the main process only
    when that ends in order.
    """
    raise SystemExit(0)


async def _watch_workers(app: Jobrunner) -> None:
    def confirm() -> None:
        # Only now, beside the workers: they take longer than it does, and need it last.
        with _refusals():
            app.ctx.starting.wait()
        app.ctx.has_served = True

    settings: Settings = app.ctx.settings
    app.ctx.stop_in_time = BoundedStop(
        app.manager, lambda: asyncio.run(_end_jobs(app)), jobs_bound_s(settings)
    )
    # With --dev a person may look at a worker in a debugger: it isn't dead.
    watch(app.manager, confirm, app.ctx.beats, app.ctx.stop_in_time, judges=not app.debug)


async def _open(app: Jobrunner) -> None:
    end_with_main_process(getattr(app, "multiplexer", None))
    raise_limit()
    close_before_connections()
    settings: Settings = app.ctx.settings
    app.ctx.open_streams = set()
    app.ctx.strangers = Strangers(settings.max_strangers)
    app.ctx.store = Store(settings.state_dir / "jobs.db")
    app.ctx.audit_log = AuditLog(settings.state_dir)
    public = public_routes(app.router)
    app.ctx.gate = Gate(settings, app.ctx.audit_log, public=public, sanic=app.config)
    app.ctx.gate.open()
    app.ctx.log_watcher = LogWatcher(lambda why: _log.warning("output_not_watched", why=why))
    app.ctx.log_watcher.open()
    app.ctx.metrics = _metrics(settings)
    app.ctx.observer = Observer(app.ctx.metrics, log_requests=settings.log_requests)
    app.ctx.kinds_health = KindsHealth(settings)
    memory = getattr(app.shared_ctx, "beats", None)  # there is none in a single process
    beats = Heartbeats(memory) if memory is not None else None
    app.ctx.engine = Engine(settings, app.ctx.store, app.ctx.metrics, beats)
    await app.ctx.engine.open()


def _metrics(settings: Settings) -> Metrics:
    try:
        return Metrics(shared.Slot(settings.state_dir))
    except shared.NotShared as exc:
        _log.warning("metrics_not_shared", why=str(exc))
        return Metrics()


async def _close(app: Jobrunner) -> None:
    """Cut the streams, finish what was begun, hand over. Sanic calls it twice at once on Ctrl-C."""
    for stream in list(app.ctx.open_streams):
        stream.abort()
    app.ctx.log_watcher.close()
    await app.ctx.engine.close()
    app.ctx.gate.close()
    app.ctx.audit_log.close()


async def _end_jobs(app: Jobrunner) -> bool:
    """Whether no job is left that should be ended."""
    settings: Settings = app.ctx.settings
    return settings.shutdown is not OnShutdown.KILL or await end_all_jobs(settings)


async def _end_jobs_of_workers(app: Jobrunner) -> None:
    shared.remove(app.ctx.settings.state_dir)
    # A start that fails, as the port is taken, ends no job that an earlier service has left.
    if not app.ctx.has_served:
        return
    app.ctx.stop_in_time.workers_gone()
    ok = await _end_jobs(app)
    app.ctx.stop_in_time.jobs_gone(ok=ok)
    if not ok:
        raise SystemExit(EXIT_UNFINISHED)


async def _end_jobs_of_single_process(app: Jobrunner) -> None:
    if _is_main_process() and not app.ctx.has_manager:
        shared.remove(app.ctx.settings.state_dir)
        if not await _end_jobs(app):
            # Sanic would log an exception that is raised here as one of its own.
            atexit.register(_exit_unfinished)


def _exit_unfinished() -> None:
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(EXIT_UNFINISHED)


_app: Jobrunner | None = None


def __getattr__(name: str) -> Any:
    global _app  # noqa: PLW0603 - made once, when first asked for
    if name != "app":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    if _app is None:
        _app = create_app()
    return _app
