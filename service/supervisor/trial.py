"""Whether this release can take over from a running supervisor; run in a child of that one."""

from __future__ import annotations

import os

from service.supervisor.snapshot import VERSION
from service.supervisor.upgrade import read


def can_follow(version: int, source: int) -> bool:
    """`version`: the layout of the snapshot. `source`: a file with the snapshot as it now is.

    Raises: whatever decoding it raises.
    """
    if version != VERSION:
        return False
    read(os.dup(source))
    return True
