"""Addresses of clients as values that are safe to write and to count by."""

from __future__ import annotations

import functools
import ipaddress
from typing import Final

# A provider gives each customer a /64 at least: its addresses are one caller's.
_IPV6_PREFIX: Final = 64
# Addresses whose parsed form is remembered.
_MAX_REMEMBERED: Final = 4096


@functools.lru_cache(maxsize=_MAX_REMEMBERED)
def parsed(text: str) -> str | None:
    """`text` as an address in its normal form; None when it is none."""
    try:
        is_bracketed = text.startswith("[") and text.endswith("]")
        found = ipaddress.ip_address(text[1:-1] if is_bracketed else text)
    except ValueError:
        return None
    if isinstance(found, ipaddress.IPv6Address):
        if (mapped := found.ipv4_mapped) is not None:
            return str(mapped)
        if found.scope_id is not None:
            return str(ipaddress.IPv6Address(int(found)))
    return str(found)


def caller(address: str, uid: int | None) -> str:
    """Who counts as one caller: a network, or a user of this host who came over a Unix socket."""
    return network(address) if address or uid is None else f"uid {uid}"


@functools.lru_cache(maxsize=_MAX_REMEMBERED)
def network(text: str) -> str:
    """What `text`, an address, counts as: itself, or the /64 of an IPv6 address."""
    found = parsed(text)
    if found is None or ":" not in found:
        return found or text
    return str(ipaddress.IPv6Network((found, _IPV6_PREFIX), strict=False))
