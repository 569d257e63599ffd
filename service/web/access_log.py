"""Every request at its end: measured, and logged if the settings say so.

A request is described by its method, the template of its route and the status of its response;
never by its path or its query, which name jobs and may hold secrets.
"""

from __future__ import annotations

from time import perf_counter
from typing import Any, Final

import structlog
from sanic.constants import HTTPMethod
from sanic.http.constants import Stage

from service.metrics.series import Metrics
from service.web.request import Request

# Stands for an unknown route, and for the status of a request without a response.
NONE: Final = "none"
_METHODS: Final = frozenset(method.value for method in HTTPMethod)

_log = structlog.get_logger("jobrunner.api")


class AccessLog:
    """One in each worker."""

    def __init__(self, metrics: Metrics, *, log_requests: bool) -> None:
        self._metrics = metrics
        self._log_requests = log_requests

    def started(self, request: Request) -> None:
        request.began = perf_counter()

    def finished(self, request: Request) -> None:
        """The response was passed to the connection, or never will be. The first call counts."""
        if request.is_observed:
            return
        request.is_observed = True
        seconds = perf_counter() - request.began if request.began else 0.0
        stream: Any = request.stream
        response = stream.response if stream is not None else None
        status = NONE if response is None else str(response.status)
        method = request.method if request.method in _METHODS else NONE
        route = self._route(request)
        self._metrics.responded(method, route, status, seconds)
        if self._log_requests:
            streamed = request.streamed_bytes is not None
            sent = request.streamed_bytes if streamed else stream.response_size if response else 0
            _log.info(
                "request",
                method=method,
                route=route,
                status=None if response is None else response.status,
                duration_ms=round(seconds * 1000, 3),
                bytes=0 if method == "HEAD" else sent,
                **({"ended": "cut" if request.was_cut else "whole"} if streamed else {}),
            )

    def cancelled(self, request: Request) -> None:
        """The handler was cancelled: its client is gone, or Sanic is about to respond."""
        stream: Any = request.stream
        if stream is None or stream.stage is not Stage.HANDLER or stream.protocol.conn_info.lost:
            self.finished(request)

    def _route(self, request: Request) -> str:
        route: Any = request.route
        template: str = NONE if route is None else getattr(route.ctx, "template", NONE)
        return template
