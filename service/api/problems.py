"""Every error as a problem document (RFC 9457).

A caller's error is described in full. A fault of the service shows only an `error_id`, which stands
in the log beside the traceback.
"""

from __future__ import annotations

import errno
import secrets
from collections.abc import Callable, Mapping
from contextlib import suppress
from http import HTTPMethod, HTTPStatus
from typing import Any, Final, NamedTuple

import msgspec
import structlog
from msgspec import UNSET, UnsetType
from sanic import HTTPResponse, Request, exceptions
from sanic.handlers import ErrorHandler

from service import errors
from service.api.pages import error_page
from service.errors import JobrunnerError
from service.errors.tree import code_of_status
from service.jobs.views import CheckView

CONTENT_TYPE = "application/problem+json"
# What each route says of its errors, whose form is this module's alone. Where a route says nothing,
# Sanic parses the source of its handler, at every start.
ERROR_FORMAT = "json"

_log = structlog.get_logger("jobrunner.api")


class FieldError(msgspec.Struct, frozen=True):
    """One error of a body, at a JSON pointer (RFC 6901)."""

    pointer: str
    detail: str


class Problem(msgspec.Struct, frozen=True, kw_only=True):
    """A problem document (RFC 9457), as the description of the API has it.

    `errors` stands with a body that is no valid job, `gap` with an offset inside of one, `end`, the
    present end of the output, with any wrong offset, `offset`, how much was taken, with input that
    isn't taken, `checks` with a service that isn't ready, `scope` with a token that hasn't it,
    `path` and `why` with a file of a job that can't be removed (`path` is relative to the job's
    directory), `error_id` with an error of the service's own.
    """

    type: str
    title: str
    status: int
    detail: str
    errors: list[FieldError] | UnsetType = UNSET
    gap: tuple[int, int] | UnsetType = UNSET
    end: int | UnsetType = UNSET
    checks: dict[str, CheckView] | UnsetType = UNSET
    scope: str | UnsetType = UNSET
    offset: int | UnsetType = UNSET
    path: str | UnsetType = UNSET
    why: str | UnsetType = UNSET
    error_id: str | UnsetType = UNSET


def _content_range(error: Any) -> str:
    return f"bytes */{error.end}"


def _offset(error: errors.InputOffset | errors.InputClosed) -> str:
    return str(error.offset)


def _invalid_token(error: errors.Unauthenticated) -> str:
    return 'Bearer realm="jobrunner"' + (', error="invalid_token"' if error.is_wrong else "")


def _insufficient_scope(error: errors.MissingScope) -> str:
    return f'Bearer realm="jobrunner", error="insufficient_scope", scope="{error.scope}"'


# The header that a problem has, besides `Retry-After`. Source of the challenges: RFC 6750, section
# 3; of the range: RFC 9110, section 14.4; of the upgrade: section 15.5.22.
HEADERS: Final[Mapping[type[JobrunnerError], tuple[str, Callable[[Any], str]]]] = {
    errors.Unauthenticated: ("WWW-Authenticate", _invalid_token),
    errors.MissingScope: ("WWW-Authenticate", _insufficient_scope),
    errors.OffsetBeyondEnd: ("Content-Range", _content_range),
    errors.OffsetInGap: ("Content-Range", _content_range),
    errors.UpgradeRequired: ("Upgrade", lambda _: "websocket"),
    errors.InputOffset: ("Jobrunner-Offset", _offset),
    errors.InputClosed: ("Jobrunner-Offset", _offset),
}


class Told(NamedTuple):
    """What a caller is told, and headers of the response."""

    error: JobrunnerError
    headers: Mapping[str, str] = {}


class Problems(ErrorHandler):
    """The one error handler of the app."""

    def response(self, request: Request, exception: Exception) -> HTTPResponse:
        """The response for `exception`; logs a fault of the service, once."""
        told = self._told(request, exception)
        return error_page(request, told.error, _headers(told)) or _document(told)

    def _told(self, request: Request, exception: Exception) -> Told:
        if isinstance(exception, OSError) and exception.errno in (errno.EMFILE, errno.ENFILE):
            _log.warning("request_refused", code="unavailable", detail=str(exception))
            return Told(errors.Unavailable("No file descriptor is free for this request."))
        if isinstance(exception, JobrunnerError) and exception.status != 500:
            if exception.status > 500:
                _log.warning("request_refused", code=exception.code, detail=exception.detail)
            return Told(exception)
        if isinstance(exception, exceptions.SanicException) and exception.status_code != 500:
            return _of_sanic(request, exception)
        if isinstance(exception, exceptions.RequestCancelled):
            # The client is gone, or has half-closed the connection.
            detail = "The connection was closed before the request was whole."
            return Told(errors.IncompleteRequest(detail))
        return _of_fault(request, exception)


def _of_sanic(request: Request, error: exceptions.SanicException) -> Told:
    status = error.status_code
    config = request.app.config
    if status == 503:
        return Told(errors.Unavailable("Try again."))
    if isinstance(error, exceptions.NotFound):
        return Told(errors.UnknownRoute(f"There is no route {request.path[:200]}."))
    if isinstance(error, exceptions.MethodNotAllowed):
        allowed = ", ".join(_allowed_methods(request))
        detail = f"{request.path[:200]} takes {allowed}, got {request.method[:20]}."
        return Told(errors.MethodNotAllowed(detail), {"Allow": allowed})
    if isinstance(error, exceptions.PayloadTooLarge) and "header" in str(error):
        detail = f"The request line and the headers may have {config.REQUEST_MAX_HEADER_SIZE} bytes"
        return Told(errors.HeadTooLarge(f"{detail} at most."))
    if isinstance(error, exceptions.PayloadTooLarge):
        detail = f"The body may have {config.REQUEST_MAX_SIZE} bytes at most."
        return Told(errors.BodyTooLarge(detail))
    title = HTTPStatus(status).phrase
    code = code_of_status(HTTPStatus(status))
    problem = errors.UnknownProblem(str(error) or title, code=code, title=title, status=status)
    return Told(problem, {str(k): str(v) for k, v in (error.headers or {}).items()})


def _allowed_methods(request: Request) -> list[str]:
    # Asked one by one: Sanic's own list is empty for a path that several handlers share.
    allowed = []
    for method in sorted(HTTPMethod):
        with suppress(exceptions.SanicException):
            request.app.router.get(request.path, method, None)
            allowed.append(method.value)
    return allowed


def _of_fault(request: Request, exception: Exception) -> Told:
    error = errors.InternalError(secrets.token_hex(8))
    _log.error(
        "request_failed",
        error_id=error.error_id,
        method=request.method,
        path=request.path,
        exc_info=exception,
    )
    return Told(error)


def _headers(told: Told) -> dict[str, str]:
    error, headers = told.error, dict(told.headers)
    if (header := HEADERS.get(type(error))) is not None:
        headers[header[0]] = header[1](error)
    if error.retry_after_s is not None:
        headers["Retry-After"] = str(error.retry_after_s)
    return headers


def _document(told: Told) -> HTTPResponse:
    return HTTPResponse(
        msgspec.json.encode(told.error.to_problem()) + b"\n",
        status=told.error.status,
        headers=_headers(told),
        content_type=CONTENT_TYPE,
    )
