"""The supervisor's log events: a constant event name plus fields, one JSON object per line.

The keys are those of the service's lines in JSON. They go to standard error, which is
`supervisor.log` or the unit's journal.
"""

from __future__ import annotations

import json
import sys
from datetime import UTC, datetime


def log_event(event: str, *, level: str = "info", **fields: object) -> None:
    """Write one line. A write that fails (a full disk) is ignored: the jobs matter more."""
    now = datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    line = json.dumps({"event": event, **fields, "level": level, "timestamp": now}, default=str)
    try:
        sys.stderr.write(line + "\n")
        sys.stderr.flush()
    except OSError:
        return
