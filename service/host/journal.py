"""The supervisor's log lines: a constant event name plus fields, one JSON object a line.

They go to standard error, which is the file `supervisor.log`, or the unit's journal.
"""

from __future__ import annotations

import json
import sys
from datetime import UTC, datetime


def note(event: str, **fields: object) -> None:
    """Write one line. A full disk takes no lines; the jobs matter more than the log."""
    now = datetime.now(UTC).isoformat(timespec="milliseconds")
    line = json.dumps({"at": now, "event": event, **fields}, default=str)
    try:
        sys.stderr.write(line + "\n")
        sys.stderr.flush()
    except OSError:
        return
