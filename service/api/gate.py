"""Who gets in: checked for every request before anything else is, unknown routes included.

1. The head can be read in one way only.
2. The name and the site that it comes under are ours.
3. The caller proves who it is, once there are tokens; health is for everybody.
4. It doesn't come too often.
5. Its scopes suffice for the route. A route that isn't in the table is for admins.
What is refused stands in the audit trail.
"""

from __future__ import annotations

from typing import Any, Final

from sanic import Request

from service.access.audit import Trail
from service.access.rates import Rates
from service.access.scopes import ANYBODY, Principal, Scope
from service.access.tokens import TokenError, Tokens
from service.api.heads import check_head
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

# By the name of the route. `None`: for everybody.
SCOPES: Final[dict[str, Scope | None]] = {
    "jobrunner.jobs.list": Scope.READ,
    "jobrunner.jobs.show": Scope.READ,
    "jobrunner.jobs.wait": Scope.READ,
    "jobrunner.attach.attach": Scope.READ,
    "jobrunner.jobs.submit": Scope.RUN,
    "jobrunner.jobs.kill": Scope.RUN,
    "jobrunner.jobs.clean": Scope.RUN,
    "jobrunner.health.live": None,
    "jobrunner.health.ready": None,
}
_OPEN_PREFIX: Final = "/health/"
# Seconds that a principal may save up requests for.
_BURST_S: Final = 2
_MINUTE_S: Final = 60.0
_CHANGING: Final = ("POST", "DELETE", "PUT", "PATCH")


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

    async def admit(self, request: Request) -> None:
        """Before the route is looked for: `request.ctx.principal` from then on.

        Raises: HostNotAllowed, OriginNotAllowed, Unauthenticated, TooManyRequests, Unavailable.
        """
        try:
            self._check_site(request)
            request.ctx.principal = self._principal(request)
        except JobrunnerError as exc:
            if exc.status != TooManyRequests.status:  # a flood would fill the disk
                self._refused(request, exc, ANYBODY)
            raise

    async def authorize(self, request: Request) -> None:
        """Before the handler. Raises: MissingScope, UnsupportedMediaType."""
        principal: Principal | None = getattr(request.ctx, "principal", None)
        if principal is None or request.route is None:
            return  # refused already, or no such route: an error answers
        scope = SCOPES.get(request.route.name, Scope.ADMIN)
        if scope is not None and not principal.may(scope):
            refusal = MissingScope(scope.value)
            self._refused(request, refusal, principal)
            raise refusal
        if request.method in _CHANGING:
            _expect_json(request)

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
            if request.path.startswith(_OPEN_PREFIX):
                return Principal(None, frozenset())
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


async def refuse_unclear(*, head: bytes, **_: object) -> None:
    """For Sanic's signal about a head: an exception there makes it answer 400 and close."""
    check_head(head)


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
    """A form can be posted by any page, JSON can't. Raises: UnsupportedMediaType."""
    given = request.headers.get("content-type")
    if given is None and not request.body:
        return
    if (given or "").partition(";")[0].strip().lower() != "application/json":
        got = f"got {given[:80]!r}" if given else "got none"
        raise UnsupportedMediaType(f"Send the header 'Content-Type: application/json'; {got}.")
