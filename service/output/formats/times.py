"""Times in output: RFC 3339 with nanoseconds, UTC, as the index has them."""

from __future__ import annotations

from datetime import UTC, datetime
from functools import lru_cache

__all__ = ["rfc3339_ns"]

_NS = 1_000_000_000


def rfc3339_ns(ns: int) -> str:
    """The time `ns` after 1970. Source: RFC 3339."""
    seconds, rest = divmod(ns, _NS)
    return f"{_second(seconds)}.{rest:09}Z"


# Runs that follow each other mostly fall into one second.
@lru_cache(maxsize=64)
def _second(seconds: int) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat()[:19]
