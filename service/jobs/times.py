"""Times in responses. Stored times are nanoseconds since 1970, UTC."""

from __future__ import annotations

from datetime import UTC, datetime
from functools import lru_cache
from typing import Final

_NS: Final = 1_000_000_000


def rfc3339(ns: int) -> str:
    """With microseconds, in UTC. Source: RFC 3339."""
    seconds, rest = divmod(ns, _NS)
    return f"{_second(seconds)}.{rest // 1000:06}Z"


# The times in one view mostly fall into one or two seconds.
@lru_cache(maxsize=256)
def _second(seconds: int) -> str:
    # isoformat is a third of the cost of strftime.
    return datetime.fromtimestamp(seconds, UTC).isoformat()[:19]
