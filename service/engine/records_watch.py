"""Notices commits to the records, of this process and of all others, as long as somebody follows.

The log of SQLite is watched with inotify, so whoever writes does nothing for it, and nobody has to
be alive to tell. The kernel tells of the bytes, and SQLite makes them a commit a moment later: so
there is a pause before the look, and a second look when the first one finds nothing. A process that
was stopped in between commits when it goes on, and the kernel doesn't tell of that: so there is a
look twice a second as well. Where the kernel refuses a watch these looks are all that there is.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from pathlib import Path
from typing import Final

import structlog

from service.output.inotify import Inotify

# Seconds from the first written byte to the look; what is committed meanwhile is read together.
_PAUSE_S: Final = 0.002
# The same to the second look.
_SECOND_PAUSE_S: Final = 0.02
# Seconds between two looks without any sign.
LOOK_S: Final = 0.5

_log = structlog.get_logger("jobrunner.engine")


class RecordsWatch:
    """One in each worker. `look` says whether it found something, and must not raise."""

    def __init__(self, log: Path, look: Callable[[], bool]) -> None:
        """`log` is SQLite's write-ahead log of the records, which exists as long as this process
        has them open.
        """
        self._path = log
        self._look = look
        self._inotify: Inotify | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._is_tried = False

    @property
    def is_open(self) -> bool:
        return self._timer is not None

    def open(self) -> None:
        """Begin, on the running loop."""
        if self.is_open:
            return
        loop = asyncio.get_running_loop()
        self._timer = loop.call_later(LOOK_S, self._looked, _PAUSE_S)
        try:
            self._inotify = _watching(self._path)
        except OSError as exc:
            if not self._is_tried:
                _log.warning("records_not_watched", why=str(exc))
        else:
            loop.add_reader(self._inotify.fd, self._written)
        self._is_tried = True

    def close(self) -> None:
        """End; doing it again does nothing."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._inotify is not None:
            # Always before the close: uvloop aborts the process otherwise.
            asyncio.get_running_loop().remove_reader(self._inotify.fd)
            self._inotify.close()
            self._inotify = None

    def _written(self) -> None:
        if self._inotify is None:
            return
        self._inotify.changed()
        soon = asyncio.get_running_loop().time() + _PAUSE_S
        if self._timer is not None and self._timer.when() > soon:
            self._arm(_PAUSE_S, _SECOND_PAUSE_S)

    def _arm(self, pause_s: float, following_s: float) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer = asyncio.get_running_loop().call_later(pause_s, self._looked, following_s)

    def _looked(self, following_s: float) -> None:
        found = self._look()
        if self._timer is None:
            return  # closed meanwhile
        if not found and following_s == _SECOND_PAUSE_S:
            self._arm(_SECOND_PAUSE_S, LOOK_S)
        else:
            self._arm(LOOK_S, LOOK_S)


def _watching(path: Path) -> Inotify:
    """Raises: OSError."""
    inotify = Inotify()
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        try:
            inotify.watch(descriptor)
        finally:
            os.close(descriptor)
    except BaseException:
        inotify.close()
        raise
    return inotify
