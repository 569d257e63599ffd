"""The rim of admission: reads from Sanic's request what `service.access.admission` decides by."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any, Final

from sanic import Sanic
from sanic.exceptions import SanicException

from service.access.admission import Admission
from service.access.audit import AuditLog
from service.access.bounded import BoundedAuditLog
from service.access.exposure import why_exposed
from service.access.incoming import Needs
from service.access.logins import Logins, cookie_name
from service.access.scopes import Principal, Scope
from service.access.tokens import TokenError, Tokens
from service.access.watch import TokenWatch
from service.api.pages import has_page, wants_page
from service.errors import Unavailable
from service.settings import Settings
from service.web.addresses import client_ip, peer_uid
from service.web.cors import is_preflight
from service.web.request import Request

# Methods that change nothing. Source: RFC 9110, section 9.2.1.
_SAFE: Final = frozenset({"GET", "HEAD", "OPTIONS"})
# Where no route is declared: a caller without a token doesn't learn which ones are.
_SAFE_UNDECLARED: Final = Needs(Scope.READ, changes=False)
# Nothing is changed there, so a body may be of any type: it is told that there is no such route.
_UNDECLARED: Final = Needs(Scope.RUN, changes=False)


class Gate:
    """One in each worker."""

    def __init__(self, settings: Settings, audit_log: AuditLog, app: Sanic[Any, Any]) -> None:
        self._router: Any = app.router
        bounded = BoundedAuditLog(audit_log, asyncio.get_running_loop().call_later)
        tokens = Tokens(settings.state_dir)
        self._logins = Logins(settings.state_dir, tokens, settings.login_lifetime)
        self.admission = Admission(
            settings,
            tokens,
            bounded,
            logins=self._logins,
            why_exposed=why_exposed(settings, app.config, listens_on="localhost"),
        )
        in_flight = self.admission.in_flight
        self._watch = TokenWatch(
            settings.state_dir, in_flight.abort_invalid, lambda: len(in_flight) > 0
        )

    def open(self) -> None:
        self._watch.open()

    def close(self) -> None:
        self._watch.close()
        self.admission.in_flight.close()
        self.admission.audit_log.flush()

    def admit(self, request: Request) -> Principal:
        """The caller, who then stands in the request too; followed by one `leave`.

        Raises: as `Admission.admit`.
        """
        principal = self.admission.admit(request, _Incoming(request), self._needs(request))
        request.principal = principal
        self._watch.look_soon()
        return principal

    async def log_in(self, request: Request, token: str) -> tuple[Principal, str]:
        """Whom the token proves, and the text of the cookie that proves it from now on.

        Raises: NoTokens, Unauthenticated, TooManyRequests, Unavailable.
        """
        principal = self.admission.authenticate(_Incoming(request), token)
        try:
            return await self._logins.create(principal)
        except TokenError as exc:
            raise Unavailable(str(exc)) from exc

    async def log_out(self, request: Request) -> Principal | None:
        """End the login of the request, if it has one; whose it was. Raises: Unavailable."""
        text = _Incoming(request).login
        if text is None:
            return None
        try:
            return await self._logins.end(text)
        except TokenError as exc:
            raise Unavailable(str(exc)) from exc

    def leave(self, request: Request) -> None:
        """A request that was admitted has its response."""
        self.admission.leave(request)

    def _needs(self, request: Request) -> Needs:
        try:
            if is_preflight(request):
                return Needs(Scope.READ, changes=False, public_path=request.path)
            # Sanic's own look-up, a moment later, finds this one in the router's cache.
            route, _, _ = self._router.get(
                request.path, request.method, request.headers.getone("host", None)
            )
            needs: Needs = route.ctx.needs
            return needs
        except (SanicException, AttributeError):  # no such route, or one without a declaration
            return _SAFE_UNDECLARED if request.method in _SAFE else _UNDECLARED


class _Incoming:
    """A request of Sanic's as admission sees it."""

    __slots__ = ("_headers", "_request")

    def __init__(self, request: Request) -> None:
        self._request = request
        self._headers = request.headers

    @property
    def method(self) -> str:
        return self._request.method

    @property
    def path(self) -> str:
        return self._request.path

    @property
    def head(self) -> bytes:
        return self._request.head

    @property
    def host(self) -> str | None:
        return self._headers.get("host")

    @property
    def origins(self) -> Sequence[str]:
        return self._headers.getall("origin", ())

    @property
    def fetch_sites(self) -> Sequence[str]:
        return self._headers.getall("sec-fetch-site", ())

    @property
    def authorizations(self) -> Sequence[str]:
        return self._headers.getall("authorization", ())

    @property
    def login(self) -> str | None:
        if "cookie" not in self._headers:
            return None
        given: str | None = self._request.cookies.get(cookie_name(self.host))
        return given

    @property
    def is_navigation(self) -> bool:
        headers = self._headers
        return (
            self._request.method == "GET"
            and headers.get("sec-fetch-mode") == "navigate"
            and headers.get("sec-fetch-dest") == "document"
            and wants_page(self._request)
            and has_page(self._request)
        )

    @property
    def certificate_name(self) -> str | None:
        stream: Any = self._request.stream
        tls = stream.protocol.transport.get_extra_info("ssl_object")
        certificate = tls.getpeercert() if tls is not None else None
        for part in (certificate or {}).get("subject", ()):
            for key, value in part:
                if key == "commonName":
                    return str(value)
        return None

    @property
    def content_type(self) -> str | None:
        return self._headers.get("content-type")

    @property
    def has_body(self) -> bool:
        headers = self._headers
        return "transfer-encoding" in headers or headers.get("content-length", "0") != "0"

    @property
    def local_ip(self) -> str | None:
        connection: Any = self._request.conn_info
        local = connection.sockname if connection is not None else None
        return local[0] if isinstance(local, tuple) else None

    @property
    def client_ip(self) -> str:
        return client_ip(self._request)

    @property
    def peer_uid(self) -> int | None:
        return peer_uid(self._request)
