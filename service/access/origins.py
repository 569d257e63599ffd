"""Which `Host` and which `Origin` a request may have. Pure: headers in, a decision out.

Pages of the origins that the operator names may call the service with a token (CORS); what a
browser is told of that stands in `service.web.cors`.

Every web page that a user of this host has open can reach a service on loopback. A page of another
site is recognized by its `Origin`; one whose own name was made to resolve to this host (DNS
rebinding) by its `Host`. Source: RFC 6454; RFC 9110, section 7.2.
"""

from __future__ import annotations

import functools
import ipaddress
import re
from typing import Final
from urllib.parse import urlsplit

# In JOBRUNNER_ALLOWED_HOSTS: any name.
ANY_HOST: Final = "*"
# Values of Sec-Fetch-Site for requests of the service's own pages, and of the browser's user. Other
# pages can't forge it, not even in requests without an `Origin`. Source: W3C Fetch Metadata, 2.3.
OWN_FETCH_SITES: Final = frozenset({"same-origin", "none"})
_HOST: Final = re.compile(r"(?:\[(?P<v6>[0-9a-f:.]+)\]|(?P<name>[0-9a-z._-]+))(?::[0-9]{0,5})?")
_LOOPBACK_NAMES: Final = frozenset({"localhost", "ip6-localhost"})
_DEFAULT_PORTS: Final = {"http": ":80", "https": ":443"}


@functools.lru_cache(maxsize=256)  # every request has one of the same few names
def is_loopback(host: str) -> bool:
    """Whether `host`, an address or a name, is a loopback one."""
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return host.lower().removesuffix(".") in _LOOPBACK_NAMES
    # A socket that listens on both families shows 127.0.0.1 as ::ffff:127.0.0.1.
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    return (mapped or address).is_loopback


def host_name(header: str) -> str:
    """The name in a `Host` header, without port and brackets, in lower case; empty if none."""
    if (match := _HOST.fullmatch(header.lower())) is None:
        return ""
    return match["v6"] or match["name"].removesuffix(".")


@functools.lru_cache(maxsize=256)
def is_host_allowed(header: str, allowed: frozenset[str], local_ip: str | None) -> bool:
    """Whether requests may have this `Host`, over a connection to `local_ip` (None: a Unix socket).

    The names of loopback are always allowed over loopback, as no other site can have them: a page
    whose own name was made to resolve to this host sends that name. With no `allowed` names they
    are the only ones, over any connection.
    """
    name = host_name(header)
    if name in allowed or ANY_HOST in allowed:
        return True
    is_local = not allowed or local_ip is None or is_loopback(local_ip)
    return is_local and is_loopback(name)


def is_own_origin(origin: str, host: str) -> bool:
    """Whether the page that sends this `Origin` was served under the same `Host`."""
    try:
        parts = urlsplit(origin)
    except ValueError:
        return False
    if parts.scheme not in _DEFAULT_PORTS or not parts.netloc:
        return False
    default = _DEFAULT_PORTS[parts.scheme]
    return parts.netloc.lower().removesuffix(default) == host.lower().removesuffix(default)
