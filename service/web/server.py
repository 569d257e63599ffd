"""The Sanic app: where it listens, which protocol it speaks, and what every request passes through.

The rest of the service sees the public names of Sanic only; what depends on more than those stands
in this package.
"""

from __future__ import annotations

import asyncio
import os
from pathlib import Path
from typing import Any, Final, cast

from sanic import Sanic
from sanic.config import Config
from sanic.handlers import ErrorHandler
from sanic.mixins import startup

from service.access import tokens
from service.access.exposure import why_exposed
from service.errors import JobrunnerError, Unauthenticated
from service.host.heartbeats import SLOTS
from service.operations.confinement import fault_of_socket
from service.settings import Settings
from service.web.asyncio_compat import send_at_once
from service.web.connection import Connection, connection_of
from service.web.context import Context
from service.web.fd_reserve import shed_load
from service.web.library_logs import of_libraries
from service.web.listening import BACKLOG, Listening
from service.web.prefix import request_class
from service.web.refusal import refuse
from service.web.tls import Accepted, loader_for
from service.web.worker_states import NoManager

NAME: Final = "jobrunner"
# Seconds for connections to end when a worker stops. Below the ten that Sanic's main process gives
# its workers, or `after_server_stop` never runs.
_GRACEFUL_S: Final = 3.0
# Sanic starts a process by this name, to keep the states of its workers in, and fails without it.
startup.Manager = NoManager  # type: ignore[attr-defined, assignment]  # by the name that it has there


class Jobrunner(Sanic[Config, Context]):
    """Sanic, listening where the settings say unless its own flags say otherwise."""

    def __init__(self, settings: Settings, error_handler: ErrorHandler) -> None:
        super().__init__(
            NAME,
            ctx=Context(),
            error_handler=error_handler,
            # Sanic's type is of its own context.
            request_class=cast("Any", request_class(settings.prefix)),
            configure_logging=True,
            certloader_class=loader_for(settings.tls_client_ca),
            log_config=of_libraries(settings.log_format),
        )
        self.config.REQUEST_MAX_SIZE = settings.max_body
        self.config.REQUEST_TIMEOUT = settings.request_timeout
        self.config.GRACEFUL_SHUTDOWN_TIMEOUT = _GRACEFUL_S
        self.ctx.settings = settings
        self.ctx.listening = Listening(self)
        self.ctx.cors = None
        self.on_request(shed_load)
        self.on_request(send_at_once)

    def get_address(  # type: ignore[override]  # static in Sanic, and called on the instance
        self, host: str | None, port: int | None, *_: object, **__: object
    ) -> tuple[str, int]:
        """Raises: SystemExit, when the service would be open to everybody there."""
        settings = self.ctx.settings
        host = host or settings.hostname
        why = why_exposed(settings, self.config, listens_on=host)
        if why is not None and not tokens.enabled(settings.state_dir):
            refuse(why)
        return host, settings.port if port is None else port

    def motd(self, *_: object, **__: object) -> None:
        """No banner: the service says itself what matters once it serves."""

    def prepare(self, *args: Any, **options: Any) -> None:
        workers = options.get("workers") or 0
        if not (options.get("fast") or options.get("single_process")) and not 1 <= workers <= SLOTS:
            refuse(f"--workers is {workers}, expected a whole number from 1 to {SLOTS}.")
        has_tls = options.get("ssl") is not None
        settings = self.ctx.settings
        if settings.tls_client_ca is not None and not has_tls:
            refuse(
                "JOBRUNNER_TLS_CLIENT_CA asks for client certificates, which come with TLS"
                " only: give --cert and --key too."
            )
        first, second = options.get("unix"), settings.socket
        if first and second is not None and os.path.realpath(first) == os.path.realpath(second):
            refuse(f"--unix and JOBRUNNER_SOCKET are the same path, {first!r}: one suffices.")
        if first and (wrong := fault_of_socket(settings, Path(first))) is not None:
            refuse(wrong)
        # Sanic's own access log, which --dev turns on, has query strings.
        ours = {"access_log": False, "protocol": Accepted if has_tls else Connection}
        super().prepare(*args, **{"backlog": BACKLOG, **options, **ours})

    async def handle_request(self, request: Any) -> None:
        """Admission comes first. A signal or a middleware of Sanic costs as much as a whole short
        request does, and runs too late for a request without a route.
        """
        access_log = self.ctx.access_log
        access_log.started(request)
        try:
            try:
                principal = self.ctx.gate.admit(request)
            except JobrunnerError as exc:
                if exc.status == Unauthenticated.status or connection_of(request).is_stranger:
                    request.stream.keep_alive = False
                await self.handle_exception(request, exc, run_middleware=False)
                return
            if principal.scopes and (connection := connection_of(request)).is_stranger:
                connection.mark_authenticated()
            try:
                cors = self.ctx.cors
                if cors is not None and (response := cors.preflight(request)) is not None:
                    await (await request.respond(response)).send(end_stream=True)
                else:
                    await super().handle_request(request)
            finally:
                self.ctx.gate.leave(request)
        except asyncio.CancelledError:
            access_log.cancelled(request)
            raise
        access_log.finished(request)

    async def handle_exception(self, request: Any, *args: Any, **options: Any) -> None:
        try:
            await super().handle_exception(request, *args, **options)
        finally:
            self.ctx.access_log.finished(request)
