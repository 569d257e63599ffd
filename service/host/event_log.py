"""The supervisor's log events: a constant event name plus fields, one JSON object per line.

They go to standard error, which is `supervisor.log` or the unit's journal.
"""

from __future__ import annotations

import json
import sys
from datetime import UTC, datetime


def log_event(event: str, **fields: object) -> None:
    """Write one line. A write that fails (a full disk) is ignored: the jobs matter more."""
    now = datetime.now(UTC).isoformat(timespec="milliseconds")
    line = json.dumps({"at": now, "event": event, **fields}, default=str)
    try:
        sys.stderr.write(line + "\n")
        sys.stderr.flush()
    except OSError:
        return
