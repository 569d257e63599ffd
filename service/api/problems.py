"""Every error as a problem document (RFC 9457).

What a caller did wrong is told in full. An error of ours shows only an `error_id`, which stands in
the log beside the traceback.
"""

from __future__ import annotations

import errno
import secrets
from contextlib import suppress
from http import HTTPStatus
from typing import Any

import msgspec
import structlog
from msgspec import UNSET, UnsetType
from sanic import HTTPResponse, Request
from sanic.constants import HTTPMethod
from sanic.exceptions import (
    MethodNotAllowed,
    NotFound,
    PayloadTooLarge,
    RequestCancelled,
    SanicException,
)
from sanic.handlers import ErrorHandler

from service.api.views import CheckView
from service.jobs.errors import (
    InvalidJob,
    JobrunnerError,
    MissingScope,
    NotReady,
    OffsetBeyondEnd,
    OffsetInGap,
    Unavailable,
)

CONTENT_TYPE = "application/problem+json"
_TYPE = "urn:jobrunner:problem:"
# What each route says of its errors, whose form is this module's alone. Where a route says nothing,
# Sanic parses the source of its handler, at every start.
ERROR_FORMAT = "json"

_log = structlog.get_logger("jobrunner.api")


class Mistake(msgspec.Struct, frozen=True):
    """One wrong place of a body, as a JSON pointer (RFC 6901)."""

    pointer: str
    detail: str


class Problem(msgspec.Struct, frozen=True, kw_only=True):
    """A problem document (RFC 9457).

    `errors` stands with a body that is no valid job, `gap` with an offset inside of one, `checks`
    with a service that isn't ready, `scope` with a token that hasn't it, `error_id` with an error
    of the service's own.
    """

    type: str
    title: str
    status: int
    detail: str
    errors: list[Mistake] | UnsetType = UNSET
    gap: tuple[int, int] | UnsetType = UNSET
    checks: dict[str, CheckView] | UnsetType = UNSET
    scope: str | UnsetType = UNSET
    error_id: str | UnsetType = UNSET


class Problems(ErrorHandler):
    """The one error handler of the app."""

    def response(self, request: Request, exception: Exception) -> HTTPResponse:
        """The answer to `exception`; logs what is an error of ours, once."""
        if isinstance(exception, JobrunnerError) and exception.status < 500:
            return _of_caller(exception)
        if isinstance(exception, JobrunnerError) and exception.status != 500:
            _log.warning("request_refused", code=exception.code, detail=exception.detail)
            return _of_caller(exception)
        if isinstance(exception, OSError) and exception.errno in (errno.EMFILE, errno.ENFILE):
            _log.warning("request_refused", code="unavailable", detail=str(exception))
            return _of_caller(Unavailable("No file descriptor is free for this request."))
        if isinstance(exception, SanicException) and exception.status_code < 500:
            return _of_sanic(request, exception)
        if isinstance(exception, SanicException) and exception.status_code == 503:
            return _answer(
                "unavailable", "Not available now", 503, "Try again.", {"Retry-After": "1"}
            )
        if isinstance(exception, RequestCancelled):  # the client is gone, or has said its last byte
            detail = "The connection was closed before the request was whole."
            return _answer("request_cut", "Not a whole request", 400, detail)
        return _of_ours(request, exception)


def _of_caller(error: JobrunnerError) -> HTTPResponse:
    headers: dict[str, str] = {}
    more: dict[str, Any] = {}
    if isinstance(error, InvalidJob):
        more["errors"] = [Mistake(p.pointer, p.detail) for p in error.places]
    if isinstance(error, NotReady):
        more["checks"] = {
            name: CheckView(ok=why is None, why=why) for name, why in error.checks.items()
        }
    if isinstance(error, OffsetInGap):
        more["gap"] = error.gap
    if isinstance(error, MissingScope):
        more["scope"] = error.scope
    if error.challenge is not None:
        headers["WWW-Authenticate"] = error.challenge
    if isinstance(error, OffsetBeyondEnd | OffsetInGap):
        headers["Content-Range"] = f"bytes */{error.end}"
    if error.retry_after_s is not None:
        headers["Retry-After"] = str(error.retry_after_s)
    return _answer(error.code, error.title, error.status, error.detail, headers, **more)


def _of_sanic(request: Request, error: SanicException) -> HTTPResponse:
    status = error.status_code
    headers = {str(name): str(value) for name, value in (error.headers or {}).items()}
    if isinstance(error, NotFound):
        detail = f"There is no route {request.path[:200]}."
        return _answer("unknown_route", "No such route", status, detail)
    if isinstance(error, MethodNotAllowed):
        allowed = ", ".join(_allowed_methods(request))
        detail = f"{request.path[:200]} takes {allowed}, got {request.method[:20]}."
        return _answer(
            "method_not_allowed", "Method not allowed", status, detail, {"Allow": allowed}
        )
    if isinstance(error, PayloadTooLarge) and "header" in str(error):
        most = request.app.config.REQUEST_MAX_HEADER_SIZE
        detail = f"The request line and the headers may have {most} bytes at the most."
        return _answer("head_too_large", "The head is too large", 431, detail)
    if isinstance(error, PayloadTooLarge):
        most = request.app.config.REQUEST_MAX_SIZE
        detail = f"The body may have {most} bytes at the most."
        return _answer("body_too_large", "The body is too large", status, detail)
    title = HTTPStatus(status).phrase
    return _answer(title.lower().replace(" ", "_"), title, status, str(error) or title, headers)


def _allowed_methods(request: Request) -> list[str]:
    # Asked one by one: Sanic's own list is empty for a path that several handlers share.
    allowed = []
    for method in sorted(HTTPMethod):
        with suppress(SanicException):
            request.app.router.get(request.path, method, None)
            allowed.append(method.value)
    return allowed


def _of_ours(request: Request, exception: Exception) -> HTTPResponse:
    error_id = secrets.token_hex(8)
    _log.error(
        "request_failed",
        error_id=error_id,
        method=request.method,
        path=request.path,
        exc_info=exception,
    )
    detail = f"Something broke in the service; its log has more under the error ID {error_id}."
    return _answer("internal_error", "Internal error", 500, detail, error_id=error_id)


def _answer(
    code: str,
    title: str,
    status: int,
    detail: str,
    headers: dict[str, str] | None = None,
    **more: Any,
) -> HTTPResponse:
    # Bytes of a head that are no text come as lone surrogates, which JSON can't carry.
    detail = detail.encode(errors="backslashreplace").decode()
    document = Problem(type=_TYPE + code, title=title, status=status, detail=detail, **more)
    return HTTPResponse(
        msgspec.json.encode(document) + b"\n",
        status=status,
        headers=headers,
        content_type=CONTENT_TYPE,
    )
