"""How long a call may take: hosts give a call up after 60 seconds, whatever it waits for."""

from __future__ import annotations

import asyncio
from typing import Final

# Seconds from the beginning of a call to its end, whatever the service does.
CALL_S: Final = 49.0
# What is left for an answer when the wait is over: several requests, by a service under load.
_ANSWER_S: Final = 3.0


class Deadline:
    """Of one call."""

    def __init__(self) -> None:
        loop = asyncio.get_running_loop()
        self._clock = loop.time
        self.at = loop.time() + CALL_S

    def wait_s(self, wanted_s: float) -> float:
        """How much of a wait of `wanted_s` there is time for."""
        return max(0.0, min(wanted_s, self.at - self._clock() - _ANSWER_S))
