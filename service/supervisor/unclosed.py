"""Logs of finished jobs whose end couldn't be written: the disk fails, or is full and needs free
space even for an overwrite.

Their records say that output may be missing. Readers that follow such a log wait for its end, so
writing it is retried once a second, like a stalled pump, while this process lives.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from service.host.event_log import log_event

if TYPE_CHECKING:
    from service.output.pump import StallTimer
    from service.output.writer import LogWriter

# Each holds two descriptors.
_MAX_LOGS: Final = 100


class UnclosedLogs:
    """Those of one supervisor."""

    def __init__(self, stalls: StallTimer) -> None:
        self._stalls = stalls
        self._logs: list[LogWriter] = []

    def add(self, log: LogWriter) -> None:
        if len(self._logs) >= _MAX_LOGS:
            log.detach()
            return
        self._logs.append(log)
        self._stalls.join(self)

    def retry(self) -> None:
        """Called by the timer."""
        for log in list(self._logs):
            try:
                log.close(complete=False)
            except OSError:
                continue  # it was logged when it was added
            self._logs.remove(log)
            log_event("log_closed_late")
        if not self._logs:
            self._stalls.leave(self)
