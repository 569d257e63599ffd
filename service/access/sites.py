"""By which name a request calls the service, and which site's page sent it."""

from __future__ import annotations

from typing import Final

from service.access.incoming import Incoming, Needs
from service.access.origins import OWN_FETCH_SITES, is_host_allowed, is_own_origin
from service.errors import HostNotAllowed, OriginNotAllowed

_READING: Final = ("GET", "HEAD")


def check_host(incoming: Incoming, needs: Needs, allowed: frozenset[str]) -> None:
    """`allowed`: other names of this service. Raises: HostNotAllowed."""
    # HTTP/1.0 needs no Host. No browser speaks that, but a proxy may: it is no page's origin.
    host = incoming.host
    if host is None or is_host_allowed(host, allowed, incoming.local_ip):
        return
    # Health checks call a service by its address, or by no name of its own.
    if needs.lets_anybody(incoming.path) and incoming.method in _READING:
        return
    raise HostNotAllowed(
        f"The host {host[:80]!r} is none of this service's names; those that it may be"
        " called by stand in JOBRUNNER_ALLOWED_HOSTS."
    )


def check_site(incoming: Incoming, allowed: frozenset[str]) -> None:
    """`allowed`: origins of other sites whose pages may call. Raises: OriginNotAllowed."""
    if is_of_allowed_page(incoming, allowed):
        return  # Sec-Fetch-Site says no more than that it is another site's
    if not incoming.origins and incoming.fetch_sites and incoming.is_navigation:
        return  # a link in a mail or a chat: the site that it stands on sees nothing of the page
    host = incoming.host
    for origin in incoming.origins:
        if host is None or not is_own_origin(origin, host):
            raise OriginNotAllowed(
                f"Pages of {origin[:80]!r} may not call this service, which is"
                f" {(host or '')[:80]!r}."
            )
    for site in incoming.fetch_sites:
        if site not in OWN_FETCH_SITES:
            raise OriginNotAllowed(
                f"Pages of other sites may not call this service (Sec-Fetch-Site: {site[:80]})."
            )


def check_has_origin(incoming: Incoming) -> None:
    """Of a change that a login proves: browsers say which page sends it, and it was seen to be one
    of this service (`check_site`). Raises: OriginNotAllowed.
    """
    if not incoming.origins:
        raise OriginNotAllowed(
            "A login is good for pages of this service alone: expected the header Origin, got none."
        )


def is_of_allowed_page(incoming: Incoming, allowed: frozenset[str]) -> bool:
    """Whether a page of another site sent it that the operator has named."""
    return bool(allowed) and len(incoming.origins) == 1 and incoming.origins[0] in allowed
