"""Logging in to the page and out again: a token becomes a cookie, which no script can read."""

from __future__ import annotations

from typing import Any, Final

import msgspec
from sanic import HTTPResponse

from service import errors
from service.access.logins import cookie_name
from service.access.scopes import Principal, Scope
from service.api.parameters import NoParameters
from service.api.responses import json_response
from service.api.route import Route, Routes, Success, Tag
from service.jobs.conversion import convert
from service.jobs.decoding import decode_object
from service.jobs.times import rfc3339
from service.web.addresses import client_ip, peer_uid
from service.web.request import Request

routes: Final = Routes()


class Credentials(
    msgspec.Struct, frozen=True, kw_only=True, rename="pascal", forbid_unknown_fields=True
):
    """What a login takes."""

    token: str

    def __repr__(self) -> str:
        return "Credentials(...)"


class LoggedIn(msgspec.Struct, frozen=True, kw_only=True, rename="pascal"):
    """A login."""

    principal: str
    scopes: list[str]
    expires_at: str


@routes.add(
    Route(
        method="POST",
        path="/login",
        operation="login",
        meaning="Log a browser in: a token becomes a cookie.",
        parameters=NoParameters,
        details=(
            "The cookie is good for what the token is good for, until that is revoked or expires,"
            " the login's time is over, or `POST /logout`. A change that it proves needs an"
            " `Origin`, which browsers send. Programs send the token with each request instead."
        ),
        body=Credentials,
        tag=Tag.SERVICE,
        scope=Scope.READ,
        proves_itself=True,
        successes=(Success(200, "Who is logged in.", LoggedIn, headers=("Set-Cookie",)),),
        problems=(
            errors.BadQuery,
            errors.MalformedBody,
            errors.InvalidJob,
            errors.UnsupportedMediaType,
            errors.NoTokens,
        ),
    )
)
async def login(request: Request, _given: NoParameters) -> HTTPResponse:
    """Log in.

    Raises: MalformedBody, InvalidJob, NoTokens, Unauthenticated, TooManyRequests, Unavailable.
    """
    ctx = request.app.ctx
    asked = convert(decode_object(request.body), Credentials)
    principal, text = await ctx.gate.log_in(request, asked.token)
    _audit(request, "login", principal)
    body = LoggedIn(
        principal=principal.name or "",
        scopes=[scope.value for scope in Scope if principal.may(scope)],
        expires_at=rfc3339(principal.expires_at or 0),
    )
    return json_response(body, headers=_cookie(request, text, ctx.settings.login_lifetime))


@routes.add(
    Route(
        method="POST",
        path="/logout",
        operation="logout",
        meaning="End the login that the cookie stands for, and what was begun with it.",
        parameters=NoParameters,
        tag=Tag.SERVICE,
        scope=Scope.READ,
        proves_itself=True,
        successes=(Success(204, "It is over.", content=(), headers=("Set-Cookie",)),),
        problems=(errors.BadQuery, errors.UnsupportedMediaType),
    )
)
async def logout(request: Request, _given: NoParameters) -> HTTPResponse:
    """Log out. Raises: Unavailable."""
    principal = await request.app.ctx.gate.log_out(request)
    if principal is not None:
        _audit(request, "logout", principal)
    return HTTPResponse(status=204, headers=_cookie(request, "", 0))


def _audit(request: Request, action: str, principal: Principal) -> None:
    fields: dict[str, Any] = {
        "principal": principal.name,
        "token": principal.token,
        "client_ip": client_ip(request),
        "uid": peer_uid(request),
    }
    request.app.ctx.admission.audit_log.add(principal.name or "", action, **fields)


def _cookie(request: Request, text: str, max_age_s: int) -> dict[str, str]:
    """The header; the cookie is for TLS alone where the login comes by it."""
    origin = request.headers.get("origin", "")
    secure = "; Secure" if request.scheme == "https" or origin.startswith("https:") else ""
    path = request.app.ctx.settings.prefix or "/"
    attributes = f"Path={path}; Max-Age={max_age_s}; HttpOnly; SameSite=Strict{secure}"
    return {"Set-Cookie": f"{cookie_name(request.headers.get('host'))}={text}; {attributes}"}
