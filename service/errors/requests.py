"""Errors of a request, whatever it is about."""

from __future__ import annotations

from service.errors.members import TEXT
from service.errors.tree import JobrunnerError


class Unauthenticated(JobrunnerError):
    """No valid credentials came with the request."""

    code, title, status = "unauthenticated", "Unauthorized", 401

    # Whether there were some: not in the document, but in the challenge.
    is_wrong = False

    def __init__(self, detail: str, *, is_wrong: bool = False) -> None:
        """`is_wrong`: credentials came, and they are invalid."""
        super().__init__(detail)
        self.is_wrong = is_wrong


class MissingScope(JobrunnerError):
    """The caller is known, and their token doesn't allow this."""

    code, title, status = "missing_scope", "Missing scope", 403
    members = (("scope", TEXT),)

    def __init__(self, scope: str) -> None:
        super().__init__(f"This needs a token with the scope {scope!r}.")
        self.scope = scope


class NoTokens(JobrunnerError):
    """A login to a service that asks nobody for a token."""

    code, title, status = "no_tokens", "The service has no tokens", 409


class HostNotAllowed(JobrunnerError):
    """A page may have had its own name point here (DNS rebinding)."""

    code, title, status = "host_not_allowed", "Host not allowed", 403


class OriginNotAllowed(JobrunnerError):
    """A page of another site calls."""

    code, title, status = "origin_not_allowed", "Origin not allowed", 403


class TooManyRequests(JobrunnerError):
    code, title, status = "too_many_requests", "Too many requests", 429


class Draining(JobrunnerError):
    code, title, status = "draining", "The service drains", 503


class BadQuery(JobrunnerError):
    code, title, status = "bad_query", "Invalid query parameter", 400


class BadHeader(JobrunnerError):
    code, title, status = "bad_header", "Invalid request header", 400


class IncompleteRequest(JobrunnerError):
    code, title, status = "request_cut", "Incomplete request", 400


class UnknownRoute(JobrunnerError):
    code, title, status = "unknown_route", "Route not found", 404


class MethodNotAllowed(JobrunnerError):
    code, title, status = "method_not_allowed", "Method not allowed", 405


class NotAcceptable(JobrunnerError):
    code, title, status = "not_acceptable", "Not acceptable", 406


class BodyTooLarge(JobrunnerError):
    code, title, status = "body_too_large", "Content too large", 413


class UnsupportedMediaType(JobrunnerError):
    code, title, status = "unsupported_media_type", "Unsupported media type", 415


class UpgradeRequired(JobrunnerError):
    """What is there is spoken over a WebSocket only."""

    code, title, status = "upgrade_required", "Upgrade required", 426


class HeadTooLarge(JobrunnerError):
    code, title, status = "head_too_large", "Request header fields too large", 431
