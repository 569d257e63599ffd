"""Admission: checked for every request before anything else is, unknown routes included.

1. The head can be read in one way only (`heads`, when the request is made).
2. The name and the site that it comes under are ours.
3. The caller authenticates, once there are tokens; public routes need none.
4. The rate of its requests, and of those that are refused, is bounded.
5. Its scopes suffice for the method: to look takes `read`, to change something `run`.
6. What changes something can't be a form that any page may post.
What is refused stands in the audit log, within bounds. What was admitted is cut when the token that
let it in is revoked or expires.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any, Final

import structlog
from sanic import Request

from service.access.audit import AuditLog
from service.access.bounded import BoundedAuditLog
from service.access.exposure import proxy_field, why_exposed
from service.access.origins import (
    OWN_FETCH_SITES,
    is_host_allowed,
    is_loopback,
    is_own_origin,
)
from service.access.rate_limiter import RateLimiter
from service.access.scopes import LOCAL_ADMIN, UNAUTHENTICATED, Principal, Scope
from service.access.tokens import TokenError, Tokens
from service.access.watch import TokenWatch
from service.api.public import READING
from service.errors import (
    HostNotAllowed,
    JobrunnerError,
    MissingScope,
    OriginNotAllowed,
    TooManyRequests,
    Unauthenticated,
    Unavailable,
    UnsupportedMediaType,
)
from service.settings import Settings
from service.web.addresses import address, network
from service.web.in_flight import InFlight

_JSON: Final = "application/json"
# Seconds that a principal may save up requests for.
_BURST_S: Final = 2
_MINUTE_S: Final = 60.0
# Seconds after which one more request may be asked for when too many are under way.
_ENTER_RETRY_S: Final = 5
# Refusals that are bounded and stand in the audit log.
_AUDITED: Final = (401, 403)

_log = structlog.get_logger("jobrunner.access")


class Gate:
    """One in each worker. `public`: method and path of each route that needs no token; `sanic`: the
    app's configuration.
    """

    def __init__(
        self,
        settings: Settings,
        audit_log: AuditLog,
        *,
        public: frozenset[tuple[str, str]],
        sanic: Mapping[str, Any],
    ) -> None:
        self._settings = settings
        self._public = public
        self._why_exposed = why_exposed(settings, sanic, listens_on="localhost")
        self._tokens = Tokens(settings.state_dir)
        self.audit_log = BoundedAuditLog(audit_log, asyncio.get_running_loop().call_later)
        rate = settings.rate_limit
        self._rates = RateLimiter(rate, rate * _BURST_S)
        failures = settings.auth_failures
        self._failures = RateLimiter(failures / _MINUTE_S, failures)
        self._in_flight = InFlight(self._is_still_valid)
        self._watch = TokenWatch(
            settings.state_dir, self._in_flight.cut_unproven, lambda: len(self._in_flight) > 0
        )

    def open(self) -> None:
        self._watch.open()

    def close(self) -> None:
        self._watch.close()
        self._in_flight.close()
        self.audit_log.flush()

    def admit(self, request: Request) -> Principal:
        """Before the route is looked for: who calls. Each is followed by one `leave`.

        Raises: HostNotAllowed, OriginNotAllowed, Unauthenticated, TooManyRequests, MissingScope,
            UnsupportedMediaType, Unavailable.
        """
        principal = LOCAL_ADMIN
        try:
            self._check_site(request)
            principal = self._principal(request)
            if principal is not UNAUTHENTICATED:
                reads = request.method in READING
                _check_scope(principal, Scope.READ if reads else Scope.RUN)
                if not reads:
                    _expect_json(request)
            self._enter(request, principal)
        except JobrunnerError as exc:
            if exc.status in _AUDITED:
                self._refuse(request, exc, principal)
            raise
        return principal

    def leave(self, request: Request) -> None:
        """A request that was admitted has its response."""
        self._in_flight.leave(request)

    def _enter(self, request: Request, principal: Principal) -> None:
        most = self._settings.max_requests
        # Without tokens there is nobody to be protected from another.
        if principal.name is not None and 0 < most <= self._in_flight.of(principal.name):
            raise TooManyRequests(
                f"{most} requests of {principal.name!r} are under way; some must end first.",
                retry_after_s=_ENTER_RETRY_S,
            )
        self._in_flight.enter(request, principal)
        self._watch.look_soon()

    def _check_site(self, request: Request) -> None:
        # HTTP/1.0 needs none. No browser speaks that, but a proxy may: no page's origin is none.
        host = request.headers.get("host")
        if host is not None and not is_host_allowed(host, self._settings.allowed_hosts):
            raise HostNotAllowed(
                f"The host {host[:80]!r} is none of this service's names; those that it may be"
                " called by stand in JOBRUNNER_ALLOWED_HOSTS."
            )
        for origin in request.headers.getall("origin", []):
            if host is None or not is_own_origin(origin, host):
                raise OriginNotAllowed(
                    f"Pages of {origin[:80]!r} may not call this service, which is"
                    f" {(host or '')[:80]!r}."
                )
        for site in request.headers.getall("sec-fetch-site", []):
            if site not in OWN_FETCH_SITES:
                raise OriginNotAllowed(
                    f"Pages of other sites may not call this service (Sec-Fetch-Site: {site[:80]})."
                )

    def _principal(self, request: Request) -> Principal:
        try:
            if not self._tokens.required:
                return self._of_open_service(request)
            if (request.method, request.path) in self._public:
                return UNAUTHENTICATED
            principal = self._authenticated(request)
        except TokenError as exc:
            raise Unavailable(str(exc)) from exc
        assert principal.name is not None  # noqa: S101 - a token has one
        if retry_s := self._rates.acquire(principal.name):
            raise TooManyRequests(
                f"{self._settings.rate_limit:g} requests a second are allowed on average.",
                retry_after_s=retry_s,
            )
        return principal

    def _of_open_service(self, request: Request) -> Principal:
        """Without tokens anybody may do all, over loopback only and through no proxy. The start
        sees to that too; this is for a service that has lost its tokens, or has got a proxy.

        Raises: Unauthenticated.
        """
        seen: Any = request.conn_info
        local = seen.sockname if seen is not None else None
        if self._why_exposed is not None:
            raise Unauthenticated(self._why_exposed)
        if isinstance(local, tuple) and not is_loopback(local[0]):
            raise Unauthenticated("This service has no tokens, so it is for its own host only.")
        if (field := proxy_field(request.head)) is not None:
            raise Unauthenticated(
                f"This service has no tokens, so it is for its own host only; the header {field!r}"
                " says that a proxy passed this request on. Behind a proxy it needs tokens:"
                " jobrunner token create --name NAME --scope admin"
            )
        return LOCAL_ADMIN

    def _authenticated(self, request: Request) -> Principal:
        """Raises: Unauthenticated; TokenError."""
        given = request.headers.getall("authorization", [])
        principal = None
        if len(given) == 1:
            scheme, _, text = given[0].partition(" ")
            if scheme.lower() == "bearer":
                principal = self._tokens.principal_of(text.strip())
        elif not given and (subject := certificate_subject(request)) is not None:
            principal = self._tokens.principal_named(subject)
        if principal is not None:
            return principal
        if given:
            detail = "Expected one header 'Authorization: Bearer TOKEN' with a token that is good."
            raise Unauthenticated(detail, is_wrong=True)
        raise Unauthenticated("Send a token: 'Authorization: Bearer TOKEN'.")

    def _is_still_valid(self, principal: Principal) -> bool:
        try:
            return self._tokens.is_still_valid(principal)
        except TokenError as exc:
            _log.error("tokens_unreadable", error=str(exc))
            return False  # as for a new request

    def _refuse(self, request: Request, error: JobrunnerError, principal: Principal) -> None:
        """Audit a refusal. Raises: TooManyRequests, in its place, when they come too often."""
        client_ip = address(request)
        self.audit_log.refuse(
            network(client_ip),
            code=error.code,
            principal=principal.name,
            token=principal.token,
            client_ip=client_ip,
            request=f"{request.method} {request.path}",
        )
        if retry_s := self._failures.acquire(network(client_ip)):
            raise TooManyRequests(
                "Too many requests from this address were refused.", retry_after_s=retry_s
            ) from error


def certificate_subject(request: Request) -> str | None:
    """The common name of the client's certificate, which the handshake has verified."""
    stream: Any = request.stream
    tls = stream.protocol.transport.get_extra_info("ssl_object")
    certificate = tls.getpeercert() if tls is not None else None
    for part in (certificate or {}).get("subject", ()):
        for key, value in part:
            if key == "commonName":
                return str(value)
    return None


def _check_scope(principal: Principal, scope: Scope) -> None:
    """Raises: MissingScope."""
    if principal is not LOCAL_ADMIN and not principal.may(scope):
        raise MissingScope(scope.value)


def _expect_json(request: Request) -> None:
    """Raises: UnsupportedMediaType."""
    headers = request.headers
    given = headers.get("content-type")
    if given is None:
        if headers.get("content-length", "0") == "0" and "transfer-encoding" not in headers:
            return
        raise UnsupportedMediaType(f"Send the header 'Content-Type: {_JSON}'; got none.")
    if given != _JSON and given.partition(";")[0].strip().lower() != _JSON:
        raise UnsupportedMediaType(f"Send the header 'Content-Type: {_JSON}'; got {given[:80]!r}.")
