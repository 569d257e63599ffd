"""Times as callers see them. Stored ones are nanoseconds since 1970, UTC."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Final

_NS: Final = 1_000_000_000


def rfc3339(ns: int) -> str:
    """With microseconds, in UTC. Source: RFC 3339."""
    seconds, rest = divmod(ns, _NS)
    # isoformat is a third of the cost of strftime, and a view has many times.
    text = datetime.fromtimestamp(seconds, UTC).isoformat()
    return f"{text[:19]}.{rest // 1000:06}Z"
