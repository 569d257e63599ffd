"""Processes that a test keeps an eye on: whether exactly these still run, by pidfd.

A number in /proc may be somebody else's by the time one looks; a descriptor never is.
"""

from __future__ import annotations

import os
import select
import signal
from collections.abc import Iterable
from types import TracebackType
from typing import Self

# Seconds: a fuse, for a wait that is over in milliseconds.
_FUSE_S = 20.0


class Watched:
    """Living processes, opened by number when it is made. Raises: ProcessLookupError."""

    def __init__(self, pids: Iterable[int]) -> None:
        self._descriptors: dict[int, int] = {}
        try:
            for pid in pids:
                self._descriptors[pid] = os.pidfd_open(pid)
        except OSError:
            self.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        _kind: type[BaseException] | None,
        _error: BaseException | None,
        _trace: TracebackType | None,
    ) -> None:
        self.close()

    def alive(self) -> list[int]:
        """Those that haven't ended; a zombie has."""
        return [pid for pid, fd in self._descriptors.items() if not _has_ended(fd, 0)]

    def wait_gone(self) -> None:
        """Return once all have ended."""
        for pid, descriptor in self._descriptors.items():
            assert _has_ended(descriptor, _FUSE_S), f"process {pid} goes on"

    def signal(self, number: int) -> None:
        for descriptor in self._descriptors.values():
            try:
                signal.pidfd_send_signal(descriptor, number)
            except ProcessLookupError:
                continue

    def close(self) -> None:
        for descriptor in self._descriptors.values():
            os.close(descriptor)
        self._descriptors.clear()


def _has_ended(descriptor: int, seconds: float) -> bool:
    poller = select.poll()
    poller.register(descriptor, select.POLLIN)
    return bool(poller.poll(seconds * 1000))
