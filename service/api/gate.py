"""Who gets in: checked for every request before anything else is, unknown routes included.

1. The head can be read in one way only (`heads`, when the request is made).
2. The name and the site that it comes under are ours.
3. The caller proves who it is, once there are tokens; health is for everybody.
4. It doesn't come too often.
5. Its scopes suffice for the method: to look takes `read`, to change something `run`.
6. What changes something can't be a form that any page may post.
What is refused stands in the audit trail.
"""

from __future__ import annotations

from collections import Counter
from typing import Any, Final

from sanic import Request

from service.access.audit import Trail
from service.access.rates import Rates
from service.access.scopes import ANYBODY, Principal, Scope
from service.access.tokens import TokenError, Tokens
from service.api.origins import is_host_allowed, is_loopback, is_own_origin
from service.jobs.errors import (
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

# Methods that look; every other one changes something.
_LOOKING: Final = frozenset({"GET", "HEAD", "OPTIONS"})
_FOR_EVERYBODY: Final = "/health/"
_JSON: Final = "application/json"
# Seconds that a principal may save up requests for.
_BURST_S: Final = 2
_MINUTE_S: Final = 60.0
# Seconds after which one more request may be asked for when too many are under way.
_ENTER_RETRY_S: Final = 5
# Refusals that stand in the trail; a flood that is told to slow down (429) would fill the disk.
_TRACED: Final = (401, 403)
_NOBODY: Final = Principal(None, frozenset())


class Gate:
    """One in each worker."""

    def __init__(self, settings: Settings, trail: Trail) -> None:
        self._settings = settings
        self._tokens = Tokens(settings.state_dir)
        self._trail = trail
        rate = settings.rate_limit
        self._rates = Rates(rate, rate * _BURST_S)
        failures = settings.auth_failures
        self._failures = Rates(failures / _MINUTE_S, failures)
        self._under_way: Counter[str] = Counter()

    def admit(self, request: Request) -> Principal:
        """Before the route is looked for: who calls. Each is followed by one `leave`.

        Raises: HostNotAllowed, OriginNotAllowed, Unauthenticated, TooManyRequests, MissingScope,
            UnsupportedMediaType, Unavailable.
        """
        principal = ANYBODY
        try:
            self._check_site(request)
            principal = self._principal(request)
            looks = request.method in _LOOKING
            if not looks or principal is not ANYBODY:
                _check_scope(request, principal, Scope.READ if looks else Scope.RUN)
            if not looks:
                _expect_json(request)
            self._enter(principal)
        except JobrunnerError as exc:
            if exc.status in _TRACED:
                self._refused(request, exc, principal)
            raise
        return principal

    def leave(self, principal: Principal) -> None:
        """A request that was admitted has its answer."""
        if principal.name is not None:
            self._under_way[principal.name] -= 1
            if not self._under_way[principal.name]:
                del self._under_way[principal.name]

    def _enter(self, principal: Principal) -> None:
        most = self._settings.max_requests
        if principal.name is None:
            return  # without tokens there is nobody to be protected from another
        if 0 < most <= self._under_way[principal.name]:
            raise TooManyRequests(
                f"{most} requests of {principal.name!r} are under way; some must end first.",
                retry_after_s=_ENTER_RETRY_S,
            )
        self._under_way[principal.name] += 1

    def _check_site(self, request: Request) -> None:
        host = request.headers.get("host")
        if host is None:
            return  # HTTP/1.0, which no browser speaks
        if not is_host_allowed(host, self._settings.allowed_hosts):
            raise HostNotAllowed(
                f"The host {host[:80]!r} is none of this service's names; those that it may be"
                " called by stand in JOBRUNNER_ALLOWED_HOSTS."
            )
        for origin in request.headers.getall("origin", []):
            if not is_own_origin(origin, host):
                raise OriginNotAllowed(
                    f"Pages of {origin[:80]!r} may not call this service, which is {host[:80]!r}."
                )

    def _principal(self, request: Request) -> Principal:
        try:
            if not self._tokens.are_asked_for:
                return _of_open_service(request)
            if request.path.startswith(_FOR_EVERYBODY):
                return _NOBODY
            principal = self._proven(request)
        except TokenError as exc:
            raise Unavailable(str(exc)) from exc
        assert principal.name is not None  # noqa: S101 - a token has one
        if retry_s := self._rates.take(principal.name):
            raise TooManyRequests(
                f"{self._settings.rate_limit:g} requests a second are allowed on average.",
                retry_after_s=retry_s,
            )
        return principal

    def _proven(self, request: Request) -> Principal:
        """Raises: Unauthenticated, TooManyRequests; TokenError."""
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
        if retry_s := self._failures.take(address(request)):
            raise TooManyRequests("Too many requests without a good token.", retry_after_s=retry_s)
        if given:
            detail = "Expected one header 'Authorization: Bearer TOKEN' with a token that is good."
            raise Unauthenticated(detail, is_wrong=True)
        raise Unauthenticated("Send a token: 'Authorization: Bearer TOKEN'.")

    def _refused(self, request: Request, error: JobrunnerError, principal: Principal) -> None:
        self._trail.add(
            "refuse",
            principal=principal.name,
            token=principal.token,
            of=address(request),
            code=error.code,
            request=f"{request.method} {request.path[:200]}",
        )


def address(request: Request) -> str:
    """Where the request comes from; behind a proxy, what Sanic was told to believe it."""
    return str(request.remote_addr or request.ip)


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


def _check_scope(request: Request, principal: Principal, scope: Scope) -> None:
    """Raises: MissingScope."""
    if not principal.may(scope) and not request.path.startswith(_FOR_EVERYBODY):
        raise MissingScope(scope.value)


def _of_open_service(request: Request) -> Principal:
    """Without tokens anybody may do all, over loopback only. The start sees to that too; this is
    for a service that listens elsewhere and has lost its tokens.
    """
    seen: Any = request.conn_info
    local = seen.sockname if seen is not None else None
    if isinstance(local, tuple) and not is_loopback(local[0]):
        raise Unauthenticated("This service has no tokens, so it is for its own box only.")
    return ANYBODY


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
