"""Admission: every request is decided here before its route is run, one of an unknown route too.

1. The host that it names and the site that it comes from are the service's own; a public route
   is called by any name, and pages of the sites that the operator names may call.
2. Its caller authenticates, once tokens are enabled, by a token, a login or a certificate; public
   routes need none, nor does the question of a browser whether a page of a named site may call
   (preflight).
3. The rate of its requests, and of those that are refused, is bounded.
4. Its scopes suffice for the route.
5. A request that changes something can't be a form that any web page may post.
6. The requests that a principal has in flight are bounded.

A refusal stands in the audit log, within bounds. A request that was admitted is aborted when its
token is revoked or expires. It does no I/O, and knows no HTTP library.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Final, Protocol

import structlog

from service.access.addresses import caller
from service.access.bounded import BoundedAuditLog
from service.access.exposure import proxy_field
from service.access.in_flight import Abortable, InFlight
from service.access.incoming import Incoming, Needs
from service.access.origins import is_loopback
from service.access.rate_limiter import RateLimiter
from service.access.scopes import LOCAL_ADMIN, UNAUTHENTICATED, Principal
from service.access.sites import (
    check_has_origin,
    check_host,
    check_site,
    is_of_allowed_page,
)
from service.access.tokens import TokenError
from service.errors import (
    JobrunnerError,
    MissingScope,
    NoTokens,
    TooManyRequests,
    Unauthenticated,
    Unavailable,
    UnsupportedMediaType,
)
from service.settings import Settings

# Seconds that a principal may save up requests for.
_BURST_S: Final = 2
_MINUTE_S: Final = 60.0
# Seconds after which one more request may be sent when too many are in flight.
_IN_FLIGHT_RETRY_S: Final = 5
# Statuses of refusals that are bounded, and stand in the audit log.
_AUDITED: Final = (401, 403)

_log = structlog.get_logger("jobrunner.access")


class Tokens(Protocol):
    """The tokens of the service, as they are now. Each may raise `TokenError`."""

    @property
    def required(self) -> bool: ...

    def principal_of(self, text: str) -> Principal | None: ...

    def principal_named(self, name: str) -> Principal | None: ...

    def is_still_valid(self, principal: Principal) -> bool: ...


class Logins(Protocol):
    """Logins to the page, as they are now. Each may raise `TokenError`."""

    def principal_of(self, text: str) -> Principal | None: ...

    def is_still_valid(self, principal: Principal) -> bool: ...


class Admission:
    """One in each worker. `why_exposed`: why the service may not be open to everybody, as a
    sentence, if it may not.
    """

    def __init__(
        self,
        settings: Settings,
        tokens: Tokens,
        audit_log: BoundedAuditLog,
        *,
        logins: Logins | None = None,
        why_exposed: str | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.audit_log = audit_log
        self.in_flight = InFlight(self._is_still_valid)
        self._settings = settings
        self._tokens = tokens
        self._logins = logins
        self._why_exposed = why_exposed
        rate, failures = settings.rate_limit, settings.auth_failures
        self._rates = RateLimiter(rate, rate * _BURST_S, clock=clock)
        self._failures = RateLimiter(failures / _MINUTE_S, failures, clock=clock)

    def admit(self, request: Abortable, incoming: Incoming, needs: Needs) -> Principal:
        """The caller of a request that may be served; followed by one `leave`.

        Raises: HostNotAllowed, OriginNotAllowed, Unauthenticated, TooManyRequests, MissingScope,
            UnsupportedMediaType, Unavailable.
        """
        principal = UNAUTHENTICATED
        try:
            check_host(incoming, needs, self._settings.allowed_hosts)
            check_site(incoming, self._settings.allowed_origins)
            principal = self._authenticate(incoming, needs)
            if principal is not UNAUTHENTICATED and not principal.may(needs.scope):
                raise MissingScope(needs.scope.value)
            if needs.changes:
                _expect_media(incoming, needs)
            self._enter(request, principal)
        except JobrunnerError as exc:
            if exc.status in _AUDITED:
                self._refuse(incoming, exc, principal)
            raise
        return principal

    def leave(self, request: Abortable) -> None:
        """A request that was admitted has its response."""
        self.in_flight.leave(request)

    def authenticate(self, incoming: Incoming, text: str) -> Principal:
        """Whom the token `text` proves, that came in another place than the header.

        Raises: NoTokens, Unauthenticated, TooManyRequests, Unavailable.
        """
        try:
            if not self._tokens.required:
                raise NoTokens("This service asks nobody for a token, so there is no login.")
            principal = self._tokens.principal_of(text)
        except TokenError as exc:
            raise Unavailable(str(exc)) from exc
        if principal is None:
            error = Unauthenticated("The token isn't good.", is_wrong=True)
            self._refuse(incoming, error, UNAUTHENTICATED)
            raise error
        return principal

    def _authenticate(self, incoming: Incoming, needs: Needs) -> Principal:
        try:
            if not self._tokens.required:
                return self._local_admin(incoming)
            if needs.lets_anybody(incoming.path):
                return UNAUTHENTICATED
            principal = self._principal(incoming, needs)
        except TokenError as exc:
            raise Unavailable(str(exc)) from exc
        assert principal.name is not None  # noqa: S101 - a token has one
        if retry_s := self._rates.acquire(principal.name):
            raise TooManyRequests(
                f"{self._settings.rate_limit:g} requests a second are allowed on average.",
                retry_after_s=retry_s,
            )
        return principal

    def _local_admin(self, incoming: Incoming) -> Principal:
        """Without tokens everybody may do everything, over loopback only and through no proxy. The
        start checks that too; this is for a service that has lost its tokens, or has got a proxy.

        Raises: Unauthenticated.
        """
        if self._why_exposed is not None:
            raise Unauthenticated(self._why_exposed)
        if (ip := incoming.local_ip) is not None and not is_loopback(ip):
            raise Unauthenticated("This service has no tokens, so it is for its own host only.")
        if (field := proxy_field(incoming.head)) is not None:
            raise Unauthenticated(
                f"This service has no tokens, so it is for its own host only; the header {field!r}"
                " says that a proxy passed this request on. Behind a proxy it needs tokens:"
                " jobrunner token create --name NAME --scope admin"
            )
        return LOCAL_ADMIN

    def _principal(self, incoming: Incoming, needs: Needs) -> Principal:
        """Raises: Unauthenticated, OriginNotAllowed; TokenError."""
        given = incoming.authorizations
        principal = None
        if len(given) == 1:
            scheme, _, text = given[0].partition(" ")
            if scheme.lower() == "bearer":
                principal = self._tokens.principal_of(text.strip())
        # What a browser shows by itself is no proof that the page of another site may call.
        elif not given and not is_of_allowed_page(incoming, self._settings.allowed_origins):
            principal = self._logged_in(incoming, needs)
            if principal is None and (name := incoming.certificate_name) is not None:
                principal = self._tokens.principal_named(name)
        if principal is not None:
            return principal
        if given:
            detail = "Expected one header 'Authorization: Bearer TOKEN' with a token that is good."
            raise Unauthenticated(detail, is_wrong=True)
        raise Unauthenticated("Send a token: 'Authorization: Bearer TOKEN'.")

    def _logged_in(self, incoming: Incoming, needs: Needs) -> Principal | None:
        """Raises: OriginNotAllowed, where a change doesn't come from a page of ours for certain."""
        text = incoming.login if self._logins is not None else None
        if text is None or self._logins is None:
            return None
        principal = self._logins.principal_of(text)
        if principal is not None and needs.changes:
            check_has_origin(incoming)
        return principal

    def _enter(self, request: Abortable, principal: Principal) -> None:
        most = self._settings.max_requests
        # Without tokens there is nobody to be protected from another.
        if principal.name is not None and 0 < most <= self.in_flight.of(principal.name):
            raise TooManyRequests(
                f"{most} requests of {principal.name!r} are under way; some must end first.",
                retry_after_s=_IN_FLIGHT_RETRY_S,
            )
        self.in_flight.enter(request, principal)

    def _is_still_valid(self, principal: Principal) -> bool:
        try:
            return self._tokens.is_still_valid(principal) and (
                self._logins is None or self._logins.is_still_valid(principal)
            )
        except TokenError as exc:
            _log.error("tokens_unreadable", error=str(exc))
            return False  # as for a new request

    def _refuse(self, incoming: Incoming, error: JobrunnerError, principal: Principal) -> None:
        """Audit a refusal. Raises: TooManyRequests, in its place, when they come too often."""
        client_ip, uid = incoming.client_ip, incoming.peer_uid
        who = caller(client_ip, uid)
        self.audit_log.refuse(
            who,
            code=error.code,
            principal=principal.name,
            token=principal.token,
            client_ip=client_ip,
            uid=uid,
            request=f"{incoming.method} {incoming.path}",
        )
        if retry_s := self._failures.acquire(who):
            raise TooManyRequests(
                "Too many requests of this caller were refused.", retry_after_s=retry_s
            ) from error


def _expect_media(incoming: Incoming, needs: Needs) -> None:
    """Raises: UnsupportedMediaType."""
    given, media = incoming.content_type, needs.media
    if not media:
        return
    if given is None and (needs.untyped or not incoming.has_body):
        return
    if given in media:
        return  # most often
    if given is None or given.partition(";")[0].strip().lower() not in media:
        expected = "' or '".join(media)
        got = "none" if given is None else repr(given[:80])
        raise UnsupportedMediaType(f"Send the header 'Content-Type: {expected}'; got {got}.")
