"""How long the idempotency keys of cleaned jobs are kept."""

from __future__ import annotations

from typing import Final

from service.settings import Settings

_NS: Final = 1_000_000_000


def keys_kept_since(settings: Settings, now: int) -> int | None:
    """The keys of jobs that were cleaned at that time or later are kept at `now`; None: no key is
    kept without its job. Both are nanoseconds since 1970.
    """
    kept_s = settings.key_retention
    return now - int(kept_s * _NS) if kept_s else None
