"""Logs of finished jobs whose end couldn't be written: on a failing disk, or one without room on
which even what is overwritten takes some.

Their records say that output may be missing. Who reads such a log live waits for its end, so it is
tried to be written once a second, as stalled pumps are tried, while this process lives.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from service.host.event_log import log_event

if TYPE_CHECKING:
    from service.output.pump import StallTimer
    from service.output.writer import LogWriter

# Logs at most: each holds two descriptors.
_MOST: Final = 100


class UnclosedLogs:
    """Of one supervisor."""

    def __init__(self, stalls: StallTimer) -> None:
        self._stalls = stalls
        self._logs: list[LogWriter] = []

    def add(self, log: LogWriter) -> None:
        if len(self._logs) >= _MOST:
            log.detach()
            return
        self._logs.append(log)
        self._stalls.join(self)

    def retry(self) -> None:
        """For the timer."""
        for log in list(self._logs):
            try:
                log.close(complete=False)
            except OSError:
                continue  # told when it was added
            self._logs.remove(log)
            log_event("log_closed_late")
        if not self._logs:
            self._stalls.leave(self)
