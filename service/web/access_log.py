"""Every request on its end: measured, and logged when the settings say so.

A request is known by its method, the template of its route and the status of its answer: never by
its path or its query, which name jobs and may hold what isn't for a log.
"""

from __future__ import annotations

from time import perf_counter
from typing import Any, Final

import structlog
from sanic import Request
from sanic.constants import HTTPMethod
from sanic.http.constants import Stage

from service.metrics.series import Metrics
from service.web.request import ForgivingRequest

# What stands for a route that there isn't, and for the status of a request without an answer.
NONE: Final = "none"
_METHODS: Final = frozenset(method.value for method in HTTPMethod)
_JOB_ID: Final = "<job_id:str>"

_log = structlog.get_logger("jobrunner.api")


def template(path: str) -> str:
    """A route's path as Sanic's router has it, in the words of the API's description."""
    return "/" + path.replace(_JOB_ID, "{ID}").strip("/")


class Observer:
    """One in each worker."""

    def __init__(self, metrics: Metrics, *, log_requests: bool) -> None:
        self._metrics = metrics
        self._log_requests = log_requests
        self._templates: dict[str, str] = {}

    def begun(self, request: ForgivingRequest) -> None:
        request.began = perf_counter()

    def ended(self, request: ForgivingRequest) -> None:
        """The answer is with the connection, or never will be. The first word about it counts."""
        if request.is_observed:
            return
        request.is_observed = True
        seconds = perf_counter() - request.began if request.began else 0.0
        stream: Any = request.stream
        answer = stream.response if stream is not None else None
        status = NONE if answer is None else str(answer.status)
        method = request.method if request.method in _METHODS else NONE
        route = self._route(request)
        self._metrics.answered(method, route, status, seconds)
        if self._log_requests:
            streamed = request.streamed_bytes is not None
            sent = request.streamed_bytes if streamed else stream.response_size if answer else 0
            _log.info(
                "request",
                method=method,
                route=route,
                status=None if answer is None else answer.status,
                duration_ms=round(seconds * 1000, 3),
                bytes=0 if method == "HEAD" else sent,
                **({"ended": "cut" if request.was_cut else "whole"} if streamed else {}),
            )

    def cancelled(self, request: ForgivingRequest) -> None:
        """The handler was cancelled: its client is gone, or Sanic is about to answer for it."""
        stream: Any = request.stream
        if stream is None or stream.stage is not Stage.HANDLER or stream.protocol.conn_info.lost:
            self.ended(request)

    def _route(self, request: Request) -> str:
        route: Any = request.route
        if route is None:
            return NONE
        known = self._templates.get(route.path)
        if known is None:
            known = self._templates[route.path] = template(route.path)
        return known
