"""The composition root: settings → store, supervisor, engine → Sanic app.

`sanic service.app` finds `app` here, made when it is first looked up, so that importing the module
starts nothing; `--factory` with `service.app:create_app` works as well.
"""

from __future__ import annotations

from service.paths import StateDir
from service.web import paused_gc  # the first import: it pauses the garbage collector

# isort: split
import traceback
from contextlib import AsyncExitStack
from functools import cache, partial
from typing import Any

from service import logs
from service.access.audit import AuditLog
from service.api.cors import cors
from service.api.gate import Gate
from service.api.problems import ERROR_FORMAT, Problems
from service.api.registration import check_prefix, register
from service.api.routes import HANDLERS
from service.engine.engine import Engine
from service.engine.kinds_health import KindsHealth
from service.engine.shutdown import end_all_jobs, jobs_bound_s
from service.host import utf8_mode
from service.host.heartbeats import Heartbeats
from service.kinds.settings import read_settings
from service.link.launch import Starting
from service.metrics import shared
from service.metrics.series import worker_metrics
from service.operations import preflight, stop
from service.settings import OnShutdown, Settings
from service.store import Store
from service.web.access_log import AccessLog
from service.web.greeting import greet
from service.web.jobs_at_stop import JobsAtStop
from service.web.lifespan import Lifespan, is_main_process
from service.web.open_streams import OpenStreams
from service.web.refusal import EXIT_ERROR, refusals
from service.web.server import Jobrunner
from service.web.strangers import Strangers

paused_gc.resume()


def create_app(_arguments: object = None) -> Jobrunner:
    """The app. In the main process it also takes the state directory. Raises: SystemExit, with 2
    for what an operator can repair, and 1 for any other error, for which Sanic would exit with 0.
    """
    if is_main_process():
        utf8_mode.ensure()  # workers inherit it
    try:
        with refusals():
            settings = read_settings()
            logs.configure(settings.log_format)
            if is_main_process():
                settings.hand_on()
            check_prefix(settings.prefix, HANDLERS)
            lock = preflight.prepare(settings) if is_main_process() else None
        app = Jobrunner(settings, Problems())
        app.config.FALLBACK_ERROR_FORMAT = ERROR_FORMAT
        register(app, HANDLERS)
        app.ctx.cors = cors(settings.allowed_origins)
        _lifespan(app, settings, lock).attach(app)
    except Exception:  # noqa: BLE001 - the outermost place, and all of it is shown
        traceback.print_exc()
        raise SystemExit(EXIT_ERROR) from None
    return app


def _lifespan(app: Jobrunner, settings: Settings, lock: int | None) -> Lifespan:
    async def end_jobs() -> bool:
        if settings.shutdown is OnShutdown.KILL:
            return await end_all_jobs(settings)
        await stop.left(settings)
        return True

    def remove_shared() -> None:
        app.ctx.listening.close()
        shared.remove(settings.state_dir)

    waits = settings.shutdown is OnShutdown.DRAIN
    return Lifespan(
        state_dir_lock=lock,
        start_supervisor=partial(Starting, settings.state_dir, cgroup=settings.cgroup),
        open_parts=partial(_open_parts, app, settings),
        jobs=JobsAtStop(
            began=partial(stop.began, settings),
            drain=partial(stop.wait_for_jobs, settings) if waits else None,
            end=end_jobs,
            end_s=jobs_bound_s(settings),
        ),
        remove_shared=remove_shared,
        greet=partial(greet, settings=settings),
    )


async def _open_parts(
    app: Jobrunner, settings: Settings, parts: AsyncExitStack, heartbeats: Heartbeats | None
) -> None:
    """What a worker is made of. `parts` closes in reverse order what was opened; the store stays
    open, for requests that still run.
    """
    ctx = app.ctx
    ctx.strangers = Strangers(settings.max_strangers)
    ctx.store = Store(StateDir(settings.state_dir).records)
    ctx.audit_log = AuditLog(settings.state_dir)
    parts.callback(ctx.audit_log.close)
    ctx.gate = gate = Gate(settings, ctx.audit_log, app)
    ctx.admission = gate.admission
    gate.open()
    parts.callback(gate.close)
    ctx.metrics = worker_metrics(settings.state_dir)
    ctx.access_log = AccessLog(ctx.metrics, log_requests=settings.log_requests)
    ctx.kinds_health = KindsHealth(settings)
    ctx.engine = Engine(settings, ctx.store, ctx.metrics, heartbeats)
    await ctx.engine.open()
    parts.push_async_callback(ctx.engine.close)
    ctx.open_streams = OpenStreams(ctx.metrics)
    parts.callback(ctx.open_streams.abort)


_single_app = cache(create_app)


def __getattr__(name: str) -> Any:
    if name != "app":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return _single_app()
