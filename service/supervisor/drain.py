"""A drain: no job is accepted, none that is pending starts, and what runs finishes.

It is kept in a file of the state directory, so it outlives the supervisor. A drain of an earlier
boot of the host is over: what it was made for has happened.
"""

from __future__ import annotations

import json
import os
import time
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

from service.host.event_log import log_event
from service.paths import DRAIN

# Changes with each boot. Source: random(4).
_BOOT_ID: Final = Path("/proc/sys/kernel/random/boot_id")


class Drain:
    """That of the state directory which is open as `directory`."""

    def __init__(self, directory: int) -> None:
        self._directory = directory
        self.since: int | None = None  # when it began, in nanoseconds since the epoch; None: none
        self.until_start = False  # the next start of the service ends it
        self._read()

    def begin(self, *, until_start: bool) -> None:
        """Begin it. One that lasts until the next start keeps doing so."""
        if self.since is None:
            self.since = time.time_ns()
            log_event("drain_began")
        self.until_start |= until_start
        kept = {"since": self.since, "until_start": self.until_start, "boot": _boot_id()}
        temporary = f"{DRAIN}.new"
        try:
            flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC
            with open(
                temporary,
                "w",
                opener=lambda name, _: os.open(name, flags, 0o600, dir_fd=self._directory),
            ) as file:
                file.write(json.dumps(kept))
            os.replace(temporary, DRAIN, src_dir_fd=self._directory, dst_dir_fd=self._directory)
        except OSError as exc:  # it holds all the same, as long as this process lives
            log_event("drain_not_stored", level="error", error=str(exc))

    def end(self) -> None:
        """End it, if there is one."""
        if self.since is not None:
            log_event("drain_ended")
        self.since, self.until_start = None, False
        with suppress(OSError):
            os.unlink(DRAIN, dir_fd=self._directory)

    def _read(self) -> None:
        try:
            with open(
                DRAIN, opener=lambda name, flags: os.open(name, flags, dir_fd=self._directory)
            ) as file:
                kept: Any = json.load(file)
            since, until_start = int(kept["since"]), bool(kept["until_start"])
            is_over = kept["boot"] != _boot_id()
        except FileNotFoundError:
            return
        except (OSError, ValueError, KeyError, TypeError) as exc:
            log_event("drain_not_read", level="error", error=str(exc))
            return
        if is_over:
            self.end()
        else:
            self.since, self.until_start = since, until_start


def _boot_id() -> str:
    with suppress(OSError):
        return _BOOT_ID.read_text().strip()
    return ""
