"""Reports changes of the tokens at once, without polling.

The directory is watched, as the file is replaced as a whole. Where the kernel has no watch left,
the file is checked each half second, and only while something depends on it.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from pathlib import Path
from typing import Final

import structlog

from service.output.inotify import Inotify

# Seconds between two checks where there is no watch.
_CHECK_S: Final = 0.5

_log = structlog.get_logger("jobrunner.access")


class TokenWatch:
    """Calls `on_change` when an entry of the state directory is created, removed or replaced, which
    is rare. `needs`: whether a check is worth its cost now, where there is no watch.
    """

    def __init__(
        self, state_dir: Path, on_change: Callable[[], None], needs: Callable[[], bool]
    ) -> None:
        self._state_dir = state_dir
        self._on_change = on_change
        self._needs = needs
        self._inotify: Inotify | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._is_open = False

    def open(self) -> None:
        """Start watching, in the running loop."""
        self._is_open = True
        try:
            self._inotify = Inotify()
            self._watch()
        except OSError as exc:
            _log.warning("tokens_not_watched", why=str(exc), instead=f"a look each {_CHECK_S} s")
            self._close_inotify()
        else:
            asyncio.get_running_loop().add_reader(self._inotify.fd, self._changed)

    def close(self) -> None:
        """Stop watching."""
        self._is_open = False
        if self._inotify is not None:
            asyncio.get_running_loop().remove_reader(self._inotify.fd)
        self._close_inotify()
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def look_soon(self) -> None:
        """Something depends on the tokens from now on. Does nothing where there is a watch."""
        if self._inotify is None and self._timer is None and self._is_open:
            self._timer = asyncio.get_running_loop().call_later(_CHECK_S, self._look)

    def _watch(self) -> None:
        assert self._inotify is not None  # noqa: S101 - just made
        directory = os.open(self._state_dir, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            self._inotify.watch_directory(directory)
        finally:
            os.close(directory)

    def _look(self) -> None:
        self._timer = None
        self._on_change()
        if self._needs():
            self.look_soon()

    def _changed(self) -> None:
        assert self._inotify is not None  # noqa: S101 - its reader is removed before it is closed
        if self._inotify.changed():
            self._on_change()

    def _close_inotify(self) -> None:
        if self._inotify is not None:
            self._inotify.close()
            self._inotify = None
