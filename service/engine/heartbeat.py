"""A worker says that it lives, and sees whether the supervisor does.

Every few seconds of its own loop a worker writes the time into memory that it shares with the main
process (`service.host.heartbeats`), and sends the supervisor a `beat`: both judge it by that. The
supervisor answers none: whether it has taken the last one out of the socket is seen here. So an
idle service wakes twice per interval: this worker, and the supervisor.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Final

import structlog

from service.link.session import SupervisorSession

# Seconds between two beats: with the supervisor's wake-up for each, 0.4 wake-ups a second.
INTERVAL_S: Final = 5.0
# Seconds for which bytes have waited unread by a supervisor that counts as silent: longer than one
# callback of it takes, and less than an interval, since neither timers nor that measure are exact.
SILENT_S: Final = 4.0

_log = structlog.get_logger("jobrunner.engine")


class Heartbeat:
    """The beats of one worker."""

    def __init__(
        self,
        stamp: Callable[[], None],
        on_awake: Callable[[], None],
        on_silence: Callable[[], None],
    ) -> None:
        """`stamp` writes the time down for the main process. `on_silence` is called at each beat of
        a supervisor that was silent at the one before, too; `on_awake` when it reads again.
        """
        self._stamp = stamp
        self._on_awake = on_awake
        self._on_silence = on_silence
        self._connection: SupervisorSession | None = None
        self._is_late = False  # the supervisor was silent when the last beat was due
        self._timer: asyncio.TimerHandle | None = None

    @property
    def is_unheard(self) -> bool:
        """Whether the supervisor reads nothing, and hasn't for about an interval."""
        return self._connection is not None and self._connection.silent_s() >= SILENT_S

    def start(self) -> None:
        self._stamp()
        self._again()

    def stop(self) -> None:
        if self._timer is not None:
            self._timer.cancel()

    def connected(self, connection: SupervisorSession | None) -> None:
        """From now on beats go there; None: there is no connection."""
        self._connection = connection
        self._is_late = False

    def _again(self) -> None:
        self._timer = asyncio.get_running_loop().call_later(INTERVAL_S, self._beat)

    def _beat(self) -> None:
        self._stamp()
        self._again()
        connection = self._connection
        if connection is None:
            return
        is_late = self.is_unheard
        was_late, self._is_late = self._is_late, is_late
        if is_late and not was_late:
            _log.error("supervisor_silent", interval_s=INTERVAL_S)
        elif is_late:
            self._on_silence()
        elif was_late and not is_late:
            _log.info("supervisor_awake")
            self._on_awake()
        if not is_late:
            connection.send({"type": "heartbeat"})
